"""The cosine and its `scale` in a profile, taken from the encoder.

A CLIP is trained to make `scale` x cosine the logarithm of how much likelier an image is beside
a text than beside any (InfoNCE: van den Oord et al. 2018, section 2.3, equation 4); BM25 comes
from log-odds of relevance as well (Robertson and Zaragoza 2009, section 3.4). So both can be
added as they are, where `scale` is the one that this encoder learned.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from ranking.profiles.profile import Profile
from ranking.profiles.set import ProfileSet
from ranking.types import Distance

__all__ = ["COSINE", "COSINES", "SCALE", "START_SCALE", "in_metric", "scaled", "with_scale"]

START_SCALE = 1 / 0.07
"""What CLIP's training starts from (Radford et al. 2021, section 2.5)."""

SCALE = "scale"
"""The input that says what a cosine is multiplied by to be evidence, in nats."""

_CLOSENESS = "closeness(field, embedding)"

# 0 where there is nothing to compare: closeness is then 0, and one divided by it infinite.
COSINES: Mapping[Distance, str] = {
    "prenormalized-angular": f"max(0, 2 - 1 / {_CLOSENESS})",
    "angular": f"if ({_CLOSENESS} > 0, max(0, cos(1 / {_CLOSENESS} - 1)), 0)",
    "euclidean": f"max(0, 1 - 0.5 * (1 / {_CLOSENESS} - 1) * (1 / {_CLOSENESS} - 1))",
    "dotproduct": f"max(0, {_CLOSENESS})",
}
"""The cosine of unit vectors, 0 for what points away, read back from closeness = 1 / (1 + d)."""

COSINE = COSINES["prenormalized-angular"]


def with_scale(
    profiles: ProfileSet, scale: float, instead_of: Collection[float] = ()
) -> ProfileSet:
    """Return the profiles with an encoder's own scale; one that a person chose is kept.

    scale: 0 where the encoder does not tell. instead_of: scales of other encoders, which are
    replaced as CLIP's starting scale is.
    """
    return profiles.replaced(scaled(each, scale, instead_of) for each in profiles.profiles)


def scaled(profile: Profile, scale: float, instead_of: Collection[float] = ()) -> Profile:
    """The same for one profile."""
    if not scale or profile.inputs.get(SCALE) not in {START_SCALE, *instead_of}:
        return profile
    return replace(profile, inputs={**profile.inputs, SCALE: scale})


def in_metric(profile: Profile, distance: Distance) -> Profile:
    """Return a resolved profile whose shipped `cosine` is that of vectors compared by `distance`.

    Hamming distance has no cosine: there it reads as it would by angle.
    """
    wanted = COSINES.get(distance, COSINE)
    functions = {
        signature: wanted if text == COSINE else text
        for signature, text in profile.functions.items()
    }
    return replace(profile, functions=functions)
