"""One searcher for a folder and for the URL of a running Vespa."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from encoders.errors import UserError
from rocosearch.cli import app
from rocosearch.pipeline import build_corpus, build_index, write_app
from rocosearch.searching import searching
from tests.eval.served import serving
from tests.vespa_app.conftest import tiny_encoder
from vespa_app.options import PackageOptions

TEXT = "lesion in the chest"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("searching")
    tiny_encoder(0, 24).save(root / "encoder")
    build_corpus("phantoms:40", root / "corpus")
    engine = build_index(root / "corpus", root / "index", encoder=root / "encoder")
    write_app(root / "index", root / "app", options=PackageOptions(embedding="client"))
    return root, engine


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
