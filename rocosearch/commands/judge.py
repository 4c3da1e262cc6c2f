"""`rocosearch judge`: say which documents are relevant to a query."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rocosearch.console import show_json, tell
from rocosearch.no_effect import NoEffect
from rocosearch.options import AsJson, CorpusFolder

__all__ = ["EXAMPLE", "command"]

EXAMPLE = """\
rocosearch judge build/corpus "ring lesion" phantom-test-00043-radiograph
rocosearch judge build/corpus "ring lesion" phantom-test-00017-radiograph --grade 0
rocosearch judge build/corpus --export build/judged
"""
NO_EFFECT = (NoEffect("--grade --who", "with --export", "since all judgements are written"),)


def command(
    corpus: CorpusFolder,
    text: Annotated[
        str | None, typer.Argument(metavar="TEXT", help="The query, as it was typed.")
    ] = None,
    documents: Annotated[
        list[str] | None, typer.Argument(metavar="ID...", help="Documents to judge.")
    ] = None,
    *,
    grade: Annotated[
        int, typer.Option(min=0, max=3, help="0: not relevant; 1 to 3: relevant.")
    ] = 1,
    who: Annotated[str, typer.Option(metavar="NAME", help="Who judges.")] = "",
    export: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Write all judgements: topics.tsv, and TREC qrels."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Keep relevance judgements beside the corpus, or export them as TREC qrels.

    They are the search page's too. The last judgement of a query and a document counts. `eval`
    takes the exported files.
    """
    from rocosearch.judging import export_judgements, judge

    if (export is None) == (not documents) or (export and text is not None):
        raise typer.BadParameter("Give TEXT and an ID to judge, or --export FOLDER.")
    if export is not None:
        told = export_judgements(corpus, export)
        if as_json:
            show_json({"folder": str(export), **told})
            return
        tell(f"{export}: {told['judgements']:,} judgements of {told['queries']:,} queries.")
        return
    kept = judge(corpus, text or "", documents or (), grade, who)
    if as_json:
        show_json({"judgements": [vars(each) for each in kept]})
        return
    verdict = f"relevant (grade {grade})" if grade else "not relevant"
    for each in kept:
        tell(f"{each.document} is {verdict} for {each.query!r}.")
