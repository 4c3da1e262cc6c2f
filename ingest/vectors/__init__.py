"""Vectors of a corpus, made once for each encoder.

embed.py          Corpus x encoder -> vectors, made once for each encoder and shared by index,
fast.py           The encoder's image tower compiled, where that gives the vectors that the en
image_encoder.py  What embedding needs of an encoder
vectors.py        Vectors that are vectors: of the right length, finite, and of length 1 where
"""
