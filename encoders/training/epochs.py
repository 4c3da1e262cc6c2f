"""The loop over epochs that every training shares: checkpoints, validation, the best epoch."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from encoders.base.progress import Progress, expect
from encoders.training.checkpoint import (
    Clock,
    Counters,
    TrainingError,
    load_state,
    save_state,
)
from encoders.training.curves import VALIDATION
from encoders.training.distributed import Team

__all__ = ["EpochRun", "Schedule"]

MEASURED = 4  # steps that tell how long all will take
ROWS_PER_EPOCH = 5  # of the curves
ALONE = Team(torch.device("cpu"))


@dataclass(frozen=True)
class Schedule:
    """How long a training takes: `epochs` of `steps` each.

    patience: epochs without a better validation before stopping (0: never). max_seconds: when to
    stop (0: never). checkpoint_seconds: how much work a kill may cost.
    """

    epochs: int
    steps: int
    patience: int
    checkpoint_seconds: float
    max_seconds: float = 0.0

    def share(self, step: int) -> float:
        """Share of the run that is over with this step, never all of it.

        At a share of 1 the learning rate is 0, and the last step, or the only one, would move
        nothing.
        """
        return min((step + 1) / (self.epochs * self.steps), 1 - 0.5 / self.steps)


class EpochRun(ABC):
    """Trains `module` in place; `best` are the weights of the best epoch, `counters` the progress.

    run: names settings and data, so that no other run's checkpoint is used. work: folder of the
    checkpoints. kept: the part of the module that is worth keeping; None: all of it.
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: Schedule,
        run: str,
        work: Path,
        progress: Progress,
        team: Team = ALONE,
        kept: nn.Module | None = None,
    ) -> None:
        self.trained, self.kept, self.optimizer = module, kept or module, optimizer
        self.schedule, self.work, self.progress, self.team = schedule, work, progress, team
        self.counters = Counters(run=run)
        self.best = self._weights()

    @abstractmethod
    def _step(self) -> tuple[float, float]:
        """Move the weights once; return loss and accuracy of the batch."""

    @abstractmethod
    def _validate(self, epoch: int) -> dict[str, float]:
        """Figures after an epoch, by the name of their column; nothing without held-out pairs."""

    def _score(self, values: dict[str, float]) -> float:
        """What the best epoch has most of; NaN keeps the last epoch."""
        return values.get(VALIDATION, math.nan)

    def _more(self) -> dict[str, float | int]:
        """Further columns of a row of the curves."""
        return {}

    def _told(self, values: dict[str, float]) -> list[str]:
        """What to show of an epoch's figures."""
        return [f"validation MRR@10 {values[VALIDATION]:.3f}"] if VALIDATION in values else []

    def fit(self) -> None:
        """Train from the last checkpoint, if there is one, to the end."""
        state = load_state(self.work, self.counters.run, self.trained, self.optimizer)
        if state is not None:
            self.counters, self.best = state
        self.team.wait()  # for all to have read the state, before it is written again
        counters, schedule = self.counters, self.schedule
        clock = Clock(counters.seconds, counters.cpu_seconds)
        saved, cost = time.monotonic(), 0.0
        first, warm = counters.step, saved
        self.progress("training", first // schedule.steps, schedule.epochs)
        while not counters.stopped:
            loss, accuracy = self._step()
            if not math.isfinite(loss):
                told = f"The loss is {loss} at step {counters.step}. Lower the learning rate."
                raise TrainingError(told)
            counters.recent.append((loss, accuracy))
            counters.step += 1
            if counters.step == first + 1:
                warm = time.monotonic()
            elif counters.step == first + 1 + MEASURED:
                self._expect((time.monotonic() - warm) / MEASURED)
            counters.seconds, counters.cpu_seconds = self.team.agree(clock.read())
            epoch, within = divmod(counters.step, schedule.steps)
            if within == 0:
                self._end_epoch(epoch)
            elif within % max(1, schedule.steps // ROWS_PER_EPOCH) == 0:
                self._add_row({})
                told = f"epoch {epoch + 1}, step {within:,} of {schedule.steps:,}, {self._note({})}"
                self.progress("training", epoch, schedule.epochs, told)
            started = time.monotonic()
            # Large models take seconds to write: at most a twentieth of the time goes there.
            due = started - saved > max(schedule.checkpoint_seconds, 20 * cost)
            if self.team.leads and (due or counters.stopped):
                save_state(self.work, self.trained, self.optimizer, self.best, counters)
                saved = time.monotonic()
                cost = saved - started

    def _expect(self, step: float) -> None:
        """Say how long what is left takes at most, from the `step` seconds of some steps."""
        schedule = self.schedule
        seconds = (schedule.epochs * schedule.steps - self.counters.step) * step
        if schedule.max_seconds:
            seconds = min(seconds, schedule.max_seconds - self.counters.seconds)
        weights = sum(value.nbytes for value in self.best.values())
        # A checkpoint holds weights, the best weights and AdamW's two means; the result both forms.
        what = f"training at most {schedule.epochs} epochs of {schedule.steps} steps"
        expect(self.progress, what, seconds, 6 * weights)

    def _end_epoch(self, epoch: int) -> None:
        counters, schedule = self.counters, self.schedule
        values = self._validate(epoch) if self.team.leads else {}
        self._add_row(values)
        (score,) = self.team.agree([self._score(values)])
        if math.isnan(score) or score > counters.best:
            counters.best = 0.0 if math.isnan(score) else score
            counters.best_epoch, self.best = epoch, self._weights()
        if epoch >= schedule.epochs:
            counters.stopped = "all epochs done"
        elif schedule.max_seconds and counters.seconds >= schedule.max_seconds:
            counters.stopped = "time limit reached"
        elif schedule.patience and epoch - counters.best_epoch >= schedule.patience:
            counters.stopped = f"no improvement for {schedule.patience} epochs"
        self.progress("training", epoch, schedule.epochs, self._note(values))

    def _note(self, values: dict[str, float]) -> str:
        return ", ".join([f"loss {self.counters.rows[-1]['loss']:.2f}", *self._told(values)])

    def _add_row(self, values: dict[str, float]) -> None:
        counters = self.counters
        loss, accuracy = np.mean(counters.recent, axis=0)
        counters.recent.clear()
        row: dict[str, float | int] = {
            "step": counters.step,
            "epoch": math.ceil(counters.step / self.schedule.steps),
            "seconds": round(counters.seconds, 2),
            "cpu_seconds": round(counters.cpu_seconds, 2),
            "loss": round(float(loss), 5),
            "accuracy": round(float(accuracy), 4),
            "learning_rate": round(self.optimizer.param_groups[0]["lr"], 9),
        }
        row |= self._more()
        row |= {name: round(value, 4) for name, value in values.items()}
        counters.rows.append(row)

    def _weights(self) -> dict[str, Tensor]:
        state = self.kept.state_dict()
        return {name: value.detach().cpu().clone() for name, value in state.items()}
