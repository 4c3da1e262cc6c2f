"""Tasks answered: by an engine, by a baseline, by another system.

answer.py      Answer tasks with an engine: query vectors, queries, runs
other_runs.py  Runs of other systems on the same topics
rank_bm25.py   rank-bm25 with its defaults, the baseline many papers mean by "BM25"
targets.py     The target of a task: an index of the pool, or a running server
"""
