"""What words of near captions are worth for images that have no caption.

    rocosearch label build/medpix build/medpix-adapter-0
    rocosearch train-decoder build/medpix build/medpix-adapter-0 build/medpix-decoder-0.safetensors
    python benchmarks/pseudo_captions.py build/medpix build/medpix-adapter-0 build/medpix-adapter-1
    python benchmarks/pseudo_captions.py build/medpix build/medpix-adapter-0 \
        --decoders build/medpix-decoder-0.safetensors

Every caption of the validation split is a query, once; its images are to be found among those of
the split, of which none has a caption. MRR@10 by the vector, by the words of near captions of the
training split, and by both (`hybrid_pseudo`), for each encoder, a seed of one recipe. With a
decoder for each encoder: the same by what it says of the images, greedy, by beams, and all beams
joined; and BLEU, ROUGE-L and CIDEr of its captions beside those of the nearest training caption,
over all images of the split. docs/experiments.md has the results.

The protocol hidden-caption would flatter: there only the image that is sought lacks its caption,
and whatever raises documents without one finds it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from encoders.analysis.caption_scores import caption_scores
from encoders.model.clip import Encoder
from encoders.model.decoder import Decoder
from eval.collection.pool import load_pool
from ingest.corpus.corpus import Corpus
from ingest.corpus.duplicates import normal_caption
from ingest.feed.documents import documents
from ingest.vectors.embed import read_embeddings
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.cosine import with_scale
from ranking.profiles.shipped import SHIPPED
from ranking.types import Query, VectorField
from rocosearch.captioning import BEAMS, GREEDY, describe
from rocosearch.embedded_images import read_features
from rocosearch.labelling import near_captions
from rocosearch.open_index import load_encoder

PROFILES = ("vector", "lexical_pseudo", "hybrid_pseudo")


def main() -> None:
    """Print a row for each number of captions and each profile."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("corpus", type=Path)
    options.add_argument("encoders", type=Path, nargs="+")
    options.add_argument("--decoders", type=Path, nargs="*", default=[], help="one an encoder")
    options.add_argument("--captions", default="1,3,5,10,20")
    asked = options.parse_args()
    counts = [int(each) for each in asked.captions.split(",")]
    decoders = asked.decoders or [None] * len(asked.encoders)
    found = [
        measured(Corpus.open(asked.corpus), *paths, counts)
        for paths in zip(asked.encoders, decoders, strict=True)
    ]
    for row in found[0]:
        values = [each[row] for each in found]
        told = ", ".join(f"{value:.3f}" for value in values)
        sys.stdout.write(f"{row[0]}, {row[1]}: {np.mean(values):.3f} ({told})\n")


def measured(
    corpus: Corpus, folder: Path, decoder: Path | None, counts: list[int]
) -> Mapping[tuple[str, str], float]:
    """MRR@10 by kind of words and profile, and the scores of generated captions."""
    encoder = load_encoder(folder)
    manifest = encoder.manifest
    field = VectorField(
        encoder_names(manifest.fingerprint).embedding, manifest.dimension, manifest.fingerprint
    )
    ids, vectors = read_embeddings(corpus, manifest.fingerprint)
    pool = load_pool(corpus, ids, set(ids), split="validation", scope="split")
    rows = {row["id"]: row for row in corpus.table().to_pylist()}
    taken = [rows[i]["caption"] if rows[i]["split"] == "train" else "" for i in ids]
    images = [rows[i]["hashes"]["image_sha256"] for i in ids]
    own = [d for d in documents(corpus, manifest.fingerprint) if d.id in set(pool.ids)]
    relevant = {
        text: {pool.ids[row] for row in pool.phrases.holders(normal_caption(text))}
        for text in pool.captions
    }
    asked = [text for text, those in relevant.items() if those]
    encoded = encoder.encode_texts(asked)
    out = {}
    words = {
        f"{count} captions": dict(
            zip(ids, near_captions(vectors, taken, images, count), strict=True)
        )
        for count in counts
    }
    if decoder:
        true = [rows[d.id]["caption"] for d in own]
        words |= generated(corpus, folder, decoder, [d.id for d in own])
        for name in ("1 captions", "greedy", f"{BEAMS} beams"):
            scores = caption_scores([words[name][d.id] for d in own], true)
            out |= {(name, measure): value for measure, value in asdict(scores).items()}
    for kind, near in words.items():
        bare = [replace(d, caption=None, pseudo_caption=near[d.id]) for d in own]
        engine = EmbeddedEngine.in_memory(bare, [field], with_scale(SHIPPED, manifest.logit_scale))
        for profile in PROFILES:
            found = [
                engine.search(
                    Query(
                        "" if profile == "vector" else text,
                        None if profile == "lexical_pseudo" else vector,
                        profile,
                        target_hits=len(bare),
                    )
                ).ids
                for text, vector in zip(asked, encoded, strict=True)
            ]
            ranks = [
                next((1 / rank for rank, i in enumerate(each, 1) if i in relevant[text]), 0.0)
                for text, each in zip(asked, found, strict=True)
            ]
            out[kind, profile] = float(np.mean(ranks))
    return out


def generated(
    corpus: Corpus, folder: Path, path: Path, ids: Sequence[str]
) -> dict[str, dict[str, str]]:
    """What a decoder says of the images, by the way that it is searched for."""
    encoder = Encoder.load(folder)
    decoder = Decoder.load(path, encoder.manifest.fingerprint)
    cells = read_features(corpus, encoder.module, ids, cells=True)
    greedy = [texts[0] for texts in describe(decoder, ids, cells, GREEDY)]
    beams = list(describe(decoder, ids, cells, BEAMS))
    return {
        "greedy": dict(zip(ids, greedy, strict=True)),
        f"{BEAMS} beams": {i: texts[0] for i, texts in zip(ids, beams, strict=True)},
        f"{BEAMS} beams joined": {i: " ".join(texts) for i, texts in zip(ids, beams, strict=True)},
    }


if __name__ == "__main__":
    main()
