"""Estimate machines: memory, disk, nodes and hours of feeding.

Every constant is named here and explained, with its source, in docs/scale.md. The figures are
estimates to start from: feed one percent of the corpus into one node and compare.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from encoders.base.storage import whole_folder
from ranking.cell_types import CELL_BYTES, CellType
from vespa_app.package.options import ClusterOptions, PackageError, PackageOptions, VectorOptions
from vespa_app.package.services import hosts_xml, services_configuration

__all__ = ["Load", "Machine", "Plan", "plan", "plan_files", "write_plan"]

GIB = 2**30
ALIGNMENT = 32  # bytes; a dense tensor's buffer in a content node
LINK = 4  # bytes; a neighbour in the graph is a 32-bit local document id
GRAPH_ENTRY = 24  # bytes; references to a document's levels and to its links on each
KEYWORDS = 250  # bytes; id, group and the other keyword fields, document meta data
SLACK = 1.3  # buffers grow in steps, and freed entries wait for readers

INDEX_SHARE = 0.6  # postings with positions, to bytes of text
TEXT_STORE_SHARE = 0.7  # the document store's compression of text
STORED_FIELDS = 300  # bytes; the other fields in the document store
REWRITE = 2  # a flush or fusion writes the new file beside the old

MEMORY_LIMIT = 0.75  # of a node; Vespa blocks feeding at .8
DISK_LIMIT = 0.70  # of a node; Vespa blocks feeding at .75
NODE_MEMORY = 2 * GIB  # of a content node before the first document
NODE_DISK = 20 * GIB  # transaction log and logs

MOST_HOSTS = 10_000  # in hosts.xml

FEED_PER_CORE = 307.0  # documents/s; 615/s measured on 2 cores with one float[512] and HNSW
FEED_DIMENSION = 512
FEED_DOCUMENTS = 98_000


@dataclass(frozen=True)
class Machine:
    """A content node's machine."""

    memory_gib: float = 128.0
    disk_gib: float = 2000.0
    cores: int = 16


@dataclass(frozen=True)
class Load:
    """What is to be held: documents, and how.

    vectors: vector fields side by side (2 while encoders are swapped). caption_bytes: mean
    length of a caption in UTF-8; ROCO's test captions have 150.
    """

    documents: int
    dimension: int
    cell_type: CellType = "float"
    redundancy: int = 2
    groups: int = 1
    links: int = 16
    vectors: int = 1
    caption_bytes: int = 150
    paged: bool = False

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        sizes = {
            "documents": self.documents,
            "dimension": self.dimension,
            "vector fields": self.vectors,
            "redundancy": self.redundancy,
            "groups": self.groups,
        }
        for name, value in sizes.items():
            if value < 1:
                raise PackageError(f"A plan for {value} {name} is impossible: give at least 1.")
        if self.redundancy % self.groups:
            raise PackageError(
                f"A redundancy of {self.redundancy} is not a multiple of {self.groups} groups."
            )
        VectorOptions(cell_type=self.cell_type, links=self.links)


@dataclass(frozen=True)
class Plan:
    """What a load needs. Bytes are of one copy of one document; nodes are of the whole cluster."""

    load: Load
    machine: Machine
    memory_per_document: float
    disk_per_document: float
    nodes: int
    bound_by: str
    feed_hours: float

    @property
    def memory_gib(self) -> float:
        """Memory of all copies, without what each node needs for itself."""
        return self.memory_per_document * self.load.documents * self.load.redundancy / GIB

    @property
    def disk_gib(self) -> float:
        """Disk of all copies, without what each node needs for itself."""
        return self.disk_per_document * self.load.documents * self.load.redundancy / GIB

    @property
    def documents_per_node(self) -> int:
        """Copies that one node holds."""
        return math.ceil(self.load.documents * self.load.redundancy / self.nodes)

    @property
    def cluster(self) -> ClusterOptions:
        """The same as options of a package: a container for every four content nodes."""
        if self.nodes == 1:
            return ClusterOptions()
        return ClusterOptions(
            nodes=self.nodes,
            groups=self.load.groups,
            redundancy=self.load.redundancy,
            containers=max(2, math.ceil(self.nodes / 4)),
            config_servers=3,
        )


