"""Recorded answers of a real Vespa, answered again by the embedded engine, and compared.

    yql.py       the query forms that are understood
    records.py   folders of documents, schemas and recorded answers
    parts.py     a query's tree sorted into words, neighbours and filters
    replay.py    one record -> a query of this engine, or the reason why there is none
    features.py  our features of every document
    compare.py   a record's hits against ours
    table.py     figures by file and kind

`python benchmarks/parity.py FOLDER` runs it; docs/parity.md has the figures.
"""

from __future__ import annotations

__all__: list[str] = []
