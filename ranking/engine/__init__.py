"""The embedded engine: search in this process.

candidates.py  Candidate retrieval over all segments, with the features that the profile reads
engine.py      The embedded engine: the facade over an index on disk or documents in memory
hits.py        Build the page of hits from the ranked candidates: sort, group, offset, k
phases.py      First, second and global phase, each over its window, as in Vespa
plan.py        A compiled rank profile: parsed expressions and the features that they need
search.py      One query: check, candidates, phases, hits
exact.py            The exact route: numpy, every match and every vector
native.py           The native route: scan short codes, prune by upper bounds
program.py          Compile ranking expressions to programs of the native core's register machine
reader.py           All segments of an index under one document numbering, without removed documents
term_statistics.py  BM25 statistics and postings of one text field over all segments
top_k.py            Top-k selection for candidates, phases and hits
"""
