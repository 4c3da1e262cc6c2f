"""Names that a package's files, its readers and its clients share."""

from __future__ import annotations

__all__ = ["BASE", "SCHEMA_NAME", "THRESHOLDS", "fingerprint_key"]

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


def fingerprint_key(short: str) -> str:
    """The name under which the default query profile holds an encoder's whole fingerprint."""
    return f"rocosearch.fingerprint_{short}"
