"""The same evaluation through the query API of Vespa."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from encoders.base.errors import UserError
from eval.collection.runs import EvaluationError
from eval.evaluate import Options, evaluate
from eval.search.targets import EmbeddedTarget, ServedTarget
from ingest.feed.documents import second_half
from ranking.engine.engine import EmbeddedEngine
from ranking.profiles.shipped import SHIPPED
from rocosearch.cli import app
from tests.encoder_folders import save_whole
from tests.eval.served import serving
from tests.vespa_app.client.kit_server import kit_server
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.package.package import write_application
from vespa_app.read.application import read_application


@pytest.fixture(scope="module")
def encoder_folder(encoder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served") / "encoder"
    return save_whole(encoder, folder)


@pytest.fixture(scope="module")
def package(encoder, encoder_folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("served") / "app"
    write_application(out, encoder.manifest, SHIPPED, encoder_folder, {"caption": 10.0})
    return out


@pytest.fixture(scope="module")
def application(package):
    return read_application(package)


def figures(evaluation):
    return figures_of(evaluation.metrics())


def figures_of(content):
    return {(r["protocol"], r["profile"], r["metric"]): r["value"] for r in content["rows"]}


def connected(url, application, *, strict=True):
    return VespaEngine.connect(url, application, EngineSettings(strict=strict))


def test_a_server_gives_the_figures_of_the_index(engine, encoder, phantoms, application):
    options = Options(
        protocols=("same-case",), profiles=("lexical", "hybrid"), split="validation", scope="all"
    )
    expected = evaluate(EmbeddedTarget(engine), encoder, phantoms, options)
    with serving(engine) as url:
        client = connected(url, application)
        found = evaluate(ServedTarget(client), encoder, phantoms, options)
        client.close()
    assert figures(found) == pytest.approx(figures(expected))


def test_what_a_server_cannot_answer_is_refused_in_a_sentence(
    engine, encoder, phantoms, application
):
    options = Options(
        protocols=("caption", "split-caption", "hidden-caption", "image-to-caption"),
        profiles=("vector",),
        split="validation",
    )
    with serving(engine) as url:
        client = connected(url, application)
        skipped = evaluate(ServedTarget(client), encoder, phantoms, options).metrics()["skipped"]
        client.close()
    reasons = {part["protocol"]: part["reason"] for part in skipped if "profile" not in part}
    assert "--view split-caption" in reasons["split-caption"]
    assert "cannot hide captions" in reasons["hidden-caption"]
    assert "not of captions" in reasons["image-to-caption"]


def test_a_server_of_halves_answers_split_caption_and_nothing_else(
    engine, encoder, phantoms, application
):
    whole = [engine.get(name) for name in engine.ids()]
    halves = [replace(d, caption=second_half(d.caption or "")) for d in whole]
    served = EmbeddedEngine.in_memory(halves, engine.info().vector_fields, engine.profiles)
    options = Options(
        protocols=("split-caption", "caption"),
        profiles=("lexical", "vector"),
        split="validation",
        scope="all",
    )
    expected = figures(evaluate(EmbeddedTarget(engine), encoder, phantoms, options))
    with serving(served) as url:
        client = connected(url, application)
        evaluation = evaluate(ServedTarget(client), encoder, phantoms, options)
        client.close()
    found = figures(evaluation)
    assert {protocol for protocol, _, _ in found} == {"split-caption"}
    assert found == pytest.approx({k: v for k, v in expected.items() if k[0] == "split-caption"})


def test_a_sample_of_a_server_is_compared_with_the_corpus(engine, encoder, phantoms, application):
    options = Options(protocols=("image-to-image",), profiles=("vector",), split="test")
    older = [replace(engine.get(name), caption="an older caption") for name in engine.ids()]
    stale = EmbeddedEngine.in_memory(older, engine.info().vector_fields, engine.profiles)
    with serving(engine) as url:
        client = connected(url, application)
        note, *_ = evaluate(ServedTarget(client), encoder, phantoms, options).notes
        client.close()
    assert note.startswith("50 of the 111 documents searched were compared")
    with serving(stale) as url:
        client = connected(url, application)
        with pytest.raises(EvaluationError, match=r"^50 of 50 compared documents have another"):
            evaluate(ServedTarget(client), encoder, phantoms, options)
        client.close()


@pytest.mark.parametrize("strict", [True, False])
def test_partial_coverage_is_refused(engine, encoder, phantoms, application, strict):
    with serving(engine, partial=True) as url:
        client = connected(url, application, strict=strict)
        with pytest.raises(UserError, match="part"):
            evaluate(
                ServedTarget(client),
                encoder,
                phantoms,
                Options(protocols=("caption",), profiles=("lexical",)),
            )
        client.close()


def test_the_command_takes_a_url(engine, encoder, phantoms, encoder_folder, package, tmp_path):
    options = Options(protocols=("image-to-image",), profiles=("vector",))
    expected = figures(evaluate(EmbeddedTarget(engine), encoder, phantoms, options))
    out = tmp_path / "report"
    with serving(engine) as url:
        words = ["eval", url, phantoms.path, out, "--app", package, "--encoder", encoder_folder]
        asked = ["--protocol", "image-to-image", "--profile", "vector", "--json"]
        done = CliRunner().invoke(app, [str(word) for word in [*words, *asked]])
    assert done.exit_code == 0, done.output
    assert figures_of(json.loads(done.stdout)) == pytest.approx(expected)
    assert (out / "report.html").exists()


def test_vespas_own_container_is_evaluated(vespa_check, engine, phantoms, package, tmp_path):
    """Its content nodes are a stand-in: every query finds the same hits, so figures are known."""
    table = phantoms.table(["id", "split"]).to_pylist()
    asked = sorted(row["id"] for row in table if row["split"] == "validation")
    hits = tmp_path / "hits.jsonl"
    found = [(name, 9.0 - rank) for rank, name in enumerate(asked[:3])]
    lines = [{"id": name, "relevance": score, "fields": {"id": name}} for name, score in found]
    hits.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    options = Options(protocols=("caption",), profiles=("lexical",), split="validation")
    with kit_server(vespa_check, package, hits) as url:
        client = connected(url, read_application(package))
        bare = [replace(engine.get(row["id"]), vectors={}) for row in table]
        assert client.feed(bare).ok == len(table)
        evaluation = evaluate(ServedTarget(client), None, phantoms, options)
        client.close()
    relevant = [set(row) for row in evaluation.tasks[0].task.qrels.to_mapping().values()]
    ranks = [[r for r, name in enumerate(asked[:3], 1) if name in row] for row in relevant]
    expected = sum(1 / min(row) for row in ranks if row) / len(asked)
    assert figures(evaluation)["caption", "lexical", "RR@10"] == pytest.approx(expected)
    assert evaluation.provenance["index"]["url"] == url


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("http://localhost:1", "--profiles", "x.toml"), "no effect with a URL"),
        (("index", "--app", "x"), "no effect without a URL"),
        (("index", "--qrels", "x"), "no effect without --topics"),
    ],
)
def test_options_that_do_not_go_together_are_told(arguments, message, tmp_path):
    where, *rest = arguments
    done = CliRunner().invoke(
        app, ["eval", where, str(tmp_path), str(tmp_path), *rest], env={"COLUMNS": "200"}
    )
    assert done.exit_code == 2
    assert message in done.output
