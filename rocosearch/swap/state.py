"""State of a swap, in one file that is replaced after each step."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal, get_args

from encoders.base.errors import UserError, plain_reason, readable
from encoders.base.storage import locked, write_whole

__all__ = ["FILE_NAME", "STAGES", "Stage", "SwapError", "SwapState", "new_state", "working"]

Stage = Literal["starting", "started", "backfilled", "shadowed", "switched"]
STAGES: tuple[Stage, ...] = get_args(Stage)

FILE_NAME = "swap.json"
FORMAT = 1


class SwapError(UserError):
    """The step is not possible now, or its checks failed."""


@dataclass(frozen=True)
class SwapState:
    """One swap.

    old, new: fingerprints. index, corpus, encoder: folders; encoder is the new one's. index_id: of
    the index as it was at the start.
    server: addresses, for a swap on Vespa. passed: the verdict of `shadow`, None before it.
    """

    old: str
    new: str
    index: str
    corpus: str
    encoder: str
    server: Mapping[str, str] = field(default_factory=dict)
    stage: Stage = "starting"
    passed: bool | None = None
    index_id: str = ""
    format: int = FORMAT

    def save(self, folder: Path) -> None:
        """Write it into the swap's folder."""
        write_whole(folder / FILE_NAME, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def load(cls, folder: Path) -> SwapState:
        """Read the swap in `folder`. Raises SwapError if there is none, or if it is damaged."""
        path = folder / FILE_NAME
        try:
            with readable(path, SwapError):
                content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] == FORMAT and content["stage"] in STAGES:
                return cls(**content)
        except FileNotFoundError:
            raise SwapError(
                f"No swap is in progress in {folder}: start one with `rocosearch swap start`."
            ) from None
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise SwapError(f"{path} cannot be read ({plain_reason(error)}).") from None
        raise SwapError(f"{path} was written by another version, or by hand.")


def new_state(
    encoders: tuple[str, str],
    index: Path,
    corpus: Path,
    encoder: Path,
    server: Mapping[str, str] | None = None,
) -> SwapState:
    """The state before the first step; encoders: fingerprints of the old and the new one."""
    return SwapState(
        *encoders,
        index=str(index.resolve()),
        corpus=str(corpus.resolve()),
        encoder=str(encoder.resolve()),
        server=server or {},
    )


def working(folder: Path) -> AbstractContextManager[None]:
    """Keep other processes from working on the same swap.

    Raises SwapError if another process does.
    """
    return locked(
        folder,
        SwapError(f"Another process is working on the swap in {folder}: wait for it to end."),
    )
