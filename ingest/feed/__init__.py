"""From a corpus to an engine or a server, resumable.

documents.py  Records and vectors -> the documents that engines take, in bounded memory
feed.py       Feeding: bring a target to hold what the corpus holds, and nothing sent without
feed_file.py  A feed file for the official `vespa feed` client
forget.py     Take a patient out of a corpus and of what was made of it
ledger.py     What a target is known to hold: one SQLite file for each corpus and target
reconcile.py  The ledger against the target itself: by visiting the ids that the target really
targets.py    Where documents go: an engine in this process, or a Vespa server. The seam of fe
"""
