"""Documents over /document/v1/.

delivery.py    Requests of /document/v1/ delivered: tried again while that may help, until eac
documents.py   Many document operations at once over /document/v1/, each with its own certain
operations.py  Document operations, their bodies, and what an HTTP answer means for them
store.py       Documents as /document/v1/ has them: read one, and the fields to write one
"""
