"""`rocosearch parity` over HTTP, against a server that answers with an engine of known faults."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
from typer.testing import CliRunner

from ranking.engine.engine import EmbeddedEngine
from rocosearch.cli import app
from rocosearch.live_parity import CAUSES
from tests.eval.served import serving


def compare(root, engine, *options):
    with serving(engine) as url:
        given = ["parity", str(root / "index"), url, "--app", str(root / "app"), "--queries", "20"]
        result = CliRunner().invoke(app, [*given, *options], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output
    return result.stdout


def altered(engine, change):
    """An engine over the same documents, each changed."""
    documents = [change(number, engine.get(name)) for number, name in enumerate(engine.ids())]
    kept = [document for document in documents if document is not None]
    return EmbeddedEngine.in_memory(kept, engine.info().vector_fields, engine.profiles)


def test_the_same_documents_agree(made):
    root, engine = made
    found = json.loads(compare(root, engine, "--json"))
    assert found["documents"] == 60
    assert found["only_on_server"]["count"] == found["only_in_index"]["count"] == 0
    assert {"lexical", "hybrid", "hybrid_rrf"} <= {each["profile"] for each in found["profiles"]}
    for each in found["profiles"]:
        assert each["overlap"] == {"10": 1.0, "100": 1.0}
        assert max(each["differences"].values()) < 1e-6
        assert not each["causes"]


def test_every_cause_is_named(made):
    root, engine = made

    def change(number, document):
        if number < 6:
            return None
        turned = {name: np.roll(vector, 1) for name, vector in document.vectors.items()}
        caption = f"{document.caption} chest" if number % 5 == 0 else document.caption
        return replace(document, caption=caption, vectors=turned)

    said = compare(root, altered(engine, change), "--profile", "lexical", "--profile", "hybrid")
    assert "Only in the index: 6 documents" in said
    assert "Only on the server" not in said
    assert "queries: " + CAUSES["tokens"][:40] in said
    assert "queries: " + CAUSES["vectors"][:30] in said
    assert "largest relative differences: bm25(caption)" in said


def test_statistics_alone_are_told_from_tokens(made):
    root, engine = made
    lingering = altered(engine, lambda number, document: document)
    blank = [
        replace(engine.get(next(iter(engine.ids()))), id=f"x{n}", caption="") for n in range(9)
    ]
    lingering.feed(blank)
    found = json.loads(compare(root, lingering, "--profile", "lexical", "--json"))
    assert found["only_on_server"]["count"] == 9
    assert list(found["profiles"][0]["causes"]) == [CAUSES["statistics"]]
