"""Metrics and their statistics.

baseline.py      rank-bm25 with its defaults, the baseline many papers mean by "BM25"
chance.py        What a random ranking would score: the figure every table shows beside the me
metrics.py       Retrieval metrics per query, vectorised over [queries, depth] matrices of gra
pairs.py         The pairs card: caption against image over matrices, as published CLIP figure
results.py       What an evaluation found: values per query, means with intervals, comparisons
significance.py  How sure the figures are: bootstrap intervals, paired randomisation, Holm, wi
slices.py        Figures by kind of query: modality, caption length, concept frequency
"""
