"""Rank profiles: what relevant means, written once, read by both engines.

checks.py   Rank profiles checked: each fault one sentence that names the profile and the plac
cosine.py   What a profile takes from the encoder: its cosine, and what the cosine is worth
profile.py  One rank profile: phases, functions, inputs, and how candidates are retrieved
set.py      Rank profiles that belong together: inheritance, and an encoder's names put in
shipped.py  Rank profiles: what relevant means, written once, read by both engines
toml.py     profiles.toml: rank profiles as a file that people write
"""
