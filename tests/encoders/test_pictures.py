"""Plots draw the text of others as it is."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from encoders.analysis.pictures import draw_heat_maps


@pytest.mark.parametrize("text", [r"costs $\frac{$", "$5 and $6", "a\x1b]0;b\x07c", r"\$ and $"])
def test_no_text_is_a_formula_or_a_control_character(text):
    figure = draw_heat_maps(Image.new("L", (8, 8)), text, [])
    figure.savefig(io.BytesIO(), format="png", dpi=30)  # a warning is an error here
    (title,) = (t for t in figure.texts if "“" in t.get_text())
    assert title.get_text().replace(r"\$", "").isprintable()
    assert "$" not in title.get_text().replace(r"\$", "")
