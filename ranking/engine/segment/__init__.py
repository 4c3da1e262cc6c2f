"""One immutable block of documents as flat arrays.

codes.py     Int8 codes of vectors, scanned in place of the vectors to find candidates
labelled.py  Several vectors a document, under labels: the nearest of them stands for the document
postings.py  BM25 as Vespa computes it, over an inverted index in flat arrays
segment.py   An immutable block of documents: ids, captions inverted, vectors, filter columns,
strings.py   A sorted table of strings in two flat arrays: opened by memory map, searched by b
vectors.py   Vector search, with distances and closeness as Vespa computes them
"""
