"""Corpora that no one hopes for: each is evaluated and reported, or refused in a sentence."""

from __future__ import annotations

import json
from itertools import islice

import pytest

from encoders.base.errors import UserError
from eval.evaluate import Options, evaluate
from eval.report.report import write_report
from eval.search.targets import EmbeddedTarget
from ingest.corpus.corpus import write_corpus
from ingest.corpus.records import Record
from ingest.feed.documents import documents
from ingest.sources.phantoms import Phantoms
from ingest.vectors.embed import embed_corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.types import VectorField
from tests.ingest.conftest import Rows

WORDS = ["axial", "chest", "ct", "of", "a", "left", "lung", "nodule"]
# Captions by number; each corpus is of twelve documents, unless it says another count.
CORPORA = {
    "captions all equal": {"caption": lambda _: "Chest CT with a lung nodule"},
    "one word": {"caption": lambda n: WORDS[n % len(WORDS)]},
    "no word": {"caption": lambda _: "?!..."},
    "stop words": {"caption": lambda _: "the of and in to a"},
    "other scripts": {"caption": lambda n: f"胸部CT画像 – Röntgen µ <b>{n}</b> & \u202e κέρατο"},
    "long": {"caption": lambda n: " ".join(WORDS * 300) + str(n)},
    "some captions empty": {"caption": lambda n: "" if n % 2 else f"lung nodule number {n}"},
    "all captions empty": {"caption": lambda _: ""},
    "some images missing": {"image": lambda n: n % 2 == 0},
    "all images missing": {"image": lambda _: False},
    "one case": {"group": lambda _: "case"},
    "groups of one": {"group": str},
    "one document": {"count": 1},
    "training only": {"split": lambda _: "train"},
    "one to be asked": {"split": lambda n: "train" if n else "test"},
}
REFUSED = {"all captions empty": "Nothing can be evaluated"}


@pytest.fixture(scope="module")
def pictures():
    return [record.image for record in islice(Phantoms(40, side=32), 12)]


def records(pictures, *, count=12, caption=None, image=None, group=None, split=None):
    for n in range(count):
        group_id = group(n) if group else ""
        yield Record(
            id=f"image {n:02d}",
            caption=caption(n) if caption else f"{' '.join(WORDS[: n % 8 + 1])} number {n}",
            image=pictures[n] if image is None or image(n) else None,
            group_id=group_id,
            group_kind="case" if group_id else "none",
            split=split(n) if split else "test",
            caption_needed=False,
        )


@pytest.mark.parametrize("name", CORPORA)
@pytest.mark.parametrize("scope", ["split", "all"])
def test_evaluated_or_refused_in_a_sentence(name, scope, pictures, encoder, tmp_path):
    rows = list(records(pictures, **CORPORA[name]))
    corpus = write_corpus(Rows(rows), tmp_path / "corpus")
    embed_corpus(corpus, encoder)
    manifest = encoder.manifest
    field = VectorField(
        encoder_names(manifest.fingerprint).embedding, manifest.dimension, manifest.fingerprint
    )
    engine = EmbeddedEngine.in_memory(documents(corpus, manifest.fingerprint), [field])
    if name in REFUSED:
        with pytest.raises(UserError, match=REFUSED[name]):
            evaluate(EmbeddedTarget(engine), encoder, corpus, Options(scope=scope))
        return
    evaluation = evaluate(EmbeddedTarget(engine), encoder, corpus, Options(scope=scope))
    write_report(evaluation, tmp_path / "report")
    content = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert all(row["low"] <= row["value"] <= row["high"] for row in content["rows"])
    page = (tmp_path / "report" / "report.html").read_text()
    assert "nan" not in page.partition("<header>")[2].partition("</header>")[0].lower()


def test_one_case_is_said_to_be_too_little(pictures, tmp_path):
    rows = list(records(pictures, **CORPORA["one case"]))
    corpus = write_corpus(Rows(rows), tmp_path / "corpus")
    engine = EmbeddedEngine.in_memory(documents(corpus, None))
    evaluation = evaluate(EmbeddedTarget(engine), None, corpus, Options(protocols=("caption",)))
    write_report(evaluation, tmp_path / "report")
    assert evaluation.tasks[0].comparisons[0].detectable is None
    text = (tmp_path / "report" / "report.md").read_text()
    assert "All queries are of one case, article or text" in text
