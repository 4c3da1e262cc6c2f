"""Two reports side by side.

comparable.py  Whether two reports may be compared: both must have searched the same documents
compare.py     Two reports side by side: what rose, what fell, and whether that is more than n
"""
