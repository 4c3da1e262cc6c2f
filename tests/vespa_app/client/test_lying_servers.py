"""A server that lies, stalls or never ends costs a sentence, and little time or memory."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import resource
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings, strategies as st

from encoders.base.errors import UserError
from ranking.types import Query
from tests.vespa_app.client.fake_config_server import INSTANCE
from tests.vespa_app.client.hostile_server import hostile, said, saying
from vespa_app.deploy.config_server import ConfigServer, DeployError, read_deployed
from vespa_app.deploy.deploy import deploy
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.feed.documents import DocumentClient, FeedSettings
from vespa_app.feed.operations import Operation
from vespa_app.http.connection import Credentials
from vespa_app.http.errors import (
    VespaError,
    VespaFullError,
    VespaGarbledError,
    VespaOverloadedError,
    VespaRefusedError,
    VespaTimeoutError,
    VespaUnavailableError,
)
from vespa_app.http.reply import Reply
from vespa_app.http.retries import Retries
from vespa_app.query.answers import judge, read_answer, to_result
from vespa_app.query.top_k import Window, choose
from vespa_app.read.application import Application, ServedProfile

LEXICAL = Application({"lexical": ServedProfile("lexical", ("text",), frozenset({"text"}))})
ONCE = EngineSettings(retries=Retries(attempts=1), seconds=1.0)
BRIEF = FeedSettings(streams=2, seconds=0.5, patience=1.0, first=0.001, longest=0.02)
NONE = Credentials()
TOKEN = "vespa_cloud_very_secret"


def search(url, credentials=NONE):
    engine = VespaEngine.connect(url, LEXICAL, ONCE, credentials)
    return engine.search(Query("chest", profile="lexical", timeout=1.0))


def get(url, credentials=NONE):
    return VespaEngine.connect(url, LEXICAL, ONCE, credentials).get("a")


def put(url, credentials=NONE):
    with DocumentClient(url, credentials, BRIEF) as client:
        return client.send(Operation("put", "a", {"id": "a"}))


def visit(url, credentials=NONE):
    with DocumentClient(url, credentials, BRIEF) as client:
        return list(client.ids())


def health(url, credentials=NONE):
    return ConfigServer(url, credentials).is_up(1.0)


def running(url, credentials=NONE):
    return ConfigServer(url, credentials).application()


WAYS = pytest.mark.parametrize("way", [search, get, put, visit, health, running])


@WAYS
def test_a_body_without_an_end_is_broken_off(way):
    def answer(_request, send, _ended):
        send(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n\r\n[")
        for _ in itertools.count():
            send(b"1," * 32768)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    with hostile(answer) as url, pytest.raises(VespaError, match=r"MiB|completely|no answer"):
        way(url)
    assert time.monotonic() - started < 20
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert grown < 400 << 10


def test_a_byte_now_and_then_is_not_waited_for():
    """In threads: each waits until its time is up."""
    heads = [b"HTTP/1.1 200 X\r\nX: ", b"HTTP/1.1 200 X\r\n\r\n["]
    asked = list(itertools.product([search, put, visit, health], heads))
    with ThreadPoolExecutor(len(asked)) as pool:
        ended = {each: pool.submit(ask_slow_server, *each) for each in asked}
    failed = {(way.__name__, head): done.exception() for (way, head), done in ended.items()}
    assert {case: error for case, error in failed.items() if error} == {}


def ask_slow_server(way, head):
    def answer(_request, send, ended):
        send(head)
        while not ended.wait(0.05):
            send(b"1")

    started = time.monotonic()
    with hostile(answer) as url, pytest.raises(VespaError, match="not answer completely"):
        way(url)
    assert time.monotonic() - started < 8


@WAYS
def test_what_was_not_asked_for_is_not_unpacked(way):
    bomb = gzip.compress(b"0" * (50 << 20))
    headers = "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"
    with hostile(saying(bomb, headers=headers)) as url, pytest.raises(UserError):
        way(url)


DEEP = b'{"root":' * 100_000
ROWS = b'{"root":{"children":[' + b'{"children":[' * 300 + b"]}" * 300 + b"]}}"


@WAYS
@pytest.mark.parametrize("body", [DEEP, b"[" * 5_000_000, ROWS, b"9" * 5000, b'{"a":1e999999'])
def test_json_of_any_depth_is_told(way, body):
    with hostile(saying(body)) as url, pytest.raises(UserError) as caught:
        way(url)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (search, "/search/ .*id is a list, not a text"),
        (running, "/application/v2/.*list of files is an object, not a list"),
        (health, "/state/v1/health .*status.code is nothing, not a text"),
    ],
)
def test_server_and_path_are_named(way, told):
    with (
        hostile(saying({"root": {"children": [{"id": ["a"]}]}})) as url,
        pytest.raises(VespaGarbledError, match=told) as caught,
    ):
        way(url)
    assert str(caught.value).startswith(url)


@pytest.mark.parametrize("way", [search, get, put, visit, health, running])
@pytest.mark.parametrize("status", [401, 403])
def test_the_token_does_not_come_back(way, status):
    def answer(request, send, _ended):
        (header,) = [h for h in request.split("\r\n") if h.startswith("Authorization")]
        escaped = header.replace("v", "\\u0076").encode()
        send(
            said(b'{"pathId": "", "message": "' + escaped + b" " + header.encode() + b'"}', status)
        )

    with hostile(answer) as url, pytest.raises(VespaRefusedError) as caught:
        way(url, Credentials(token=TOKEN))
    assert TOKEN not in f"{caught.value!r} {caught.value}"
    assert "***" in str(caught.value)


@WAYS
def test_control_characters_are_shown_not_obeyed(way):
    message = "\x1b[2J\x07 gone\u202e \r\n 2nd line"
    with (
        hostile(saying({"pathId": "", "message": message}, 403)) as url,
        pytest.raises(VespaRefusedError) as caught,
    ):
        way(url)
    assert str(caught.value).isprintable()
    assert "\\x1b[2J\\x07 gone\\u202e 2nd line" in str(caught.value)


def test_half_a_surrogate_pair_is_no_character():
    fields = '{"id": "a", "caption": "\\ud800 and \\ud83e\\ude7b", "matchfeatures": {}}'
    hit = f'{{"id": "x", "relevance": 1, "fields": {fields}}}'
    root = '"fields": {"totalCount": 1}, "coverage": {"coverage": 100, "documents": 1, "nodes": 1}'
    body = f'{{"root": {{{root}, "children": [{hit}]}}}}'
    with hostile(saying(body.encode())) as url:
        (found,) = search(url).hits
    assert found.document.caption == "\ufffd and \U0001fa7b"


def test_a_feature_that_is_no_number_is_told_in_plain_words():
    hit = {"id": "x", "relevance": 1, "fields": {"id": "x", "matchfeatures": {"bm25": "y"}}}
    with (
        hostile(saying({"root": {"children": [hit]}})) as url,
        pytest.raises(VespaGarbledError, match="'y', not a number"),
    ):
        search(url)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_says_what_to_do(status):
    with (
        hostile(saying({}, status)) as url,
        pytest.raises(VespaGarbledError, match=r"redirects .* name Vespa's own URL"),
    ):
        search(url)


def page(ids, token):
    return {"pathId": "/", "documents": [{"id": f"id:i:i::{i}"} for i in ids]} | (
        {"continuation": token} if token else {}
    )


@pytest.mark.parametrize(
    ("pages", "why"),
    [
        ([page(["a"], "x")], "a page is repeated"),
        ([page(["a"], "x"), page(["b"], "y")], "a page is repeated"),
        ((page([], str(n)) for n in itertools.count()), "100 pages without a document"),
    ],
)
def test_a_visit_comes_to_an_end(pages, why):
    waiting = itertools.cycle(pages) if isinstance(pages, list) else pages
    with (
        hostile(lambda _r, send, _e: send(said(next(waiting)))) as url,
        pytest.raises(VespaGarbledError, match=f"does not finish the list .*{why}"),
    ):
        visit(url)


def test_a_few_empty_pages_are_no_harm():
    pages = iter([page([], "a"), page(["1"], "b"), page([], "c"), page(["2"], "")])
    with hostile(lambda _r, send, _e: send(said(next(pages)))) as url:
        assert visit(url) == ["1", "2"]


@pytest.mark.parametrize("documents", [3, [3], [{}], [{"id": 3}], [{"id": "no"}], "ab"])
def test_a_page_of_another_kind(documents):
    with (
        hostile(saying({"pathId": "/", "documents": documents})) as url,
        pytest.raises(VespaGarbledError, match="docid answered, but not in Vespa's format"),
    ):
        visit(url)


STATUSES = {
    401: (VespaRefusedError, "does not accept this client"),
    403: (VespaRefusedError, "does not accept this client"),
    404: (VespaGarbledError, "check URL and port"),
    429: (VespaOverloadedError, "too many requests"),
    500: (VespaError, "failed"),
    502: (VespaError, "failed"),
    503: (VespaUnavailableError, "cannot answer now"),
    504: (VespaTimeoutError, "timed out"),
    507: (VespaFullError, "full"),
}


@pytest.mark.parametrize("status", STATUSES)
def test_what_a_config_server_refuses_is_told_as_what_it_is(status):
    kind, words = STATUSES[status]
    for content in ({"error-code": "X", "message": "because"}, "", {}):
        reply = Reply(status, content, address="http://c:19071/x")
        with pytest.raises(kind, match=rf"{words}.*http://c:19071/x") as caught:
            read_deployed(reply)
        assert not isinstance(caught.value, DeployError)
    with hostile(saying({"message": "because"}, status)) as url:
        for way in (health,) if status == 404 else (health, running):
            with pytest.raises(kind, match="because"):
                way(url)


def test_access_is_not_waited_for(package):
    with hostile(saying({}, 401)) as url, pytest.raises(VespaRefusedError):
        deploy(package, url, url, seconds=60)


def test_the_time_of_a_deploy_holds(package):
    def answer(request, send, ended):
        if "health" in request:
            send(said({"status": {"code": "up"}}))
        else:
            ended.wait(20)

    started = time.monotonic()
    with hostile(answer) as url, pytest.raises(VespaTimeoutError, match="not answer completely"):
        deploy(package, url, url, seconds=2)
    assert time.monotonic() - started < 6


FILES = [
    "../../evil",
    "..",
    ".",
    "",
    "a b.xml",
    "/etc/passwd",
    "x\x00y",
    "C:\\a",
    "-" * 5000 + "\n",
]


@pytest.mark.parametrize("name", FILES)
def test_an_application_names_no_files_elsewhere(name, tmp_path):
    def answer(request, send, _ended):
        if "query-profiles" in request.split()[1]:
            send(said([f"http://c/content/search/query-profiles/{name}"]))
        else:
            send(said(b"schema image {\n}", headers=""))

    with hostile(answer) as url, contextlib.suppress(UserError):
        ConfigServer(url, NONE).download(tmp_path / "app")
    assert {p.name for p in tmp_path.rglob("*")} <= {
        "app", "schemas", "image.sd", "services.xml", "hosts.xml", "search", "query-profiles",
        "evil", "passwd", "ext", "calibration.json",
    }  # fmt: skip
    assert all(tmp_path / "app" in p.parents or p == tmp_path / "app" for p in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    "text",
    [
        b"<html>Sign in</html>",
        b"schema image {\n" * 5000,
        b"schema image {\nfield\n}",
        b"schema image {\nfield a {\n}\n}",
        b"schema image {\ndocument image {\nfield embedding_1a2b3c4d type tensor<x>(y) {\n}\n}\n}",
        b"\xff\xfe\x00",
        b"",
    ],
)
def test_what_is_no_application_package_is_not_taken_for_one(text):
    def answer(request, send, _ended):
        send(said([] if request.split()[1].endswith("/") else text, headers=""))

    with hostile(answer) as url, pytest.raises(UserError) as caught:
        ConfigServer(url, NONE).application()
    assert INSTANCE in str(caught.value) or "deploy one first" in str(caught.value)


FEATURES = {"bm25(caption)": 1.0, "closeness(field,e)": "Infinity", "t": {"type": "tensor()"}}
HIT = {
    "id": "id:image:image::a",
    "relevance": 1.0,
    "source": "images",
    "fields": {"id": "a", "caption": "c", "concepts": ["x"], "matchfeatures": FEATURES},
}
ANSWER = {
    "root": {
        "id": "toplevel",
        "relevance": 1.0,
        "fields": {"totalCount": 1},
        "coverage": {"coverage": 100, "documents": 1, "full": True, "nodes": 1, "degraded": {}},
        "errors": [{"code": 13, "summary": "s", "message": "m"}],
        "children": [HIT, {"id": "group:root:0", "relevance": 1.0, "children": [HIT]}],
    },
    "timing": {"querytime": 0.1},
}


def places(content, at=()):
    yield at
    if isinstance(content, dict | list):
        keys = content if isinstance(content, dict) else range(len(content))
        for key in keys:
            yield from places(content[key], (*at, key))


def replaced(content, at, value):
    if not at:
        return value
    copy = dict(content) if isinstance(content, dict) else list(content)
    copy[at[0]] = replaced(content[at[0]], at[1:], value)
    return copy


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(["", "a", "NaN", "Infinity", "\x00", [], {}, 10**400, -1]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(st.sampled_from(list(places(ANSWER))), ANYTHING)
def test_wrong_types_anywhere_are_an_answer_or_a_sentence(at, value):
    reply = Reply(200, replaced(ANSWER, at, value), address="http://v/search/")
    query = Query("x", k=5, profile="lexical")
    try:
        answer = read_answer(reply)
        coverage = judge(answer)
        chosen = choose(query, Window(5, 5), answer)
        result = to_result(answer, coverage, chosen.rows, with_documents=True)
        assert all(isinstance(each, str) for each in result.ids)
    except VespaGarbledError as error:
        assert "http://v/search/" in str(error)  # noqa: PT017
    except UserError:
        pass


DEPLOYED = {
    "log": [{"time": 1, "level": "WARNING", "message": "m"}],
    "session-id": "2",
    "configChangeActions": {
        "restart": [{"messages": ["r"]}],
        "refeed": [],
        "reindex": [{"messages": ["i"]}],
    },
}


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(list(places(DEPLOYED))), ANYTHING)
def test_a_config_servers_answer_of_any_kind(at, value):
    try:
        read_deployed(Reply(200, replaced(DEPLOYED, at, value), address="http://c/x"))
    except VespaGarbledError as error:
        assert "http://c/x" in str(error)  # noqa: PT017


@pytest.mark.parametrize("content", [{}, [], {"root": {"children": []}}, {"fields": {}}], ids=str)
def test_an_answer_that_is_no_document_names_server_and_path(content):
    with hostile(saying(content)) as url, pytest.raises(VespaGarbledError) as caught:
        get(url)
    assert f"{url}/document/v1/" in str(caught.value)
    assert "not with a document of Vespa" in str(caught.value)
