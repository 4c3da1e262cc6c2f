"""One searcher for a folder and for the URL of a running Vespa."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from encoders.base.errors import UserError
from rocosearch.cli import app
from rocosearch.searchers import searching
from tests.eval.served import serving

TEXT = "lesion in the chest"


def test_a_server_gives_what_the_index_gives(made):
    root, engine = made
    with searching(str(root / "index")) as searcher:
        expected = searcher.search(TEXT, k=5)
    with (
        serving(engine) as url,
        searching(url, encoder=root / "encoder", package=root / "app") as searcher,
    ):
        found = searcher.search(TEXT, k=5)
    assert found.ids == expected.ids
    assert found.scores == pytest.approx(expected.scores, rel=1e-6)


def test_the_command_takes_the_url(made):
    root, engine = made
    with serving(engine) as url:
        result = CliRunner().invoke(
            app, ["search", url, TEXT, "--app", str(root / "app"), "-k", "3", "--json"]
        )
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["hits"]) == 3


def test_what_does_not_go_together(made, tmp_path):
    root, _ = made
    with pytest.raises(UserError, match="--app"), searching(str(root / "index"), package=tmp_path):
        pass
    with (
        pytest.raises(UserError, match="--profiles"),
        searching("http://localhost:1", profiles=tmp_path),
    ):
        pass
