from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from encoders.base.storage import SEEN
from encoders.training.presets import preset
from encoders.training.seen_pairs import Record, Seen, SeenError
from eval.collection.pool import load_pool
from eval.leakage.indexed_texts import Shingles
from eval.leakage.leakage import find_leakage
from eval.leakage.training_overlap import (
    NO_RECORD,
    Overlap,
    SeenTexts,
    captions_seen,
    find_overlap,
    find_record,
)
from eval.protocols import PROTOCOLS
from ingest.corpus.corpus import EMBEDDINGS, write_corpus
from ingest.corpus.duplicates import normal_caption
from ingest.corpus.records import Record as Row
from rocosearch.pipeline import build_index, seen_record, training_pairs, write_app
from tests.eval.conftest import make_pool
from tests.ingest.conftest import Rows


def leakage(pool, name, variant=None):
    task = next(p for p in PROTOCOLS[name](pool) if p.protocol == (variant or name))
    return find_leakage(task, pool.captions)


def test_the_caption_protocol_is_leaky(pool):
    assert leakage(pool, "caption").leaked == 6


def test_the_split_caption_protocol_is_not(pool):
    assert not leakage(pool, "split-caption").leaked


def test_hidden_captions_are_not_in_sight(pool):
    assert leakage(pool, "hidden-caption").leaked == 0


def test_siblings_with_the_same_caption_leak(pool):
    assert leakage(pool, "same-case").counts()["normalised"] == 2
    distinct = leakage(pool, "same-case", "same-case-distinct")
    assert distinct.counts()["normalised"] == 0
    assert distinct.counts()["near-duplicate"] == 1  # "Brain MRI" in "Sagittal brain MRI with ..."


def test_images_leak_no_text(pool):
    assert not leakage(pool, "image-to-image").leaked


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


def overlap_of(pool, **marks):
    nothing = np.zeros(len(pool), bool)
    names = ("same_image", "copy_image", "near_image", "caption", "near_caption", "group")
    return Overlap(**{name: marks.get(name, nothing) for name in names})


def test_relevant_images_seen_in_training(pool):
    task = PROTOCOLS["image-to-image"](pool)[0]
    same, near = np.arange(len(pool)) == 4, np.arange(len(pool)) == 0
    found = find_leakage(task, pool.captions, overlap_of(pool, same_image=same, near_image=near))
    assert found.counts()["in-training"] == 1
    assert found.counts()["like-training"] == 2
    assert found.leaked == 1  # what only looks alike proves nothing
    copied = find_leakage(task, pool.captions, overlap_of(pool, copy_image=same))
    assert copied.counts()["in-training"] == 1
    grouped = find_leakage(task, pool.captions, overlap_of(pool, group=same))
    assert grouped.counts()["training-group"] == 1


def seen(captions, groups=()):
    groups = groups or [""] * len(captions)
    empty = [""] * len(captions)
    return Seen.of(images=empty, looks=empty, captions=captions, groups=groups)


def test_captions_of_training_are_found_again():
    texts = SeenTexts(
        seen(["axial ct of the chest with a nodule in the left upper lobe", "brain mri"])
    )
    asked = [
        "axial ct of the chest with a nodule in the left upper lobe",
        "ct of the chest with a nodule in the left upper lobe",
        "brain mri",
        "an unrelated sentence about something else",
        "",
    ]
    assert texts.equal(asked).tolist() == [True, False, True, False, False]
    assert texts.near(asked).tolist() == [True, True, False, False, False]


def test_what_every_caption_says_is_no_near_match():
    common = [f"chest x ray of patient number {n} who came in with a cough" for n in range(400)]
    texts = SeenTexts(seen([*common, "rare finding of situs inversus"]))
    assert texts.near(["chest x ray", "rare finding of situs"]).tolist() == [False, True]


def test_a_short_query_that_stands_in_its_document():
    rows = [("Situs inversus of the whole abdomen is seen", "", ["a"])] + [
        (f"Chest x ray of a patient, number {n}, with cough", "", ["b"]) for n in range(40)
    ]
    task = PROTOCOLS["caption"](make_pool(rows))[0]
    topics = tuple(
        replace(topic, text=text)
        for topic, text in zip(task.topics[:2], ("situs inversus", "chest x ray"), strict=True)
    )
    asked = replace(task, topics=topics, qrels=task.qrels.take(np.array([0, 1])))
    assert find_leakage(asked, [caption for caption, _, _ in rows]).kinds == ("near-duplicate", "")


def test_the_record_tells_nothing_and_comes_back(tmp_path):
    first = seen(["axial ct of the chest", "brain mri"], ["case 1", ""])
    later = Seen.of(
        images=["ab" * 32],
        looks=["00ff00ff00ff00ff"],
        captions=["pelvis"],
        groups=[""],
        subjects=["patient 7"],
        key=first.key,
    )
    record = Record(first, later).joined(Record(later, later))
    record.write(tmp_path / "seen.parquet")
    data = (tmp_path / "seen.parquet").read_bytes()
    assert b"axial" not in data
    assert b"patient 7" not in data
    back = Record.read(tmp_path / "seen.parquet")
    assert back.trained.pairs == 3
    assert back.trained.has("caption", ["brain mri", "pelvis", "knee"]).tolist() == [1, 1, 0]
    assert back.trained.has("group", ["case 1", "case 2"]).tolist() == [True, False]
    assert back.trained.has("subject", ["patient 7"]).all()
    assert back.trained.has_image(["ab" * 32, ""]).tolist() == [True, False]
    assert back.validated.has("caption", ["brain mri"]).tolist() == [False]
    (tmp_path / "seen.parquet").write_bytes(data[:50])
    with pytest.raises(SeenError, match="cannot be read"):
        Record.read(tmp_path / "seen.parquet")


