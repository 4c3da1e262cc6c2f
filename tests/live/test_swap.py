"""A new encoder on the running server: nobody who searches meanwhile sees an error."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from ranking import types
from rocosearch.swap import VespaServer, start_on_vespa
from tests.live.conftest import RECORDS
from vespa_app.deploy.config_server import ConfigServer
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.read.application import read_application

Query = partial(types.Query, timeout=60.0)  # a server for tests may be slow

pytestmark = pytest.mark.usefixtures("vespa")


class Searching:
    """Somebody who searches all the time; `failures` are what they saw go wrong."""

    def __init__(self, engine):
        self.engine, self.failures, self.answers = engine, [], 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.wait(0.02):
            try:
                result = self.engine.search(Query("lesion in the chest", profile="lexical"))
                assert len(result) > 0
                self.answers += 1
            except Exception as error:  # noqa: BLE001 - whatever it is, the test tells it
                self.failures.append(error)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def fingerprint_of_hybrid(line):
    """The encoder to which the plain profile name points, as the server has it."""
    return ConfigServer(line.server.config_url).application().resolve("hybrid").encoder.short


def test_swap(line, tmp_path):
    old, new = line.fingerprints
    before = VespaEngine.connect(
        line.server.url, read_application(line.packages / "before"), EngineSettings(strict=True)
    )
    server = VespaServer(line.server.url, line.server.config_url)
    with Searching(before) as somebody:
        swap = start_on_vespa(server, line.index, line.corpus, line.new, folder=tmp_path / "swap")
        assert fingerprint_of_hybrid(line) == old[:8]
        assert swap.backfill().documents == RECORDS
        assert swap.shadow().rows
        swap.switch(force=True)
        assert fingerprint_of_hybrid(line) == new[:8]
        swap.rollback()
        assert fingerprint_of_hybrid(line) == old[:8]
        swap.switch(force=True)
        swap.finish()
    assert somebody.answers > 10
    assert not somebody.failures
    application = read_application(line.packages / "after")
    after = VespaEngine.connect(line.server.url, application, EngineSettings(strict=True))
    (field,) = after.info().vector_fields
    assert field.fingerprint == new
    assert len(after.search(Query("lesion in the chest", k=10))) == 10
    assert after.count() == RECORDS
