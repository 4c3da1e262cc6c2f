"""What relevant means, and an engine in this process that computes it.

document_checks.py  Documents on their way in: checked one by one, in every engine's words
html.py             A result as an HTML table: what a notebook shows of it
names.py            Schema names that follow from an encoder's fingerprint
query_checks.py     What is wrong with a query, told in the same words whichever engine is asked
searcher.py         From what a person has, a text, an image or both, to a result
types.py            Documents, queries, results, and what every engine must do with them
"""
