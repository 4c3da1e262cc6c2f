"""The document client against a server that fails in every way that Vespa was seen to fail."""

from __future__ import annotations

import gzip
import json
import time

import numpy as np
import pytest

from ranking.types import EngineError
from tests.vespa_app.fake_server import FakeVespa, Fault
from vespa_app.feed.documents import DocumentClient, FeedSettings
from vespa_app.feed.operations import (
    Operation,
    Verdict,
    feed_line,
    judge_operation,
    operation_body,
)
from vespa_app.http.connection import Credentials
from vespa_app.http.errors import (
    VespaFullError,
    VespaGarbledError,
    VespaRefusedError,
    VespaTimeoutError,
    VespaUnavailableError,
    VespaUnreachableError,
)

QUICK = FeedSettings(streams=8, seconds=5, patience=3, first=0.001, longest=0.02)
HASTY = FeedSettings(streams=8, seconds=5, patience=0.3, first=0.001, longest=0.02)
NONE = Credentials()


def client(server: FakeVespa, settings: FeedSettings = QUICK) -> DocumentClient:
    return DocumentClient(server.url, NONE, settings)


def puts(count: int) -> list[Operation]:
    return [Operation("put", f"d{n}", {"id": f"d{n}"}) for n in range(count)]


def once(fault: Fault):
    """Every document fails the first time."""
    seen: set[str] = set()

    def faults(request):
        if request.id in seen:
            return None
        seen.add(request.id)
        return fault

    return faults


PASSING = {
    "overload": Fault(429),
    "unavailable": Fault(503),
    "bad gateway": Fault(502, body="<html>"),
    "time-out": Fault(504),
    "unexplained": Fault(500, body="<html>Internal error"),
    "connection lost": Fault(0),
    "answer lost": Fault(0, applied=True),
}


@pytest.mark.parametrize("kind", PASSING)
def test_what_may_pass_is_tried_again_until_it_does(kind):
    with FakeVespa(once(PASSING[kind])) as server, client(server) as http:
        answers = [answer for _, answer in http.send_all(puts(40))]
    assert {answer.verdict for answer in answers} == {Verdict.DONE}
    assert {answer.attempts for answer in answers} >= {2}
    assert len(server.documents) == 40


@pytest.mark.parametrize("kind", ["update", "remove"])
def test_404_with_a_message_does_not_mean_absent(kind):
    down = Fault(404, "We don't allow external load while cluster is in state Down")
    with FakeVespa(once(down)) as server, client(server) as http:
        server.documents["d"] = {"caption": "old"}
        answer = http.send(Operation(kind, "d", {"caption": "new"}))
    assert (answer.verdict, answer.attempts) == (Verdict.DONE, 2)
    assert server.documents == ({"d": {"caption": "new"}} if kind == "update" else {})


def test_an_update_of_an_absent_document_is_told():
    with FakeVespa() as server, client(server) as http:
        assert http.send(Operation("update", "d", {"caption": "x"})).verdict is Verdict.ABSENT
    assert server.documents == {}


@pytest.mark.parametrize("status", [400, 413, 500])
def test_a_fault_of_the_document_is_not_tried_again(status):
    fault = Fault(status, "Index 512 out of bounds for length 512")
    with FakeVespa(lambda _: fault) as server, client(server) as http:
        answer = http.send(puts(1)[0])
    assert answer.verdict is Verdict.REFUSED
    assert answer.message == "Index 512 out of bounds for length 512"
    assert len(server.requests) == 1


STOPPING = {
    "full": (Fault(507, "disk on node 0 is 72.4% full"), VespaFullError, "72.4% full"),
    "no access": (Fault(403), VespaRefusedError, "check certificate, key and token"),
    "elsewhere": (Fault(404, body="<html>"), VespaGarbledError, "check URL and port"),
    "login page": (Fault(200, body="<html>Sign in"), VespaGarbledError, "answered 200"),
    "redirect": (Fault(302, body="<html>"), VespaGarbledError, "answered 302"),
    "always unavailable": (Fault(503), VespaUnavailableError, "made to fail"),
    "always timed out": (Fault(504), VespaTimeoutError, "made to fail"),
    "always broken off": (Fault(0), VespaUnreachableError, "gave no answer for 0.3 s"),
}


@pytest.mark.parametrize("kind", STOPPING)
def test_what_does_not_pass_stops_feeding_with_a_sentence(kind):
    fault, error, words = STOPPING[kind]
    started = time.monotonic()
    with FakeVespa(lambda _: fault) as server, client(server, HASTY) as http:
        with pytest.raises(error, match=words):
            list(http.send_all(puts(1000)))
        assert len(server.documents) == 0
    assert time.monotonic() - started < 5


