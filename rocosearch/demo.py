"""All steps from a data set to a searchable, evaluated index, each as an ordinary command."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from encoders.base.errors import UserError

__all__ = ["DemoError", "Step", "check_source", "run_steps", "start_over", "steps"]

QUERY = "large ring-shaped lesion in the upper left chest"
WORDS = 6  # of a caption, for the query of the step "search"
PARTS = {  # with the file that is written last
    "corpus": "corpus.json",
    "encoder": "encoder.json",
    "index": "CURRENT",
    "report": "metrics.json",
    "app": "services.xml",
}


class DemoError(UserError):
    """OUT holds what was made from another source."""


@dataclass(frozen=True)
class Step:
    """One command; `produces` is the file it writes last, None if it writes nothing."""

    title: str
    arguments: tuple[str, ...]
    produces: Path | None

    @property
    def done(self) -> bool:
        """Whether a complete output exists."""
        return self.produces is not None and self.produces.exists()


def steps(source: str, out: Path) -> Iterator[Step]:
    """Yield the commands in order; what follows the corpus depends on what is in it.

    Without pairs of image and caption to train on, there is no encoder: ranking is lexical.
    """
    corpus, encoder, index, report, app = (str(out / name) for name in PARTS)
    yield Step("Read the data set", ("corpus", source, corpus), Path(corpus, "corpus.json"))
    query, trainable = _contents(Path(corpus))
    phantoms = source.startswith("phantoms")
    if trainable:
        preset = ("--preset", "tiny") if phantoms else ()
        yield Step(
            "Train an encoder on the training split",
            ("train", corpus, encoder, *preset, "--resume"),
            Path(encoder, "encoder.json"),
        )
    yield Step(
        "Build the index",
        ("index", corpus, index, *(("--encoder", encoder) if trainable else ())),
        Path(index, "CURRENT"),
    )
    yield Step("Search it", ("search", "-k", "5", "--", index, QUERY if phantoms else query), None)
    yield Step(
        "Compare lexical, vector and hybrid ranking",
        ("eval", index, corpus, report),
        Path(report, "metrics.json"),
    )
    yield Step(
        "Write the Vespa application package", ("app", index, app), Path(app, "services.xml")
    )


def _contents(corpus: Path) -> tuple[str, bool]:
    """The first words of a caption, and whether there are pairs to train on."""
    from ingest.corpus.corpus import Corpus  # noqa: PLC0415 - help needs no pyarrow

    query, trainable = "", False
    for row in Corpus.open(corpus).rows(("caption", "split", "hashes")):
        query = query or " ".join(row["caption"].split()[:WORDS])
        pair = row["caption"] and row["hashes"]["image_sha256"]
        trainable = trainable or bool(pair and row["split"] == "train")
    return query, trainable


def run_steps(
    todo: Iterable[Step],
    run: Callable[[tuple[str, ...]], int],
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
        if step.produces and step.done:
            shutil.rmtree(step.produces.parent)
        code = run(step.arguments)
        if code:
            return code
        stale = stale or step.produces is not None
    return 0


def check_source(source: str, out: Path) -> None:
    """Raise DemoError if the corpus in `out` was made from another source."""
    if not (out / "corpus" / "corpus.json").exists():
        return
    from ingest.corpus.manifest import CorpusManifest  # noqa: PLC0415 - help needs no pyarrow

    made_from = CorpusManifest.load(out / "corpus").source
    if made_from != source and Path(made_from).resolve() != Path(source).resolve():
        raise DemoError(
            f"{out} was made from {made_from}: name another folder, or replace it with --fresh."
        )


def start_over(out: Path) -> None:
    """Remove the outputs of earlier runs in `out`, including interrupted ones.

    Raises OutputError, and removes nothing, if a folder of such a name was written by nobody here.
    """
    from ranking.engine.store.writer import UNFINISHED  # noqa: PLC0415 - help needs no numpy
    from rocosearch.outputs import check_replaceable  # noqa: PLC0415

    for name, last in PARTS.items():
        check_replaceable(out / name, last, "of an earlier run", UNFINISHED)
    for name in PARTS:
        left = (out.glob(f".{name}.{kind}") for kind in ("new.*", "old.*", "training"))
        for folder in (out / name, *chain.from_iterable(left)):
            shutil.rmtree(folder, ignore_errors=True)
