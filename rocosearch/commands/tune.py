"""`rocosearch tune`: blend weights from a development split, written back as defaults."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show, show_json
from rocosearch.options import AsJson, CorpusFolder, IndexFolder, ProfilesFile

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch tune build/index build/corpus tuned.toml
rocosearch index build/corpus build/index --encoder build/encoder --profiles tuned.toml
"""


def command(
    index: IndexFolder,
    corpus: CorpusFolder,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Profiles file (TOML) to write.")],
    *,
    protocol: Annotated[
        str, typer.Option(metavar="NAME", help="Protocol whose MRR@10 is to rise.")
    ] = "split-caption",
    split: Annotated[
        str, typer.Option(metavar="NAME", help="Split of the queries; never one that you report.")
    ] = "validation",
    folds: Annotated[int, typer.Option(min=2, help="Folds of the cross-validation.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed of folds and bootstrap.")] = 0,
    allow_loss: Annotated[
        bool,
        typer.Option(
            "--allow-loss", help="Write FILE even where another protocol loses by more than noise."
        ),
    ] = False,
    profiles: ProfilesFile = None,
    as_json: AsJson = False,
) -> None:
    """Choose the weights of the hybrid and learned profiles on a development split.

    Every figure is cross-validated over ten partitions. Shipped values are kept unless the tuned
    ones beat them by more than that varies; queries like the encoder's training are left out.
    New values are written to FILE as `query()` defaults, with where they came from; index,
    search, eval and app take it with --profiles. A loss on another protocol refuses the file.
    """
    from eval.tuning.tuning import TuningOptions
    from rocosearch.pipeline import tune_profiles

    options = TuningOptions(
        protocol=protocol,
        split=split,
        folds=folds,
        seed=seed,
        allow_loss=allow_loss,
        command=shlex.join(["rocosearch", *sys.argv[1:]]),
    )
    with progress_bars() as progress:
        tuning = tune_profiles(index, corpus, out, options, profiles=profiles, progress=progress)
    if as_json:
        show_json(tuning.metrics())
        return
    show(tuning.table())
    results.print(tuning.verdict())
    for name, inputs in tuning.chosen.items():
        chosen = ", ".join(f"{key} {value:g}" for key, value in inputs.items())
        results.print(f"{name}: {chosen}")
    results.print(
        f"Written to {out}; give it to index, search, eval or app with --profiles. "
        f"{tuning.advice()}"
    )
