"""Write rank profiles into a Vespa schema.

Every profile is written once for each encoder (`hybrid_1a2b3c4d`); its plain name (`hybrid`)
inherits the current encoder's. Profiles that use no vector are written once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

from vespa.package import (
    FirstPhaseRanking,
    Function,
    GlobalPhaseRanking,
    RankProfile,
    SecondPhaseRanking,
)

from encoders.inference.reranker import RerankerManifest
from encoders.model.manifest import Manifest
from ranking.distances import Distance
from ranking.expressions.deployed import for_vespa
from ranking.names import CAPTION_VECTORS, EncoderNames, encoder_names
from ranking.profiles.cosine import in_metric, scaled
from ranking.profiles.shipped import Phase, Profile, ProfileSet
from vespa_app.package.names import ANN_DEFAULTS, ANN_TIMEOUT, BASE, THRESHOLDS
from vespa_app.package.options import AnnThresholds, PackageError

__all__ = ["vespa_rank_profiles"]

# MaxSim as tensors, as a server was seen to compute it; Vespa knows no shorter form.
_MAX_SIM = re.compile(r"max_sim\((\w+),(\w+)\)")
_TENSORS = r"sum(reduce(sum(query(\1) * cell_cast(attribute(\2), float), x), max, patch), token)"
_RERANK = re.compile(r"rerank\(q_tokens_(\w+),\w+\)")
_MOST_WHOLE = 2.0**63  # from here on Vespa reads a whole number with a point only
Ranking = TypeVar("Ranking", SecondPhaseRanking, GlobalPhaseRanking)


def vespa_rank_profiles(
    profiles: ProfileSet,
    encoders: Sequence[Manifest],
    average_field_lengths: Mapping[str, float] | None,
    ann: AnnThresholds,
    distance: Distance = "prenormalized-angular",
    rerankers: Sequence[RerankerManifest] = (),
    captions: Manifest | None = None,
) -> list[RankProfile]:
    """Rank profiles for the schema; the first encoder is the current one.

    average_field_lengths: mean length in tokens by text field, for bm25; what is not named is left
    to each content node. Without encoders, only profiles that need no vector. distance: how
    vectors are compared. rerankers: of the encoders, where a profile asks them. captions: of the
    encoder of captions, where it is another one.

    Raises PackageError for a profile that Vespa would take but get wrong.
    """
    _check_names(profiles)
    of_captions = captions.fingerprint if captions else ""
    names = [encoder_names(manifest.fingerprint, of_captions) for manifest in encoders]
    bases = {short.short: f"{BASE}_{short.short}" for short in names}
    properties = [*_bm25_properties(average_field_lengths or {}), *_ann_properties(ann)]
    late = any(profiles.resolve(name).late for name in profiles.names())
    written = [RankProfile(name=BASE, rank_properties=properties or None)]
    written += [
        RankProfile(
            name=bases[own.short],
            inherits=BASE,
            inputs=[
                *(
                    (f"query({name})", f"tensor<float>(x[{each.dimension}])")
                    for name, each in {
                        own.query: manifest,
                        own.query_of(CAPTION_VECTORS): captions or manifest,
                    }.items()
                ),
                *(
                    [(f"query({own.tokens})", f"tensor<float>(token{{}},x[{manifest.dimension}])")]
                    if late
                    else []
                ),
            ],
            functions=[
                function
                for reranker in rerankers
                if reranker.encoder == manifest.fingerprint
                for function in _reranker_inputs(own, reranker)
            ]
            or None,
        )
        for own, manifest in zip(names, encoders, strict=True)
    ]
    resolved = tuple(in_metric(profiles.resolve(name), distance) for name in profiles.names())
    scales = {
        own.short: manifest.logit_scale for own, manifest in zip(names, encoders, strict=True)
    }
    for profile in ProfileSet(resolved, profiles.default).side_by_side(names).profiles:
        if profile.inherits:
            written.append(RankProfile(name=profile.name, inherits=profile.inherits))
        else:
            short = profile.name.rpartition("_")[2]
            own = scaled(profile, scales.get(short, 0.0), instead_of=scales.values())
            written.append(_rank_profile(_in_vespas_words(own), bases.get(short, BASE)))
    return written


def _reranker_inputs(names: EncoderNames, reranker: RerankerManifest) -> list[Function]:
    """Labelled vectors as the dense tensors that the model takes: 0 where a label is missing."""
    size = reranker.dimension
    sources = {
        "tokens": (reranker.tokens, f"query({names.tokens}){{token:(d1),x:(d2)}}"),
        "patches": (
            reranker.patches,
            f"attribute({names.field('patches')}){{patch:(d1),x:(d2)}}",
        ),
    }
    return [
        Function(names.reranker_input(side), f"tensor<float>(d0[1],d1[{n}],d2[{size}])({source})")
        for side, (n, source) in sources.items()
    ]


def _check_names(profiles: ProfileSet) -> None:
    for name in profiles.names():
        if name == BASE or name.startswith(f"{BASE}_"):
            raise PackageError(
                f"A rank profile cannot be called {name}: the schema's own profiles are called "
                f"{BASE}. Give it another name."
            )


def _in_vespas_words(profile: Profile) -> Profile:
    """The profile with expressions that Vespa computes as we do."""

    def written(text: str) -> str:
        deployed = for_vespa(text, profile.functions)
        return _RERANK.sub(r"sum(onnx(reranker_\1).score)", _MAX_SIM.sub(_TENSORS, deployed))

    def phase(old: Phase | None) -> Phase | None:
        return old and replace(old, expression=written(old.expression))

    return replace(
        profile,
        first_phase=written(profile.first_phase),
        second_phase=phase(profile.second_phase),
        global_phase=phase(profile.global_phase),
        functions={s: written(text) for s, text in profile.functions.items() if "(" not in s},
    )


def _rank_profile(profile: Profile, inherits: str) -> RankProfile:
    return RankProfile(
        name=profile.name,
        inherits=inherits,
        inputs=[
            (f"query({key})", "double", _number(value, f"query({key})", profile))
            for key, value in profile.inputs.items()
        ]
        or None,
        functions=[
            Function(name=name, expression=text) for name, text in profile.functions.items()
        ],
        first_phase=FirstPhaseRanking(expression=profile.first_phase),
        second_phase=_phase(SecondPhaseRanking, profile.second_phase, profile),
        global_phase=_phase(GlobalPhaseRanking, profile.global_phase, profile),
        match_features=list(profile.match_features) or None,
    )


def _phase(kind: type[Ranking], phase: Phase | None, profile: Profile) -> Ranking | None:
    if phase is None:
        return None
    if phase.rerank_count < 1:
        raise PackageError(
            f"Rank profile {profile.name!r} reranks {phase.rerank_count} hits, which Vespa would "
            "accept silently: give a rerank count of at least 1."
        )
    return kind(phase.expression, rerank_count=phase.rerank_count)


def _number(value: float, what: str, profile: Profile) -> str:
    """Without an exponent, which Vespa's schema parser does not read in the default of an input."""
    if not math.isfinite(value):
        raise PackageError(f"Rank profile {profile.name!r}: the default of {what} is {value}.")
    text = format(Decimal(repr(float(value))), "f")
    return f"{text}.0" if abs(value) >= _MOST_WHOLE else text


def _bm25_properties(average_field_lengths: Mapping[str, float]) -> list[tuple[str, str]]:
    for text, length in average_field_lengths.items():
        if not (math.isfinite(length) and length >= 0):
            raise PackageError(f"The mean length of {text} is {length}; bm25 needs 0 or more.")
    return [
        (f"bm25({text}).averageFieldLength", repr(float(length)))
        for text, length in average_field_lengths.items()
        if length  # no document has it
    ]


def _ann_properties(ann: AnnThresholds) -> list[tuple[str, str]]:
    chosen = {name: getattr(ann, name) for name in THRESHOLDS}
    values = ANN_DEFAULTS | {name: value for name, value in chosen.items() if value is not None}
    written = [(THRESHOLDS[n], format(Decimal(repr(float(v))), "f")) for n, v in values.items()]
    return [*written, (ANN_TIMEOUT, "false")]
