"""What relevant means, and an engine in this process that computes it.

attributes.py       Custom fields: typed attributes of documents, and conditions on them
calibration.py      How probable it is that a hit is right, told by its match features
cell_types.py       Cell types (float, bfloat16, int8): cut vectors to them, and scale for int8
distances.py        Distances: how two vectors are compared, and closeness
document_checks.py  Checks of documents before they are indexed, shared by both engines
html.py             A result as an HTML table for notebooks
names.py            Schema names that contain an encoder's fingerprint
query_checks.py     Checks of a query, shared by both engines
searcher.py         Search by text, image or examples: build a query, run it
types.py            Documents, queries, results, and the Engine interface
"""
