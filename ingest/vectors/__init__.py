"""Vectors of a corpus, made once for each encoder.

embed.py          Compute the vectors of a corpus, once for each encoder
vectors.py        Checks of vectors: length, finite values, norm
"""
