from __future__ import annotations

import io
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ingest.corpus.records import CorpusError
from ingest.sources import open_source
from ingest.sources.phantom_captions import TEMPLATES, WORDS
from ingest.sources.phantoms import ATTRIBUTES, CONCEPT_NAMES, Phantoms

DOCS = Path(__file__).resolve().parents[2] / "docs" / "phantoms.md"


@pytest.fixture(scope="module")
def phantoms():
    return list(Phantoms())


def combination(record) -> tuple[str, ...]:
    return record.concepts


def test_there_are_enough_combinations():
    assert len(list(itertools.product(*ATTRIBUTES.values()))) == 2160


def test_counts(phantoms):
    assert len(phantoms) == 2700
    assert Counter(r.split for r in phantoms) == {"train": 2000, "validation": 200, "test": 500}
    assert len({r.id for r in phantoms}) == 2700


def test_no_held_out_combination_is_seen_in_training(phantoms):
    seen = {s: {combination(r)[1:] for r in phantoms if r.split == s} for s in ("train", "test")}
    assert not seen["train"] & seen["test"]
    test = [combination(r) for r in phantoms if r.split == "test"]
    assert len(test) == len(set(test)) == 500


def test_they_are_the_same_every_time(phantoms):
    assert list(Phantoms(100)) == list(Phantoms(100))
    assert next(iter(Phantoms(seed=1))) != phantoms[0]


def test_a_case_is_one_patient_in_every_modality(phantoms):
    case = [r for r in phantoms if r.group_id == phantoms[0].group_id]
    assert {r.modality for r in case} == set(ATTRIBUTES["modality"])
    assert len({combination(r)[1:] for r in case}) == 1


def test_every_caption_names_every_attribute(phantoms):
    for record in phantoms[::50]:
        for value in record.extra.values():
            words = [word.lower() for word in WORDS[value]]
            assert any(word in record.caption.lower() for word in words), record.caption
    assert len({r.caption for r in phantoms}) > 2600


def test_left_is_drawn_on_the_right_of_the_image(phantoms):
    masses = [r for r in phantoms if r.extra["finding"] == "mass" and r.extra["region"] == "head"]
    for record in masses:
        if record.modality not in ("radiograph", "ct") or record.extra["size"] == "small":
            continue
        pixels = np.asarray(Image.open(io.BytesIO(record.image)), np.float32)
        right_is_brighter = pixels[:, 33:].mean() > pixels[:, :31].mean()
        assert right_is_brighter == (record.extra["side"] == "left"), record.id


@pytest.mark.parametrize("count", [1, 7, 100])
def test_any_count(count):
    assert len(list(Phantoms(count))) == count


def test_names():
    assert open_source("phantoms").count == 2700
    assert open_source("phantoms:40", "phantoms").count == 40
    with pytest.raises(CorpusError, match="write phantoms:COUNT"):
        open_source("phantoms:none")


def test_the_documentation_lists_every_attribute_and_template():
    text = DOCS.read_text()
    for concept, name in CONCEPT_NAMES.items():
        assert f"`{concept}`" in text or f"| {name} |" in text, concept
    for template in TEMPLATES:
        assert template in text
