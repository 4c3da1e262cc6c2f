"""Training in several processes, one per GPU, started by `accelerate launch`.

    accelerate launch --num_processes 4 -m rocosearch train CORPUS OUT

A process alone is a team of one, to which everything here is a matter of course. Only processes
of one machine, or of machines that share the folder of the encoder, can be a team.
https://huggingface.co/docs/accelerate/package_reference/utilities
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from encoders.base.errors import UserError
from encoders.model.clip import pick_device

__all__ = ["Team", "TeamError", "join_team", "leads"]


class TeamError(UserError):
    """The processes cannot train together."""


@dataclass(frozen=True)
class Team:
    """The number of this process, `rank` of `size`, and the device it computes on."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process writes, validates and tells for all."""
        return self.rank == 0

    def share(self, count: int) -> slice:
        """Which of `count` things, a multiple of the team's size, are this process's."""
        part = count // self.size
        return slice(self.rank * part, (self.rank + 1) * part)

    def gather(self, part: Tensor) -> Tensor:
        """[N, ...] of each process to [size * N, ...], in the order of ranks; no gradients."""
        if self.size == 1:
            return part
        from accelerate.utils import gather  # type: ignore[import-untyped]  # noqa: PLC0415

        whole: Tensor = gather(part.contiguous())
        return whole

    def add_up(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its sum over the processes."""
        if self.size == 1:
            return
        from accelerate.utils import reduce  # noqa: PLC0415

        parts = list(tensors)
        flat = torch.cat([part.reshape(-1) for part in parts])
        summed: Tensor = reduce(flat, reduction="sum")
        for part, total in zip(parts, torch.split(summed, [p.numel() for p in parts]), strict=True):
            part.copy_(total.view_as(part))

    def agree(self, values: Sequence[float]) -> list[float]:
        """The leader's numbers, whatever the others have: clocks and scores differ by a hair."""
        if self.size == 1:
            return list(values)
        from accelerate.utils import broadcast  # noqa: PLC0415

        told = torch.tensor(values, dtype=torch.float32, device=self.device)
        agreed: Tensor = broadcast(told)
        return [float(value) for value in agreed]

    def wait(self) -> None:
        """Go on when all have come here."""
        self.agree([0.0])


def leads() -> bool:
    """Whether this process speaks for its team, before the team is formed."""
    return int(os.environ.get("RANK", "0")) == 0


def join_team(device: str) -> Team:
    """The team that this process was started in, or a team of one.

    Raises TeamError if accelerate is not installed, or a GPU was named for several processes,
    DeviceError for a device that is not there.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Team(pick_device(device))
    if device not in ("auto", "cpu"):
        raise TeamError(
            f"Several processes cannot all train on {device!r}: leave --device at auto, so that "
            "each process uses its own GPU."
        )
    try:
        from accelerate import PartialState  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError:
        raise TeamError(
            "Training in several processes needs accelerate: pip install accelerate."
        ) from None
    state = PartialState(cpu=device == "cpu" or not torch.cuda.is_available())
    return Team(state.device, state.process_index, state.num_processes)
