"""Recorded answers of a real Vespa, answered again by the embedded engine, and compared.

    yql.py       the query forms that are understood
    records.py   folders of documents, schemas and recorded answers
    parts.py     a query's tree sorted into words, neighbours and filters
    checked.py   what a recorded line must be before it is compared
    replay.py    one record -> a query of this engine, or the reason why there is none
    features.py  our features of every document
    matches.py   which documents a query can have found, and how many
    lists.py     what a list of hits must be, and its order against another's
    window.py    relevance by our features, over the window that a later phase reranks
    comparison.py  differences and faults of one record
    compare.py   a record's answer against ours
    table.py     figures by file and kind

`python benchmarks/parity.py FOLDER` runs it; docs/parity.md has the figures.
"""

from __future__ import annotations

__all__: list[str] = []
