"""Packages against Vespa's own Java code: accepted, embedding, queries, ranking."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from encoders.export.towers import PARITY_TEXTS
from encoders.model.clip import Encoder
from encoders.model.manifest import Manifest
from ranking.expressions.expression import parse
from ranking.names import EncoderNames, encoder_names
from ranking.profiles.shipped import SHIPPED
from ranking.types import TEXTS
from tests.live.kit import Kit
from vespa_app.package.names import ANN_TIMEOUT
from vespa_app.package.options import AnnThresholds, ClusterOptions, PackageOptions, VectorOptions
from vespa_app.package.package import PackagedEncoder, write_application

SERVED = tuple(SHIPPED.names())
VECTORS = 100


@dataclass(frozen=True)
class Packages:
    """Folders of packages, without an encoder, with one and with two; the first one's names."""

    lexical: Path
    one: Path
    two: Path
    names: EncoderNames


@pytest.fixture(scope="module")
def packages(
    tmp_path_factory: pytest.TempPathFactory, encoder_folders: tuple[Path, Path]
) -> Packages:
    root = tmp_path_factory.mktemp("packages")
    first, second = map(PackagedEncoder.open, encoder_folders)
    write_application(
        root / "two", first.manifest, SHIPPED, first.folder, {"caption": 21.1}, others=[second]
    )
    write_application(root / "lexical", None, SHIPPED, None, {"caption": 21.1})
    write_application(root / "one", first.manifest, SHIPPED, first.folder, {"caption": 21.1})
    names = encoder_names(first.manifest.fingerprint)
    return Packages(root / "lexical", root / "one", root / "two", names)


@pytest.fixture(scope="module")
def accepted(packages: Packages, kit: Kit) -> list[dict]:
    return kit.validate(packages.lexical, packages.one, packages.two)


def test_accepted(accepted: list[dict]) -> None:
    assert [a["ok"] for a in accepted] == [True] * 3
    assert [a["warnings"] for a in accepted] == [[]] * 3
    assert [a["suspects"] for a in accepted] == [[]] * 3


def test_embeds_as_the_encoder(
    packages: Packages, kit: Kit, encoder_folders: tuple[Path, Path]
) -> None:
    encoder = Encoder.load(encoder_folders[0], device="cpu")
    texts = [" ".join(text.split()) for text in PARITY_TEXTS]
    kind = f"tensor<float>(x[{encoder.manifest.dimension}])"
    answers = kit(
        *("embed", "--app", packages.two, "--embedder", packages.names.embedder, "--type", kind),
        lines=texts,
    )
    found = np.array([answer["values"] for answer in answers])
    np.testing.assert_allclose(found, encoder.encode_texts(texts), atol=1e-5)


def by_query_profile() -> Iterator[dict[str, object]]:
    """A search by each query profile alone, of text full of what could be operators."""
    for profile in SERVED:
        text = 'chest 2.28 cm C2- -C6 caption:x "T2-weighted" +must'
        yield {"queryProfile": profile, "text": text, "timeout": "30s"}


def queries(names: EncoderNames, dimension: int) -> Iterator[dict[str, object]]:
    """Every form in which candidates are found, for every profile, with the client's vector."""
    words = '({grammar: "linguistics", grammar.composite: "or"}userInput(@text))'
    weak = '({grammar: "linguistics"}userInput(@text))'
    nearest = f"({{targetHits: 100}}nearestNeighbor({names.embedding}, {names.query}))"
    exact = (
        f"({{targetHits: 10, approximate: false}}nearestNeighbor({names.embedding}, {names.query}))"
    )
    by_text = [words, weak, "caption contains text(@text)", f"{words} and modality contains @m"]
    by_vector = [nearest, exact, f"{nearest} and !(group_id contains @m)"]
    by_both = [f"({words} or {nearest})", f"rank({nearest}, {words})"]
    for profile in SERVED:
        retrieve = set(SHIPPED.resolve(profile).retrieve)
        forms = by_both if len(retrieve) == 2 else by_text if retrieve == {"text"} else by_vector
        for form in forms:
            body = {
                "yql": f"select * from image where {form}",
                "ranking": profile,
                "text": "chest x-ray",
                "m": "ct",
                "timeout": "30s",
            }
            vector = {f"input.query({names.query})": [1.0] + [0.0] * (dimension - 1)}
            yield body | vector if profile != "lexical" else body


