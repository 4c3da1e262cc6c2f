"""One immutable block of documents as flat arrays.

codes.py     Int8 codes of vectors, scanned to find candidates
labelled.py  Fields with several labelled vectors per document, and MaxSim
postings.py  The inverted index and BM25, as Vespa computes it
segment.py   A segment: an immutable block of documents as flat arrays
strings.py   A sorted string table in two memory-mapped arrays
vectors.py   Vectors of one field: the exact nearest, and closeness
"""