def jpeg(image, quality):
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def png(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def picture(number, size=96):
    """A smooth picture of its own: low frequencies, as radiographs have."""
    rng = np.random.default_rng(number)
    small = Image.fromarray(rng.integers(0, 256, (7, 7), dtype=np.uint8))
    return small.resize((size, size), Image.Resampling.BICUBIC)


def test_copies_are_verified_by_their_pixels(tmp_path):
    originals = [picture(n) for n in range(6)]
    records = [
        Row(f"t{n}", f"caption {n}", png(image), split="train") for n, image in enumerate(originals)
    ]
    changed = {
        "jpeg": jpeg(originals[0], 40),
        "half": png(originals[1].resize((48, 48))),
        "same": png(originals[2]),
        "cropped": png(ImageOps.crop(originals[3], 3)),
        "padded": png(ImageOps.expand(originals[4], 2, "black")),
        "other": png(picture(100)),
    }
    records += [Row(name, f"text of {name}", data, split="test") for name, data in changed.items()]
    corpus = write_corpus(Rows(records), tmp_path / "corpus")
    ids = corpus.table(["id"])["id"].to_pylist()
    pool = load_pool(corpus, ids, ids, split="test")
    for record in (None, seen_record(corpus)):
        found = find_overlap(corpus, pool, "none", record)
        marks = {
            name: (bool(found.same_image[row]), bool(found.copy_image[row]))
            for row, name in enumerate(pool.ids)
        }
        assert marks == {
            "jpeg": (False, True),
            "half": (False, True),
            "same": (True, False),
            "cropped": (False, True),
            "padded": (False, True),
            "other": (False, False),
        }
        assert found.known == (record is not None)
        assert any("unknown" in note for note in found.notes) == (record is None)


def test_overlap_with_training(phantoms):
    ids = phantoms.table(["id"])["id"].to_pylist()
    pool = load_pool(phantoms, ids, ids, scope="all")
    found = find_overlap(phantoms, pool, "none", seen_record(phantoms))
    trained = (
        np.array(phantoms.table(["id", "split"]).sort_by("id")["split"].to_pylist()) == "train"
    )
    assert found.same_image.tolist() == trained.tolist()
    assert not found.group[~trained].any()
    assert not found.notes
    validation = load_pool(phantoms, ids, ids, split="validation")
    (note,) = find_overlap(phantoms, validation, "none", seen_record(phantoms)).notes
    assert "44 were used to choose the encoder's epoch" in note


def test_what_the_encoder_of_captions_read_counts_too(tmp_path):
    records = [Row(f"i{n}", f"caption number {n}", png(picture(n)), split="test") for n in range(3)]
    corpus = write_corpus(Rows(records), tmp_path / "corpus")
    pool = load_pool(corpus, ["i0", "i1", "i2"], [], split="test")
    record = seen_record(corpus)
    unknown = find_overlap(corpus, pool, "none", record, "reader")
    assert unknown.notes == (NO_RECORD,)
    assert not unknown.caption.any()
    read = Seen.of(images=[""], looks=[""], captions=["caption number 1"], groups=[""])
    Record(read, read).write(corpus.path / EMBEDDINGS / "reader" / SEEN)
    found = find_overlap(corpus, pool, "none", record, "reader")
    assert found.caption.tolist() == [False, True, False]
    assert not found.image.any()
    assert found.notes == ()
    equal, near = captions_seen(found.texts, ["caption number 1", "number two of nothing"])
    assert equal.tolist() == [True, False]
    assert near.tolist() == [True, False]


def test_names_of_concepts_that_were_paired_are_seen(phantoms):
    pairs = list(training_pairs(phantoms, "train", ["modality"], concept_pairs=True))
    assert len(pairs) == 2 * phantoms.manifest.splits["train"]
    names = normal_caption(pairs[1].text)
    assert pairs[1].image == pairs[0].image
    plain, paired = seen_record(phantoms), seen_record(phantoms, named=["modality"])
    assert not plain.trained.has("caption", [names]).any()
    assert paired.trained.has("caption", [names]).all()
    assert not paired.validated.has("caption", [names]).any()


def test_what_pretraining_sees_is_recorded(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(stream, "PNG")
    rows = [
        Row("a", "", stream.getvalue(), split="train", caption_needed=False),
        Row("b", "words of no image at all", split="train"),
    ]
    corpus = write_corpus(Rows(rows), tmp_path / "corpus", splits="source")
    config = replace(preset("tiny"), image_epochs=1)
    assert seen_record(corpus).trained.pairs == 0
    assert seen_record(corpus, config=config).trained.has_image([rows[0].image_sha256]).all()
    found = seen_record(corpus, config=replace(config, image_epochs=0, text_epochs=1)).trained
    assert found.has("caption", [rows[1].caption]).all()
    assert not found.has_image([rows[0].image_sha256]).any()


def test_the_record_stays_beside_the_encoder(encoder, phantoms, tmp_path):
    folder = tmp_path / "encoder"
    encoder.save(folder)
    seen_record(phantoms).write(folder / SEEN)
    build_index(phantoms.path, tmp_path / "index", encoder=folder)
    assert not list((tmp_path / "index").rglob(SEEN))
    assert find_record(phantoms, encoder.manifest.fingerprint, None) is not None
    write_app(tmp_path / "index", tmp_path / "app")
    assert not list((tmp_path / "app").rglob(SEEN))