@pytest.fixture(scope="module")
def answers(packages: Packages, kit: Kit, encoder_folders: tuple[Path, Path]) -> list[dict]:
    """What reaches the content nodes of all the queries, by one start of Java."""
    dimension = Manifest.load(encoder_folders[0]).dimension
    bodies = [*by_query_profile(), *queries(packages.names, dimension)]
    return kit("yql", packages.two, lines=[json.dumps(body) for body in bodies])


def test_every_query_is_understood(answers: list[dict], packages: Packages) -> None:
    assert len(answers) == len([*by_query_profile(), *queries(packages.names, 1)])
    assert [a for a in answers if not a["ok"]] == []
    assert {a["language"] for a in answers} == {"en"}


def test_query_profiles_search_without_a_client(answers: list[dict], packages: Packages) -> None:
    for profile, answer in zip(SERVED, answers, strict=False):
        assert answer["profile"] == profile
        tree = answer["query"]
        text = SHIPPED.resolve(profile).text or "default"
        found_by = {"text": f"{text}:chest" in tree, "vector": "NEAREST_NEIGHBOR" in tree}
        assert {n for n, found in found_by.items() if found} == set(
            SHIPPED.resolve(profile).retrieve
        )
        assert "NOT" not in tree
        if found_by["vector"]:
            vector = str(answer["properties"][packages.names.query])
            norm = float(vector.rpartition("norm ")[2])
            assert norm == pytest.approx(1, abs=1e-6)


VARIANTS = {
    "bfloat16, euclidean, nodes, summaries": PackageOptions(
        vectors=VectorOptions("bfloat16", "euclidean", links=48),
        cluster=ClusterOptions(nodes=3, redundancy=2, threads=4),
        summaries={"brief": ("id", "caption")},
    ),
    "int8 at the client, groups": PackageOptions(
        embedding="client",
        vectors=VectorOptions("int8"),
        cluster=ClusterOptions(
            nodes=4,
            groups=2,
            redundancy=4,
            containers=2,
            config_servers=3,
            disk_limit=0.96,
            memory_limit=0.9,
        ),
    ),
    "angular, exact, paged": PackageOptions(
        vectors=VectorOptions(distance="angular", hnsw=False, paged=True),
        cluster=ClusterOptions(disk_limit=0.96),
    ),
    "dotproduct, thresholds": PackageOptions(
        vectors=VectorOptions(distance="dotproduct"), ann=AnnThresholds(0.05, 0.9, 0.3, 0.02, 20)
    ),
}


def test_every_variant_is_accepted_and_answers(
    tmp_path: Path, kit: Kit, encoder_folders: tuple[Path, Path], packages: Packages
) -> None:
    first, second = map(PackagedEncoder.open, encoder_folders)
    folders = {name: tmp_path / str(number) for number, name in enumerate(VARIANTS)}
    for name, options in VARIANTS.items():
        write_application(
            folders[name], first.manifest, SHIPPED, first.folder, others=[second], options=options
        )
    answers = kit.validate(*folders.values())
    assert [a for a in answers if not a["ok"]] == []
    asked = {name: _ask(kit, folders[name], VARIANTS[name], first) for name in folders}
    assert {name: failed for name, failed in asked.items() if failed} == {}


def _ask(kit: Kit, folder: Path, options: PackageOptions, encoder: PackagedEncoder) -> list[dict]:
    """Failed answers to queries of every profile, the vector embedded or sent."""
    names = encoder_names(encoder.manifest.fingerprint)
    bodies = []
    for profile in SERVED:
        body: dict[str, object] = {"queryProfile": profile, "text": "chest", "timeout": "30s"}
        if options.embedding == "client" and profile != "lexical":
            scale = 127 if options.vectors.cell_type == "int8" else 1
            vector = [float(scale)] + [0.0] * (encoder.manifest.dimension - 1)
            body[f"input.query({names.query})"] = vector
        bodies.append(body | {"presentation.summary": next(iter(options.summaries))})
    answers = kit("yql", folder, lines=[json.dumps(body) for body in bodies])
    zero = [a for a in answers if "norm 0.0" in json.dumps(a.get("properties", {}))]
    return [a for a in answers if not a["ok"]] + zero


