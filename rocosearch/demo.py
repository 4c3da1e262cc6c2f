"""The whole line on phantoms, each step by the command that anyone could type."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Step", "run_steps", "start_over", "steps"]

QUERY = "large ring-shaped lesion in the upper left chest"


@dataclass(frozen=True)
class Step:
    """One command; `produces` is the file it writes last, None for a command that only shows."""

    title: str
    arguments: tuple[str, ...]
    produces: Path | None

    @property
    def done(self) -> bool:
        """Whether the step's output is there and whole."""
        return self.produces is not None and self.produces.exists()


def steps(out: Path, records: int) -> tuple[Step, ...]:
    """The demo's commands, in order, into `out`."""
    corpus, encoder, index, report, app = (
        str(out / name) for name in ("corpus", "encoder", "index", "report", "app")
    )
    return (
        Step(
            f"Draw {records:,} phantoms with captions and concepts",
            ("corpus", f"phantoms:{records}", corpus),
            Path(corpus, "corpus.json"),
        ),
        Step(
            "Train a small CLIP on the training split",
            ("train", corpus, encoder, "--preset", "tiny", "--resume"),
            Path(encoder, "encoder.json"),
        ),
        Step(
            "Embed the images and build the index",
            ("index", corpus, index, "--encoder", encoder),
            Path(index, "CURRENT"),
        ),
        Step("Search it", ("search", index, QUERY, "-k", "5"), None),
        Step(
            "Compare lexical, vector and hybrid ranking",
            ("eval", index, corpus, report),
            Path(report, "metrics.json"),
        ),
        Step(
            "Write the Vespa application package",
            ("app", index, app),
            Path(app, "services.xml"),
        ),
    )


def run_steps(
    todo: Sequence[Step],
    run: Callable[[Sequence[str]], int],
    announce: Callable[[Step, bool], None],
) -> int:
    """Run each step that is not done, and every step after one that had to be run.

    What such a step had left is of older parts: it goes. `announce` is told each step and whether
    it is skipped. Returns the exit code of the first
    step that failed, or 0.
    """
    stale = False
    for step in todo:
        skipped = step.done and not stale
        announce(step, skipped)
        if skipped:
            continue
        if step.produces and step.done:
            shutil.rmtree(step.produces.parent)
        code = run(step.arguments)
        if code:
            return code
        stale = stale or step.produces is not None
    return 0


def start_over(out: Path) -> None:
    """Remove what earlier demos left in `out`, interrupted ones too."""
    for name in ("corpus", "encoder", "index", "report", "app"):
        for folder in (out / name, *out.glob(f".{name}.*")):
            shutil.rmtree(folder, ignore_errors=True)
