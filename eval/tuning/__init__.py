"""Blend weights found on a development split.

candidates.py  Candidates of every query with their match-features, evaluated again over arrays
curve.py       MRR@10 over the weight of the blend: for looking at, not for choosing
logistic.py    Logistic regression by Newton's method (IRLS), with a small ridge
outcome.py     What tuning found, and where it says so
tuning.py      Weights found by repeated cross-validation, guarded, and written back as defaults
"""
