"""Words of near captions, and predicted concepts that find documents but judge none."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from typer.testing import CliRunner

from encoders.analysis.zero_shot import ClassificationError
from encoders.base.errors import UserError
from eval.collection.pool import load_pool
from ingest.corpus.corpus import Corpus
from ingest.feed.documents import documents
from ranking.engine.engine import EmbeddedEngine
from ranking.types import Filter, Query
from rocosearch.captioning import train_caption_decoder
from rocosearch.cli import app
from rocosearch.labelling import label_corpus, near_captions
from rocosearch.outputs import OutputError
from rocosearch.pipeline import build_index

VECTORS = np.array([[1, 0], [0.9, 0.436], [0.8, 0.6], [0, 1]], np.float32)


def test_the_nearest_captions_first_each_once() -> None:
    captions = ["CT chest", "MRI brain", "mri  brain", "knee"]

    found = near_captions(VECTORS, captions, ["0", "1", "2", "3"], 2)

    assert found[0] == "MRI brain knee"  # "mri  brain" is the same caption
    assert found[3] == "mri  brain CT chest"


def test_an_images_own_caption_is_never_taken() -> None:
    found = near_captions(VECTORS, ["own", "copy", "other", ""], ["0", "0", "2", "3"], 3)

    assert found[0] == "other"
    assert found[1] == "other"
    assert found[3] == "other copy own"


def test_no_caption_gives_no_words() -> None:
    assert near_captions(VECTORS, [""] * 4, list("0123"), 5) == [""] * 4
    assert near_captions(VECTORS, ["a"] * 4, list("0123"), 0) == [""] * 4


@pytest.fixture
def corpus(made, tmp_path):
    return shutil.copytree(made[0] / "corpus", tmp_path / "corpus")


def test_labels_find_documents_and_judge_none(made, corpus):
    before = load_pool(Corpus.open(corpus), *_all(corpus), scope="all")

    found = label_corpus(corpus, made[0] / "encoder", captions=2)

    labelled = list(documents(Corpus.open(corpus)))
    assert found.images == len(labelled)
    assert found.concepts
    counts = {n: sum(n in d.predicted_concepts for d in labelled) for n in found.concepts}
    assert counts == found.concepts
    train = {d.caption for d in labelled if d.split == "train"}
    assert all(any(text in d.pseudo_caption for text in train) for d in labelled)
    most = next(iter(found.concepts))
    engine = EmbeddedEngine.in_memory(labelled)
    query = Query("phantom", profile="lexical", filters=(Filter("predicted_concepts", (most,)),))
    assert engine.search(query).total <= counts[most]
    after = load_pool(Corpus.open(corpus), *_all(corpus), scope="all")
    assert (after.concepts, after.captions) == (before.concepts, before.captions)


def _all(corpus):
    ids = Corpus.open(corpus).table(["id"])["id"].to_pylist()
    return ids, ids


def test_labelling_again_gives_the_same(made, corpus):
    label_corpus(corpus, made[0] / "encoder")
    first = list(documents(Corpus.open(corpus)))
    label_corpus(corpus, made[0] / "encoder")
    assert list(documents(Corpus.open(corpus))) == first


def test_nothing_to_predict_is_a_sentence(made, corpus, monkeypatch):
    monkeypatch.setattr("rocosearch.labelling.AT_LEAST", 1000)
    with pytest.raises(UserError, match="No image has a field 'nosuch'"):
        label_corpus(corpus, made[0] / "encoder", concept_fields=["nosuch"])
    with pytest.raises(ClassificationError, match="--concept-field"):
        label_corpus(corpus, made[0] / "encoder", captions=0)


def test_the_command_tells_what_was_predicted(made, corpus):
    told = CliRunner().invoke(app, ["label", str(corpus), str(made[0] / "encoder")])
    assert told.exit_code == 0, told.output
    assert "60 images labelled" in told.stdout
    assert "words of 10 near captions" in told.stdout


def test_a_decoder_describes_images_whose_caption_it_has_not_learned(made, corpus, tmp_path):
    encoder = made[0] / "encoder"
    decoder = train_caption_decoder(corpus, encoder, tmp_path / "decoder", epochs=3)
    assert decoder.figures["held_out"]
    with pytest.raises(OutputError, match="--replace"):
        train_caption_decoder(corpus, encoder, tmp_path / "decoder")

    found = label_corpus(corpus, encoder, decoder=tmp_path / "decoder")

    labelled = list(documents(Corpus.open(corpus)))
    assert (found.decoder, found.captions) == (decoder.fingerprint, 0)
    assert all(not d.pseudo_caption for d in labelled if d.split == "train" and d.caption)
    others = [d for d in labelled if d.split != "train"]
    assert all(d.pseudo_caption for d in others)
    judged = load_pool(Corpus.open(corpus), *_all(corpus), scope="all")
    assert not {d.pseudo_caption for d in others} & set(judged.captions) - {
        d.caption for d in labelled
    }


def test_an_index_for_missing_captions_has_words_for_them(made, corpus, tmp_path):
    engine = build_index(
        corpus, tmp_path / "index", encoder=made[0] / "encoder", caption_missing=True
    )
    assert engine.info().default_profile == "hybrid_pseudo"
    assert all(d.pseudo_caption for d in documents(Corpus.open(corpus)))
    with pytest.raises(UserError, match="needs an encoder"):
        build_index(corpus, tmp_path / "other", caption_missing=True)
