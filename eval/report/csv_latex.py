"""Write every table as CSV and LaTeX."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from eval.report.columns import pairs_table
from eval.report.evaluation import Evaluation

__all__ = ["tables", "write_tables"]

# Columns in which LaTeX shows fewer digits; the CSV has all of them.
_DIGITS = 3


def tables(evaluation: Evaluation, content: dict[str, Any]) -> Iterator[tuple[str, pd.DataFrame]]:
    """Name and table, of those that have a row. content: what metrics.json holds."""
    parts = {
        "results": content["rows"],
        "comparisons": content["comparisons"],
        "clusters": content["clusters"],
        "leakage": [{k: v for k, v in row.items() if k != "without"} for row in content["leakage"]],
        "without-leaked": [
            {"protocol": row["protocol"], "profile": profile, "metric": metric, **found}
            for row in content["leakage"]
            for profile, metrics in row["without"].items()
            for metric, found in metrics.items()
        ],
        "overlap-curve": content["overlap_curve"],
        "judged": content["judged"],
        "seeds": content["seeds"],
        "kinds-of-query": content["slices"],
        "weight-curve": content["weight_curve"].get("points", []),
        "pairs": pairs_table(evaluation.pairs),
    }
    for name, rows in parts.items():
        if rows:
            yield name, pd.DataFrame(rows)


def write_tables(evaluation: Evaluation, content: dict[str, Any], folder: Path) -> None:
    """Write NAME.csv and NAME.tex of every table."""
    folder.mkdir()
    for name, table in tables(evaluation, content):
        table.to_csv(folder / f"{name}.csv", index=False)
        text = table.style.format(escape="latex", precision=_DIGITS, na_rep="--").format_index(
            escape="latex", axis="columns"
        )
        (folder / f"{name}.tex").write_text(text.hide(axis="index").to_latex(hrules=True), "utf-8")
