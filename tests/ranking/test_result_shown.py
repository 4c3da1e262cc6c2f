"""What a result shows of itself: short, and nobody's text becomes markup."""

from __future__ import annotations

import numpy as np

from ranking.types import Document, Result


def test_a_result_of_any_length_prints_in_a_line():
    ids = tuple(f"d{n}" for n in range(10_000))
    result = Result(
        ids, np.linspace(9, 0, 10_000), {"bm25(caption)": np.zeros(10_000)}, total=12_345
    )
    assert repr(result) == "<Result: 10000 of 12,345 matches, best d0 (9)>"
    assert repr(Result((), np.empty(0))) == "<Result: 0 of 0 matches>"


def test_captions_and_ids_are_escaped():
    bad = "<script>alert(1)</script>"
    features = {"bm25(caption)": np.array([np.nan]), bad: np.array([-np.inf])}
    html = Result((bad,), np.array([1.0]), features, (Document(bad, bad),))._repr_html_()
    assert "<script" not in html
    assert html.count("&lt;script&gt;") == 3
