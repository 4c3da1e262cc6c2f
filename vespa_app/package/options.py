"""Options of an application package, and refusal of values that Vespa mishandles.

Vespa's validation accepts a number of settings that cannot mean what was asked for (zero links,
a threshold above one, int8 vectors with an embedder that writes floats). They are refused here,
each in a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from encoders.base.errors import UserError
from encoders.model.manifest import Manifest
from ranking.cell_types import CellType
from ranking.distances import Distance
from ranking.types import Attribute

__all__ = [
    "DEFAULTS",
    "DEFAULT_SUMMARIES",
    "AnnThresholds",
    "ClusterOptions",
    "Embedding",
    "PackageError",
    "PackageOptions",
    "VectorOptions",
    "check_effect",
    "check_encoder",
]

Embedding = Literal["vespa", "client"]

DEFAULT_SUMMARIES: Mapping[str, tuple[str, ...]] = {"minimal": ("id",)}
"""Summary classes beside Vespa's `default`, which has every field but the vectors."""

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_HOST = re.compile(r"[A-Za-z0-9.{}-]+")


class PackageError(UserError):
    """The application package cannot be written as asked."""


def _one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise PackageError(f"{value!r} is no {what}: choose one of {', '.join(choices)}.")


def _within(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise PackageError(f"{value} is out of range for {what}: {low:g} to {high:g}.")


@dataclass(frozen=True)
class VectorOptions:
    """How a vector field is stored and searched.

    links, explore_at_insert: of the HNSW graph, max-links-per-node and
    neighbors-to-explore-at-insert (Malkov and Yashunin, arXiv:1603.09320: M and efConstruction).
    hnsw: without it every search is an exact scan. paged: vectors may leave memory for disk.
    https://docs.vespa.ai/en/reference/schemas/schemas.html#index-hnsw
    """

    cell_type: CellType = "float"
    distance: Distance = "prenormalized-angular"
    hnsw: bool = True
    links: int = 16
    explore_at_insert: int = 200
    paged: bool = False

    def __post_init__(self) -> None:
        """Refuse what Vespa would take but get wrong."""
        _one_of("cell type", self.cell_type, get_args(CellType))
        _one_of("distance metric", self.distance, get_args(Distance))
        _within("HNSW links per node", self.links, 2, 1024)
        _within("HNSW neighbours explored at insert", self.explore_at_insert, 1, 65_536)


@dataclass(frozen=True)
class AnnThresholds:
    """When a filtered nearest-neighbour search goes exact, or filters afterwards; None: Vespa's.

    All but the adjustment factor are shares of the corpus, 0 to 1.
    https://docs.vespa.ai/en/reference/schemas/schemas.html#approximate-threshold
    """

    approximate: float | None = None
    post_filter: float | None = None
    filter_first: float | None = None
    filter_first_exploration: float | None = None
    target_hits_max_adjustment: float | None = None

    def __post_init__(self) -> None:
        """Refuse shares beyond 0 to 1, which Vespa takes without a word."""
        shares = {
            "approximate-threshold": self.approximate,
            "post-filter-threshold": self.post_filter,
            "filter-first-threshold": self.filter_first,
            "filter-first-exploration": self.filter_first_exploration,
        }
        for name, value in shares.items():
            if value is not None:
                _within(name, value, 0.0, 1.0)
        if self.target_hits_max_adjustment is not None:
            _within("target-hits-max-adjustment-factor", self.target_hits_max_adjustment, 1.0, 1e6)


@dataclass(frozen=True)
class ClusterOptions:
    """Machines: content nodes in groups, containers, config servers, and copies of a document.

    redundancy counts all copies, so each group holds redundancy / groups of them.
    host: the pattern of host names; {role} is content, container or config, {number} from 0.
    threads: search threads for one query on a content node (None: Vespa's default of one).
    disk_limit, memory_limit: shares of a content node at which feeding is blocked (None: Vespa's,
    https://docs.vespa.ai/en/writing/feed-block.html).
    https://docs.vespa.ai/en/content/elasticity.html#grouped-distribution
    """

    nodes: int = 1
    groups: int = 1
    redundancy: int = 1
    containers: int = 1
    config_servers: int = 1
    host: str = "{role}{number}"
    threads: int | None = None
    disk_limit: float | None = None
    memory_limit: float | None = None

    def __post_init__(self) -> None:
        """Refuse counts that cannot be laid out."""
        for name in ("nodes", "groups", "redundancy", "containers", "config_servers"):
            _within(name.replace("_", " "), getattr(self, name), 1, 10_000)
        if self.threads is not None:
            _within("threads per search", self.threads, 1, 256)
        for name in ("disk_limit", "memory_limit"):
            share = getattr(self, name)
            if share is not None:
                _within(name.replace("_", " "), share, 0.01, 1.0)
        self._check_groups()
        if self.config_servers % 2 == 0:
            raise PackageError(
                f"{self.config_servers} config servers tolerate no more failures than "
                f"{self.config_servers - 1}: choose an odd number (3 tolerate one)."
            )
        self._check_host()

    def _check_groups(self) -> None:
        if self.nodes % self.groups:
            raise PackageError(
                f"{self.nodes} content nodes cannot be divided evenly into {self.groups} groups: "
                "choose a multiple."
            )
        if self.redundancy % self.groups:
            raise PackageError(
                f"A redundancy of {self.redundancy} is not a multiple of {self.groups} groups: "
                "each group has the same number of copies."
            )
        if self.copies_per_group > self.nodes_per_group:
            raise PackageError(
                f"{self.copies_per_group} copies in a group of {self.nodes_per_group} content "
                "node(s) would share a machine: lower the redundancy or add nodes (Vespa would "
                "accept this, but keep fewer copies)."
            )

    def _check_host(self) -> None:
        if not _HOST.fullmatch(self.host):
            raise PackageError(f"{self.host!r} is not a pattern of host names.")
        if not self.single and not {"{role}", "{number}"} <= set(re.findall(r"{\w+}", self.host)):
            raise PackageError(
                f"The host pattern {self.host!r} gives several machines the same name: it needs "
                "{role} and {number}, as in {role}{number}.search.example.org."
            )

    @property
    def single(self) -> bool:
        """Whether everything runs on one machine."""
        return self.nodes == self.containers == self.config_servers == 1

    @property
    def nodes_per_group(self) -> int:
        """Content nodes of one group."""
        return self.nodes // self.groups

    @property
    def copies_per_group(self) -> int:
        """Copies of a document in one group."""
        return self.redundancy // self.groups


@dataclass(frozen=True)
class PackageOptions:
    """Everything that can be chosen of a package.

    embedding: "vespa" puts the text tower into the container, so that queries can say
    embed(); "client" leaves it out. summaries: summary class -> its fields.
    attributes: fields of one's own, beside those that every application has.
    timeout: of a query, in seconds.
    """

    name: str = "rocosearch"
    embedding: Embedding = "vespa"
    vectors: VectorOptions = VectorOptions()
    ann: AnnThresholds = AnnThresholds()
    cluster: ClusterOptions = ClusterOptions()
    summaries: Mapping[str, tuple[str, ...]] = field(
        default_factory=lambda: dict(DEFAULT_SUMMARIES)
    )
    timeout: float = 5.0
    attributes: tuple[Attribute, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names Vespa would not take, and embed() into int8."""
        if not _NAME.fullmatch(self.name):
            raise PackageError(
                f"{self.name!r} cannot name an application: a lower-case letter, then at most 39 "
                "lower-case letters, digits and underscores."
            )
        _one_of("place of embedding", self.embedding, get_args(Embedding))
        _within("query time-out in seconds", self.timeout, 0.001, 3600)
        _check_summaries(self.summaries)
        if self.vectors.cell_type == "int8" and self.embedding == "vespa":
            raise PackageError(
                "int8 vectors cannot be embedded inside Vespa: its embedder's values are between "
                "-1 and 1, which int8 rounds to zero (and embed() into an int8 tensor gives an "
                "error 400). Embed at the client, or choose bfloat16."
            )


def _check_summaries(summaries: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse what Vespa would not take, and classes that it or the client needs as they are."""
    for name, fields in summaries.items():
        if name == "default" or fields != DEFAULT_SUMMARIES.get(name, fields):
            raise PackageError(f"The summary class {name} is reserved: choose another name.")
        twice = sorted({each for each in fields if fields.count(each) > 1})
        if twice:
            raise PackageError(f"The summary class {name} names {', '.join(twice)} twice.")


DEFAULTS = PackageOptions()


def check_effect(options: PackageOptions, *, has_vectors: bool) -> None:
    """Raise PackageError for options that would change nothing in the package."""
    vectors, usual = options.vectors, VectorOptions()
    if not has_vectors and (vectors, options.ann, options.embedding) != (
        usual,
        AnnThresholds(),
        "vespa",
    ):
        raise PackageError(
            "Options of vectors have no effect on a package without any: leave them out, or index "
            "with an encoder."
        )
    graph = (vectors.links, vectors.explore_at_insert) != (usual.links, usual.explore_at_insert)
    if not vectors.hnsw and (graph or options.ann != AnnThresholds()):
        raise PackageError(
            "Links, neighbours explored and thresholds have no effect without an HNSW graph, since "
            "the search is exact: leave them out."
        )
    if options.cluster.single and options.cluster.host != ClusterOptions().host:
        raise PackageError(
            "A pattern of host names has no effect on a package for one machine: leave --host out."
        )


def check_encoder(manifest: Manifest, options: PackageOptions) -> None:
    """Raise PackageError if the encoder's vectors do not suit the vector field."""
    if options.vectors.distance == "prenormalized-angular" and not manifest.normalized:
        raise PackageError(
            "The encoder's vectors are not of length 1, which prenormalized-angular assumes: "
            "choose the distance metric angular, euclidean or dotproduct."
        )
