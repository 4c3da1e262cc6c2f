"""The cosine and its `scale` in a profile, taken from the encoder.

A CLIP is trained to make `scale` x cosine the logarithm of how much likelier an image is beside
a text than beside any (InfoNCE: van den Oord et al. 2018, section 2.3, equation 4); BM25 comes
from log-odds of relevance as well (Robertson and Zaragoza 2009, section 3.4). So both can be
added as they are, where `scale` is the one that this encoder learned.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from ranking.distances import COSINES, Distance
from ranking.profiles.profile import Profile
from ranking.profiles.set import ProfileSet

__all__ = ["COSINE", "SCALE", "START_SCALE", "in_metric", "scaled", "with_scale"]

START_SCALE = 1 / 0.07
"""What CLIP's training starts from (Radford et al. 2021, section 2.5)."""

SCALE = "scale"
"""The input that says what a cosine is multiplied by to be evidence, in nats."""

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
    """Return a resolved profile whose shipped `cosine` is the one of this distance."""
    functions = {
        signature: COSINES[distance] if text == COSINE else text
        for signature, text in profile.functions.items()
    }
    return replace(profile, functions=functions)
