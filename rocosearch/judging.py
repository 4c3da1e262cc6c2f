"""Judge documents of a corpus for a query, and export the judgements for an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from encoders.base.errors import UserError
from encoders.base.storage import whole_folder
from ingest.corpus.corpus import Corpus
from rocosearch.outputs import check_replaceable
from rocosearch.page.judgements import Judgement, Judgements, beside

__all__ = ["export_judgements", "judge"]

TOPICS, QRELS = "topics.tsv", "qrels.txt"


def judge(
    corpus: Path, query: str, documents: Sequence[str], grade: int, who: str = ""
) -> list[Judgement]:
    """Append a judgement of each document; return them.

    grade: 0 (not relevant) to 3. Raises UserError, before anything is written, if the query is
    empty or the corpus has no such document.
    """
    if not query.strip():
        raise UserError("TEXT is empty: give the query that the documents are judged for.")
    opened = Corpus.open(corpus)
    known = {name for row in opened.rows(["id", "group_id"]) for name in row.values()}
    unknown = [name for name in documents if name not in known]
    if unknown:
        raise UserError(f"{corpus} has no document {unknown[0]!r}: nothing was kept.")
    kept = Judgements(beside(opened.path))
    return [kept.add(Judgement(query.strip(), name, grade, who)) for name in documents]


def export_judgements(corpus: Path, folder: Path) -> dict[str, int]:
    """Write the judged queries and TREC qrels, replacing older ones; return the counts."""
    kept = Judgements(beside(Corpus.open(corpus).path))
    judged = kept.last()
    if not judged:
        raise UserError(
            f"Nothing is judged yet in {kept.path}: judge on the search page, or with "
            "`rocosearch judge CORPUS TEXT ID`."
        )
    check_replaceable(folder, QRELS, "judgements")
    with whole_folder(folder) as made:
        (made / TOPICS).write_text(kept.topics(), "utf-8")
        (made / QRELS).write_text(kept.qrels(), "utf-8")
    return {"judgements": len(judged), "queries": len({each.query for each in judged})}
