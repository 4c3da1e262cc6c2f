"""Every response of a real server, and of the kit, is read without loss and judged rightly."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ranking.types import Query, QueryError
from vespa_app.feed.store import judged_document
from vespa_app.http import errors
from vespa_app.http.connection import Reply
from vespa_app.query.answers import Row, document_of, judge, read_answer, to_result
from vespa_app.query.top_k import Window, choose


def records(path: Path) -> Iterator[dict]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    yield from map(json.loads, text.splitlines())


def search_responses(golden: Path) -> list[tuple[str, Reply]]:
    found = []
    for name in ("errors_filters_grouping", "redeploy", "faults"):
        for record in records(golden / f"{name}.jsonl.gz"):
            response = record.get("response")
            if isinstance(response, dict) and ("root" in response or "_raw" in response):
                content = None if "_raw" in response else response
                kind = record["kind"]
                found.append((f"{name}: {kind}", Reply(record["status"], content)))
    return found


def leaves(item: dict) -> Iterator[dict]:
    """All hits of a response, straight from the JSON."""
    if not str(item.get("id", "")).startswith(("group:", "grouplist:", "hitlist:", "toplevel")):
        yield item
    for child in item.get("children", ()):
        yield from leaves(child)


def as_json(row: Row) -> dict:
    """The row written back; equal to what was read if nothing was lost."""
    fields = {**row.fields, **({"matchfeatures": dict(row.features)} if row.features else {})}
    item = {"id": row.id, "relevance": row.relevance, **row.other}
    item |= {"source": row.source} if row.source else {}
    item |= {"fields": fields} if fields else {}
    item |= {"children": [as_json(child) for child in row.children]} if row.children else {}
    return item


def test_every_recorded_answer_is_read_without_loss(vespa_golden):
    responses = search_responses(vespa_golden)
    assert len(responses) > 120
    for name, reply in responses:
        if reply.content is None:
            continue
        answer = read_answer(reply)
        root = reply.content["root"]
        written = [as_json(row) for row in answer.rows]
        assert written == root.get("children", []), name
        assert answer.total == root.get("fields", {}).get("totalCount", 0), name
        assert [m.code for m in answer.messages] == [e["code"] for e in root.get("errors", [])]
        assert (answer.coverage is None) == ("coverage" not in root), name


def test_every_recorded_answer_is_judged(vespa_golden):
    for name, reply in search_responses(vespa_golden):
        found = outcome(reply)
        if isinstance(found, errors.VespaQueryError):
            assert found.status in {200, 400}, name
        elif isinstance(found, errors.VespaError):
            assert found.status != 200 or "restrict" in name, (name, found)
        else:
            answer, coverage = found
            assert reply.status == 200, name
            rows = [row for row in answer.documents if "id" in row.fields]
            # The records shorten long vectors to something that is none.
            whole = " in all" not in json.dumps(reply.content)
            result = to_result(answer, coverage, rows, with_documents=whole)
            assert len(result.documents) == (len(result) if whole else 0), name
            assert coverage.full == (not result.warnings), name


def outcome(reply: Reply):
    """The answer and its coverage, or the error that it means."""
    try:
        answer = read_answer(reply)
        return answer, judge(answer)
    except (errors.VespaQueryError, errors.VespaError) as error:
        return error


def judged(golden: Path, kind: str):
    reply = next(r for name, r in search_responses(golden) if name.endswith(f": {kind}"))
    answer = read_answer(reply)
    return answer, judge(answer)


def test_soft_timeout_is_flagged(vespa_golden):
    _, coverage = judged(vespa_golden, "error-timeout-60ms")
    assert coverage.degraded == ("timeout",)
    assert coverage.percent == 38
    assert not coverage.full


def test_timeout_while_filling_is_flagged_and_told(vespa_golden):
    answer, coverage = judged(vespa_golden, "error-timeout-20ms")
    assert coverage.degraded == ("timeout", "summaries")
    filled = [row for row in answer.documents if "id" in row.fields]
    assert len(filled) < len(answer.documents)
    warnings = to_result(answer, coverage, filled, with_documents=False).warnings
    assert any("docsum request timed out" in warning for warning in warnings)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("content-node-down query", errors.VespaUnavailableError),
        ("content-node-down query hits=0", errors.VespaUnavailableError),
        ("error-timeout-1ms", errors.VespaTimeoutError),
        ("error-restrict-unknown", errors.VespaUnavailableError),
        ("error-unknown-profile", errors.VespaQueryError),
        ("error-unknown-summary", errors.VespaQueryError),
        ("error-two-schemas-vector-profile", errors.VespaQueryError),
        ("error-embed-no-embedder", errors.VespaError),
        ("error-get-404", errors.VespaGarbledError),
    ],
)
def test_what_an_answer_raises(vespa_golden, kind, error):
    with pytest.raises(error) as caught:
        judged(vespa_golden, kind)
    assert len(str(caught.value)) < 900


def test_hits_of_groups(vespa_golden):
    answer, _ = judged(vespa_golden, "grouping-globalphase")
    grouped = [hit for row in answer.rows if not row.is_hit for hit in row.hits()]
    assert len(grouped) >= 4
    assert all(hit.fields["id"] for hit in grouped)


def test_dead_node_in_words_of_the_exception_tree():
    dead = {"coverage": 100, "documents": 0, "full": True, "nodes": 0, "results": 1}
    reply = Reply(200, {"root": {"fields": {"totalCount": 0}, "coverage": dead}})
    with pytest.raises(errors.VespaUnavailableError, match="No content node"):
        judge(read_answer(reply))


def test_missing_features_and_infinite_scores():
    coverage = {"coverage": 100, "documents": 2, "full": True, "nodes": 1}
    hits = [
        {"id": "a", "relevance": "-Infinity", "fields": {"id": "a"}},
        {"id": "b", "relevance": 1, "fields": {"id": "b", "matchfeatures": {"f": 2.0}}},
    ]
    answer = read_answer(Reply(200, {"root": {"coverage": coverage, "children": hits}}))
    result = to_result(answer, judge(answer), answer.documents, with_documents=False)
    np.testing.assert_array_equal(result.scores, [-np.inf, 1])
    np.testing.assert_array_equal(result.features["f"], [np.nan, 2])


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(200, None, "<html>"), errors.VespaGarbledError),
        (Reply(200, {"hits": []}), errors.VespaGarbledError),
        (Reply(200, {"root": {"children": 3}}), errors.VespaGarbledError),
        (Reply(502, None, "<html>"), errors.VespaError),
        (Reply(401, {"message": "no"}), errors.VespaRefusedError),
        (Reply(429, None), errors.VespaOverloadedError),
        (Reply(507, None), errors.VespaFullError),
    ],
)
def test_answers_that_are_not_vespas(reply, error):
    with pytest.raises(error):
        judge(read_answer(reply))


def test_query_errors_are_query_errors():
    assert issubclass(errors.VespaQueryError, QueryError)
    assert isinstance(errors.error_for(400, 4, "x"), QueryError)
    assert isinstance(errors.error_for(200, 3, "x"), QueryError)
    assert "..." in str(errors.error_for(400, 3, "0.1, " * 512))


def test_kit_answers(kit_golden):
    """The kit's recorded exchanges, /document/v1/ included."""
    seen = 0
    for record in records(kit_golden / "http.jsonl"):
        reply = Reply(record["status"], record["response"])
        if not record["path"].startswith("/search/"):
            continue
        seen += 1
        found = outcome(reply)
        if isinstance(found, Exception):
            assert found.status == record["status"] != 200
        else:
            answer, coverage = found
            assert coverage.full
            assert sum(1 for _ in leaves(record["response"]["root"])) == len(answer.rows)
    assert seen > 20


