"""Read the options back from an existing package.

Whoever adds to a running application (a swap of encoders) must keep what was chosen for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from vespa_app.package.names import ANN_DEFAULTS, BASE, SCHEMA_NAME, THRESHOLDS
from vespa_app.package.options import (
    AnnThresholds,
    ClusterOptions,
    PackageError,
    PackageOptions,
    VectorOptions,
)
from vespa_app.read.application import QUERY_PROFILES, query_profile_fields, read_application
from vespa_app.read.schema_file import FieldFacts, SchemaFacts, read_schema
from vespa_app.read.xml_file import read_xml

__all__ = ["Written", "differences", "read_written"]

_PROPERTY = re.compile(r'rank-properties (.+): "?([^"]+)"?')
_AVERAGE = re.compile(r"bm25\((\w+)\)\.averageFieldLength")
_GRAPH = "index hnsw "


@dataclass(frozen=True)
class Written:
    """How a package was written: its options, and the mean text lengths that are fixed in it."""

    options: PackageOptions
    average_field_lengths: Mapping[str, float]


def read_written(package: Path) -> Written:
    """Read the options of the package in this folder.

    Of a lexical application those of vectors are the defaults. Raises PackageError if the
    folder is no package, or its hosts have names that no pattern gives.
    """
    facts = read_schema(package)
    application = read_application(package)
    properties = dict(_properties(facts))
    averages = {m[1]: float(v) for n, v in properties.items() if (m := _AVERAGE.fullmatch(n))}
    vectors = VectorOptions()
    if application.encoders:
        vectors = _vector_options(facts.fields[application.encoders[0].field.name])
    embeds = any(encoder.embedder for encoder in application.encoders)
    thresholds = {n: float(properties[p]) for n, p in THRESHOLDS.items() if p in properties}
    chosen = {n: value for n, value in thresholds.items() if value != ANN_DEFAULTS.get(n)}
    timeout = query_profile_fields(package / QUERY_PROFILES / "default.xml").get("timeout", "5s")
    options = PackageOptions(
        embedding="vespa" if embeds or not application.encoders else "client",
        vectors=vectors,
        ann=AnnThresholds(**chosen),
        cluster=_cluster_options(package),
        summaries=facts.summaries,
        timeout=float(timeout.removesuffix("s")),
        attributes=application.attributes,
    )
    return Written(options, averages)


def differences(running: Path, written: Path) -> list[str]:
    """What the services, hosts and query profiles of `running` have otherwise than `written`."""
    return [
        f"{name}: {fact} is only in {side}."
        for name in sorted(_xml_files(running) | _xml_files(written))
        for side, fact in _only_in_one(running / name, written / name)
    ]


def _only_in_one(running: Path, written: Path) -> Iterator[tuple[str, str]]:
    there, here = set(_facts(running)), set(_facts(written))
    yield from (("the running application", fact) for fact in sorted(there - here))
    yield from (("the new package", fact) for fact in sorted(here - there))


def _xml_files(package: Path) -> set[str]:
    profiles = {str(p.relative_to(package)) for p in (package / QUERY_PROFILES).glob("*.xml")}
    return profiles | {name for name in ("services.xml", "hosts.xml") if (package / name).exists()}


def _facts(path: Path) -> Iterator[str]:
    """Each element with its place, attributes and text: what counts, however it is laid out."""
    if not path.exists():
        return
    waiting = [("", read_xml(path))]
    while waiting:
        place, element = waiting.pop()
        attributes = "".join(f" {k}={v!r}" for k, v in sorted(element.attrib.items()))
        here = f"{place}<{element.tag}{attributes}>"
        yield f"{here}{(element.text or '').strip()}"
        waiting += [(here, child) for child in element]


def _properties(facts: SchemaFacts) -> Iterator[tuple[str, str]]:
    for setting in facts.rank_profiles.get(BASE, ()):
        match = _PROPERTY.fullmatch(setting)
        if match:
            yield match[1], match[2]


def _vector_options(field: FieldFacts) -> VectorOptions:
    values = {
        "cell_type": field.type.removeprefix("tensor<").partition(">")[0],
        "distance": field.value("attribute distance-metric"),
    }
    defaults = VectorOptions()
    return VectorOptions(
        **{name: value for name, value in values.items() if value},  # type: ignore[arg-type]
        hnsw="index" in field.steps,
        links=int(field.value(f"{_GRAPH}max-links-per-node") or defaults.links),
        explore_at_insert=int(
            field.value(f"{_GRAPH}neighbors-to-explore-at-insert") or defaults.explore_at_insert
        ),
        paged="attribute paged" in field.settings,
    )


def _cluster_options(package: Path) -> ClusterOptions:
    root = read_xml(package / "services.xml")
    content = next((c for c in root.iter("content") if _holds_images(c)), None)
    if content is None:
        raise PackageError(f"{package} has no content cluster for {SCHEMA_NAME}.")
    threads = content.findtext("engine/proton/tuning/searchnode/requestthreads/persearch")
    limits = {n: content.findtext(f"tuning/resource-limits/{n}") for n in ("disk", "memory")}
    return ClusterOptions(
        nodes=len(list(content.iter("node"))),
        groups=max(1, len(content.findall("group/group"))),
        redundancy=int(content.findtext("redundancy", "1")),
        containers=len(root.findall("container/nodes/node")) or 1,
        config_servers=len(root.findall("admin/configservers/configserver")) or 1,
        host=_host_pattern(package / "hosts.xml"),
        threads=int(threads) if threads else None,
        disk_limit=float(limits["disk"]) if limits["disk"] else None,
        memory_limit=float(limits["memory"]) if limits["memory"] else None,
    )


def _holds_images(content: ElementTree.Element) -> bool:
    return any(each.get("type") == SCHEMA_NAME for each in content.iter("document"))


def _host_pattern(path: Path) -> str:
    """The pattern that gives all the hosts' names from their aliases (content0, config2 ...)."""
    if not path.exists():
        return ClusterOptions().host
    hosts = [
        (host.findtext("alias", ""), host.get("name", "")) for host in read_xml(path).iter("host")
    ]
    for pattern in _patterns(*hosts[0]):
        if all(_name(pattern, alias) == name for alias, name in hosts):
            return pattern
    raise PackageError(f"The hosts in {path} have names without a common pattern.")


def _patterns(alias: str, name: str) -> Sequence[str]:
    """Every way in which role and number of `alias` may stand in `name`."""
    role, number = _role_and_number(alias)
    halves = [(name[: m.start()], name[m.end() :]) for m in re.finditer(re.escape(role), name)]
    found = []
    for before, after in halves:
        found += [
            f"{before}{{role}}{after[: m.start()]}{{number}}{after[m.end() :]}"
            for m in re.finditer(number, after)
        ]
        found += [
            f"{before[: m.start()]}{{number}}{before[m.end() :]}{{role}}{after}"
            for m in re.finditer(number, before)
        ]
    return found


def _name(pattern: str, alias: str) -> str:
    role, number = _role_and_number(alias)
    return pattern.replace("{role}", role).replace("{number}", number)


def _role_and_number(alias: str) -> tuple[str, str]:
    match = re.fullmatch(r"(\D+)(\d+)", alias)
    return (match[1], match[2]) if match else (alias, "")
