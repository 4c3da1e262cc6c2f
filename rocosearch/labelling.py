"""Predict concepts and words for every image of a corpus.

Both come from the training split: concepts from a linear probe, words from the captions of the
nearest images, or from a decoder that has learned its captions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from encoders.analysis.concept_labels import best_threshold, concept_probe, mean_precision
from encoders.analysis.zero_shot import ClassificationError
from encoders.base.errors import UserError
from encoders.base.progress import Progress, silent
from encoders.training.concepts import multi_hot
from ingest.corpus.duplicates import normal_caption
from ingest.corpus.predictions import Prediction, write_predictions
from ingest.corpus.records import SCHEMA, Record, from_arrow
from rocosearch.captioning import GREEDY, describe
from rocosearch.concept_classification import AT_LEAST, group_numbers
from rocosearch.embedded_images import EmbeddedImages, open_embedded, read_features
from rocosearch.fields import field_of
from rocosearch.open_index import encoder_folder

__all__ = ["Labelled", "label_corpus", "near_captions"]

BLOCK = 1024
LOOKED_AT = 8  # near images for each caption wanted: captions repeat

Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class Labelled:
    """What was predicted. concepts: concept -> images that it was predicted for.

    mean_average_precision: of training images by probes that had not seen their case or article.
    threshold: probability from which a concept is predicted, of best F1 on the same images.
    captions: how many near captions each image got; decoder: what described it instead.
    """

    encoder: str
    images: int
    concepts: Mapping[str, int]
    mean_average_precision: float
    threshold: float
    captions: int
    decoder: str = ""

    def summary(self) -> dict[str, object]:
        """Everything as JSON values."""
        return asdict(self)


def label_corpus(
    corpus: Path,
    encoder: Path,
    *,
    captions: int = 10,
    decoder: Path | None = None,
    concept_fields: Sequence[str] = (),
    seed: int = 0,
    progress: Progress = silent,
) -> Labelled:
    """Predict concepts and words for every image, and store them in the corpus.

    captions: number of distinct captions of the nearest training images to use; 0: none. decoder:
    a file of `train-decoder` that describes the images instead, those without a caption and those
    that are not in the training split: what it would say of the others it has learned by heart.
    concept_fields: fields of the records whose values count as concepts too. The concepts are
    those that at least five training images have; training images are predicted by a probe that was
    not trained on their case or article. Raises ClassificationError if no image is in the training
    split, or if there is nothing to predict.
    """
    embedded = open_embedded(corpus, encoder, None, progress)
    rows = embedded.corpus.rows([name for name in SCHEMA.names if name != "image"])
    found = {row["id"]: row for row in rows if row["id"] in embedded.rows}
    hashes = [found[identifier]["hashes"]["image_sha256"] for identifier in embedded.ids]
    records = [from_arrow({**found[identifier], "image": None}) for identifier in embedded.ids]
    for name in concept_fields:
        if not any(field_of(record, name) for record in records):
            raise UserError(f"No image has a field {name!r}: name another with --concept-field.")
    learned = np.array([record.split == "train" for record in records])
    if not learned.any():
        raise ClassificationError(f"{corpus} has no image in its training split.")
    named, precision, threshold = _concepts(
        embedded, records, learned, concept_fields, seed, progress
    )
    if not (captions or decoder) and not any(names for names, _ in named):
        raise ClassificationError(
            f"No concept has {AT_LEAST} training images in {corpus}. Name a field with "
            "--concept-field, or use --captions above 0."
        )
    taken = [record.caption if own else "" for record, own in zip(records, learned, strict=True)]
    described = ""
    if decoder is None:
        words = near_captions(embedded.vectors, taken, hashes, captions, progress)
    else:
        captions = 0
        words, described = _described(embedded, decoder, taken, progress)
    fingerprint = embedded.encoder.manifest.fingerprint
    write_predictions(
        corpus,
        list(zip(embedded.ids, hashes, strict=True)),
        [Prediction(*pair, text) for pair, text in zip(named, words, strict=True)],
        {
            "encoder": fingerprint,
            "threshold": threshold,
            "captions": captions,
            "decoder": described,
        },
    )
    counts = Counter(name for names, _ in named for name in names)
    return Labelled(
        fingerprint,
        len(records),
        dict(counts.most_common()),
        precision,
        threshold,
        captions,
        described,
    )


def _described(
    embedded: EmbeddedImages, path: Path, learned: Sequence[str], progress: Progress
) -> tuple[list[str], str]:
    """What the decoder says of images whose caption it has not learned, and its fingerprint."""
    # torch takes seconds to load
    from encoders.model.clip import Encoder  # noqa: PLC0415
    from encoders.model.decoder import Decoder  # noqa: PLC0415

    decoder = Decoder.load(path, embedded.encoder.manifest.fingerprint)
    ids = [i for i, text in zip(embedded.ids, learned, strict=True) if not text]
    module = Encoder.load(encoder_folder(embedded.folder, progress)).module
    cells = read_features(embedded.corpus, module, ids, progress, cells=True)
    said = dict(zip(ids, describe(decoder, ids, cells, GREEDY, progress), strict=True))
    return [said[i][0] if i in said else "" for i in embedded.ids], decoder.fingerprint


def _concepts(
    embedded: EmbeddedImages,
    records: Sequence[Record],
    learned: NDArray[np.bool_],
    fields: Sequence[str],
    seed: int,
    progress: Progress,
) -> tuple[list[tuple[tuple[str, ...], tuple[float, ...]]], float, float]:
    """Each image's concepts with their probabilities, the mean average precision, the threshold."""
    own = [_own_concepts(record, fields) for record in records]
    counts = Counter(n for names, train in zip(own, learned, strict=True) if train for n in names)
    concepts = sorted(name for name, count in counts.items() if count >= AT_LEAST)
    if not concepts:
        return [((), ())] * len(records), 0.0, 0.0
    features, _ = embedded.features(embedded.ids, progress)
    examples = np.flatnonzero(learned).tolist()
    truth = multi_hot([own[row] for row in examples], concepts)
    groups = group_numbers([records[row] for row in examples])
    progress("probe concepts", 0, 1)
    scores, unseen = concept_probe(features[examples], truth, features, groups, seed=seed)
    progress("probe concepts", 1, 1)
    scores[examples] = unseen
    threshold = best_threshold(unseen, truth)
    named = []
    for row in scores:
        kept = [n for n in np.argsort(-row, kind="stable").tolist() if row[n] >= threshold]
        named.append((tuple(concepts[n] for n in kept), tuple(float(row[n]) for n in kept)))
    return named, mean_precision(unseen, truth), threshold


