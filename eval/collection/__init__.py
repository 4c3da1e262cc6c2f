"""What is searched and asked, as data.

clusters.py       Clusters of queries that are not independent of each other
concept_forms.py  How captions say a concept: its names, and phrases that nearly always come with it
line_reader.py    Read lines of topics, judgements and run files
phrases.py        Find the texts that contain a phrase
pool.py           The pool: searched documents and their metadata, as columns
runs.py           Runs and relevance judgements as arrays
trec.py           Read and write TREC qrels and run files
"""
