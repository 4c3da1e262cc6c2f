"""Query a running application with both encoders."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from encoders.base.progress import Progress, silent
from encoders.base.storage import write_whole
from ingest.corpus.corpus import Corpus
from ranking.names import encoder_names
from ranking.searcher import with_vectors
from ranking.types import Query
from rocosearch.open_index import load_encoder
from vespa_app.engine import EngineSettings, VespaEngine
from vespa_app.read.application import Application

__all__ = ["compare_live"]

QUERIES = 50
DEPTH = 10


def compare_live(
    url: str,
    application: Application,
    profile: str,
    encoders: Sequence[Path],
    corpus: Corpus,
    out: Path,
    progress: Progress = silent,
) -> None:
    """Write to `out`, as JSON, the times of both encoders and the overlap of their top 10.

    Queries are captions of held-out images. Raises VespaError if an answer is missing or
    has partial coverage.
    """
    texts = _texts(corpus)
    engine = VespaEngine.connect(url, application, EngineSettings(strict=True))
    times: dict[str, dict[str, float]] = {}
    hits: list[list[set[str]]] = []
    for folder in encoders:
        encoder = load_encoder(folder)
        short = encoder_names(encoder.manifest.fingerprint).short
        seconds, found = [], []
        name = f"{profile}_{short}"
        pairs = zip(texts, encoder.encode_texts(texts), strict=True)
        queries = [Query(text, vector, name, k=DEPTH) for text, vector in pairs]
        for query in with_vectors(queries, texts, encoder, engine.profiles.resolve(name)):
            started = time.perf_counter()
            result = engine.search(query)
            seconds.append(time.perf_counter() - started)
            found.append(set(result.ids))
            progress(f"live queries, encoder {short}", len(found), len(texts))
        times[short] = {f"p{q}_ms": float(1000 * np.percentile(seconds, q)) for q in (50, 99)}
        hits.append(found)
    engine.close()
    shared = [len(old & new) for old, new in zip(*hits, strict=True)]
    content = {"queries": len(texts), "times": times, "shared_of_10": float(np.mean(shared))}
    write_whole(out, json.dumps(content, indent=2) + "\n")


def _texts(corpus: Corpus) -> list[str]:
    for split in ("test", "validation", None):
        captions = (record.caption for record in corpus.records(split))
        found = list(islice((caption for caption in captions if caption), QUERIES))
        if found:
            return found
    return ["chest"]
