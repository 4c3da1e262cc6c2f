"""From a corpus to an engine or a server, resumable.

documents.py  Build documents from records and vectors, in bounded memory
feed.py       Sync a target with the corpus, sending only changes
feed_file.py  Write a feed file for the official `vespa feed` client
forget.py     Remove a patient from a corpus, its vectors, indexes and servers
ledger.py     The ledger: what a target has confirmed, one SQLite file per corpus and target
reconcile.py  Compare the ledger with the ids that the target really has
targets.py    Targets of a feed: an embedded engine, or a Vespa server
"""
