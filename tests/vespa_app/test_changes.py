"""What a deploy over a running application needs, held against Vespa's own validation."""

from __future__ import annotations

import datetime as dt
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from encoders.model.manifest import Manifest
from ranking.profiles.shipped import SHIPPED
from ranking.types import Attribute, AttributeType
from tests.live.kit import Kit
from vespa_app.deploy.changes import compare, needed_overrides, write_overrides
from vespa_app.package.options import ClusterOptions, PackageError, PackageOptions, VectorOptions
from vespa_app.package.package import PackagedEncoder, write_application

CLIENT = PackageOptions(embedding="client")
Edits = dict[str, list[tuple[str, str]]]
SCHEMA = "schemas/image.sd"


@dataclass(frozen=True)
class Variant:
    """A package: options, encoders by number, and edits by hand."""

    options: PackageOptions = CLIENT
    encoders: tuple[int, ...] = (0,)
    edits: Edits = field(default_factory=dict)


def vectors(**changes: object) -> Variant:
    return Variant(PackageOptions(embedding="client", vectors=VectorOptions(**changes)))


def edited(old: str, new: str, file: str = SCHEMA) -> Variant:
    return Variant(edits={file: [(old, new)]})


def own(kind: AttributeType) -> Variant:
    return Variant(PackageOptions(embedding="client", attributes=(Attribute("age", kind),)))


def cluster(**changes: object) -> Variant:
    return Variant(PackageOptions(embedding="client", cluster=ClusterOptions(**changes)))


BASE = Variant()
BOTH = Variant(encoders=(0, 1))
NO_GRAPH = vectors(hnsw=False)
NODES = cluster(nodes=4)
PAIRS: dict[str, tuple[Variant, Variant, set[str], set[str]]] = {
    # before, after, what is needed beside "nothing" and "feed", overrides
    "same": (BASE, BASE, set(), set()),
    "own fields added": (BASE, own("int"), set(), set()),
    "own fields removed": (own("int"), BASE, {"data loss"}, set()),
    "own field of another type": (
        own("int"), own("float"), {"refeed"}, {"field-type-change"},
    ),
    "first encoder": (Variant(encoders=()), BASE, set(), set()),
    "second encoder": (BASE, Variant(encoders=(0, 1)), set(), set()),
    "switched encoders": (BOTH, Variant(encoders=(1, 0)), set(), set()),
    "encoder removed": (BOTH, BASE, {"data loss"}, set()),
    "cells": (BASE, vectors(cell_type="bfloat16"), {"refeed"}, {"field-type-change"}),
    "metric": (BASE, vectors(distance="angular"), {"restart"}, {"hnsw-settings-change"}),
    "metric without graph": (
        NO_GRAPH,
        vectors(hnsw=False, distance="angular"),
        {"restart"},
        set(),
    ),
    "cells and links": (
        BASE,
        vectors(cell_type="bfloat16", links=32),
        {"refeed", "restart"},
        {"field-type-change", "hnsw-settings-change"},
    ),
    "links": (BASE, vectors(links=32), {"restart"}, {"hnsw-settings-change"}),
    "exploration": (BASE, vectors(explore_at_insert=400), {"restart"}, set()),
    "graph dropped": (BASE, vectors(hnsw=False), {"restart"}, set()),
    "graph built": (NO_GRAPH, BASE, {"restart"}, set()),
    "paged": (BASE, vectors(paged=True), {"restart"}, set()),
    "no longer paged": (vectors(paged=True), BASE, {"restart"}, {"paged-setting-removal"}),
    "stemming": (
        BASE,
        edited("stemming: best", "stemming: none"),
        {"reindex"},
        {"indexing-change"},
    ),
    "language": (BASE, edited('"en" | set', '"de" | set'), {"reindex"}, {"indexing-change"}),
    "rank filter": (BASE, edited("rank: filter", ""), {"restart"}, set()),
    "case of keywords": (
        edited("                cased\n", ""),
        BASE,
        {"restart"},
        set(),
    ),
    "type of a keyword": (
        BASE,
        edited("modality type string", "modality type array<string>"),
        {"refeed"},
        {"field-type-change"},
    ),
    "concepts into the index": (
        BASE,
        edited("concept_names type array<string> {\n            indexing: summary",
               "concept_names type array<string> {\n            indexing: index | summary"),
        {"reindex"},
        {"indexing-change"},
    ),
    "into memory": (
        BASE,
        edited("image_url type string {\n            indexing: summary",
               "image_url type string {\n            indexing: attribute | summary"),
        {"restart"},
        set(),
    ),
    "content cluster renamed": (
        BASE,
        edited('<content id="images"', '<content id="pictures"', "services.xml"),
        {"data loss", "restart"},
        {"content-cluster-removal"},
    ),
    "more nodes": (NODES, cluster(nodes=8), set(), set()),
    "groups": (NODES, cluster(nodes=4, groups=2, redundancy=2), set(), set()),
    "from one machine to many": (BASE, cluster(nodes=2), {"restart"}, set()),
}  # fmt: skip


