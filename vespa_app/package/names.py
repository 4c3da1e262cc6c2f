"""Names shared by the files, readers and clients of a package."""

from __future__ import annotations

__all__ = [
    "ANN_DEFAULTS",
    "ANN_TIMEOUT",
    "BASE",
    "OWN_FIELD",
    "SCHEMA_NAME",
    "THRESHOLDS",
    "fingerprint_key",
]

SCHEMA_NAME = "image"

BASE = "base"
"""The rank profile that all others inherit."""

# How Vespa's config server spells the thresholds of a rank profile in rank-profiles.cfg; pyvespa
# has no words for the statements, but properties pass as they are.
# config-model, com.yahoo.schema.derived.RawRankProfile
THRESHOLDS = {
    "approximate": "vespa.matching.global_filter.lower_limit",
    "post_filter": "vespa.matching.global_filter.upper_limit",
    "filter_first": "vespa.matching.nns.filter_first_upper_limit",
    "filter_first_exploration": "vespa.matching.nns.filter_first_exploration",
    "target_hits_max_adjustment": "vespa.matching.nns.target_hits_max_adjustment_factor",
}

ANN_DEFAULTS = {
    "approximate": 0.02,
    "post_filter": 1.0,
    "filter_first": 0.2,
    "filter_first_exploration": 0.01,
}
"""Thresholds of Vespa 8.700.24, written out so that a newer Vespa searches as it did."""

ANN_TIMEOUT = "vespa.matching.nns.anntimeout.enable"
"""From June 2026 on Vespa ends an HNSW search early by default (vespa-engine/vespa#37231); which
documents are found would then depend on how busy a node is."""


def fingerprint_key(short: str) -> str:
    """The name under which the default query profile holds an encoder's whole fingerprint."""
    return f"rocosearch.fingerprint_{short}"


OWN_FIELD = "rocosearch.field_"
"""Before a name: where the default query profile tells the type of a field of one's own."""
