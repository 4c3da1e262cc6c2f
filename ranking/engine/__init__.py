"""The embedded engine: search in this process.

candidates.py  The documents that can be among the best hits, with the features their profile
engine.py      The embedded engine: search in this process, over a snapshot on disk or documen
hits.py        Cut the hits that a query asked for out of the ranked candidates
phases.py      Rank candidates as Vespa does: first phase, second phase, global phase, each ov
plan.py        A rank profile made ready to run: expressions parsed, every feature it needs kn
search.py      One query against one view: find candidates, compute features, hand them to the
exact.py            Candidates by the exact route: plain numpy, every match and every vector
native.py           Candidates by the native core: short codes scanned, BM25 upper bounds pruned
program.py          Ranking expressions as programs of the native core's register machine
reader.py           All segments of an index as one numbered row of documents, without those remov
term_statistics.py  What BM25 knows of one text field over all segments: statistics, and each
top_k.py            The k largest of an array: one selection for candidates, phases and hits
"""
