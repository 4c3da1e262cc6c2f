"""Options read back from a package are those that it was written with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from encoders.model.manifest import Manifest
from ranking.profiles.shipped import SHIPPED
from ranking.types import Attribute
from vespa_app.package.options import (
    AnnThresholds,
    ClusterOptions,
    PackageError,
    PackageOptions,
    VectorOptions,
)
from vespa_app.package.package import write_application
from vespa_app.read.read_options import differences, read_written

CLIENT = PackageOptions(embedding="client")
WIDE = ClusterOptions(8, 2, 4, 3, 3, "n{number}-{role}.search1.example.org", threads=4)
CASES = {
    "defaults": PackageOptions(),
    "client": CLIENT,
    "bfloat16": replace(CLIENT, vectors=VectorOptions("bfloat16", "angular", paged=True)),
    "int8, other graph": replace(CLIENT, vectors=VectorOptions("int8", links=24)),
    "explored further": replace(CLIENT, vectors=VectorOptions(explore_at_insert=400)),
    "no graph": replace(CLIENT, vectors=VectorOptions(distance="euclidean", hnsw=False)),
    "thresholds": replace(CLIENT, ann=AnnThresholds(0.1, 0.9, 0.3, 0.02, 5.0)),
    "machines": replace(CLIENT, cluster=WIDE),
    "containers only": replace(CLIENT, cluster=ClusterOptions(containers=2)),
    "limits": replace(CLIENT, cluster=ClusterOptions(disk_limit=0.9, memory_limit=0.85)),
    "one limit": replace(CLIENT, cluster=replace(WIDE, disk_limit=0.96)),
    "summaries": replace(CLIENT, summaries={"minimal": ("id",), "short": ("id", "caption")}),
    "time-out": replace(CLIENT, timeout=0.25),
    "fields": replace(CLIENT, attributes=(Attribute("age", "int"), Attribute("seen", "date"))),
}
AVERAGES = {"caption": 21.25, "affirmed": 20.5, "negated": 3.75}


def written(out: Path, options: PackageOptions, folder: Path, averages: dict[str, float]) -> Path:
    write_application(out, Manifest.load(folder), SHIPPED, folder, averages, options=options)
    return out


@pytest.mark.parametrize("case", CASES)
def test_round_trip(case, tmp_path, encoder_folders):
    package = written(tmp_path / "app", CASES[case], encoder_folders[0], AVERAGES)
    found = read_written(package)
    assert found.options == CASES[case]
    assert found.average_field_lengths == AVERAGES
    again = written(tmp_path / "again", found.options, encoder_folders[0], AVERAGES)
    files = [p.relative_to(package) for p in package.rglob("*") if p.suffix in {".sd", ".xml"}]
    assert len(files) > 5
    for name in files:
        assert (again / name).read_text() == (package / name).read_text(), name
    assert not differences(package, again)


def test_a_lexical_application(tmp_path):
    write_application(tmp_path / "app", None, SHIPPED)
    found = read_written(tmp_path / "app")
    assert found.options == PackageOptions()
    assert found.average_field_lengths == {}


def test_what_was_changed_by_hand_is_found(tmp_path, encoder_folders):
    here = written(tmp_path / "here", CLIENT, encoder_folders[0], {})
    there = written(tmp_path / "there", CLIENT, encoder_folders[0], {})
    services = there / "services.xml"
    text = services.read_text()
    services.write_text(text.replace("<nodes>", '<nodes><jvm options="-Xmx1g"/>', 1))
    profile = there / "search" / "query-profiles" / "default.xml"
    profile.write_text(profile.read_text().replace(">10000<", ">500<", 1))
    found = differences(there, here)
    assert [name.partition(":")[0] for name in found] == [str(profile.relative_to(there))] * 2 + [
        "services.xml"
    ]
    assert "-Xmx1g" in found[2]
    assert "only in the running application" in found[2]


def test_layout_and_comments_do_not_count(tmp_path, encoder_folders):
    here = written(tmp_path / "here", CLIENT, encoder_folders[0], {})
    there = written(tmp_path / "there", CLIENT, encoder_folders[0], {})
    services = there / "services.xml"
    text = services.read_text().replace("\n  ", "\n\t\t").replace("></search>", "/><!-- x -->")
    services.write_text(text)
    assert not differences(there, here)


def test_hosts_without_a_pattern(tmp_path, encoder_folders):
    options = replace(CLIENT, cluster=WIDE)
    package = written(tmp_path / "app", options, encoder_folders[0], None)
    hosts = package / "hosts.xml"
    hosts.write_text(hosts.read_text().replace("n1-content", "athena-content"))
    with pytest.raises(PackageError, match="without a common pattern"):
        read_written(package)
