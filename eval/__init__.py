"""How good the ranking is, with honest statistics.

evaluate.py   Run all protocols and profiles on one engine
collection/   What is searched and asked, as data: pool, judgements, runs, clusters, their files
protocols/    One way of asking a file: queries, relevance, what is hidden
search/       Tasks answered by an engine, by a baseline or by another system's run
leakage/      What was seen before, in the index or in training
measure/      Metrics, intervals, tests, chance, the overlap curve, the pairs card
tuning/       Blend weights found on a development split
report/       The report folder and its page
comparison/   Two reports side by side, and a gate

Imports point one way: comparison, evaluate > report > tuning > measure > leakage > search >
protocols > collection (checked by import-linter).
"""
