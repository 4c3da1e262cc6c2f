"""What a caption's vector adds to BM25: halves of captions ask for the documents of the others.

    python benchmarks/caption_vectors.py CAPTIONS [--tower minilm] [--articles DLINKS [--epochs 3]]

CAPTIONS is a tab-separated file of ids and captions, such as ROCO's captions.txt. The first half of
each caption is a query, the second half its document, cut as the protocol split-caption cuts them.
`hybrid3` in the embedded engine, without pictures: the weight `beta` of the caption's vector is
chosen on half of the captions (by a hash of their ids), the figures are of the other half.

With ROCO's dlinks.txt captions are split by article: half of the articles train, a quarter chooses
beta, the figures are of the last quarter. What is trained, by InfoNCE on parts of captions: a
linear map of the tower's vectors and, with --epochs, the upper half of the tower itself, as by
`train --text-epochs`.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from encoders.model.bert import BertTower
from encoders.model.tokenizer import batch_ids
from encoders.published.towers import text_part
from encoders.training.presets import preset
from encoders.training.pretraining import learn_texts
from ingest.feed.documents import second_half
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.shipped import CAPTION_PROFILES, SHIPPED
from ranking.types import Document, Query, VectorField

LONGEST = 64  # tokens
BATCH = 64
SHORTEST = 4  # words of a caption that is asked about
BETAS = (0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
ALONE = 1e3  # a beta beside which words do not count
CUT = 10
EPOCHS, PAIRS = 15, 256  # of the map
ARTICLE = re.compile(r"PMC\d+")
DEVELOPMENT = 1500  # queries that choose beta
NAMES = encoder_names("0" * 64)
FIELD = VectorField(NAMES.field("caption_embedding"), 384, "0" * 64)

Vectors = NDArray[np.float32]


def published(tower: str) -> tuple[BertTower, Tokenizer]:
    """A published text tower without a projection, and its tokenizer."""
    part = text_part(tower, LONGEST)
    made = BertTower(part.config, part.config.width)  # type: ignore[arg-type]
    made.load_state_dict(part.weights, strict=False)
    torch.nn.init.eye_(made.projection.weight)  # type: ignore[arg-type]
    return made, part.words


def tuned(tower: str, captions: Sequence[str], epochs: int, seed: int) -> BertTower:
    """The tower after these epochs on captions; its tokens and lower blocks stay."""
    made, words = published(tower)
    lower = [f"text.bert.blocks.{layer}." for layer in range(made.config.layers // 2)]
    config = preset(
        "lit",
        text_epochs=epochs,
        learning_rate=2e-4,
        rates=(),
        layer_decay=1.0,
        freeze=(
            "text.projection",
            "text.bert.tokens",
            "text.bert.positions",
            "text.bert.input_norm",
            *lower,
        ),
        seed=seed,
    )
    learn_texts(made, words, captions, config, lambda *told: print(*told, flush=True))
    return made


def embed(tower: BertTower, words: Tokenizer, texts: Sequence[str]) -> Vectors:
    """Unit vectors of texts: float32 [texts, width]."""
    tower.eval()
    out = np.empty((len(texts), tower.config.width), np.float32)
    order = np.argsort([len(text) for text in texts], kind="stable")
    with torch.inference_mode():
        for start in range(0, len(texts), BATCH):
            rows = order[start : start + BATCH]
            ids = batch_ids(words, [texts[row] for row in rows])
            found = tower(*(torch.from_numpy(each) for each in ids))
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


def reciprocal_rank(
    engine: EmbeddedEngine, queries: Sequence[Query], wanted: Sequence[str]
) -> float:
    """Mean reciprocal rank at CUT of the documents that the queries ask for."""
    found = [
        1 / (1 + result.ids.index(own)) if own in result.ids else 0.0
        for own, result in zip(wanted, engine.search_many(queries), strict=True)
    ]
    return float(np.mean(found))


@dataclass(frozen=True)
class Halves:
    """Ids, first and second halves of captions, and the rows that choose beta and that judge."""

    ids: list[str]
    firsts: list[str]
    seconds: list[str]
    choosing: list[int]
    held: list[int]

    def report(self, name: str, asking: Vectors, documents: Vectors) -> None:
        """Print RR@CUT of these vectors alone and with words, under the beta chosen for them."""
        engine = EmbeddedEngine.in_memory(
            [
                Document(i, text, {FIELD.name: vector})
                for i, text, vector in zip(self.ids, self.seconds, documents, strict=True)
            ],
            [FIELD],
            SHIPPED.replaced(CAPTION_PROFILES),
        )

        def measure(rows: Sequence[int], beta: float) -> float:
            queries = [
                Query(
                    self.firsts[row],
                    vectors={FIELD.name: asking[row]},
                    profile="hybrid3",
                    inputs={"beta": beta, "alpha": 0.0},
                    k=CUT,
                    with_documents=False,
                    timeout=600,
                )
                for row in rows
            ]
            return reciprocal_rank(engine, queries, [self.ids[row] for row in rows])

        by_beta = {beta: measure(self.choosing, beta) for beta in BETAS}
        best = max(by_beta, key=lambda beta: by_beta[beta])
        print(f"{name}: beta {best:g} of")
        print("  ".join(f"{beta:g}: {value:.4f}" for beta, value in by_beta.items()))
        for called, beta in (("words", 0.0), ("caption vector", ALONE), ("both", best)):
            print(f"  {called:16} {measure(self.held, beta):.4f}", flush=True)


def main() -> None:
    """Measure, and print a table for each kind of vectors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("captions", type=Path)
    parser.add_argument("--tower", default="minilm", help="minilm, or a downloaded folder")
    parser.add_argument("--articles", type=Path, help="dlinks.txt: train on half of them")
    parser.add_argument("--epochs", type=int, default=0, help="of the tower's training; minutes")
    parser.add_argument("--seed", type=int, default=0, help="of the tower's training")
    options = parser.parse_args()
    lines = (line.split("\t", 1) for line in options.captions.read_text("utf-8").split("\n"))
    captions = {line[0]: line[1].strip() for line in lines if len(line) == 2}
    ids = [name for name, text in captions.items() if len(text.split()) >= SHORTEST]
    firsts = [" ".join(captions[i].split()[: len(captions[i].split()) // 2]) for i in ids]
    seconds = [second_half(captions[i]) for i in ids]
    choosing = [row for row, name in enumerate(ids) if crc32(name.encode()) % 2]
    held = [row for row, name in enumerate(ids) if not crc32(name.encode()) % 2]
    learned: list[int] = []
    if options.articles:
        of = articles(options.articles)
        parts = [crc32(of.get(name, name).encode()) % 4 for name in ids]
        learned = [row for row, part in enumerate(parts) if part < 2]
        choosing, held = ([row for row, part in enumerate(parts) if part == n] for n in (2, 3))
    halves = Halves(ids, firsts, seconds, choosing[:DEVELOPMENT], held)
    print(f"{len(ids)} captions, {len(learned)} train, {len(halves.choosing)} choose beta;")
    print(f"RR@{CUT} of {len(held)} others")
    tower, words = published(options.tower)
    asking, documents = embed(tower, words, firsts), embed(tower, words, seconds)
    halves.report("published tower", asking, documents)
    if learned:
        by = trained_map(asking[learned], documents[learned])
        halves.report("under a linear map", mapped(asking, by), mapped(documents, by))
    if learned and options.epochs:
        training = [captions[ids[row]] for row in learned]
        tower = tuned(options.tower, training, options.epochs, options.seed)
        asking, documents = embed(tower, words, firsts), embed(tower, words, seconds)
        halves.report("tuned tower", asking, documents)


if __name__ == "__main__":
    main()
