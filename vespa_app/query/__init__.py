"""Queries to Vespa, and its answers.

answers.py    Read and check Vespa's answers to queries
operators.py  Write a text with operators as YQL
query.py      Write a query as the body of POST /search/
text.py       Clean the text of a query for Vespa without changing its matches
top_k.py      Choose the top k of Vespa's hits, with ties by id
vector.py     Check the vector of a query, and write it as a nearestNeighbor
"""
