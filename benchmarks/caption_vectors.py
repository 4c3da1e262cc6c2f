"""What a caption's vector adds to BM25: halves of captions ask for the documents of the others.

    python benchmarks/caption_vectors.py CAPTIONS [--tower minilm] [--articles DLINKS]

CAPTIONS is a tab-separated file of ids and captions, such as ROCO's captions.txt. The first half of
each caption is a query, the second half its document, cut as the protocol split-caption cuts them.
`hybrid3` in the embedded engine, without pictures: the weight `beta` of the caption's vector is
chosen on half of the captions (by a hash of their ids), the figures are of the other half.

With ROCO's dlinks.txt captions are split by article: on half of the articles a linear map of the
tower's vectors learns to bring halves of a caption together (InfoNCE), a quarter chooses beta, the
figures are of the last quarter.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray

from encoders.model.bert import BertTower
from encoders.model.tokenizer import batch_ids
from encoders.published.towers import text_part
from ingest.feed.documents import second_half
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.shipped import CAPTION_PROFILES, SHIPPED
from ranking.types import Document, Query, VectorField

LONGEST = 128  # tokens
BATCH = 64
SHORTEST = 4  # words of a caption that is asked about
BETAS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 1e3)
CUT = 10
EPOCHS, PAIRS = 15, 256  # of the map
ARTICLE = re.compile(r"PMC\d+")
DEVELOPMENT = 1500  # queries that choose beta
NAMES = encoder_names("0" * 64)
FIELD = VectorField(NAMES.field("caption_embedding"), 384, "0" * 64)

Vectors = NDArray[np.float32]


def embed(tower: str, texts: Sequence[str]) -> Vectors:
    """Unit vectors of a published text tower, without a projection: float32 [texts, width]."""
    part = text_part(tower, LONGEST)
    made = BertTower(part.config, part.config.width)  # type: ignore[arg-type]
    made.load_state_dict(part.weights, strict=False)
    made.eval()
    out = np.empty((len(texts), part.config.width), np.float32)
    order = np.argsort([len(text) for text in texts], kind="stable")
    with torch.inference_mode():
        for start in range(0, len(texts), BATCH):
            rows = order[start : start + BATCH]
            ids = batch_ids(part.words, [texts[row] for row in rows])
            found = made.features(*(torch.from_numpy(each) for each in ids))
            out[rows] = torch.nn.functional.normalize(found, dim=-1).numpy()
    return out


def trained_map(asking: Vectors, documents: Vectors) -> Vectors:
    """A linear map, float32 [width, width], under which each text is nearest its other half."""
    torch.manual_seed(0)
    made = torch.nn.Parameter(torch.eye(asking.shape[1]))
    optimizer = torch.optim.AdamW([made], 1e-3, weight_decay=0.0)
    pairs = torch.from_numpy(asking), torch.from_numpy(documents)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(asking)).split(PAIRS):
            first, second = (torch.nn.functional.normalize(each[rows] @ made) for each in pairs)
            scores, own = 20.0 * first @ second.T, torch.arange(len(rows))
            both = [torch.nn.functional.cross_entropy(s, own) for s in (scores, scores.T)]
            optimizer.zero_grad()
            sum(both).backward()  # type: ignore[union-attr]
            optimizer.step()
    return made.detach().numpy()


def mapped(vectors: Vectors, by: Vectors) -> Vectors:
    """Unit vectors of what the map makes of them."""
    found = vectors @ by
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def articles(links: Path) -> dict[str, str]:
    """By id of a caption, the article it is of, from ROCO's dlinks.txt."""
    lines = links.read_text("utf-8").split("\n")
    return {line.split("\t")[0]: found[0] for line in lines if (found := ARTICLE.search(line))}


def reciprocal_rank(engine: EmbeddedEngine, queries: Sequence[tuple[str, Query]]) -> float:
    """Mean reciprocal rank at CUT of the documents that the queries ask for."""
    results = engine.search_many([query for _, query in queries])
    found = [
        1 / (1 + result.ids.index(wanted)) if wanted in result.ids else 0.0
        for (wanted, _), result in zip(queries, results, strict=True)
    ]
    return float(np.mean(found))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("captions", type=Path)
    parser.add_argument("--tower", default="minilm", help="minilm, or a downloaded folder")
    parser.add_argument("--articles", type=Path, help="dlinks.txt: train a map on half of them")
    options = parser.parse_args()
    lines = (line.split("\t", 1) for line in options.captions.read_text("utf-8").split("\n"))
    captions = {line[0]: line[1].strip() for line in lines if len(line) == 2}
    ids = [name for name, text in captions.items() if len(text.split()) >= SHORTEST]
    firsts = [" ".join(captions[i].split()[: len(captions[i].split()) // 2]) for i in ids]
    seconds = [second_half(captions[i]) for i in ids]
    documents, asking = embed(options.tower, seconds), embed(options.tower, firsts)
    tuned = [row for row, name in enumerate(ids) if crc32(name.encode()) % 2]
    held = [row for row, name in enumerate(ids) if not crc32(name.encode()) % 2]
    if options.articles:
        of = articles(options.articles)
        parts = [crc32(of.get(name, name).encode()) % 4 for name in ids]
        learned = [row for row, part in enumerate(parts) if part < 2]
        tuned, held = ([row for row, part in enumerate(parts) if part == n] for n in (2, 3))
        by = trained_map(asking[learned], documents[learned])
        documents, asking = mapped(documents, by), mapped(asking, by)
    engine = EmbeddedEngine.in_memory(
        [
            Document(i, text, {FIELD.name: vector})
            for i, text, vector in zip(ids, seconds, documents, strict=True)
        ],
        [FIELD],
        SHIPPED.replaced(CAPTION_PROFILES),
    )

    def queries(rows: Sequence[int], beta: float) -> list[tuple[str, Query]]:
        inputs = {"beta": beta, "alpha": 0.0}
        return [
            (
                ids[row],
                Query(
                    firsts[row],
                    vectors={FIELD.name: asking[row]},
                    profile="hybrid3",
                    inputs=inputs,
                    k=CUT,
                    with_documents=False,
                    timeout=600,
                ),
            )
            for row in rows
        ]

    by_beta = {beta: reciprocal_rank(engine, queries(tuned[:DEVELOPMENT], beta)) for beta in BETAS}
    best = max(by_beta, key=lambda beta: by_beta[beta])
    print(f"{len(ids)} captions; beta chosen on {len(tuned[:DEVELOPMENT])} queries:")
    print("  ".join(f"{beta:g}: {value:.4f}" for beta, value in by_beta.items()))
    print(f"RR@{CUT} of {len(held)} others:")
    for name, beta in (("words", 0.0), ("caption vector", 1e3), (f"both, beta {best:g}", best)):
        print(f"  {name:24} {reciprocal_rank(engine, queries(held, beta)):.4f}")


if __name__ == "__main__":
    main()
