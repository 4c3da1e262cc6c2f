"""training.csv: the learning curves."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping

__all__ = ["COLUMNS", "CONCEPT_F1", "CONCEPT_MAP", "VALIDATION", "curves_csv"]

VALIDATION = "validation_mrr10"
CONCEPT_MAP = "validation_map"
CONCEPT_F1 = "validation_f1"
COLUMNS = (
    "step",
    "epoch",
    "pairs",
    "seconds",
    "cpu_seconds",
    "loss",
    "accuracy",
    "temperature",
    "learning_rate",
    VALIDATION,
    "validation_pool",
    CONCEPT_MAP,
    CONCEPT_F1,
)


def curves_csv(rows: Iterable[Mapping[str, object]]) -> str:
    """The rows as CSV; validation is empty but at the end of an epoch.

    In epochs of concept pretraining accuracy is the share of images whose likeliest concept is
    one of theirs, and validation_map and validation_f1 stand in place of the MRR.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
