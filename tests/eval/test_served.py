"""The same evaluation through the query API of Vespa."""

from __future__ import annotations

from dataclasses import replace

import pytest

from encoders.errors import UserError
from eval.run import Options, evaluate
from ingest.documents import second_half
from ranking.embedded import EmbeddedEngine
from ranking.names import encoder_names
from tests.eval.served import serving
from vespa_app.application import Application, ServedEncoder, ServedProfile
from vespa_app.engine import EngineSettings, VespaEngine


@pytest.fixture
def application(engine, encoder):
    (field,) = engine.info().vector_fields
    served = ServedEncoder(encoder_names(encoder.manifest.fingerprint).short, field)
    profiles = {
        name: ServedProfile(
            name,
            retrieve := engine.profiles.resolve(name).retrieve,
            frozenset(retrieve),
            encoder=served if "vector" in retrieve else None,
        )
        for name in ("lexical", "vector", "hybrid_sum", "hybrid")
    }
    return Application(profiles, (served,), id_summary="id_only")


def figures(evaluation):
    return {
        (row["protocol"], row["profile"], row["metric"]): row["value"]
        for row in evaluation.metrics()["rows"]
    }


def connected(url, application, *, strict=True):
    return VespaEngine.connect(url, application, EngineSettings(strict=strict))


def test_a_server_gives_the_figures_of_the_index(engine, encoder, phantoms, application):
    options = Options(
        protocols=("same-case",), profiles=("lexical", "hybrid"), split="validation", scope="all"
    )
    expected = evaluate(engine, encoder, phantoms, options)
    with serving(engine) as url:
        client = connected(url, application)
        found = evaluate(client, encoder, phantoms, options)
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
        skipped = evaluate(client, encoder, phantoms, options).metrics()["skipped"]
        client.close()
    reasons = {part["protocol"]: part["reason"] for part in skipped if "profile" not in part}
    assert "--view split-caption" in reasons["split-caption"]
    assert "cannot hide captions" in reasons["hidden-caption"]
    assert "not captions" in reasons["image-to-caption"]


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
    expected = figures(evaluate(engine, encoder, phantoms, options))
    with serving(served) as url:
        client = connected(url, application)
        evaluation = evaluate(client, encoder, phantoms, options)
        client.close()
    found = figures(evaluation)
    assert {protocol for protocol, _, _ in found} == {"split-caption"}
    assert found == pytest.approx({k: v for k, v in expected.items() if k[0] == "split-caption"})


@pytest.mark.parametrize("strict", [True, False])
def test_partial_coverage_is_refused(engine, encoder, phantoms, application, strict):
    with serving(engine, partial=True) as url:
        client = connected(url, application, strict=strict)
        with pytest.raises(UserError, match="part"):
            evaluate(
                client, encoder, phantoms, Options(protocols=("caption",), profiles=("lexical",))
            )
        client.close()
