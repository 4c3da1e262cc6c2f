"""`rocosearch calibrate`: fit the probability that a hit is right."""

from __future__ import annotations

from typing import Annotated

import typer

from rocosearch.console import progress_bars, results, show_json
from rocosearch.options import AsJson, IndexFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch calibrate build/index
rocosearch search build/index "ring lesion" --min-probability 0.5
"""


def command(
    index: IndexFolder,
    *,
    split: Annotated[
        str,
        typer.Option(metavar="NAME", help="Split of the queries; never the split that you report."),
    ] = "validation",
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Profile whose hits are looked at; default: the index's."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Fit the probability that a hit is right, on a held-out split of an index.

    The captions of the split ask, and lose a part of their words. Logistic regression over BM25 and
    closeness is stored in INDEX; search and serve then show each hit's probability, `app` takes it
    along to Vespa. Run it again after indexing: probabilities of another index are not used.
    """
    from ranking.calibration import SHORT
    from rocosearch.pipeline import calibrate_index

    with progress_bars() as progress:
        made = calibrate_index(index, split=split, profile=profile, progress=progress)
    if as_json:
        short = {"short": {"cut": made.short.cut, **made.short.told}} if made.short else {}
        show_json({"index": str(index), "cut": made.cut, **made.told, **short})
        return
    told = made.told
    results.print(
        f"{index}: {told['queries']:,.0f} queries, {told['right']:,.0f} of {told['hits']:,.0f} "
        f"hits right; expected calibration error {told['calibration_error']:.3f}."
    )
    results.print(
        f"A query all of whose hits are below {made.cut:.2g} is told that nothing looks like it: "
        f"{100 * told['no_answer_recall']:.0f} % of the queries whose right hits were left out, "
        f"and 5 % of the others (F1 {told['no_answer_f1']:.2f}; to say so always gives 0.67)."
    )
    if made.short:
        results.print(
            f"Queries of up to {SHORT} words: {made.short.told['queries']:,.0f} queries, expected "
            f"calibration error {made.short.told['calibration_error']:.3f}."
        )
