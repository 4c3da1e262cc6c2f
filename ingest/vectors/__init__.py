"""Vectors of a corpus, made once for each encoder.

embed.py          Corpus x encoder -> vectors, made once for each encoder and shared by index,
vectors.py        Vectors that are vectors: of the right length, finite, and of length 1 where
"""
