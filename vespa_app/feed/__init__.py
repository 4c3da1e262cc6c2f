"""Documents over /document/v1/.

delivery.py    Deliver document operations, with retries, until each has an outcome
documents.py   Send many document operations concurrently over /document/v1/
operations.py  Document operations, their bodies, and the meaning of HTTP answers
store.py       Convert documents to and from the fields of /document/v1/
"""
