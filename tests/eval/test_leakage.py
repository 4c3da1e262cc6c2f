from __future__ import annotations

import numpy as np

from eval.leakage.indexed_texts import Shingles
from eval.leakage.leakage import find_leakage
from eval.leakage.training_overlap import Overlap, find_overlap
from eval.protocols import PROTOCOLS
from eval.search.pool import load_pool


def leakage(pool, name, variant=None):
    task = next(p for p in PROTOCOLS[name](pool) if p.protocol == (variant or name))
    return find_leakage(task, pool.captions)


def test_the_caption_protocol_is_leaky(pool):
    found = leakage(pool, "caption")
    assert found.leaky
    assert found.leaked == 6


def test_the_split_caption_protocol_is_not(pool):
    assert not leakage(pool, "split-caption").leaky


def test_hidden_captions_are_not_in_sight(pool):
    assert leakage(pool, "hidden-caption").leaked == 0


def test_siblings_with_the_same_caption_leak(pool):
    assert leakage(pool, "same-case").counts()["normalised"] == 2
    assert leakage(pool, "same-case", "same-case-distinct").leaked == 0


def test_images_leak_no_text(pool):
    assert not leakage(pool, "image-to-image").leaky


def test_containment_by_shingles():
    texts = [
        "Second DWI slice of right PCA ischemia and periventricular hyperintensities",
        "Chest radiograph with nodules seen in the left upper lobe",
        "A lobe",
    ]
    queries = [
        "First DWI slice of right PCA ischemia and periventricular hyperintensities",
        "nodules seen in the left upper lobe",
        "brain mri with contrast",
        "lobe",
    ]
    pairs = zip(*Shingles(texts).containing(queries), strict=True)
    assert [(int(query), int(text)) for query, text in pairs] == [(0, 0), (1, 1)]


def test_relevant_images_seen_in_training(pool):
    task = PROTOCOLS["image-to-image"](pool)[0]
    nothing = np.zeros(len(pool), bool)
    same, near = np.arange(len(pool)) == 4, np.arange(len(pool)) == 0
    found = find_leakage(task, pool.captions, Overlap(same, near, nothing, nothing))
    assert found.counts()["in-training"] == 1
    assert found.counts()["like-training"] == 2
    assert found.leaky
    alike = find_leakage(task, pool.captions, Overlap(nothing, near, nothing, nothing))
    assert alike.leaked == 2
    assert not alike.leaky


def test_overlap_with_training(phantoms):
    ids = phantoms.table(["id"])["id"].to_pylist()
    pool = load_pool(phantoms, ids, ids, scope="all")
    found = find_overlap(phantoms, pool)
    trained = (
        np.array(phantoms.table(["id", "split"]).sort_by("id")["split"].to_pylist()) == "train"
    )
    assert found.same_image.tolist() == trained.tolist()
    assert not found.group[~trained].any()
