"""Tasks answered: by an engine, by a baseline, by another system.

answer.py      Tasks answered by an engine: the vectors that ask, the queries, the runs
other_runs.py  Runs of other systems, to be judged on the same topics beside ours
rank_bm25.py   rank-bm25 with its defaults, the baseline many papers mean by "BM25"
targets.py     What is evaluated: an index in this process, or a running server as it was fed
"""
