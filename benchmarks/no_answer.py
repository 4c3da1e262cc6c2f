"""Whether a search says that nothing looks like what was asked for, where nothing does.

    python -m benchmarks.no_answer build/corpus build/encoder                    phantoms
    python -m benchmarks.no_answer build/corpus build/encoder --without modality=ultrasound
    python -m benchmarks.no_answer build/corpus build/encoder --short                short queries

Documents are taken out of the index, and out of what the probabilities are fitted on. Then those of
the test split that were taken out ask (no answer is right), and some that stayed (they have one).
Of phantoms three things are taken out in turn: half of the test split's combinations, so that
documents that differ in one attribute of six stay; every fifth pair of region and finding; one
finding. Their captions are written anew, in other words than those indexed. Other corpora ask as
`rocosearch calibrate` does (eval/tuning/calibration.py), and what is taken out of validation asks
too. F1 weighs both kinds alike, however many queries there are of each.

"No answer" is told where every hit is below the cut. ROC area: of the best hit's probability, with
an answer against without. Calibration error: of the hits of queries with an answer.

Short queries: fitted on half of the concept names, asked with the other half, by the fit for
captions and by that for short queries. Without an answer is each with its right hits left out.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from encoders.inference.dual_encoder import DualEncoder
from eval.tuning.calibration import (
    BY_CAPTION,
    Asking,
    asked_of,
    calibrate,
    calibration_error,
    short_queries,
)
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import documents
from ingest.sources.phantom_captions import describe
from ingest.sources.phantoms import ATTRIBUTES, FINDINGS, REGIONS
from ingest.vectors.embed import embed_corpus
from ranking.calibration import SHORT, Calibration
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.profiles.cosine import with_scale
from ranking.profiles.shipped import CAPTION_PROFILES, SHIPPED
from ranking.searcher import Searcher
from ranking.text.tokens import query_terms
from ranking.types import Document, Result, VectorField
from rocosearch.open_index import load_encoder

Gone = Callable[[Document], bool]
MOST = 500  # queries of each kind


def concept(document: Document, attribute: str) -> str:
    """A phantom's value of an attribute."""
    return next(c.split("-", 1)[1] for c in document.concepts if c.startswith(f"{attribute}-"))


def phantom_parts() -> dict[str, Gone]:
    """What is taken out of phantoms, by name."""
    pairs = [(region, finding) for region in REGIONS for finding in FINDINGS][::5]

    def combination(document: Document) -> bool:
        return document.split == "test" and int(document.group_id.rsplit("-", 1)[1]) % 125 % 2 == 0

    def pair(document: Document) -> bool:
        return (concept(document, "region"), concept(document, "finding")) in pairs

    return {
        "combinations of six attributes": combination,
        "pairs of region and finding": pair,
        "a finding (ring lesion)": lambda document: concept(document, "finding") == "ring-lesion",
    }


def rewritten(
    searcher: Searcher, asking: Sequence[Document], profile: str
) -> tuple[list[Result], list[str]]:
    """Answers to newly written captions of phantoms, and these."""
    rng = np.random.default_rng(0)
    texts = [describe({name: concept(d, name) for name in ATTRIBUTES}, rng) for d in asking]
    again = [replace(d, caption=text) for d, text in zip(asking, texts, strict=True)]
    whole = Asking(tuple(again), (frozenset(),) * len(again))
    return whole.answers(searcher, profile), texts


def searcher_of(kept: list[Document], encoder: DualEncoder) -> Searcher:
    """Over these documents, with vectors of their captions."""
    manifest = encoder.manifest
    names = encoder_names(manifest.fingerprint)
    fields = [
        VectorField(name, manifest.dimension, manifest.fingerprint)
        for name in (names.embedding, names.field("caption_embedding"))
    ]
    profiles = with_scale(SHIPPED.replaced(CAPTION_PROFILES), manifest.logit_scale)
    return Searcher(EmbeddedEngine.in_memory(kept, fields, profiles), encoder)


def measure_short(found: list[Document], encoder: DualEncoder, profile: str) -> None:
    """Short queries by the fit for captions, and by their own."""
    away = set(sorted({concept for d in found for concept in d.concepts})[::2])

    def without(document: Document) -> Document:
        named = zip(document.concepts, document.concept_names, strict=True)
        return replace(document, concept_names=tuple("" if c in away else n for c, n in named))

    kept = [without(document) for document in found]
    searcher = searcher_of(kept, encoder)
    fitted = calibrate(searcher, kept, profile=profile)
    asked = short_queries(document for document in found if document.split == "test")
    asked = {text: ids for text, ids in asked.items() if ids <= away}
    for sizes in (range(1, 3), range(3, SHORT + 1)):
        some = {text: ids for text, ids in asked.items() if len(query_terms(text)) in sizes}
        measure_size(f"{sizes[0]} to {sizes[-1]}", some, searcher, fitted, profile)


