"""What Vespa would take but get wrong is refused, each in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from encoders.model.manifest import Manifest
from vespa_app.package.options import (
    AnnThresholds,
    ClusterOptions,
    PackageError,
    PackageOptions,
    VectorOptions,
    check_effect,
    check_encoder,
)

REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no links": (lambda: VectorOptions(links=0), "links"),
    "negative links": (lambda: VectorOptions(links=-1), "links"),
    "nothing explored": (lambda: VectorOptions(explore_at_insert=0), "explored"),
    "hamming on floats": (lambda: VectorOptions(distance="hamming"), "distance metric"),
    "unknown cells": (lambda: VectorOptions(cell_type="half"), "cell type"),
    "threshold above one": (lambda: AnnThresholds(approximate=1.5), "approximate-threshold"),
    "threshold below zero": (lambda: AnnThresholds(post_filter=-0.1), "post-filter-threshold"),
    "threshold not a number": (lambda: AnnThresholds(filter_first=float("nan")), "filter-first"),
    "factor below one": (lambda: AnnThresholds(target_hits_max_adjustment=0.5), "adjustment"),
    "no node": (lambda: ClusterOptions(nodes=0), "nodes"),
    "uneven groups": (lambda: ClusterOptions(nodes=5, groups=2, redundancy=2), "evenly"),
    "uneven copies": (lambda: ClusterOptions(nodes=4, groups=2, redundancy=3), "not a multiple"),
    "copies share a node": (lambda: ClusterOptions(nodes=2, redundancy=3), "share a machine"),
    "even config servers": (lambda: ClusterOptions(config_servers=2), "odd number"),
    "one name for all": (lambda: ClusterOptions(nodes=2, host="search"), "{role} and {number}"),
    "host with a space": (lambda: ClusterOptions(nodes=2, host="a b{role}{number}"), "pattern"),
    "bad name": (lambda: PackageOptions(name="My App"), "name an application"),
    "no time": (lambda: PackageOptions(timeout=0), "time-out"),
    "embed into int8": (
        lambda: PackageOptions(vectors=VectorOptions(cell_type="int8")),
        "cannot be embedded inside Vespa",
    ),
    "embed nowhere": (lambda: PackageOptions(embedding="cloud"), "place of embedding"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_a_sentence(case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(PackageError) as caught:
        make()
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_int8_at_the_client_is_fine() -> None:
    vectors = VectorOptions(cell_type="int8")
    assert PackageOptions(vectors=vectors, embedding="client").vectors is vectors


@pytest.mark.parametrize(
    ("options", "has_vectors", "words"),
    [
        (PackageOptions(vectors=VectorOptions(links=8)), False, "package without any"),
        (PackageOptions(embedding="client"), False, "package without any"),
        (PackageOptions(vectors=VectorOptions(hnsw=False, links=8)), True, "without an HNSW graph"),
        (
            PackageOptions(vectors=VectorOptions(hnsw=False), ann=AnnThresholds(0.1)),
            True,
            "without an HNSW graph",
        ),
        (PackageOptions(cluster=ClusterOptions(host="a{role}{number}")), True, "for one machine"),
    ],
)
def test_options_without_an_effect(options: PackageOptions, has_vectors: bool, words: str) -> None:
    with pytest.raises(PackageError, match=words):
        check_effect(options, has_vectors=has_vectors)
    check_effect(PackageOptions(vectors=VectorOptions(hnsw=False)), has_vectors=True)
    check_effect(PackageOptions(), has_vectors=False)


def test_vectors_of_any_length_need_another_metric(encoder_folders: tuple[Path, Path]) -> None:
    manifest = replace(Manifest.load(encoder_folders[0]), normalized=False)
    with pytest.raises(PackageError, match="not of length 1"):
        check_encoder(manifest, PackageOptions())
    check_encoder(manifest, PackageOptions(vectors=VectorOptions(distance="angular")))
