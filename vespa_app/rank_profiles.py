"""Rank profiles of `ranking` as rank profiles of a Vespa schema.

Every profile is written once for each encoder (`hybrid_1a2b3c4d`); its plain name (`hybrid`)
inherits the current encoder's. Profiles that use no vector are written once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TypeVar

from vespa.package import (
    FirstPhaseRanking,
    Function,
    GlobalPhaseRanking,
    RankProfile,
    SecondPhaseRanking,
)

from encoders.manifest import Manifest
from ranking.names import encoder_names
from ranking.profiles import Phase, Profile, ProfileSet
from vespa_app.options import AnnThresholds, PackageError

__all__ = ["profile_name", "vespa_rank_profiles"]

BASE = "base"
Ranking = TypeVar("Ranking", SecondPhaseRanking, GlobalPhaseRanking)

# How Vespa's config server spells the thresholds of a rank profile in rank-profiles.cfg; pyvespa
# has no words for the statements, but properties pass as they are.
# config-model, com.yahoo.schema.derived.RawRankProfile
_THRESHOLDS = {
    "approximate": "vespa.matching.global_filter.lower_limit",
    "post_filter": "vespa.matching.global_filter.upper_limit",
    "filter_first": "vespa.matching.nns.filter_first_upper_limit",
    "filter_first_exploration": "vespa.matching.nns.filter_first_exploration",
    "target_hits_max_adjustment": "vespa.matching.nns.target_hits_max_adjustment_factor",
}


def profile_name(profile: str, manifest: Manifest) -> str:
    """The name of a profile for one encoder."""
    return f"{profile}_{encoder_names(manifest.fingerprint).short}"


def vespa_rank_profiles(
    profiles: ProfileSet,
    encoders: Sequence[Manifest],
    average_field_length: float | None,
    ann: AnnThresholds,
) -> list[RankProfile]:
    """Rank profiles for the schema; the first encoder is the current one.

    average_field_length: mean caption length in tokens for bm25; None leaves it to each content
    node. Without encoders, only profiles that need no vector.
    """
    properties = [*_bm25_properties(average_field_length), *_ann_properties(ann)]
    written = [RankProfile(name=BASE, rank_properties=properties or None)]
    resolved = [profiles.resolve(name) for name in profiles.names()]
    written += [_rank_profile(p, p.name, BASE) for p in resolved if not p.uses_vector]
    for manifest in encoders:
        written += _encoder_profiles(profiles, resolved, manifest)
    if encoders:
        written += [
            RankProfile(name=p.name, inherits=profile_name(p.name, encoders[0]))
            for p in resolved
            if p.uses_vector
        ]
    return written


def _encoder_profiles(
    profiles: ProfileSet, resolved: Iterable[Profile], manifest: Manifest
) -> list[RankProfile]:
    names = encoder_names(manifest.fingerprint)
    base = profile_name(BASE, manifest)
    tensor = f"tensor<float>(x[{manifest.dimension}])"
    own = profiles.instantiate(names)
    return [
        RankProfile(name=base, inherits=BASE, inputs=[(f"query({names.query})", tensor)]),
        *(
            _rank_profile(own.resolve(p.name), profile_name(p.name, manifest), base)
            for p in resolved
            if p.uses_vector
        ),
    ]


def _rank_profile(profile: Profile, name: str, inherits: str) -> RankProfile:
    if not profile.first_phase:
        raise PackageError(f"Rank profile {profile.name!r} has no first phase.")
    return RankProfile(
        name=name,
        inherits=inherits,
        inputs=[
            (f"query({key})", "double", _number(value, f"query({key})", profile))
            for key, value in profile.inputs.items()
        ]
        or None,
        functions=[_function(signature, text) for signature, text in profile.functions.items()],
        first_phase=FirstPhaseRanking(expression=profile.first_phase),
        second_phase=_phase(SecondPhaseRanking, profile.second_phase, profile),
        global_phase=_phase(GlobalPhaseRanking, profile.global_phase, profile),
        match_features=list(profile.match_features) or None,
    )


def _function(signature: str, expression: str) -> Function:
    name, _, arguments = signature.partition("(")
    args = [a.strip() for a in arguments.rstrip(") ").split(",") if a.strip()]
    return Function(name=name.strip(), expression=expression, args=args or None)


def _phase(kind: type[Ranking], phase: Phase | None, profile: Profile) -> Ranking | None:
    if phase is None:
        return None
    if phase.rerank_count < 1:
        raise PackageError(
            f"Rank profile {profile.name!r} reranks {phase.rerank_count} hits, which Vespa takes "
            "without a word: give a rerank count of at least 1."
        )
    return kind(phase.expression, rerank_count=phase.rerank_count)


def _number(value: float, what: str, profile: Profile) -> str:
    """Without an exponent, which Vespa's schema parser does not read in the default of an input."""
    if not math.isfinite(value):
        raise PackageError(f"Rank profile {profile.name!r}: the default of {what} is {value}.")
    return format(Decimal(repr(float(value))), "f")


def _bm25_properties(average_field_length: float | None) -> list[tuple[str, str]]:
    if average_field_length is None:
        return []
    if not (math.isfinite(average_field_length) and average_field_length > 0):
        raise PackageError(
            f"The mean caption length is {average_field_length}; bm25 needs a number above 0."
        )
    return [("bm25(caption).averageFieldLength", repr(float(average_field_length)))]


def _ann_properties(ann: AnnThresholds) -> list[tuple[str, str]]:
    values = {name: getattr(ann, name) for name in _THRESHOLDS}
    return [
        (_THRESHOLDS[name], format(Decimal(repr(float(value))), "f"))
        for name, value in values.items()
        if value is not None
    ]
