"""What is searched and asked: pool, topics, runs.

answer.py   Tasks answered by an engine: the vectors that ask, the queries, the runs
pool.py     The searched documents and what the corpus knows of them, as columns
runs.py     Runs and relevance judgements as arrays
targets.py  What is searched for a task: an index of the pool here, or a server as it was fed
topics.py   A user's own topics and judgements, in TREC's files or BEIR's layout
trec.py     TREC qrels and run files
"""
