"""One searcher for a folder and for the URL of a running Vespa."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from encoders.base.errors import Notice, UserError
from ranking.calibration import CALIBRATION, NOT_ITS_OWN, Calibration, Evidence
from rocosearch.cli import app
from rocosearch.page.answers import Desk
from rocosearch.page.api import Api
from rocosearch.page.judgements import Judgements
from rocosearch.pipeline import write_app
from rocosearch.searchers import searching
from tests.eval.served import serving
from vespa_app.package.options import PackageOptions

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


def test_a_server_gives_the_probabilities_that_its_package_has(made, tmp_path):
    root, engine = made
    fingerprint = engine.info().vector_fields[0].fingerprint
    both = {"bm25(caption)": 2.0, "closeness(field,embedding)": 3.0}
    fitted = Calibration(fingerprint, (Evidence(-3.0, both),), 0.1, index=engine.index_id)
    fitted.save(root / "index" / CALIBRATION)
    write_app(root / "index", tmp_path / "app", options=PackageOptions(embedding="client"))
    with searching(str(root / "index")) as searcher:
        expected = searcher.search(TEXT, k=5)
        least = sorted(expected.probabilities)[2]
    replace(fitted, index="another").save(root / "index" / CALIBRATION)
    with pytest.warns(Notice, match="rocosearch calibrate"):
        write_app(root / "index", tmp_path / "none", options=PackageOptions(embedding="client"))
    assert not (tmp_path / "none" / "ext" / CALIBRATION).exists()
    (root / "index" / CALIBRATION).unlink()
    with (
        serving(engine) as url,
        searching(url, encoder=root / "encoder", package=tmp_path / "app") as searcher,
    ):
        found = searcher.search(TEXT, k=5)
        cut = searcher.search(TEXT, k=5, min_probability=least - 1e-6)
    assert found.probabilities == pytest.approx(expected.probabilities, rel=1e-5)
    assert len(cut) == 3
    with serving(engine) as url, searching(url, package=root / "app") as searcher:
        assert searcher.calibration is None
    replace(fitted, fingerprint="another").save(tmp_path / "app" / "ext" / CALIBRATION)
    with serving(engine) as url, searching(url, package=tmp_path / "app") as searcher:
        assert NOT_ITS_OWN in searcher.search(TEXT, k=5).warnings


def test_the_command_takes_the_url(made):
    root, engine = made
    with serving(engine) as url:
        result = CliRunner().invoke(
            app, ["search", url, TEXT, "--app", str(root / "app"), "-k", "3", "--json"]
        )
    assert result.exit_code == 0, result.output
    assert len(json.loads(result.stdout)["hits"]) == 3


def test_the_command_does_over_a_server_what_it_does_over_an_index(made, tmp_path):
    root, engine = made

    def told(where, *arguments):
        server = [] if where == str(root / "index") else ["--app", root / "app"]
        encoder = [] if "--suggest" in arguments else ["--encoder", root / "encoder"]
        given = [where, *arguments, *server, *encoder, "--json"]
        result = CliRunner().invoke(app, ["search", *map(str, given)])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def both(url, *arguments):
        return told(url, *arguments), told(str(root / "index"), *arguments)

    def ids(found):
        return [[hit["id"] for hit in each["hits"]] for each in found.get("lists", [found])]

    with serving(engine) as url:
        several = ("--profile", "lexical", "--profile", "hybrid", "--facet", "modality")
        server, index = both(url, TEXT, *several)
        assert ids(server) == ids(index)
        assert server["lists"][0]["facets"] == index["lists"][0]["facets"] != {"modality": {}}
        example = ids(index)[0][0]
        server, index = both(url, "--like", example, "--profile", "vector")
        assert ids(server) == ids(index)
        server, index = both(url, TEXT, "--why", example)
        assert (server["verdict"], server["rank"]) == (index["verdict"], index["rank"])
        pictures = ("--corpus", root / "corpus")
        server, index = both(url, TEXT, *pictures, "--suggest")
        assert server == index
        saved, heat = tmp_path / "hits", tmp_path / "heat.png"
        server = told(url, TEXT, *pictures, "--save", saved, "--heatmap", heat)
        assert len(list((saved / "dataset").glob("*.png"))) == len(server["hits"])
        assert heat.stat().st_size > 0
        refused = CliRunner().invoke(
            app, ["search", url, TEXT, "--suggest", "--app", str(root / "app")]
        )
        assert "name the corpus" in refused.stderr


def test_what_a_server_finds_is_judged(made, tmp_path):
    root, engine = made
    kept = Judgements(tmp_path / "judgements.jsonl")
    with serving(engine) as url, searching(url, package=root / "app") as searcher:
        (best,) = searcher.search(TEXT, k=1).ids
        api = Api(Desk(searcher), judgements=kept)
        api.judge({}, {"query": TEXT, "document": best, "relevant": 1})
        with pytest.raises(UserError, match="no such document"):
            api.judge({}, {"query": TEXT, "document": "nobody", "relevant": 1})
    assert [each.document for each in kept.last()] == [best]


def test_what_does_not_go_together(made, tmp_path):
    root, _ = made
    with pytest.raises(UserError, match="--app"), searching(str(root / "index"), package=tmp_path):
        pass
    with (
        pytest.raises(UserError, match="--profiles"),
        searching("http://localhost:1", profiles=tmp_path),
    ):
        pass