def test_silence_counts_as_a_lost_answer():
    brief = FeedSettings(streams=8, seconds=0.1, patience=5, first=0.001, longest=0.02)
    silent = Fault(0, applied=True, seconds=3)
    with FakeVespa(once(silent)) as server, client(server, brief) as http:
        answers = [answer for _, answer in http.send_all(puts(8))]
    assert {answer.verdict for answer in answers} == {Verdict.DONE}
    assert len(server.documents) == 8


def test_no_server_at_all():
    http = DocumentClient("http://127.0.0.1:9", NONE, HASTY)
    with http, pytest.raises(VespaUnreachableError, match="feed again"):
        http.send(puts(1)[0])


def test_before_the_error_comes_every_answer_that_is_known():
    def faults(request):
        return Fault(507) if request.number > 200 else None

    with FakeVespa(faults) as server, client(server) as http:
        done = set()
        answers = http.send_all(puts(1000))
        with pytest.raises(VespaFullError):
            done.update(operation.id for operation, _ in answers)
        assert done == set(server.documents)
        server.faults = lambda _: None
        assert len(list(http.send_all(puts(20)))) == 20  # the client is as good as before


def test_operations_are_taken_as_they_are_needed():
    taken = []

    def endless():
        n = 0
        while True:
            taken.append(n)
            yield Operation("put", str(n), {})
            n += 1

    with FakeVespa() as server, client(server) as http:
        answers = http.send_all(endless())
        for _ in range(50):
            next(answers)
        answers.close()
    assert len(taken) <= 50 + 2 * QUICK.streams


def test_ids_come_page_by_page_and_survive_a_fault():
    with FakeVespa(lambda r: Fault(503) if r.number % 2 == 0 else None) as server:
        server.documents = {f"{n}/é": {} for n in range(250)}
        with client(server) as http:
            assert sorted(http.ids()) == sorted(server.documents)


def test_any_id_arrives_as_it_is():
    ids = ["a/b", "a b?c#d%20", "é", "..a", "x::y", "+", ";jsession=1"]
    with FakeVespa() as server, client(server) as http:
        for _ in http.send_all(Operation("put", i, {}) for i in ids):
            pass
        for wrong in ("", ".", "..", "\udcff", "a\x00b", "\ufdd0", "\U0001ffff"):
            assert http.send(Operation("put", wrong, {})).verdict is Verdict.REFUSED
        assert "U+0000" in http.send(Operation("put", "a\x00b", {})).message
    assert sorted(server.documents) == sorted(ids)


def test_the_token_is_sent_and_never_shown():
    with FakeVespa(token="secret-token") as server:
        with DocumentClient(server.url, Credentials(token="secret-token"), HASTY) as http:
            assert http.send(puts(1)[0]).verdict is Verdict.DONE
        wrong = DocumentClient(server.url, Credentials(token="wrong-token"), HASTY)
        with wrong, pytest.raises(VespaRefusedError) as caught:
            wrong.send(puts(1)[0])
    assert "token" not in str(caught.value).replace("and token", "")
    with pytest.raises(EngineError, match="unencrypted"):
        DocumentClient("http://example.org", Credentials(token="secret-token"))


def test_a_vector_travels_as_hex():
    vector = np.array([1.0, -2.5], np.float32)
    body = json.loads(operation_body(Operation("update", "d", {"v": vector, "c": "x"})))
    assert body == {
        "fields": {"v": {"assign": {"values": "3f800000c0200000"}}, "c": {"assign": "x"}}
    }
    assert json.loads(feed_line(Operation("put", "d:1", {"v": vector}), "image")) == {
        "put": "id:image:image::d:1",
        "fields": {"v": {"values": "3f800000c0200000"}},
    }


def records(folder, name):
    with gzip.open(folder / f"{name}.jsonl.gz", "rt") as stream:
        return [json.loads(line) for line in stream]


def test_verdicts_on_what_a_real_server_answered(vespa_golden):
    kinds = {"POST": "put", "PUT": "update", "DELETE": "remove"}
    found = {}
    for record in records(vespa_golden, "document_v1") + records(vespa_golden, "faults"):
        if record.get("method") in kinds and "/document/v1/" in record.get("path", "/document/v1/"):
            kind = kinds[record["method"]]
            verdict = judge_operation(kind, record["status"], record.get("response"))
            found[record["kind"]] = verdict
            if record["status"] == 200:
                assert verdict is Verdict.DONE, record["kind"]
            if record["status"] == 400:
                assert verdict is Verdict.REFUSED, record["kind"]
    assert found["content-node-down put"] is Verdict.AGAIN
    assert found["content-node-down update"] is Verdict.AGAIN
    assert found["content-node-down remove"] is Verdict.AGAIN
    assert found["update-condition-false"] is Verdict.ABSENT
    assert found["feed-blocked-put"] is Verdict.STOP
    assert found["feed-blocked-update-vector"] is Verdict.STOP
    assert found["feed-blocked-remove"] is Verdict.DONE
    assert found["err-tensor-dim-long"] is Verdict.REFUSED
    assert found["remove-absent"] is Verdict.DONE