def measure_size(
    size: str,
    asked: dict[str, frozenset[str]],
    searcher: Searcher,
    fitted: Calibration,
    profile: str,
) -> None:
    """Print the rows of queries of one size: by the fit for captions, and by their own."""
    results = [searcher.search(text, profile=profile) for text in asked]
    pairs = zip(asked.values(), results, strict=True)
    right = [np.array([ids <= set(h.concepts) for h in r.documents], bool) for ids, r in pairs]
    for name, one in (("captions", fitted), ("short queries", fitted.short or fitted)):
        chances = [
            np.nan_to_num(one.probabilities(result.features, len(query_terms(text))))
            for text, result in zip(asked, results, strict=True)
        ]
        both = list(zip(chances, right, strict=True))
        caught = np.mean([p[~yes].max(initial=0.0) < one.cut for p, yes in both])
        wrong = np.mean([p.max() < one.cut for p, yes in both if yes.any()])
        error = calibration_error(np.concatenate(chances), np.concatenate(right))
        print(
            f"| {size} words | {name} | {len(asked)} | {caught:.2f} | {wrong:.2f} | "
            f"{2 * caught / (1 + caught + wrong):.2f} | {error:.3f} |"
        )


def measure(
    name: str, found: list[Document], gone: Gone, encoder: DualEncoder, profile: str, *, anew: bool
) -> None:
    """Print one row. anew: whether newly written captions ask."""
    kept = [d for d in found if not gone(d)]
    searcher = searcher_of(kept, encoder)
    fitted = calibrate(searcher, kept, profile=profile)
    there = asked_of(kept, "test")
    held_out = ("test",) if anew else ("test", "validation")  # which lost them too
    none = tuple(d for d in found if d.split in held_out and gone(d) and d.caption and d.vectors)
    none = tuple(none[n] for n in np.random.default_rng(1).permutation(len(none))[:MOST])
    if anew:
        there = Asking(there.documents[:MOST], (frozenset(),) * MOST)
        answers, texts = rewritten(searcher, there.documents, profile)
        empty, others = rewritten(searcher, none, profile)
    else:
        profile = profile if there.apart else "hybrid"  # a caption would find itself by its vector
        answers = there.answers(searcher, profile)
        empty = Asking(none, (frozenset(),) * len(none) if there.apart else ()).answers(
            searcher, profile
        )
        texts, others = ([d.caption or "" for d in some] for some in (there.documents, none))
    chances = [
        [np.nan_to_num(fitted.probabilities(r.features, len(query_terms(t)))) for r, t in pairs]
        for pairs in (zip(answers, texts, strict=True), zip(empty, others, strict=True))
    ]
    best, nothing = (np.array([each.max(initial=0.0) for each in some]) for some in chances)
    caught, wrong = (nothing < fitted.cut).mean(), (best < fitted.cut).mean()
    area = (best[:, None] > nothing).mean() + (best[:, None] == nothing).mean() / 2
    error = calibration_error(np.concatenate(chances[0]), there.right(answers))
    print(
        f"| {name} | {len(nothing)} | {len(best)} | {caught:.2f} | {wrong:.2f} | "
        f"{2 * caught / (1 + caught + wrong):.2f} | {area:.2f} | {error:.3f} |",
        flush=True,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("encoder", type=Path)
    parser.add_argument("--without", action="append", metavar="FIELD=VALUE", default=[])
    parser.add_argument("--short", action="store_true", help="queries of few words")
    parser.add_argument("--profile", default=BY_CAPTION)
    options = parser.parse_args()
    corpus, encoder = Corpus.open(options.corpus), load_encoder(options.encoder)
    embed_corpus(corpus, encoder, captions=encoder)
    found = list(documents(corpus, encoder.manifest.fingerprint, captions=True))
    if options.short:
        measure_short(found, encoder, options.profile)
        return
    print(
        "| taken out | queries without an answer | with one | told so | told so wrongly | F1 | "
        "ROC area | calibration error |\n|---|---|---|---|---|---|---|---|"
    )
    if not options.without:
        for name, gone in phantom_parts().items():
            measure(name, found, gone, encoder, options.profile, anew=True)
    for without in options.without:
        field, _, value = without.partition("=")

        def gone(document: Document, field: str = field, value: str = value) -> bool:
            held = getattr(document, field)
            return value in (held if isinstance(held, tuple) else (held,))

        measure(without, found, gone, encoder, options.profile, anew=False)


if __name__ == "__main__":
    main()
