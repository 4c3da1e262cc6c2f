"""Schemas read from files, and what their profiles compute against Vespa's own evaluator."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from ranking.expressions.expression import ExpressionError, parse
from ranking.types import VectorField
from tests.vespa_records.schema_file import SchemaError, read_schema

SCHEMA = """
schema picture {
    document picture {
        field caption type string { indexing: index | summary }   # a comment
        field small type tensor<int8>(x[8]) {
            indexing: attribute | index
            attribute { distance-metric: dotproduct }
        }
        field plain type tensor<float>(x[4]) { indexing: attribute | index }
        field stored type tensor<float>(x[4]) { indexing: summary }
        field words type tensor<float>(w{}) { indexing: attribute | index }
    }
    rank-profile base {
        inputs {
            query(q) tensor<float>(x[4])
            query(alpha) double: 0.25
            bare float
        }
        constants { half: 0.5 }
        function saturate(x, k) { expression: x / (x + k) }
        function lexical() {
            expression {
                bm25(caption)
                * half
            }
        }
        match-features: lexical closeness(field, plain),saturate(1, 2)
    }
    rank-profile child inherits base
    {
        first-phase { expression: saturate(lexical, query(alpha)) + query(bare) }
        second-phase {
            expression: lexical
            rerank-count: 7
        }
        global-phase { expression: normalize_linear(lexical) }
    }
    rank-profile native inherits base { first-phase { expression: nativeRank(caption) } }
    rank-profile below inherits native { match-features { lexical } }
}
"""


def lines_of(path):
    return path.read_text(encoding="utf-8").rstrip("\n").split("\n")


def number(value):
    return float(str(value).replace("Infinity", "inf")) if isinstance(value, str) else value


def test_what_is_read(tmp_path):
    path = tmp_path / "picture.sd"
    path.write_text(SCHEMA)
    schema = read_schema(path)
    assert schema.name == "picture"
    assert schema.vector_fields == (
        VectorField("small", 8, cell_type="int8", distance="dotproduct"),
        VectorField("plain", 4, distance="euclidean"),
    )
    assert schema.profiles.names() == ("child",)
    child = schema.profiles.resolve("child")
    assert child.inputs == {"alpha": 0.25, "bare": 0.0}
    assert child.functions["half"] == "0.5"
    assert child.functions["lexical"] == "bm25(caption) * half"
    assert child.match_features == ("lexical", "closeness(field,plain)", "saturate(1,2)")
    assert (child.second_phase.rerank_count, child.global_phase.rerank_count) == (7, 100)
    assert set(schema.unusable) == {"native", "below"}
    assert "nativeRank" in schema.unusable["native"]


@pytest.mark.parametrize("text", ["", "field x {", "schema a {\n}\n}\n", "document d {\n}"])
def test_no_schema(tmp_path, text):
    path = tmp_path / "x.sd"
    path.write_text(text)
    with pytest.raises(SchemaError):
        read_schema(path)
    with pytest.raises(SchemaError, match="cannot be read"):
        read_schema(tmp_path / "none.sd")


@pytest.fixture
def golden_profiles(kit_golden):
    return read_schema(kit_golden / "app" / "schemas" / "image.sd").profiles


def test_every_golden_evaluation_of_a_phase(kit_golden, golden_profiles):
    compared = 0
    for line in lines_of(kit_golden / "rank-profiles.jsonl"):
        record = json.loads(line)
        profile = golden_profiles.resolve(record["profile"])
        texts = {"first": profile.first_phase}
        if profile.second_phase:
            texts["second"] = profile.second_phase.expression
        name = record["input"].get("function")
        text = texts[record["phase"]] if name is None else name
        features = {f"query({n})": v for n, v in profile.inputs.items()}
        features |= {n: number(v) for n, v in record["input"]["features"].items()}
        expression = parse(text, profile.functions)
        compared += 1
        if not record["ok"]:
            with pytest.raises(ExpressionError, match=r"closeness\(field,embedding\)"):
                expression.evaluate(features)
            continue
        ours = float(expression.evaluate(features))
        assert ours == pytest.approx(number(record["value"]), rel=1e-14, nan_ok=True), line
    assert compared == 48


def test_every_golden_global_phase(kit_golden, golden_profiles):
    compared = 0
    for line in lines_of(kit_golden / "global-phase.jsonl"):
        record = json.loads(line)
        asked = record["input"]
        profile = golden_profiles.resolve(record["profile"])
        count = asked.get("rerankCount", profile.global_phase.rerank_count)
        if not asked["hits"] or count < len(asked["hits"]):
            continue
        hits = sorted(asked["hits"], key=lambda hit: -number(hit["relevance"]))
        columns = {
            name: np.array([number(hit["matchfeatures"].get(name, 0.0)) for hit in hits])
            for name in ("lexical", "vector")
        }
        features = {f"query({n})": v for n, v in profile.inputs.items()}
        features |= {n: number(v) for n, v in asked.get("features", {}).items()}
        constants = {"half": profile.functions["half"]} if "half" in profile.functions else {}
        expression = parse(profile.global_phase.expression, constants)
        ours = expression.evaluate({**features, **columns})
        vespas = {hit["id"]: number(hit["relevance"]) for hit in record["hits"]}
        expected = [vespas[hit["id"]] for hit in hits]
        expected = [-math.inf if math.isnan(value) else value for value in expected]
        ours = np.where(np.isnan(ours), -np.inf, ours)
        np.testing.assert_allclose(ours, expected, rtol=1e-14, atol=1e-15, err_msg=line)
        compared += 1
    assert compared > 50
