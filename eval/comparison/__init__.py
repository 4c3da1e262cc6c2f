"""Two reports side by side.

comparable.py  Check that two reports used the same queries and pool
compare.py     Compare two reports query by query, with tests
"""
