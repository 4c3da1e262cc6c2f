"""Which preset training takes where none is named, and why."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from encoders.published.towers import pretrained_installed

__all__ = ["Choice", "choose_preset"]

GIVEN = ("start", "image_tower", "text_tower")


class Choice(NamedTuple):
    """The name of a preset, and a sentence for a person."""

    name: str
    reason: str


def choose_preset(changes: Mapping[str, object]) -> Choice:
    """The preset for a run with these settings of its own."""
    if any(changes.get(name) for name in GIVEN):
        return Choice("tiny", "preset tiny, for the recipe only: the towers named are taken")
    if pretrained_installed():
        return Choice(
            "adapter",
            "preset adapter: published towers are installed, and on few pairs they find far more "
            "than towers trained from scratch (--preset tiny)",
        )
    return Choice(
        "tiny",
        "preset tiny, from scratch; --preset adapter finds far more on few pairs, after "
        "pip install 'rocosearch[pretrained]'",
    )
