"""Metrics and their statistics.

bootstrap.py              Intervals by the studentised cluster bootstrap
chance.py                 The exact expected metric of a random ranking
incomplete_judgements.py  Share of judged documents, metrics on condensed lists
metrics.py                Retrieval metrics per query, over [queries, depth] matrices of grades
overlap_curve.py          The overlap curve: each ranking by the share of dropped caption words
pairs.py                  The pairs card: caption-image retrieval as in published CLIP figures
results.py                Results of an evaluation: values per query, intervals, comparisons
seeds.py                  Training seeds as a random factor: mean, spread, share of the variance
significance.py           Paired randomisation over clusters, Holm's correction, power
slices.py                 Metrics by slice: modality, caption length, concept frequency
"""
