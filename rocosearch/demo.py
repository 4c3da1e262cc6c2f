"""The demo: all steps on phantoms, each as an ordinary command."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Step", "run_steps", "start_over", "steps"]

QUERY = "large ring-shaped lesion in the upper left chest"


@dataclass(frozen=True)
class Step:
    """One command; `produces` is the file it writes last, None if it writes nothing.

    source: the source that this file must name.
    """

    title: str
    arguments: tuple[str, ...]
    produces: Path | None
    source: str | None = None

    @property
    def left(self) -> bool:
        """Whether a complete output exists."""
        return self.produces is not None and self.produces.exists()

    @property
    def done(self) -> bool:
        """Whether the output is of this demo, and not of one with another size."""
        if self.produces is None or not self.left or self.source is None:
            return self.left
        made_from: object = json.loads(self.produces.read_text("utf-8")).get("source")
        return made_from == self.source


def steps(out: Path, records: int) -> tuple[Step, ...]:
    """The demo's commands, in order, into `out`."""
    corpus, encoder, index, report, app = (
        str(out / name) for name in ("corpus", "encoder", "index", "report", "app")
    )
    source = f"phantoms:{records}"
    return (
        Step(
            f"Generate {records:,} phantoms with captions and concepts",
            ("corpus", source, corpus),
            Path(corpus, "corpus.json"),
            source,
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

    Old outputs of such steps are removed. `announce` is called with each step and whether it
    is skipped. Returns the exit code of the first step that failed, or 0.
    """
    stale = False
    for step in todo:
        skipped = step.done and not stale
        announce(step, skipped)
        if skipped:
            continue
        if step.produces and step.left:
            shutil.rmtree(step.produces.parent)
        code = run(step.arguments)
        if code:
            return code
        stale = stale or step.produces is not None
    return 0


def start_over(out: Path) -> None:
    """Remove the outputs of earlier demos in `out`, including interrupted ones."""
    for name in ("corpus", "encoder", "index", "report", "app"):
        for folder in (out / name, *out.glob(f".{name}.*")):
            shutil.rmtree(folder, ignore_errors=True)
