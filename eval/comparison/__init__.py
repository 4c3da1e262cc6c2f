"""Two reports side by side.

comparable.py  Whether two reports may be compared: both must have asked and searched the same
compare.py     What rose, what fell, whether that is more than noise, and a gate
"""
