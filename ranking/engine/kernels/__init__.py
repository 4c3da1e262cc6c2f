"""The native core: C++ loops that find candidates fast, and their loader.

README.md         What each is, which paper it is from, and the error budget
loader.py         Load the native core; without it the exact route is used
_core.pyi         What Python sees of it
bindings.cpp      Arrays checked, the interpreter's lock released
bm25              BM25 over postings: exactly, and upper bounds for all documents
code_scan         Int8 codes scanned to find the nearest vectors
similarity        Exact dot products and distances
program           Ranking expressions on a register machine
pruning           The best documents by bounds and a threshold
top_k.h           The k largest; arrays.h: views and errors; dispatch.h: instruction sets
"""