def plan(load: Load, machine: Machine = Machine()) -> Plan:
    """Nodes and hours for a load.

    Raises PackageError if a machine is too small for anything.
    """
    memory, disk = _memory(load), _disk(load)
    copies = load.documents * load.redundancy / load.groups  # in one group
    needs = {
        "memory": copies * memory / _usable(machine.memory_gib, MEMORY_LIMIT, NODE_MEMORY),
        "disk": copies * disk / _usable(machine.disk_gib, DISK_LIMIT, NODE_DISK),
    }
    bound_by = max(needs, key=lambda name: needs[name])
    copies_per_group = load.redundancy // load.groups
    # A node may fail: with a second copy in the group, the others take over what it held.
    spare = 1 if copies_per_group > 1 else 0
    per_group = max(math.ceil(needs[bound_by]) + spare, copies_per_group)
    nodes = per_group * load.groups
    return Plan(
        load=load,
        machine=machine,
        memory_per_document=memory,
        disk_per_document=disk,
        nodes=nodes,
        bound_by=bound_by,
        feed_hours=_feed_hours(load, machine, nodes),
    )


def plan_files(planned: Plan) -> dict[str, str]:
    """services.xml, and hosts.xml where there are many machines, by name."""
    options = PackageOptions(cluster=planned.cluster, embedding="client")
    files = {"services.xml": f"{services_configuration([], options)}\n"}
    hosts = hosts_xml(planned.cluster)
    return {**files, "hosts.xml": hosts} if hosts else files


def write_plan(planned: Plan, out: Path) -> None:
    """Write `plan_files` into the folder `out`, whole or not at all, replacing an older one.

    Raises PackageError if the machines are too many to name one by one.
    """
    if planned.nodes > MOST_HOSTS:
        raise PackageError(
            f"{planned.nodes:,} nodes are more than the {MOST_HOSTS:,} that hosts.xml is written "
            "for: plan with larger machines, or smaller cells."
        )
    with whole_folder(out) as beside:
        for name, content in plan_files(planned).items():
            (beside / name).write_text(content, encoding="utf-8")


def _vector_bytes(load: Load) -> int:
    size = load.dimension * CELL_BYTES[load.cell_type]
    return math.ceil(size / ALIGNMENT) * ALIGNMENT


def _graph_bytes(load: Load) -> float:
    """Links of a document, at most: 2 M on the ground, and M on each level above.

    A document reaches level l with probability M^-l, so M / (M - 1) links above on average
    (Malkov and Yashunin, arXiv:1603.09320, section 4.1).
    """
    links = 2 * load.links + load.links / (load.links - 1)
    return LINK * links + GRAPH_ENTRY


def _memory(load: Load) -> float:
    vector = 0 if load.paged else _vector_bytes(load)
    return SLACK * (load.vectors * (vector + _graph_bytes(load)) + KEYWORDS)


def _disk(load: Load) -> float:
    fields = load.vectors * (_vector_bytes(load) + _graph_bytes(load)) + KEYWORDS
    store = load.vectors * _vector_bytes(load) + STORED_FIELDS
    text = load.caption_bytes * (TEXT_STORE_SHARE + REWRITE * INDEX_SHARE)
    return REWRITE * fields + store + text


def _usable(size_gib: float, share: float, fixed: float) -> float:
    usable = size_gib * GIB * share - fixed
    if usable <= 0:
        raise PackageError(
            f"A machine of {size_gib:g} GiB has no space for documents: Vespa itself needs "
            f"{fixed / GIB:g} GiB."
        )
    return usable


def _feed_hours(load: Load, machine: Machine, nodes: int) -> float:
    """Each insertion computes distances to a number of neighbours that grows with log N."""
    per_node = max(load.documents * load.redundancy / nodes, 2)
    depth = max(math.log(per_node) / math.log(FEED_DOCUMENTS), 1.0)
    work = depth * load.vectors * max(load.dimension / FEED_DIMENSION, 0.25)
    rate = FEED_PER_CORE * machine.cores * nodes / work
    return load.documents * load.redundancy / rate / 3600