def test_thresholds_mean_what_vespa_calls_them(
    tmp_path: Path, kit: Kit, packages: Packages
) -> None:
    """The properties are those that Vespa derives from its own statements."""
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    options = PackageOptions(ann=AnnThresholds(0.05, 0.9, 0.3, 0.02, 20))
    write_application(ours, None, SHIPPED, options=options)
    write_application(theirs, None, SHIPPED)
    schema = theirs / "schemas" / "image.sd"
    statements = (
        "approximate-threshold: 0.05\npost-filter-threshold: 0.9\nfilter-first-threshold: 0.3\n"
        "filter-first-exploration: 0.02\ntarget-hits-max-adjustment-factor: 20.0\n"
    )
    own = re.sub(r"\n.*vespa\.matching.*", "", schema.read_text())
    text = own.replace("rank-profile base {", f"rank-profile base {{\n{statements}")
    schema.write_text(text)
    found = kit.validate(ours, theirs)
    first, second = (
        {k: v for k, v in a["schemas"]["image"]["rank-profiles"]["base"] if "matching" in k}
        for a in found
    )
    assert first.pop(ANN_TIMEOUT) == "false"
    first, second = ({k: float(v) for k, v in each.items()} for each in (first, second))
    assert first == second
    assert len(first) == 5


def test_first_phase_scores(packages: Packages, kit: Kit, accepted: list[dict]) -> None:
    """Made-up feature vectors through Vespa's compiled profiles and its evaluator, and ours."""
    compiled = accepted[1]["schemas"]["image"]["rank-profiles"]
    shipped = SHIPPED.instantiate(packages.names)
    lines, found = [], []
    for profile in map(shipped.resolve, SERVED):
        ours = parse(profile.first_phase, profile.functions)
        theirs = _first_phase(dict(compiled[profile.name]))
        defaults = {f"query({name})": value for name, value in profile.inputs.items()}
        for row in _made_up(packages.names, profile.inputs):
            features = {**defaults, **row}
            lines.append(json.dumps({"expression": theirs, "features": features}))
            found.append(float(ours.evaluate(features)))
    expected = [float(answer["value"]) for answer in kit("expr", lines=lines)]
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-15)


def _first_phase(properties: dict[str, str]) -> str:
    """A rank profile's first phase as Vespa compiled it, its functions put in."""
    text = properties["vespa.rank.firstphase"]
    while match := re.search(r"rankingExpression\((\w+)\)", text):
        body = properties[f"rankingExpression({match[1]}).rankingScript"]
        text = text.replace(match[0], f"({body})")
    return text


def _made_up(
    names: EncoderNames, inputs: dict[str, float], count: int = VECTORS
) -> Iterator[dict[str, float]]:
    rng = np.random.default_rng(11)
    for _ in range(count):
        row = {
            **{f"bm25({text})": float(rng.choice([0.0, rng.exponential(8)])) for text in TEXTS},
            f"closeness(field,{names.embedding})": float(rng.choice([0.0, rng.random()])),
            "attribute(has_caption)": float(rng.integers(2)),
            f"attribute({names.has_vector})": float(rng.integers(2)),
        }
        changed = {f"query({name})": float(rng.uniform(0.1, 5)) for name in inputs}
        yield row | (changed if rng.random() < 0.5 else {})


@pytest.mark.parametrize("profile", [n for n in SERVED if SHIPPED.resolve(n).global_phase])
def test_global_phase_scores(profile: str, packages: Packages, kit: Kit) -> None:
    """Windows of hits through Vespa's global phase and through our expression."""
    resolved = SHIPPED.instantiate(packages.names).resolve(profile)
    assert resolved.global_phase is not None
    ours = parse(resolved.global_phase.expression, resolved.functions)
    rng = np.random.default_rng(7)
    windows = [list(_made_up(packages.names, {}, int(rng.integers(1, 40)))) for _ in range(20)]
    lines = [
        json.dumps({"hits": [
            {"id": f"d{n:02}", "relevance": 1.0 - n / 100, "matchfeatures": row}
            for n, row in enumerate(window)
        ]})
        for window in windows
    ]  # fmt: skip
    answers = kit(
        "expr", "--app", packages.one, "--profile", profile, "--phase", "global", lines=lines
    )
    defaults = {f"query({name})": value for name, value in resolved.inputs.items()}
    for window, answer in zip(windows, answers, strict=True):
        columns = {name: np.array([row[name] for row in window]) for name in window[0]}
        found = np.broadcast_to(ours.evaluate({**defaults, **columns}), len(window))
        expected = {hit["id"]: float(hit["relevance"]) for hit in answer["hits"]}
        np.testing.assert_allclose(
            found, [expected[f"d{n:02}"] for n in range(len(window))], rtol=1e-12, atol=1e-14
        )
