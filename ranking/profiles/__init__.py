"""Rank profiles: what relevant means, written once, read by both engines.

checks.py   Checks of rank profiles, with one sentence per error
cosine.py   The cosine and its `scale` in a profile, taken from the encoder
profile.py  One rank profile: phases, functions, inputs, retrieval
set.py      A set of rank profiles: inheritance, and names of the encoder
shipped.py  The shipped rank profiles
toml.py     Read and write profiles.toml
"""
