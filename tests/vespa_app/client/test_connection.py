"""Secrets stay where they belong, and addresses are checked."""

from __future__ import annotations

import logging

import pytest
import requests

from ranking.types import EngineError
from tests.vespa_app.client.authority import Authority
from vespa_app.http.connection import Connection, Credentials
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
    connection = Connection("https://example.org", found)
    assert connection._session.cert == tuple(map(str, files))


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
    request = connection._session.prepare_request(requests.Request("GET", "https://localhost:9"))
    assert request.headers["Authorization"] == f"Bearer {TOKEN}"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8080", "named by a URL"),
        ("ftp://example.org", "named by a URL"),
        ("https://me:secret@example.org", "holds a user or password"),
        ("http://example.org", "unencrypted"),
    ],
)
def test_addresses_that_will_not_do(url, said):
    with pytest.raises(EngineError, match=said) as caught:
        Connection(url, Credentials(token=TOKEN))
    assert "secret@" not in str(caught.value)


def test_a_path_before_vespas_own_is_kept():
    assert Connection("http://localhost:1/vespa/", Credentials()).url == "http://localhost:1/vespa"
