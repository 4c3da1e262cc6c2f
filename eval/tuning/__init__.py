"""Blend weights and probabilities found on a development split.

calibration.py    Fit the probability that a hit is right on a held-out split
candidates.py     Candidates with match-features, to re-evaluate rank profiles over arrays
curve.py          MRR@10 by blend weight, for the report only
logistic.py       Logistic regression by Newton's method (IRLS), with a small ridge
tuning.py         Tune blend weights on a development split, with repeated cross-validation
tuning_result.py  The result of tuning, and the profiles file with it
"""
