"""What is searched and asked, as data.

clusters.py  Queries that are not independent of each other: connected components
lines.py     Lines of a text file, as every reader of topics, judgements and runs takes them
phrases.py   Which texts hold a phrase: the same words, one after another
pool.py      The searched documents and what the corpus knows of them, as columns
runs.py      Runs and relevance judgements as arrays
trec.py      TREC qrels and run files
"""