@pytest.mark.parametrize("name", ["lexical", "vector", "hybrid"])
def test_recorded_hits_keep_their_scores_and_gain_an_order(vespa_golden, name):
    """Nothing is lost or moved but for ties, which come by ascending id."""
    for record in records(vespa_golden / f"{name}.jsonl.gz"):
        if record["status"] != 200:
            continue
        names = record.get("features", [])
        children = [
            {
                "id": f"id:image:image::{hit[0]}",
                "relevance": hit[1],
                "fields": {"id": hit[0], "matchfeatures": dict(zip(names, hit[2:], strict=False))},
            }
            for hit in record["hits"]
        ]
        root = {
            "fields": {"totalCount": record["total"]},
            "coverage": record["coverage"],
            "children": children,
        }
        answer = read_answer(Reply(200, {"root": root}))
        query = Query("x", k=len(children), with_documents=False)
        chosen = choose(query, Window(len(children), len(children)), answer)
        result = to_result(answer, judge(answer), chosen.rows, with_documents=False)
        assert list(result.scores) == [hit[1] for hit in record["hits"]], record["id"]
        pairs = list(zip(-result.scores, result.ids, strict=True))
        assert pairs == sorted(pairs), record["id"]
        assert set(result.ids) == {hit[0] for hit in record["hits"]}
        values = {hit[0]: dict(zip(names, hit[2:], strict=False)) for hit in record["hits"]}
        for hit in result:
            assert dict(hit.features) == values[hit.id], record["id"]


def test_recorded_documents_are_read(vespa_golden):
    """Every /document/v1/ answer is a document, an absence, or an error in Vespa's words."""
    for record in records(vespa_golden / "document_v1.jsonl.gz"):
        response = record.get("response")
        if record.get("method") != "GET" or not isinstance(response, dict) or "_raw" in response:
            continue
        if "_shortened" in response or "documents" in response:
            continue
        reply = Reply(record["status"], response)
        if record["status"] == 200:
            fields = judged_document(reply).content["fields"]
            found = document_of(fields)
            assert found.caption == fields.get("caption")
            assert found.concepts == tuple(fields.get("concepts", ()))
        elif record["status"] == 404:
            assert judged_document(reply) == reply
        else:
            with pytest.raises((errors.VespaError, errors.VespaQueryError)):
                judged_document(reply)


def test_a_missing_document_is_not_taken_for_a_dead_node(vespa_golden):
    down = next(
        record
        for record in records(vespa_golden / "faults.jsonl.gz")
        if record["kind"] == "content-node-down get"
    )
    with pytest.raises(errors.VespaTimeoutError, match="cluster is in state Down"):
        judged_document(Reply(down["status"], down["response"]))
