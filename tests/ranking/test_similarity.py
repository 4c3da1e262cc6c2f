"""What profiles take from the encoder: its cosine, by any metric, and what the cosine is worth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ranking.distances import COSINES
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.cosine import START_SCALE, in_metric, with_scale
from ranking.profiles.shipped import SHIPPED
from ranking.types import Document, Query, VectorField

FINGERPRINT = "1a2b3c4d" * 8
FIELD = encoder_names(FINGERPRINT).embedding


def scale_of(profiles, name="hybrid"):
    return profiles.resolve(name).inputs["scale"]


@pytest.mark.parametrize("distance", COSINES)
@given(angle=st.floats(0, np.pi))
def test_every_metric_gives_the_cosine(distance, angle):
    query = np.array([1, 0, 0], np.float32)
    vector = np.array([np.cos(angle), np.sin(angle), 0], np.float32)
    engine = EmbeddedEngine.in_memory(
        [Document("a", vectors={FIELD: vector})],
        [VectorField(FIELD, 3, FINGERPRINT, distance=distance)],
    )
    hit = engine.search(Query(vector=query, profile="hybrid", inputs={"alpha": 1, "scale": 1}))
    assert hit.scores[0] == pytest.approx(max(0, np.cos(angle)), abs=2e-3)


def test_a_profile_of_ones_own_is_left_alone():
    changed = in_metric(SHIPPED.resolve("vector"), "dotproduct")
    assert changed == SHIPPED.resolve("vector")


def test_an_encoder_brings_its_scale():
    assert scale_of(SHIPPED) == START_SCALE
    assert scale_of(with_scale(SHIPPED, 35.4), "hybrid_rrf") == 35.4
    assert with_scale(SHIPPED, 0.0) == SHIPPED


def test_another_encoder_brings_another_scale():
    first = with_scale(SHIPPED, 35.4)
    assert scale_of(with_scale(first, 20.0, instead_of=[35.4])) == 20.0


def test_a_scale_that_a_person_chose_is_kept():
    parts = SHIPPED.by_name["parts"]
    chosen = SHIPPED.replaced(
        [type(parts)(**{**vars(parts), "inputs": {**parts.inputs, "scale": 9.0}})]
    )
    assert scale_of(with_scale(chosen, 35.4, instead_of=[20.0])) == 9.0
