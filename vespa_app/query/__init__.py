"""Queries to Vespa, and its answers.

answers.py    Vespa's answers to queries, read without losing anything, and judged
operators.py  A text with operators as YQL: read by `ranking.text.query_syntax`, as the embedd
query.py      A query as the body of POST /search/
text.py       The text of a query, made fit for Vespa without changing what it finds
top_k.py      Which of the hits that Vespa sent are the k asked for
vector.py     The vector of a query: checked, as Vespa does not check it, and written as a nea
"""
