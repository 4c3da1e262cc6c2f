"""First stage, MaxSim and re-ranker: RR@10 and milliseconds on a corpus's validation split.

    python -m benchmarks.late_interaction CORPUS ENCODER

Each distinct text is asked once, of the validation split alone: whole captions (relevant: the
images of that caption), first halves of captions, and whole captions for the other images of their
case. Milliseconds are CPU time of one query, its vectors given. The re-ranker is asked where
ENCODER has one.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from encoders.inference.reranker import RERANKER
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import documents
from ingest.vectors.embed import embed_corpus
from ranking.engine.engine import EmbeddedEngine
from ranking.names import ROLES, encoder_names
from ranking.profiles.shipped import Phase, Profile, ProfileSet
from ranking.types import Document, Query, VectorField
from rocosearch.open_index import load_encoder

FUNCTIONS = {
    "near": "closeness(field, embedding)",
    "late": "max_sim(q_tokens, patches)",
    "matches": "rerank(q_tokens, patches)",
}
BLEND = "normalize_linear({}) + normalize_linear(near)"
PHASES = {
    "first stage": "near",
    "MaxSim": "late",
    "MaxSim and first stage": BLEND.format("late"),
    "re-ranker": "matches",
    "re-ranker and first stage": BLEND.format("matches"),
}
DEPTH = 10


def profiles(*, reranker: bool) -> ProfileSet:
    """One profile for each of PHASES, over the best 50."""
    wanted = [text for text in PHASES.values() if reranker or "matches" not in text]
    made = [
        Profile(f"p{row}", "near", ("vector",), functions=FUNCTIONS, global_phase=Phase(text, 50))
        for row, text in enumerate(wanted)
    ]
    return ProfileSet(tuple(made), "p0")


def questions(found: list[Document], kind: str) -> dict[str, tuple[str, set[str]]]:
    """By text: the id that is left out, "" for none, and the ids that are relevant."""
    halves = {d.id: " ".join((words := d.caption.split())[: len(words) // 2]) for d in found}
    asked: dict[str, tuple[str, set[str]]] = {}
    for d in found:
        if kind == "case":
            others = {o.id for o in found if d.group_id and o.group_id == d.group_id} - {d.id}
            asked.setdefault(d.caption, (d.id, others))
        elif kind == "half" and len(d.caption.split()) >= 4:
            same = {o.id for o in found if halves[o.id] == halves[d.id]}
            asked.setdefault(halves[d.id], ("", same))
        elif kind == "caption":
            asked.setdefault(d.caption, ("", {o.id for o in found if o.caption == d.caption}))
    return {text: one for text, one in asked.items() if one[1]}


def main(corpus: Path, folder: Path) -> None:
    """Print one line for each kind of question and each profile."""
    opened, encoder = Corpus.open(corpus), load_encoder(folder)
    embed_corpus(opened, encoder, patches=True)
    made = encoder.manifest.fingerprint
    names = encoder_names(made)
    found = [d for d in documents(opened, made, patches=True) if d.split == "validation"]
    found = [d for d in found if d.caption and d.vectors]
    fields = [
        VectorField(names.field(role), encoder.manifest.dimension, made, labels=ROLES[role])
        for role in ("embedding", "patches")
    ]
    chosen = profiles(reranker=(folder / RERANKER).exists())
    engine = EmbeddedEngine.in_memory(found, fields, chosen.instantiate(names))
    engine.encoder_folder = folder
    for kind in ("caption", "half", "case"):
        asked = questions(found, kind)
        if not asked:
            print(f"{kind:<8} has no questions here: no case has two images")
            continue
        vectors, tokens = encoder.encode_texts([*asked]), encoder.encode_tokens([*asked])
        for profile, called in zip(chosen.names(), PHASES, strict=False):
            started, ranks = time.process_time(), []
            for (left, relevant), vector, own in zip(asked.values(), vectors, tokens, strict=True):
                query = Query(
                    vector=vector,
                    vectors={names.field("patches"): own},
                    profile=profile,
                    k=DEPTH,
                    exclude_ids=frozenset({left} - {""}),
                    with_documents=False,
                )
                ids = engine.search(query).ids
                ranks.append(next((n for n, i in enumerate(ids, 1) if i in relevant), np.inf))
            spent = 1000 * (time.process_time() - started) / len(asked)
            score = float(np.mean(1 / np.array(ranks, float)))
            print(f"{kind:<8} {called:<26} RR@10 {score:.3f} {spent:6.2f} ms", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
