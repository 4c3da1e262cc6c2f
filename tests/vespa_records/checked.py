"""A recorded line as it must be before it is compared; anything else is skipped by its reason.

Everything that can be odd about a record is told here, so that an exception in what follows is a
fault of this project and never hides behind a record.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tests.vespa_records.parts import Skipped

__all__ = ["check_record", "finite_number", "whole_number"]

_COUNTS = {"hits": 0, "offset": 0, "ranking.globalPhase.rerankCount": 1}


def check_record(record: object, documents: int) -> None:
    """Raise Skipped unless the line is a whole answer, over `documents` documents on one node."""
    if not isinstance(record, dict):
        raise _malformed(f"{type(record).__name__}, not an object")
    _check_answer(record, documents)
    _check_request(record)
    _check_hits(record)


def finite_number(value: object, name: str) -> float:
    """A parameter that counts; raises Skipped."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        raise Skipped(f"{name} is {_shown(value)}") from None
    if not math.isfinite(number):
        raise Skipped(f"{name} is {number}")
    return number


def whole_number(value: object, name: str, least: int = 0) -> int:
    """A parameter that counts in whole numbers from `least` on; raises Skipped."""
    number = finite_number(value, name)
    if number < least or number != int(number):
        raise Skipped(f"{name} is {_shown(value)}")
    return int(number)


def _check_answer(record: Mapping[str, Any], documents: int) -> None:
    if record.get("status", 200) != 200:
        raise Skipped(f"Vespa answered {record['status']}")
    if record.get("errors"):
        raise Skipped("Vespa answered with an error beside the hits")
    coverage = record.get("coverage")
    if not isinstance(coverage, dict):
        return  # nothing is said against it
    if not coverage.get("full", True) or coverage.get("degraded"):
        raise Skipped(f"coverage of {coverage.get('coverage')} %")
    if coverage.get("nodes", 1) != 1:
        raise Skipped(f"{coverage['nodes']} content nodes: each has statistics of its own")
    if coverage.get("documents", documents) != documents:
        raise Skipped(f"{coverage['documents']} documents there, {documents} here")


def _check_request(record: Mapping[str, Any]) -> None:
    request = record.get("request")
    if not isinstance(request, dict):
        raise _malformed("no request")
    if not isinstance(request.get("yql"), str):
        raise _malformed("no yql")
    for name in ("text", "query"):
        if not isinstance(request.get(name, ""), str):
            raise _malformed(f"{name} is no string")
    if not isinstance(request.get("ranking", ""), str):
        raise _malformed("ranking is no string")
    for name, least in _COUNTS.items():
        if name in request:
            whole_number(request[name], name, least)


def _check_hits(record: Mapping[str, Any]) -> None:
    hits, features = record.get("hits"), record.get("features") or []
    if not isinstance(hits, list) or not isinstance(features, list):
        raise _malformed("no list of hits")
    if not isinstance(record.get("total"), int):
        raise _malformed("no total")
    for hit in hits:
        if not isinstance(hit, list) or len(hit) != 2 + len(features):
            raise _malformed(f"a hit is not an id, a relevance and {len(features)} features")
        labels = [name.startswith("closest(") for name in features]
        numbers = [value for value, label in zip(hit[2:], labels, strict=True) if not label]
        if None in numbers:
            raise Skipped(f"{features[hit[2:].index(None)]}: a value that is missing")
        if not isinstance(hit[0], str) or not _numbers([hit[1], *numbers]):
            raise _malformed(f"a hit reads {_shown(hit)}")


def _numbers(values: Sequence[object]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _malformed(why: str) -> Skipped:
    return Skipped(f"malformed record: {why}")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
