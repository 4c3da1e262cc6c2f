"""Diagnose a server: version, application, documents, free space.

https://docs.vespa.ai/en/reference/api/state-v1.html and metrics-v2.html
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Literal

from encoders.base.errors import UserError
from ranking.names import CAPTION_VECTORS, role_of
from vespa_app.deploy.config_server import ConfigServer
from vespa_app.engine import VespaEngine
from vespa_app.http.connection import Connection, Credentials
from vespa_app.http.errors import VespaError
from vespa_app.http.reply import as_list, as_number, as_object, reading
from vespa_app.read.application import Application

__all__ = ["MEASURED_VERSION", "Finding", "examine"]

Level = Literal["fine", "notice", "wrong"]

MEASURED_VERSION = "8.700.24"
"""The version that packages and answers of this project were measured with."""

METRICS = "/metrics/v2/values"
ABOVE_LIMIT = "cluster-controller.resource_usage.nodes_above_limit"
USED = {
    "memory": "cluster-controller.resource_usage.max_memory_utilization",
    "disk": "cluster-controller.resource_usage.max_disk_utilization",
}
NEARLY_FULL = 0.7  # Vespa blocks feeding from .75 of a disk and .8 of memory


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `text` says how it is, and what to do where it is wrong."""

    level: Level
    text: str


def examine(
    url: str,
    config_url: str,
    application: Application | None = None,
    credentials: Credentials | None = None,
) -> Iterator[Finding]:
    """Look at the server that answers queries at `url`, and at its config server.

    application: what is deployed, else the config server is asked. Raises EngineError only where
    an address or the credentials cannot be used.
    """
    container = Connection(url, credentials, pool=1)
    server = ConfigServer(config_url, credentials)
    with closing(container):
        yield from _config_server(server, config_url)
        yield from _container(container)
        if application is None:
            try:
                application = server.application()
            except UserError as error:
                yield Finding("wrong", f"{error} Queries were not tried.")
                return
        yield _offers(application)
        with closing(VespaEngine(container, application)) as engine:
            yield from _documents(engine, application)
        yield from _room(container)


def _config_server(server: ConfigServer, url: str) -> Iterator[Finding]:
    try:
        up, version = server.is_up(), server.version()
    except VespaError as error:
        yield Finding("notice", f"The config server did not report it: {error}")
        return
    if not up:
        yield Finding("wrong", f"The config server {url} is starting or not healthy.")
    yield from _version(f"The config server {url}", version)


def _version(who: str, version: str) -> Iterator[Finding]:
    if version == MEASURED_VERSION:
        yield Finding("fine", f"{who} is Vespa {version}, the tested version.")
    else:
        yield Finding(
            "notice",
            f"{who} is Vespa {version}; the tested version is {MEASURED_VERSION}; "
            "docs/vespa-versions.md lists the differences.",
        )


def _container(container: Connection) -> Iterator[Finding]:
    try:
        reply = container.send("GET", "/state/v1/health", seconds=5.0)
    except VespaError as error:
        yield Finding("wrong", str(error))
        return
    if reply.status == 200 and reply.at("status", "code") == "up":
        yield Finding("fine", f"{container.url} is up.")
    else:
        state = reply.at("status", "code") or f"HTTP status {reply.status}"
        yield Finding("wrong", f"{container.url} is not up: {str(state)[:80]!r}.")


def _offers(application: Application) -> Finding:
    encoders = ", ".join(
        f"{each.short} ({each.field.dimension} numbers, "
        f"{'texts embedded there' if each.embedder else 'texts embedded by the client'})"
        for each in application.encoders
    )
    return Finding(
        "fine",
        f"The schema {application.schema} has {len(application.profiles)} rank profiles, "
        f"{application.default_profile} by default; encoders: {encoders or 'none'}.",
    )


def _documents(engine: VespaEngine, application: Application) -> Iterator[Finding]:
    try:
        count, _ = engine.probe(())
    except UserError as error:
        yield Finding("wrong", f"A query for all documents fails: {error}")
        return
    if not count:
        yield Finding("wrong", "There are no documents: feed them (`rocosearch feed`).")
        return
    yield Finding("fine", f"{count:,} documents, all of which are searched.")
    for encoder in application.encoders:
        try:
            stored, held = engine.fingerprint_counts(encoder.field)
        except UserError as error:
            yield Finding("wrong", str(error))
            continue
        said = f"{held:,} of {count:,} documents have a vector of encoder {stored.fingerprint[:8]}"
        if held == count:
            yield Finding("fine", f"{said}.")
        else:
            of_captions = role_of(stored.name) == CAPTION_VECTORS
            lack = "have no caption" if of_captions else "can be found only by text"
            yield Finding("notice", f"{said}; the others {lack}.")


def _room(container: Connection) -> Iterator[Finding]:
    """Whether feeding is blocked, as the cluster controller's metrics have it."""
    try:
        reply = container.send("GET", METRICS, seconds=10.0)
        with reading(reply.address, reply.status):
            values = _metrics(reply.content)
    except VespaError as error:
        yield Finding("notice", f"The feed block state is unknown: {error}")
        return
    above = values.get(ABOVE_LIMIT)
    if above is None:
        yield Finding("notice", f"The feed block state is not in {METRICS} yet: try again later.")
        return
    used = ", ".join(f"{name} {values[key]:.0%}" for name, key in USED.items() if key in values)
    full = max((values[key] for key in USED.values() if key in values), default=0.0)
    if above > 0:
        yield Finding(
            "wrong",
            f"Feeding is blocked: {above:g} content nodes are full ({used}); add nodes, memory or "
            "disk.",
        )
    else:
        level: Level = "notice" if full >= NEARLY_FULL else "fine"
        yield Finding(level, f"Feeding is not blocked; highest usage: {used or 'unknown'}.")


def _metrics(content: object) -> dict[str, float]:
    """The largest value of each metric over all services, without the suffix of its kind."""
    found: dict[str, float] = {}
    for node in as_list(as_object(content, "the answer").get("nodes", []), "nodes"):
        for service in as_list(as_object(node, "a node").get("services", []), "services"):
            for entry in as_list(as_object(service, "a service").get("metrics", []), "metrics"):
                values = as_object(as_object(entry, "an entry").get("values", {}), "values")
                for name, value in values.items():
                    base = name.rpartition(".")[0]
                    found[base] = max(found.get(base, 0.0), as_number(value, name))
    return found
