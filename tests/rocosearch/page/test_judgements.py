"""What is judged on the page is kept, and comes out as topics and qrels."""

from __future__ import annotations

import stat

import pytest
import requests

from encoders.base.errors import UserError
from eval.protocols.own_topics import read_judgements, read_topics
from rocosearch.page.judgements import Judgement, Judgements, beside


@pytest.fixture
def kept(tmp_path):
    return Judgements(tmp_path / "corpus.judgements.jsonl")


def test_the_last_word_on_a_pair_holds(kept):
    for relevant in (1, 0, 2):
        kept.add(Judgement("ring lesion", "a", relevant, "ann"))
    kept.add(Judgement("ring lesion", "b", 0))
    assert [(each.document, each.relevant) for each in kept.last()] == [("a", 2), ("b", 0)]
    assert kept.path.read_text().count("\n") == 4  # nothing is overwritten
    assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600


def test_qrels_and_topics_are_read_by_the_evaluation(kept, tmp_path):
    kept.add(Judgement("ring\nlesion  ", "a b%41", 2))
    kept.add(Judgement("ring\nlesion  ", "c", 0))
    kept.add(Judgement("nodule", "c", 1))
    (tmp_path / "qrels").write_text(kept.qrels())
    (tmp_path / "topics").write_text(kept.topics())
    topics = read_topics(tmp_path / "topics")
    assert list(topics.values()) == ["ring lesion", "nodule"]
    judged = read_judgements(tmp_path / "qrels")
    assert [judged[name] for name in topics] == [{"a b%41": 2, "c": 0}, {"c": 1}]


def test_nothing_judged(kept):
    assert kept.last() == []
    assert kept.qrels() == kept.topics() == ""


@pytest.mark.parametrize("torn", ['{"query": "q", "docu', "\0" * 40, "{"])
def test_a_part_of_a_line_at_the_end_was_never_confirmed(kept, torn):
    kept.add(Judgement("q", "a", 1))
    with kept.path.open("a") as stream:
        stream.write(torn)
    assert [each.document for each in kept.last()] == ["a"]
    kept.add(Judgement("q", "b", 1))
    assert [each.document for each in kept.last()] == ["a", "b"]
    assert kept.path.read_text().count("\n") == 2


def test_a_last_line_that_somebody_wrote_without_its_end_counts(kept):
    kept.path.write_text('{"query": "q", "document": "a", "relevant": 1}')
    kept.add(Judgement("q", "b", 0))
    assert [(each.document, each.relevant) for each in kept.last()] == [("a", 1), ("b", 0)]


def test_a_line_that_is_no_judgement_is_named(kept):
    kept.add(Judgement("q", "a", 1))
    with kept.path.open("a") as stream:
        stream.write("not JSON\n")
    with pytest.raises(UserError, match="line 2 is not a judgement"):
        kept.last()


def test_judging_over_the_api(served):
    record = next(iter(served.corpus.records()))
    asked = {"query": "ring lesion", "document": record.id, "relevant": 1, "who": "ann"}
    answer = requests.post(f"{served.url}/judgements", json=asked, timeout=60)
    assert answer.status_code == 201
    judged = answer.json()
    assert {**asked, "when": judged["when"]} == judged
    assert judged in requests.get(f"{served.url}/judgements", timeout=60).json()["judgements"]
    assert judged["document"] in requests.get(f"{served.url}/judgements?format=trec").text
    assert beside(served.corpus.path).exists()
    assert beside(served.corpus.path).parent == served.corpus.path.parent


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "body is not of the type object"),
        ('{"query": "q", "document": "d"}', "no relevant"),
        ('{"query": "q", "document": "d", "relevant": true}', "relevant is not of the type"),
        ('{"query": "q", "document": "d", "relevant": 4}', "Allowed are 0 to 3"),
        ('{"query": "", "document": "d", "relevant": 1}', "query is empty"),
        ('{"query": "q", "document": "d", "relevant": 1, "x": 1}', "The body has 'x'"),
        ('{"query": "\\ud800", "document": "d", "relevant": 1}', "not valid text"),
    ],
)
def test_what_is_no_judgement(served, body, sentence):
    json = {"Content-Type": "application/json"}
    answer = requests.post(f"{served.url}/judgements", data=body, headers=json, timeout=60)
    assert answer.status_code == 400
    assert sentence in answer.json()["error"]


def test_a_form_of_another_site_judges_nothing(served):
    form = {"Content-Type": "text/plain"}
    answer = requests.post(f"{served.url}/judgements", data="{}", headers=form, timeout=60)
    assert answer.status_code == 415
