"""`rocosearch synonyms`: a synonym file from the concepts of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import results, show_json
from rocosearch.options import AsJson, CorpusFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch synonyms build/roco build/synonyms.txt
"""


def command(
    corpus: CorpusFolder,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Synonym file to write.")],
    *,
    weight: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="What a synonym counts beside a word typed.")
    ] = 0.1,
    split: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Split to learn from; all: every record, if those you search have concepts too.",
        ),
    ] = "train",
    as_json: AsJson = False,
) -> None:
    """Learn a synonym file from the concepts of the training split.

    Forms of one concept are its names, and phrases of captions that mostly come with it.
    Use the file with --synonyms of search and serve; read and edit it first.
    """
    from rocosearch.pipeline import learn_synonyms

    lines = learn_synonyms(corpus, out, weight=weight, split=split)
    if as_json:
        show_json({"synonyms": str(out), "concepts": lines})
    else:
        results.print(f"{out}: {lines:,} concepts with two or more forms.")
