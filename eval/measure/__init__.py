"""Metrics and their statistics.

bootstrap.py      Intervals by the studentised cluster bootstrap
chance.py         What a random ranking would score, exactly
judged.py         Incomplete judgements: Judged@k, condensed lists, the pool to judge
metrics.py        Retrieval metrics per query, vectorised over [queries, depth] matrices of grades
overlap_curve.py  Each ranking over the share of the caption's words that the query lacks
pairs.py          The pairs card: caption against image, as published CLIP figures are computed
results.py        What an evaluation found: values per query, means with intervals, comparisons
seeds.py          Training seeds as a random factor: mean, spread, share of the variance
significance.py   Tests between rankings: paired randomisation, Holm, what could be detected
slices.py         Figures by kind of query: modality, caption length, concept frequency
"""
