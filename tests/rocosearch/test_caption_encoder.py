"""Captions with vectors of an encoder of their own, from the command line to a server and back."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from encoders.base.errors import Notice
from encoders.model.manifest import Manifest
from ingest.corpus.corpus import Corpus
from ingest.feed.feed import FeedSource, tell_of_captions
from ingest.feed.forget import forget_in_corpus
from ingest.vectors.embed import embedding_parts, read_part
from ranking.engine.engine import EmbeddedEngine
from ranking.names import encoder_names
from ranking.types import QueryError
from rocosearch.cli import app
from rocosearch.open_index import load_encoder, open_searcher
from rocosearch.pipeline import build_corpus
from rocosearch.swap import start_on_index
from rocosearch.swap.vespa import write_packages
from tests.encoder_folders import save_whole
from tests.live.server import LiveServer
from tests.live.stand_in import stand_in
from tests.vespa_app.conftest import tiny_encoder
from vespa_app.read.application import read_application

TEXT = "nodule in the left lung"
OF_CAPTIONS = """\
default = "captions"
[profiles.captions]
retrieve = ["vector"]
first_phase = "closeness(field, caption_embedding)"
"""


def run(*arguments, fails=False):
    given = [str(each) for each in arguments]
    result = CliRunner().invoke(app, given, env={"COLUMNS": "300"})
    assert (result.exit_code != 0) == fails, result.output
    return result.output if fails else result.stdout


@dataclass(frozen=True)
class Made:
    root: Path

    def __getattr__(self, name: str) -> Path:
        return self.root / name

    @property
    def names(self):
        images, captions = (Manifest.load(self.root / name) for name in ("images", "captions"))
        return encoder_names(images.fingerprint, captions.fingerprint)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Made:
    found = Made(tmp_path_factory.mktemp("captions"))
    for seed, (name, dimension) in enumerate({"images": 24, "captions": 16, "new": 24}.items()):
        save_whole(tiny_encoder(seed, dimension), found.root / name)
    build_corpus("phantoms:40", found.corpus)
    index(found, found.index, found.captions)
    run("app", found.index, found.app)
    return found


def index(made, out, captions, *options):
    given = ("--encoder", made.images, "--caption-encoder", captions)
    run("index", made.corpus, out, *given, *options)


def hits(output: str) -> list[tuple[str, float]]:
    return [
        (hit["id"], pytest.approx(hit["score"], rel=1e-5)) for hit in json.loads(output)["hits"]
    ]


def test_the_index_carries_both_text_towers(made):
    engine, names = EmbeddedEngine.open(made.index), made.names
    fields = [(field.name, field.dimension) for field in engine.info().vector_fields]
    assert fields == [(names.embedding, 24), (names.field("caption_embedding"), 16)]
    encoder = load_encoder(made.index)
    assert encoder.captions.manifest.fingerprint == Manifest.load(made.captions).fingerprint
    kept = {path.name for path in (engine.encoder_folder / "captions").iterdir()}
    assert kept == {"encoder.json", "tokenizer.json", "text.onnx"}
    document = next(found for i in engine.ids() if (found := engine.get(i)).caption)
    expected = load_encoder(made.captions).encode_texts([document.caption])[0]
    found = document.vectors[names.field("caption_embedding")]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    searcher = open_searcher(made.index)
    by_both = searcher.search(TEXT, profile="hybrid3", k=5)
    asked = encoder.captions.encode_texts([TEXT])[0]
    held = [engine.get(i).vectors[names.field("caption_embedding")] for i in by_both.ids]
    told = by_both.features["closeness(field,caption_embedding)"]
    np.testing.assert_allclose(told, 1 / (2 - np.stack(held) @ asked), atol=1e-5)


def test_without_its_encoder_captions_are_not_compared_in_silence(made):
    searcher = open_searcher(made.index, encoder=made.images)
    with pytest.raises(
        QueryError, match=r"compares caption_embedding_\w+, of another encoder than"
    ):
        searcher.search(TEXT, profile="hybrid3")
    assert len(searcher.search(TEXT, profile="hybrid"))
    image = next(record.image for record in Corpus.open(made.corpus).records() if record.image)
    assert len(open_searcher(made.index).search(image=image, profile="hybrid3", k=3)) == 3


def test_the_encoder_of_captions_is_not_compared_with_images(made, tmp_path):
    index(made, tmp_path / "index", made.new)  # of the same dimension: nothing else would tell
    asked = ("search", tmp_path / "index", "--encoder", made.new)
    for profile in ("vector", "hybrid", "hybrid3"):
        error = run(*asked, TEXT, "--profile", profile, fails=True)
        assert "compares embedding_" in error
        assert "of another encoder than" in error
    own = tmp_path / "own.toml"
    own.write_text(OF_CAPTIONS, encoding="utf-8")
    assert run(*asked, TEXT, "--profiles", own) == run(*asked[:2], TEXT, "--profiles", own)
    identifier = next(iter(EmbeddedEngine.open(made.index).ids()))
    error = run(*asked[:2], "--like", identifier, "--profiles", own, fails=True)
    assert "compares vectors of captions alone" in error


def test_an_index_named_as_encoder_of_captions_has_its_own(made, tmp_path):
    expected = EmbeddedEngine.open(made.index).info().vector_fields
    given = ("--encoder", made.images, "--caption-encoder", made.index)
    run("index", made.corpus, tmp_path / "index", *given)
    assert EmbeddedEngine.open(tmp_path / "index").info().vector_fields == expected
    alone = ("index", made.corpus, tmp_path / "no", "--caption-encoder", made.captions)
    assert "name the encoder of images, too" in run(*alone, fails=True)


def test_a_damaged_encoder_of_captions_is_noticed(made, tmp_path):
    damaged = tmp_path / "damaged"
    shutil.copytree(made.captions, damaged)
    (damaged / "text.onnx").unlink()  # its vectors are in the corpus
    given = ("--encoder", made.images, "--caption-encoder", damaged)
    error = run("index", made.corpus, tmp_path / "index", *given, fails=True)
    assert "damaged is not a complete encoder: text.onnx is missing" in error
    assert not (tmp_path / "index").exists()
    shutil.copytree(made.index, tmp_path / "lost")
    shutil.rmtree(EmbeddedEngine.open(tmp_path / "lost").encoder_folder / "captions")
    error = run("app", tmp_path / "lost", tmp_path / "app", fails=True)
    assert "lost has lost its encoder of captions" in error
    shutil.copytree(made.new, EmbeddedEngine.open(tmp_path / "lost").encoder_folder / "captions")
    index(made, tmp_path / "lost", made.captions)
    assert len(open_searcher(tmp_path / "lost").search(TEXT, profile="hybrid3"))


def test_the_encoder_of_captions_may_stand_beside_that_of_images(made, tmp_path):
    run("app", made.index, tmp_path / "app", "--also", made.captions)
    assert len(read_application(tmp_path / "app").encoders) == 2


def test_a_feed_tells_that_captions_get_no_vectors(made, tmp_path):
    shutil.copytree(made.index, tmp_path / "index")
    to = ("--to", tmp_path / "index")
    error = run("feed", made.corpus, made.images, *to, "--caption-vectors", fails=True)
    assert "has no vector field caption_embedding_" in error  # once, not for each document
    source = FeedSource(Corpus.open(made.corpus), (made.names.short,))
    fields = EmbeddedEngine.open(made.index).info().vector_fields
    with pytest.warns(Notice, match="this feed sends none"):
        tell_of_captions(source, "index", fields)


def test_a_server_is_fed_asked_and_compared(made, tmp_path):
    both = ("--caption-encoder", made.captions)
    with stand_in() as url:
        LiveServer(url, url).fresh(made.app, tmp_path)
        where = ("--to", url, "--config-url", url)
        error = run(
            "feed", made.corpus, made.images, *where, "--caption-encoder", made.new, fails=True
        )
        assert "has no vector field caption_embedding_" in " ".join(error.split())
        assert (
            json.loads(run("feed", made.corpus, made.images, *both, *where, "--json"))["put"] == 40
        )
        for again in ((made.images, *both), (made.index,), (made.images,)):
            told = json.loads(run("feed", made.corpus, *again, *where, "--json"))
            assert (told["unchanged"], told["put"], told["updated"]) == (40, 0, 0)
        asked = ("search", TEXT, "--profile", "hybrid3", "--json")
        here = hits(run(asked[0], made.index, *asked[1:]))
        for options in ((), ("--encoder", made.index)):
            there = run(asked[0], url, *asked[1:], "--config-url", url, *options)
            assert hits(there) == here
        parity = run(
            "parity", made.index, url, "--config-url", url, "--profile", "hybrid3", "--json"
        )
        (found,) = json.loads(parity)["profiles"]
        assert found["overlap"] == {"10": 1.0, "100": 1.0}
        assert (found["causes"], max(found["differences"].values()) < 1e-6) == ({}, True)


def test_a_feed_file_has_both_fingerprints(made, tmp_path):
    out = tmp_path / "feed.jsonl"
    run("feed", made.corpus, made.index, "--app", made.app, "--jsonl", out)
    lines = [json.loads(line)["fields"] for line in out.read_text("utf-8").splitlines()]
    assert len(lines) == 40
    for name in ("images", "captions"):
        fingerprint = Manifest.load(made.root / name).fingerprint
        assert fingerprint in {fields.get(f"fingerprint_{fingerprint[:8]}") for fields in lines}


def test_another_encoder_of_captions_is_noticed(made, tmp_path):
    index(made, tmp_path / "index", made.new)
    told = run("app", tmp_path / "index", tmp_path / "app", "--previous", made.app)
    assert made.names.field("caption_embedding") in told
    assert f"caption_embedding_{Manifest.load(made.new).fingerprint[:8]}" in told
    error = run("feed", made.corpus, made.images, "--caption-encoder", made.captions, "--to",
                tmp_path / "index", fails=True)  # fmt: skip
    assert "has no vector field caption_embedding_" in " ".join(error.split())
    run("app", made.images, tmp_path / "alone", "--caption-encoder", made.captions)
    alone = read_application(tmp_path / "alone").resolve("hybrid3")
    assert alone.compared == read_application(made.app).resolve("hybrid3").compared
    error = run("app", made.index, tmp_path / "no", "--caption-encoder", made.captions, fails=True)
    assert "is an index, which names its encoder of captions itself" in " ".join(error.split())


def test_the_encoder_itself_is_no_other(made, tmp_path):
    index(made, tmp_path / "index", made.images)
    engine = EmbeddedEngine.open(tmp_path / "index")
    assert {field.fingerprint[:8] for field in engine.info().vector_fields} == {made.names.short}
    assert not (engine.encoder_folder / "captions").exists()


def test_an_index_named_as_encoder_has_both(made, tmp_path):
    given = ("index", made.corpus, tmp_path / "again", "--encoder", made.index)
    run(*given, "--caption-vectors")
    engine, expected = EmbeddedEngine.open(tmp_path / "again"), EmbeddedEngine.open(made.index)
    assert engine.info().vector_fields == expected.info().vector_fields
    assert (engine.encoder_folder / "captions" / "text.onnx").exists()
    run(*given[:2], tmp_path / "plain", *given[3:])
    plain = EmbeddedEngine.open(tmp_path / "plain")
    assert [field.name for field in plain.info().vector_fields] == [made.names.embedding]
    assert not (plain.encoder_folder / "captions").exists()


def test_a_swap_keeps_the_encoder_of_captions(made, tmp_path):
    shutil.copytree(made.index, tmp_path / "index")
    swap = start_on_index(tmp_path / "index", made.corpus, made.new)
    assert swap.backfill().with_vector > 0
    swap.switch(force=True)
    fresh = tmp_path / "fresh"
    run("index", made.corpus, fresh, "--encoder", made.new, "--caption-encoder", made.captions)
    after, expected = EmbeddedEngine.open(tmp_path / "index"), EmbeddedEngine.open(fresh)
    assert after.info().vector_fields == expected.info().vector_fields
    for identifier in expected.ids():
        np.testing.assert_equal(after.get(identifier).vectors, expected.get(identifier).vectors)
    folders = (tmp_path / "index", fresh)
    found, wanted = (open_searcher(each).search(TEXT, profile="hybrid3") for each in folders)
    assert found.ids == wanted.ids
    write_packages(tmp_path / "packages", made.index, made.new)
    for name, encoders in {"before": 2, "beside": 3, "switched": 3, "after": 2}.items():
        application = read_application(tmp_path / "packages" / name)
        fields = [name for name in application.vector_fields if name.startswith("caption_")]
        assert fields == [made.names.field("caption_embedding")]
        assert len(application.encoders) == encoders


def test_evaluated(made, tmp_path):
    given = ("eval", made.index, made.corpus, tmp_path / "report", "--split", "train")
    parts = ("--protocol", "caption", "--protocol", "image-to-caption", "--profile", "hybrid3")
    run(*given, *parts, "--no-baseline")
    results = json.loads((tmp_path / "report" / "metrics.json").read_text("utf-8"))
    assert "hybrid3" in json.dumps(results)


def test_vectors_of_captions_are_forgotten(made, tmp_path):
    shutil.copytree(made.corpus, tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    fingerprint = Manifest.load(made.captions).fingerprint
    row = next(r for r in corpus.rows(["id", "caption", "subject_id"]) if r["caption"])

    def held() -> set[str]:
        parts = embedding_parts(corpus, fingerprint, "captions")
        return {i for part in parts for i in read_part(part, ["id"])["id"].to_pylist()}

    assert row["id"] in held()
    forget_in_corpus(corpus, row["subject_id"] or "nobody", [row["id"]], [])
    assert row["id"] not in held()
