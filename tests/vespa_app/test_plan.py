"""Sizes on paper: against a published figure, and in proportion."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, strategies as st

from vespa_app.package.options import PackageError
from vespa_app.package.plan import Load, Machine, plan, plan_files, write_plan

LOADS = st.builds(
    Load,
    documents=st.integers(1, 10**10),
    dimension=st.integers(1, 4096),
    cell_type=st.sampled_from(["float", "bfloat16", "int8"]),
    redundancy=st.sampled_from([2, 4]),
    groups=st.sampled_from([1, 2]),
    links=st.integers(2, 64),
    vectors=st.integers(1, 3),
)


def test_a_published_figure() -> None:
    """Vespa's blog: a billion float[768] with HNSW need about 4 TiB.

    https://blog.vespa.ai/vespa-hybrid-billion-scale-vector-search/
    """
    needed = plan(Load(documents=10**9, dimension=768, redundancy=1)).memory_gib / 1024
    assert needed == pytest.approx(4, rel=0.1)


@given(LOADS)
def test_everything_fits_its_nodes(load: Load) -> None:
    planned = plan(load)
    machine = planned.machine
    assert planned.nodes % load.groups == 0
    assert planned.memory_gib / planned.nodes <= 0.8 * machine.memory_gib
    assert planned.disk_gib / planned.nodes <= 0.75 * machine.disk_gib
    assert planned.nodes >= load.redundancy
    assert math.isfinite(planned.feed_hours)
    assert planned.cluster.nodes == planned.nodes


@given(LOADS)
def test_a_node_of_a_group_may_fail(load: Load) -> None:
    planned = plan(load)
    if load.redundancy // load.groups > 1:
        left = planned.nodes - load.groups
        assert planned.memory_gib / left <= 0.8 * planned.machine.memory_gib


def test_smaller_cells_need_fewer_nodes() -> None:
    nodes = [
        plan(Load(documents=10**9, dimension=512, cell_type=cell)).nodes
        for cell in ("float", "bfloat16", "int8")
    ]
    assert nodes == sorted(nodes, reverse=True)
    assert len(set(nodes)) == 3


def test_paged_vectors_leave_memory_but_not_disk() -> None:
    held = plan(Load(documents=10**8, dimension=512))
    paged = plan(Load(documents=10**8, dimension=512, paged=True))
    assert paged.memory_per_document < held.memory_per_document / 3
    assert paged.disk_per_document == held.disk_per_document


def test_one_machine_for_a_laptop() -> None:
    planned = plan(Load(documents=8_179, dimension=512, redundancy=1))
    assert planned.nodes == 1
    assert list(plan_files(planned)) == ["services.xml"]


def test_services_of_many_machines() -> None:
    planned = plan(Load(documents=10**9, dimension=512, redundancy=4, groups=2))
    files = plan_files(planned)
    services = ElementTree.fromstring(files["services.xml"].partition("?>")[2])
    assert len(services.findall("content//node")) == planned.nodes
    hosts = ElementTree.fromstring(files["hosts.xml"].partition("?>")[2])
    aliases = {host.findtext("alias") for host in hosts}
    assert {node.get("hostalias") for node in services.iter("node")} <= aliases


@pytest.mark.parametrize(
    ("load", "words"),
    [
        ({"documents": 0}, "0 documents"),
        ({"dimension": 0}, "0 dimension"),
        ({"redundancy": 3, "groups": 2}, "not a multiple"),
        ({"links": 1}, "links"),
    ],
)
def test_no_plan_for_nothing(load: dict[str, int], words: str) -> None:
    with pytest.raises(PackageError, match=words):
        Load(**{"documents": 10, "dimension": 8, **load})


def test_a_machine_too_small() -> None:
    with pytest.raises(PackageError, match="has no space for documents"):
        plan(Load(documents=10, dimension=8), Machine(memory_gib=2))


def test_more_machines_than_can_be_named_are_refused(tmp_path: Path) -> None:
    planned = plan(Load(documents=10**15, dimension=4096))
    with pytest.raises(PackageError, match=r"nodes are more than the 10,000"):
        write_plan(planned, tmp_path / "plan")
    assert list(tmp_path.iterdir()) == []
