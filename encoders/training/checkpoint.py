"""The state of a training run in one file, written atomically.

Tensors and counters share one safetensors file (the counters as its metadata), so that they
cannot disagree. Nothing is pickled. There is no state of random generators to keep: every draw
of a step follows from the seed and the number of the step (`step_generator`).
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from encoders.base.errors import UserError, plain_reason, readable
from encoders.base.storage import LOCK, locked, whole_file

__all__ = [
    "Clock",
    "Counters",
    "ResumeError",
    "TrainingError",
    "drawn",
    "hidden_folder",
    "load_state",
    "save_state",
    "step_generator",
    "work_folder",
]

FILE_NAME = "state.safetensors"


class TrainingError(UserError):
    """There is nothing to train on, the loss is no longer a number, or another process trains."""


class ResumeError(UserError):
    """A training run cannot be resumed."""


@dataclass
class Counters:
    """How far a run has come. `run` names settings and data.

    rows: those of training.csv. recent: loss and accuracy of the steps since the last row.
    """

    run: str
    step: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    best: float = -1.0
    best_epoch: int = 0
    stopped: str = ""
    rows: list[dict[str, float | int]] = field(default_factory=list)
    recent: list[tuple[float, float]] = field(default_factory=list)


class Clock:
    """Wall and process CPU seconds of a run, those before an interruption included."""

    def __init__(self, seconds: float, cpu_seconds: float) -> None:
        self._wall = time.monotonic() - seconds
        self._cpu = time.process_time() - cpu_seconds

    def read(self) -> tuple[float, float]:
        """Wall seconds and CPU seconds over all threads."""
        return time.monotonic() - self._wall, time.process_time() - self._cpu


def step_generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """A CPU generator for the draws of one step in the process of that rank."""
    entropy = [seed, step, rank] if rank else [seed, step]
    mixed = np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(mixed) % 2**63)


@contextmanager
def drawn(seed: int, step: int) -> Iterator[None]:
    """What torch draws within, such as dropout, follows from seed and step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(step_generator(seed, step).initial_seed())
        yield


def save_state(
    work: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    best: dict[str, Tensor],
    counters: Counters,
) -> None:
    """Write the whole state to `work`, replacing the older one."""
    tensors = {f"model.{name}": value for name, value in module.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for number, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{slot}": value for slot, value in slots.items()}
    tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    with whole_file(work / FILE_NAME) as path:
        save_file(tensors, path, metadata={"counters": json.dumps(asdict(counters))})


def hidden_folder(out: Path) -> Path:
    """Where a training that ends in `out` keeps its state."""
    return out.parent / f".{out.name}.training"


@contextmanager
def work_folder(out: Path, *, resume: bool, leads: bool = True) -> Iterator[Path]:
    """Hold the hidden folder beside `out` in which a training keeps its state.

    It goes away when the training is done, or fails before its first checkpoint. Only the leader of
    a team (training/distributed.py) locks and empties it. Raises TrainingError where another
    process trains into `out`, ResumeError where an interrupted training is kept and `resume` is not
    given.
    """
    work = hidden_folder(out)
    busy = TrainingError(
        f"Another process is training into {out}: wait for it, or name another folder."
    )
    with locked(work, busy) if leads else nullcontext():
        if leads and not resume:
            _begin_anew(work)
        try:
            yield work
        except UserError:
            if not (work / FILE_NAME).exists():
                shutil.rmtree(work, ignore_errors=True)
            raise
        if leads:
            shutil.rmtree(work, ignore_errors=True)


def _begin_anew(work: Path) -> None:
    """Empty the folder of a run for one from the beginning; an interrupted one stays as it is.

    Raises ResumeError if there is one.
    """
    path = work / FILE_NAME
    if path.exists():
        counters, _ = _read(path, with_tensors=False)
        epoch = counters.rows[-1]["epoch"] if counters.rows else 1
        raise ResumeError(
            f"An interrupted training is kept in {work} (step {counters.step:,}, epoch {epoch}): "
            "continue with --resume, or delete that folder to start again."
        )
    for left in work.iterdir():
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        elif left.name != LOCK:
            left.unlink()


def load_state(
    work: Path, run: str, module: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[Counters, dict[str, Tensor]] | None:
    """Put the saved state into module and optimizer; None if there is none.

    Returns the counters and the best weights so far. Raises ResumeError if the state is
    damaged, or is of a run with other settings or data.
    """
    path = work / FILE_NAME
    if not path.exists():
        return None
    counters, tensors = _read(path)
    if counters.run != run:
        raise ResumeError(
            f"The interrupted training in {work} has other settings or data. Use the same ones, "
            "or delete that folder to start again."
        )
    module.load_state_dict(_part(tensors, "model."))
    state = optimizer.state_dict()
    state["state"] = {}
    for name, value in _part(tensors, "optimizer.").items():
        number, slot = name.split(".", 1)
        state["state"].setdefault(int(number), {})[slot] = value
    optimizer.load_state_dict(state)
    return counters, _part(tensors, "best.")


def _read(path: Path, *, with_tensors: bool = True) -> tuple[Counters, dict[str, Tensor]]:
    try:
        with readable(path, ResumeError), safe_open(path, framework="pt") as stream:
            counters = Counters(**json.loads(stream.metadata()["counters"]))
            names = stream.keys() if with_tensors else ()
            return counters, {name: stream.get_tensor(name) for name in names}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise ResumeError(
            f"{path} is damaged ({plain_reason(error)}). Delete {path.parent} to start again."
        ) from None


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
