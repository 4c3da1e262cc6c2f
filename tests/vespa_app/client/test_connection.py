"""Secrets stay where they belong, and addresses are checked."""

from __future__ import annotations

import logging

import pytest

from ranking.types import EngineError
from tests.vespa_app.client.authority import Authority
from vespa_app.http.connection import Connection, Credentials
from vespa_app.http.credentials import is_url, on_port
from vespa_app.http.errors import VespaUnreachableError

TOKEN = "vespa_cloud_very_secret"


def test_credentials_come_from_the_environment(tmp_path):
    pair = Authority(tmp_path, "authority").issue("client")
    files = [pair.certificate, pair.key]
    found = Credentials.from_environment(
        {
            "VESPA_CLOUD_SECRET_TOKEN": TOKEN,
            "VESPA_CLI_DATA_PLANE_CERT_FILE": str(files[0]),
            "VESPA_CLI_DATA_PLANE_KEY_FILE": str(files[1]),
        }
    )
    assert (found.certificate, found.key, found.token) == (*files, TOKEN)
    assert Connection("https://example.org", found).credentials == found


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(EngineError, match=r"VESPA_CLI_DATA_PLANE_KEY_FILE names .*gone"):
        Credentials.from_environment({"VESPA_CLI_DATA_PLANE_KEY_FILE": str(tmp_path / "gone")})


def test_the_token_is_in_no_text_form_and_no_log(caplog):
    credentials = Credentials(token=TOKEN)
    connection = Connection("https://localhost:9", credentials)
    with caplog.at_level(logging.DEBUG), pytest.raises(VespaUnreachableError) as caught:
        connection.send("POST", "/search/", body={"yql": "x"})
    for text in (repr(credentials), repr(connection), str(caught.value), caplog.text):
        assert TOKEN not in text


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8080", "as a URL"),
        ("ftp://example.org", "as a URL"),
        ("https://me:secret@example.org", "has a user or password"),
        ("http://example.org", "unencrypted"),
        ("http://example.org:port", "'http://example.org:port' is not one"),
        ("http://example.org:99999", "is not one"),
        ("http://[::1", "is not one"),
        ("http://", "is not one"),
        ("http:// ", "is not one"),
        ("http://a b:8080", "is not one"),
        ("http://a\x1b[2J:8080", "is not one"),
        ("http://localhost:8080?x=1", "without anything after"),
        ("", "is not one"),
    ],
)
def test_addresses_that_will_not_do(url, said):
    with pytest.raises(EngineError, match=said) as caught:
        Connection(url, Credentials(token=TOKEN))
    assert "secret@" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("http://localhost:1/vespa/", "http://localhost:1/vespa"),
        ("HTTP://localhost:8080", "http://localhost:8080"),
        (" http://localhost:8080\n", "http://localhost:8080"),
        ("http://[::1]:8080/", "http://[::1]:8080"),
    ],
)
def test_addresses_that_will_do(url, kept):
    assert is_url(url)
    assert Connection(url, Credentials()).url == kept


def test_the_config_server_of_an_address():
    assert on_port("HTTP://[::1]:8080/x", 19071) == "http://[::1]:19071"
    assert on_port(" https://vespa.example.org ", 19071) == "https://vespa.example.org:19071"
    with pytest.raises(EngineError, match="is not one"):
        on_port("http://x:y", 1)


def test_a_token_with_a_line_end_is_no_token():
    with pytest.raises(EngineError, match="characters that are not allowed in a token") as caught:
        Credentials.from_environment({"VESPA_CLOUD_SECRET_TOKEN": "a\r\nX: y"})
    assert "X: y" not in str(caught.value)