@pytest.fixture(scope="module")
def build(
    tmp_path_factory: pytest.TempPathFactory, encoder_folders: tuple[Path, Path]
) -> Callable[[Variant], Path]:
    """A function that writes a package; equal ones are made once, and copied."""
    root = tmp_path_factory.mktemp("variants")
    manifests = [Manifest.load(folder) for folder in encoder_folders]
    written: dict[str, Path] = {}

    def write(variant: Variant) -> Path:
        key = repr(variant)
        if key not in written:
            written[key] = make(variant, root / f"{len(written):02}")
        return shutil.copytree(written[key], root / f"copy{len(list(root.iterdir()))}")

    def make(variant: Variant, out: Path) -> Path:
        first, *rest = [manifests[number] for number in variant.encoders] or [None]
        others = [PackagedEncoder(manifest) for manifest in rest if manifest]
        write_application(
            out, first, SHIPPED, None, {"caption": 21.0}, others=others, options=variant.options
        )
        for file, replacements in variant.edits.items():
            text = (out / file).read_text()
            for old, new in replacements:
                assert old in text
                text = text.replace(old, new)
            (out / file).write_text(text)
        return out

    return write


@pytest.mark.parametrize("case", PAIRS)
def test_needs(case: str, build: Callable[[Variant], Path]) -> None:
    before, after, needs, overrides = PAIRS[case]
    changes = compare(build(before), build(after))
    assert {c.need for c in changes} - {"nothing", "feed"} == needs
    assert {c.override for c in changes if c.override} == overrides
    assert all(c.text.endswith(".") for c in changes)


def test_as_vespa_says(build: Callable[[Variant], Path], kit: Kit) -> None:
    """The same overrides asked for, and with them the same actions, as by Vespa's validation."""
    wrong = []
    over: dict[str, list[str]] = {}
    for case, (before, *_) in PAIRS.items():
        over.setdefault(repr(before), []).append(case)
    for cases in over.values():
        old = build(PAIRS[cases[0]][0])
        wrong += _disagreements(kit, old, {case: build(PAIRS[case][1]) for case in cases})
    assert not wrong


def _disagreements(kit: Kit, old: Path, packages: dict[str, Path]) -> list[str]:
    """One run for all packages over an old one: as they are, and with overrides that they need."""
    allowed = dict(packages)
    for case, package in packages.items():
        if needed := needed_overrides(compare(old, package)):
            allowed[case] = Path(f"{package}-allowed")
            shutil.copytree(package, allowed[case])
            write_overrides(allowed[case], needed)
    folders = {str(folder): None for folder in (*packages.values(), *allowed.values())}
    answers = dict(
        zip(folders, kit("validate", "--previous", old, "-", lines=folders), strict=True)
    )
    wrong = []
    for case, package in packages.items():
        _, _, needs, overrides = PAIRS[case]
        plain, permitted = answers[str(package)], answers[str(allowed[case])]
        asked = set(re.findall(r"<allow [^>]*>([a-z-]+)</allow>", plain.get("error", "")))
        actions = {action["type"] for action in permitted.get("actions", [])}
        if asked != overrides:
            wrong.append(f"{case}: asks for {asked}, not {overrides}")
        if not permitted["ok"] or actions != needs & {"restart", "reindex", "refeed"}:
            wrong.append(f"{case}: needs {actions}, not {needs}; {permitted.get('error')}")
    return wrong


def test_overrides_allow_what_is_needed_for_a_while(
    build: Callable[[Variant], Path], tmp_path: Path
) -> None:
    old, new = build(BASE), build(vectors(links=32))
    write_overrides(new, needed_overrides(compare(old, new)), today=dt.date(2026, 1, 1))
    text = (new / "validation-overrides.xml").read_text()
    assert '<allow until="2026-01-30">hnsw-settings-change</allow>' in text
    assert text.count("<allow") == 1


def test_no_need_no_overrides(build: Callable[[Variant], Path]) -> None:
    old, new = build(BASE), build(replace(BASE))
    write_overrides(new, needed_overrides(compare(old, new)))
    assert not (new / "validation-overrides.xml").exists()


def test_not_a_package(tmp_path: Path, build: Callable[[Variant], Path]) -> None:
    with pytest.raises(PackageError, match="was not written by rocosearch"):
        compare(tmp_path, build(BASE))


def test_damaged_files(build: Callable[[Variant], Path]) -> None:
    broken = build(Variant(edits={SCHEMA: [("document image {", "document image")]}))
    with pytest.raises(PackageError, match="braces do not match"):
        compare(broken, build(BASE))
    bomb = build(BASE)
    (bomb / "services.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]><services/>')
    with pytest.raises(PackageError, match="entities"):
        compare(bomb, build(BASE))
