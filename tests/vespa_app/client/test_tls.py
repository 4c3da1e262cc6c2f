"""TLS with a real HTTPS server: what is verified, sent, told, and kept to oneself."""

from __future__ import annotations

import logging
import time

import pytest

from ranking.types import EngineError, Query
from tests.vespa_app.client.authority import Authority, https_server
from vespa_app.deploy.deploy import deploy
from vespa_app.engine import VespaEngine
from vespa_app.feed.documents import DocumentClient, FeedSettings
from vespa_app.feed.operations import Operation, Verdict
from vespa_app.http.connection import Connection, Credentials
from vespa_app.http.errors import VespaUntrustedError
from vespa_app.read.application import Application, ServedProfile

TOKEN = "vespa_cloud_very_secret"
LEXICAL = Application({"lexical": ServedProfile("lexical", ("text",), frozenset({"text"}))})
PATIENT = FeedSettings(patience=60.0)


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ours"), "ours")


@pytest.fixture(scope="module")
def theirs(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("theirs"), "theirs")


@pytest.fixture(scope="module")
def server(ours):
    """Known to those who trust our authority."""
    with https_server(ours.issue("server")) as seen:
        yield seen


@pytest.fixture(scope="module")
def choosy(ours):
    """Takes clients with a certificate of ours alone."""
    with https_server(ours.issue("choosy"), clients=ours) as seen:
        yield seen


@pytest.fixture(autouse=True)
def other_bundles(monkeypatch, theirs):
    """Variables of other programs, which must not decide whom we trust."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, str(theirs.file))


def search(url, credentials):
    engine = VespaEngine.connect(url, LEXICAL, credentials=credentials)
    try:
        return engine.search(Query("chest", profile="lexical", with_documents=False))
    finally:
        engine.close()


def put(url, credentials):
    with DocumentClient(url, credentials, PATIENT) as client:
        return client.send(Operation("put", "a", {"id": "a"}))


def visit(url, credentials):
    with DocumentClient(url, credentials, PATIENT) as client:
        return list(client.ids())


WAYS = pytest.mark.parametrize("way", [search, put, visit])


def test_a_known_authority_is_trusted_and_the_token_sent(server, ours):
    known = Credentials(authority=ours.file, token=TOKEN)
    assert search(server.url, known).ids == ("a",)
    assert put(server.url, known).verdict is Verdict.DONE
    assert visit(server.url, known) == []
    assert server.tokens[-3:] == [f"Bearer {TOKEN}"] * 3


@WAYS
def test_an_unknown_authority_is_refused_at_once(server, theirs, caplog, way):
    before = len(server.tokens)
    for credentials in (Credentials(token=TOKEN), Credentials(authority=theirs.file, token=TOKEN)):
        started = time.monotonic()
        with (
            caplog.at_level(logging.DEBUG),
            pytest.raises(
                VespaUntrustedError, match=r"untrusted certificate.*CA_CERT_FILE"
            ) as caught,
        ):
            way(server.url, credentials)
        assert time.monotonic() - started < 10
        assert TOKEN not in f"{caught.value} {caught.value!r} {caplog.text}"
    assert len(server.tokens) == before  # nothing was said to a stranger


def test_a_name_that_is_not_the_certificates_is_refused(server, ours):
    url = server.url.replace("localhost", "localhost.localdomain")
    with pytest.raises(EngineError):
        Connection(url, Credentials(authority=ours.file)).send("GET", "/")


@WAYS
def test_a_clients_certificate_is_shown(choosy, ours, way):
    pair = ours.issue("alice")
    way(choosy.url, Credentials(pair.certificate, pair.key, ours.file))
    assert choosy.clients.pop() == "alice"


@WAYS
def test_a_client_that_the_server_does_not_know_is_told(choosy, ours, theirs, way):
    stranger = theirs.issue("mallory")
    for credentials in (
        Credentials(authority=ours.file),
        Credentials(stranger.certificate, stranger.key, ours.file),
    ):
        with pytest.raises(VespaUntrustedError, match="does not trust this client") as caught:
            way(choosy.url, credentials)
        assert "PRIVATE" not in str(caught.value)


@WAYS
@pytest.mark.parametrize("wrong", ["key", "other", "authority", "missing"])
def test_files_that_are_not_what_they_should_be(server, ours, theirs, tmp_path, way, wrong):
    pair, secret = ours.issue("bob"), "c2VjcmV0"
    garbage = tmp_path / "garbage.pem"
    garbage.write_text(f"-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n")
    credentials = {
        "key": Credentials(pair.certificate, garbage, ours.file),
        "other": Credentials(pair.certificate, theirs.issue("eve").key, ours.file),
        "authority": Credentials(authority=garbage),
        "missing": Credentials(pair.certificate, None, ours.file),
    }[wrong]
    with pytest.raises(EngineError, match=r"\(PEM") as caught:
        way(server.url, credentials)
    assert secret not in f"{caught.value!r}"


def test_deploying_does_not_wait_for_trust(server, tmp_path):
    (tmp_path / "services.xml").write_text("<services/>")
    started = time.monotonic()
    with pytest.raises(VespaUntrustedError):
        deploy(tmp_path, server.url, server.url, seconds=60, credentials=Credentials(token=TOKEN))
    assert time.monotonic() - started < 10
