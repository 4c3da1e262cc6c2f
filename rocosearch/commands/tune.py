"""`rocosearch tune`: tune blend weights on a development split."""

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
        str, typer.Option(metavar="NAME", help="Protocol whose MRR@10 is optimised.")
    ] = "split-caption",
    split: Annotated[
        str,
        typer.Option(metavar="NAME", help="Split of the queries; never the split that you report."),
    ] = "validation",
    folds: Annotated[int, typer.Option(min=2, help="Number of cross-validation folds.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="Seed for folds and bootstrap.")] = 0,
    allow_loss: Annotated[
        bool,
        typer.Option(
            "--allow-loss", help="Write FILE even if another protocol loses by more than noise."
        ),
    ] = False,
    profiles: ProfilesFile = None,
    as_json: AsJson = False,
) -> None:
    """Tune the weights of the hybrid and learned profiles on a development split.

    Every figure is cross-validated over ten partitions. Shipped values are kept unless the tuned
    ones win by more than the partitions differ. Queries that resemble the encoder's training data
    are left out. New values are written to FILE as `query()` defaults, with their origin; index,
    search, eval and app read it with --profiles. If another protocol loses, no file is written.
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
        f"Written to {out}; pass it to index, search, eval or app with --profiles. "
        f"{tuning.advice()}"
    )
