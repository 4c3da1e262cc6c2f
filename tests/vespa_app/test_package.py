"""The written package: its files, its names, and that it is whole or not there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from encoders.model.manifest import Manifest, ManifestError
from ranking.names import encoder_names
from ranking.profiles.shipped import SHIPPED, Profile, ProfileError, ProfileSet
from tests.power.encoder import make_encoder
from vespa_app.deploy.config_server import zip_package
from vespa_app.package.options import ClusterOptions, PackageError, PackageOptions, VectorOptions
from vespa_app.package.package import PackagedEncoder, application_package, write_application
from vespa_app.read.schema_file import read_schema

CLIENT = PackageOptions(embedding="client")
COMMON = {
    *("id", "caption", "has_caption", "concepts", "concept_names", "group_id", "modality"),
    *("source", "licence", "split", "image_url", "language", "affirmed", "negated"),
    *("predicted_concepts", "pseudo_caption"),
}


@pytest.fixture(scope="module")
def manifests(encoder_folders: tuple[Path, Path]) -> list[Manifest]:
    return [Manifest.load(folder) for folder in encoder_folders]


def test_without_encoder_only_lexical(tmp_path: Path) -> None:
    write_application(tmp_path / "app", None, SHIPPED)
    schema = read_schema(tmp_path / "app")
    assert schema.fields.keys() == COMMON
    assert schema.rank_profiles.keys() == {"base", "lexical", "lexical_affirmed", "lexical_pseudo"}
    files = {p.relative_to(tmp_path / "app").as_posix() for p in (tmp_path / "app").rglob("*.*")}
    assert files == {
        "services.xml",
        "schemas/image.sd",
        "search/query-profiles/default.xml",
        "search/query-profiles/lexical.xml",
        "search/query-profiles/lexical_affirmed.xml",
        "search/query-profiles/lexical_pseudo.xml",
    }


def test_two_encoders_side_by_side(tmp_path: Path, manifests: list[Manifest]) -> None:
    first, second = manifests
    out = tmp_path / "app"
    write_application(out, first, SHIPPED, others=[PackagedEncoder(second)], options=CLIENT)
    schema = read_schema(out)
    for manifest in manifests:
        names = encoder_names(manifest.fingerprint)
        assert schema.fields[names.embedding].type == f"tensor<float>(x[{manifest.dimension}])"
        assert schema.fields[names.fingerprint].type == "string"
        assert schema.fields[names.has_vector].type == "bool"
        for profile in set(SHIPPED.names()) - {"lexical", "lexical_affirmed", "lexical_pseudo"}:
            assert f"{profile}_{names.short}" in schema.rank_profiles
    short = encoder_names(first.fingerprint).short
    assert schema.rank_profiles["hybrid"] == (f"rank-profile hybrid inherits hybrid_{short}",)


def test_captions_are_read_as_english(tmp_path: Path) -> None:
    write_application(tmp_path / "app", None, SHIPPED)
    fields = read_schema(tmp_path / "app").fields
    assert fields["language"].steps == ('"en"', "set_language")
    assert list(fields).index("language") < list(fields).index("caption")
    assert "index: enable-bm25" in fields["caption"].settings


def test_mean_text_lengths_are_fixed_in_full(tmp_path: Path) -> None:
    lengths = {"caption": 21.148306638953382, "affirmed": 20.5, "negated": 0.0}
    write_application(tmp_path / "app", None, SHIPPED, None, lengths)
    base = read_schema(tmp_path / "app").rank_profiles["base"]
    assert 'rank-properties bm25(caption).averageFieldLength: "21.148306638953382"' in base
    assert 'rank-properties bm25(affirmed).averageFieldLength: "20.5"' in base
    assert not [setting for setting in base if "negated" in setting]  # no document has any


@pytest.mark.parametrize("length", [-1.0, float("nan"), float("inf")])
def test_a_mean_length_that_is_none(length: float) -> None:
    with pytest.raises(PackageError, match="mean length of caption"):
        application_package([], SHIPPED, {"caption": length})


def test_small_inputs_are_written_without_exponent(tmp_path: Path) -> None:
    profile = replace(SHIPPED.by_name["lexical"], inputs={"tiny": 1e-7, "huge": 1e21})
    write_application(tmp_path / "app", None, ProfileSet((profile,), "lexical"))
    lexical = read_schema(tmp_path / "app").rank_profiles["lexical"]
    assert "inputs query(tiny) double: 0.0000001" in lexical
    assert "inputs query(huge) double: 1" + 21 * "0" + ".0" in lexical


def test_names_of_the_schema_are_not_taken() -> None:
    profile = replace(SHIPPED.by_name["lexical"], name="base")
    with pytest.raises(PackageError, match="cannot be called base"):
        application_package([], ProfileSet((profile,), "base"))


def test_a_feature_that_the_schema_does_not_have() -> None:
    profile = Profile("typo", "bm25(captoin)", ("text",))
    with pytest.raises(ProfileError, match=re.escape("bm25(captoin)")):
        application_package([], ProfileSet((profile,), "typo"))


def test_only_vector_profiles_and_no_encoder() -> None:
    with pytest.raises(PackageError, match="no encoder"):
        application_package([], ProfileSet((SHIPPED.by_name["vector"],), "vector"))


def test_the_same_encoder_twice(manifests: list[Manifest]) -> None:
    with pytest.raises(PackageError, match="twice"):
        application_package([manifests[0]] * 2, SHIPPED, options=CLIENT)


@pytest.mark.parametrize(
    ("summaries", "reason"),
    [
        ({"tiny": ("caption", "caption")}, "names caption twice"),
        ({"minimal": ("caption",)}, "minimal is reserved"),
        ({"default": ("caption",)}, "default is reserved"),
    ],
)
def test_summary_classes_that_would_not_work(
    summaries: dict[str, tuple[str, ...]], reason: str
) -> None:
    with pytest.raises(PackageError, match=reason):
        PackageOptions(summaries=summaries)


def test_unknown_field_in_a_summary_class() -> None:
    with pytest.raises(PackageError, match="'short' names titel"):
        application_package([], SHIPPED, options=PackageOptions(summaries={"short": ("titel",)}))


def test_vector_options_in_the_schema(tmp_path: Path, manifests: list[Manifest]) -> None:
    vectors = VectorOptions("bfloat16", "angular", links=24, explore_at_insert=77, paged=True)
    options = PackageOptions(embedding="client", vectors=vectors)
    write_application(tmp_path / "app", manifests[0], SHIPPED, options=options)
    names = encoder_names(manifests[0].fingerprint)
    field = read_schema(tmp_path / "app").fields[names.embedding]
    assert field.type == f"tensor<bfloat16>(x[{manifests[0].dimension}])"
    assert field.settings == {
        "attribute distance-metric: angular",
        "attribute paged",
        "index hnsw max-links-per-node: 24",
        "index hnsw neighbors-to-explore-at-insert: 77",
    }


def test_many_machines(tmp_path: Path) -> None:
    machines = ClusterOptions(
        nodes=6, groups=3, redundancy=6, containers=2, config_servers=3, host="{role}{number}.org"
    )
    write_application(tmp_path / "app", None, SHIPPED, options=PackageOptions(cluster=machines))
    services = ElementTree.parse(tmp_path / "app" / "services.xml").getroot()
    assert services.findtext("content/redundancy") == "6"
    assert services.find("content/group/distribution").get("partitions") == "2|2|*"
    assert [len(g.findall("node")) for g in services.findall("content/group/group")] == [2, 2, 2]
    hosts = ElementTree.parse(tmp_path / "app" / "hosts.xml").getroot()
    names = {host.findtext("alias"): host.get("name") for host in hosts}
    assert len(names) == 3 + 2 + 6
    assert names["content5"] == "content5.org"
    assert {node.get("hostalias") for node in services.iter("node")} <= names.keys()


def test_embedding_inside_vespa_needs_the_folder(tmp_path: Path, manifests: list[Manifest]) -> None:
    with pytest.raises(PackageError, match="name its folder"):
        write_application(tmp_path / "app", manifests[0], SHIPPED)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["text.onnx", "tokenizer.json"])
def test_a_changed_file_of_an_encoder_is_not_deployed(tmp_path: Path, name: str) -> None:
    folder = make_encoder(tmp_path / "encoder", 0, 8)
    path = folder / name
    write_application(tmp_path / "app", Manifest.load(folder), SHIPPED, folder)
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(ManifestError, match=f"{name} does not match its hash"):
        write_application(tmp_path / "new", Manifest.load(folder), SHIPPED, folder)
    assert not (tmp_path / "new").exists()


def test_an_older_package_is_replaced_whole(tmp_path: Path, manifests: list[Manifest]) -> None:
    out = tmp_path / "app"
    write_application(out, manifests[0], SHIPPED, options=CLIENT)
    with pytest.raises(PackageError):
        write_application(out, manifests[0], SHIPPED)
    assert (out / "search" / "query-profiles" / "hybrid.xml").exists()
    write_application(out, None, SHIPPED)
    assert not (out / "search" / "query-profiles" / "hybrid.xml").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["app"]


def test_a_package_whose_writer_was_killed_is_deployed_as_it_was(tmp_path: Path) -> None:
    out = tmp_path / "app"
    write_application(out, None, SHIPPED)
    before = zip_package(out)
    out.rename(tmp_path / ".app.old.killed")  # between the two renames
    assert zip_package(out) == before
