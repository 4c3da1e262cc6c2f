"""Draw docs/images/search.png: one query on the demo's phantoms, the best images by profile.

make demo && .venv/bin/python benchmarks/pictures.py
"""

from __future__ import annotations

import argparse
import io
import textwrap
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image

from ingest.corpus import Corpus
from rocosearch.demo import QUERY
from rocosearch.pipeline import open_searcher

PROFILES = ("lexical", "vector", "hybrid")
SHOWN = 5
CAPTION_COLUMNS = 30


def draw(demo: Path, out: Path) -> None:
    """One row of images for each profile, captions below."""
    records = {record.id: record for record in Corpus.open(demo / "corpus").records()}
    searcher = open_searcher(demo / "index")
    mpl.use("Agg")
    figure, axes = plt.subplots(len(PROFILES), SHOWN, figsize=(11, 8.2), layout="constrained")
    figure.suptitle(f"“{QUERY}”", fontsize=14)
    for row, profile in zip(axes, PROFILES, strict=True):
        result = searcher.search(text=QUERY, profile=profile, k=SHOWN)
        for axis, hit in zip(row, result, strict=True):
            record = records[hit.id]
            axis.imshow(Image.open(io.BytesIO(record.image or b"")), cmap="gray")
            axis.set_xticks([])
            axis.set_yticks([])
            caption = textwrap.fill(record.caption, CAPTION_COLUMNS)
            axis.set_xlabel(f"{hit.score:.2f}  {caption}", fontsize=7)
        row[0].set_ylabel(profile, fontsize=12)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("build/demo"))
    parser.add_argument("--out", type=Path, default=Path("docs/images/search.png"))
    options = parser.parse_args()
    draw(options.demo, options.out)
