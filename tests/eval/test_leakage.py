from __future__ import annotations

from eval.leakage import find_leakage
from eval.protocols import PROTOCOLS


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
