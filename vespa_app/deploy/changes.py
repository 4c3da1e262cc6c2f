"""What a deploy over a running package needs, and its validation overrides.

The rules are those of Vespa's config server as `vespa deploy` applies them
(https://docs.vespa.ai/en/reference/schemas/schemas.html#modifying-schemas); the tests hold them
against Vespa's own validation of the same pairs of packages.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from encoders.base.storage import write_whole
from vespa_app.read.schema_file import FieldFacts, SchemaFacts, read_schema
from vespa_app.read.xml_file import read_xml

__all__ = [
    "WEEK",
    "Change",
    "Need",
    "compare",
    "kind_of",
    "needed_overrides",
    "wanted_overrides",
    "write_overrides",
]

Need = Literal["nothing", "feed", "restart", "reindex", "refeed", "data loss"]

WEEK = dt.timedelta(days=7)
_WANTED = re.compile(r"<allow until='[^'<>]*'>([a-z0-9-]+)</allow>")
LONGEST = dt.timedelta(days=29)  # Vespa refuses overrides that end later than in 30 days


@dataclass(frozen=True)
class Change:
    """One difference: a sentence, what it needs on the server, and the override it must have."""

    text: str
    need: Need = "nothing"
    override: str | None = None


def compare(previous: Path, package: Path) -> list[Change]:
    """Differences of two application packages, the weightiest first.

    Raises PackageError if a folder is no package.
    """
    before, after = read_schema(previous), read_schema(package)
    changes = [
        *_field_changes(before, after),
        *_profile_changes(before, after),
        *_service_changes(read_xml(previous / "services.xml"), read_xml(package / "services.xml")),
    ]
    order: list[Need] = ["data loss", "refeed", "reindex", "restart", "feed", "nothing"]
    return sorted(changes, key=lambda change: (order.index(change.need), change.text))


def write_overrides(
    package: Path,
    overrides: Iterable[str],
    how_long: dt.timedelta = LONGEST,
    today: dt.date | None = None,
) -> tuple[str, ...]:
    """Write validation-overrides.xml into the package, so that a deploy accepts what they allow.

    They end after `how_long`; returns them. Without any the package stays as it is.
    https://docs.vespa.ai/en/reference/applications/validation-overrides.html
    """
    from vespa.package import ApplicationPackage, Validation  # noqa: PLC0415 - few deploys need it

    allowed = tuple(sorted(set(overrides)))
    if not allowed:
        return allowed
    until = ((today or dt.datetime.now(tz=dt.UTC).date()) + how_long).isoformat()
    text = ApplicationPackage(
        name="overrides", validations=[Validation(name, until) for name in allowed]
    ).validations_to_text
    write_whole(package / "validation-overrides.xml", text + "\n")
    return allowed


def needed_overrides(changes: Iterable[Change]) -> set[str]:
    """The validation overrides without which Vespa refuses the changes."""
    return {change.override for change in changes if change.override}


def wanted_overrides(refusal: str) -> tuple[str, ...]:
    """The validation overrides that Vespa names in the refusal of a package."""
    return tuple(dict.fromkeys(_WANTED.findall(refusal)))


def kind_of(override: str) -> Literal["removal", "change"]:
    """Whether it lets something be removed, or changed."""
    return "removal" if override.endswith("-removal") else "change"


def _field_changes(before: SchemaFacts, after: SchemaFacts) -> Iterator[Change]:
    for name in sorted(after.fields.keys() - before.fields.keys()):
        yield Change(
            f"Field {name} is new: documents have no value until they are fed or updated.", "feed"
        )
    for name in sorted(before.fields.keys() - after.fields.keys()):
        yield Change(f"Field {name} is removed, and its values are lost.", "data loss")
    for name in sorted(before.fields.keys() & after.fields.keys()):
        yield from _one_field(before.fields[name], after.fields[name])


def _one_field(old: FieldFacts, new: FieldFacts) -> Iterator[Change]:
    if old.type != new.type:
        yield Change(
            f"Field {new.name} changes its type from {old.type} to {new.type}: its values are "
            "lost, and every document must be fed again.",
            "refeed",
            "field-type-change",
        )
        yield from _hnsw_changes(old, new)
        return
    yield from _indexing_changes(old, new)
    yield from _hnsw_changes(old, new)
    yield from _attribute_changes(old, new)


def _indexing_changes(old: FieldFacts, new: FieldFacts) -> Iterator[Change]:
    tensor = new.type.startswith("tensor")
    if not tensor and _token_facts(old) != _token_facts(new):
        yield Change(
            f"Field {new.name} gets other tokens in its index: Vespa indexes every document "
            "again; until then searches miss some.",
            "reindex",
            "indexing-change",
        )
    if tensor and ("index" in old.steps) != ("index" in new.steps):
        done = "built" if "index" in new.steps else "dropped"
        yield Change(
            f"The HNSW graph of {new.name} is {done} when the content nodes are restarted.",
            "restart",
        )
    if ("attribute" in old.steps) != ("attribute" in new.steps):
        moved = "into" if "attribute" in new.steps else "out of"
        yield Change(f"Field {new.name} moves {moved} memory at a restart.", "restart")
    if ("summary" in old.steps) != ("summary" in new.steps):
        shown = "shown" if "summary" in new.steps else "no longer shown"
        yield Change(f"Field {new.name} is {shown} in results.")


def _token_facts(facts: FieldFacts) -> tuple[object, ...]:
    """What decides the tokens of a text index, and nothing else."""
    unindexed = ("attribute", "summary")
    steps = tuple(step for step in facts.steps if step not in unindexed)
    if "index" not in facts.steps:
        return (steps,)
    return steps, facts.value("stemming"), facts.value("match")


def _hnsw_changes(old: FieldFacts, new: FieldFacts) -> Iterator[Change]:
    both = "index" in old.steps and "index" in new.steps
    metric, links = "attribute distance-metric", "index hnsw max-links-per-node"
    keys = {
        metric: "distance metric",
        links: "number of HNSW links",
        "index hnsw neighbors-to-explore-at-insert": "HNSW exploration at insert",
    }
    for key, words in keys.items():
        if old.value(key) == new.value(key) or not (both or key == metric):
            continue
        rebuilt = both and key in (metric, links)
        rebuild = ", which rebuilds the graph and may take long" if rebuilt else ""
        yield Change(
            f"The {words} of {new.name} changes from {old.value(key)} to {new.value(key)} at a "
            f"restart of the content nodes{rebuild}.",
            "restart",
            "hnsw-settings-change" if rebuilt else None,
        )


def _attribute_changes(old: FieldFacts, new: FieldFacts) -> Iterator[Change]:
    if ("match cased" in old.settings) != ("match cased" in new.settings):
        exactly = "exactly" if "match cased" in new.settings else "whatever its case"
        yield Change(
            f"Field {new.name} is matched {exactly} from a restart of the content nodes on.",
            "restart",
        )
    for setting in ("attribute fast-search", "rank: filter", "attribute paged"):
        if (setting in old.settings) == (setting in new.settings):
            continue
        gained = setting in new.settings
        words = setting.removeprefix("attribute ")
        removed_paging = setting == "attribute paged" and not gained
        fits = ": all its vectors must fit into memory" if removed_paging else ""
        yield Change(
            f"Field {new.name} {'gains' if gained else 'loses'} {words} at a restart of the "
            f"content nodes{fits}.",
            "restart",
            "paged-setting-removal" if removed_paging else None,
        )


def _profile_changes(before: SchemaFacts, after: SchemaFacts) -> Iterator[Change]:
    old, new = before.rank_profiles, after.rank_profiles
    for name in sorted(new.keys() - old.keys()):
        yield Change(f"Rank profile {name} is new.")
    for name in sorted(old.keys() - new.keys()):
        yield Change(f"Rank profile {name} is removed: queries that name it fail.")
    for name in sorted(old.keys() & new.keys()):
        if old[name] != new[name]:
            yield Change(f"Rank profile {name} ranks differently from the deploy on.")


def _service_changes(old: ElementTree.Element, new: ElementTree.Element) -> Iterator[Change]:
    yield from _removed_clusters(old, new)
    yield from _node_changes(old, new)
    before, after = _embedders(old), _embedders(new)
    for name in sorted(after.keys() - before.keys()):
        yield Change(f"Embedder {name} is new.")
    for name in sorted(before.keys() - after.keys()):
        yield Change(f"Embedder {name} is removed: queries that embed with it fail.")
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield Change(f"Embedder {name} has other settings from the deploy on.")


def _removed_clusters(old: ElementTree.Element, new: ElementTree.Element) -> Iterator[Change]:
    kept = {cluster.get("id") for cluster in new.iter("content")}
    for cluster in old.iter("content"):
        if cluster.get("id") not in kept:
            yield Change(
                f"Content cluster {cluster.get('id')} is removed with all its documents.",
                "data loss",
                "content-cluster-removal",
            )
            yield Change("Content nodes are restarted, empty, for the new cluster.", "restart")


def _node_changes(old: ElementTree.Element, new: ElementTree.Element) -> Iterator[Change]:
    facts: dict[str, Callable[[ElementTree.Element], int]] = {
        "content nodes": lambda root: len(root.findall("content//node")),
        "groups": lambda root: max(1, len(root.findall("content//group/group"))),
        "copies of a document": lambda root: int(root.findtext("content/redundancy", "1")),
        "containers": lambda root: len(root.findall("container//node")),
    }
    counts = {name: (count(old), count(new)) for name, count in facts.items()}
    for name, (before, after) in counts.items():
        if before == after:
            continue
        moved = "" if name == "containers" else "; documents are redistributed in the background"
        yield Change(f"From {before} to {after} {name}{moved}.")
    nodes_before, nodes_after = counts["content nodes"]
    if (nodes_before == 1) != (nodes_after == 1) or _aliases(old) - _aliases(new):
        yield Change(
            "Content nodes move to other machines or ports and are restarted; keep the old ones "
            "until the documents have moved.",
            "restart",
        )


def _aliases(root: ElementTree.Element) -> set[str | None]:
    return {node.get("hostalias") for node in root.findall("content//node")}


def _embedders(root: ElementTree.Element) -> dict[str, str]:
    return {
        component.get("id", ""): "\n".join(
            f"{part.tag} {sorted(part.attrib.items())} {(part.text or '').strip()}"
            for part in component
        )
        for component in root.iter("component")
    }