def _own_concepts(record: Record, fields: Sequence[str]) -> tuple[str, ...]:
    values = (field_of(record, name) for name in fields)
    return tuple({*(record.concepts or record.concept_names), *filter(None, values)})


def near_captions(
    vectors: Vectors,
    captions: Sequence[str],
    images: Sequence[str],
    count: int,
    progress: Progress = silent,
) -> list[str]:
    """For each image the `count` distinct captions of the nearest others, joined; "" for 0.

    vectors: unit vectors float32 [N, D]. captions: "" for those not to be taken. images: hashes
    of the files: a caption of the same image is never taken.
    """
    normal = [normal_caption(text) for text in captions]
    taken = np.flatnonzero([bool(text) for text in normal])
    if not count or not len(taken):
        return [""] * len(vectors)
    depth = min(count * LOOKED_AT, len(taken))
    out = []
    for start in range(0, len(vectors), BLOCK):
        similarity = vectors[start : start + BLOCK] @ vectors[taken].T
        near = np.argpartition(-similarity, depth - 1, axis=1)[:, :depth]
        order = np.argsort(-np.take_along_axis(similarity, near, 1), axis=1, kind="stable")
        for row, numbers in enumerate(taken[np.take_along_axis(near, order, 1)], start):
            distinct: dict[str, str] = {}
            for n in numbers:
                if images[n] != images[row]:
                    distinct.setdefault(normal[n], captions[n])
            out.append(" ".join(list(distinct.values())[:count]))
        progress("near captions", len(out), len(vectors))
    return out
