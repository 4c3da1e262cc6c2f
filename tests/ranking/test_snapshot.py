"""The index on disk: whole or not there, whatever happens while it is written."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from encoders.base.storage import LeftoverWarning, sha256_bytes, write_whole
from encoders.model.manifest import Manifest, ManifestError
from ranking.engine import engine as embedded
from ranking.engine.engine import EmbeddedEngine
from ranking.engine.store import snapshot
from ranking.types import Document, EngineError, Query, VectorField

FIELD = VectorField("embedding", 8, fingerprint="ab" * 32)


def documents(count: int, word: str = "chest") -> list[Document]:
    random = np.random.default_rng(5)
    return [
        Document(f"d{n:04}", f"{word} {n}", {"embedding": np.float32(random.standard_normal(8))})
        for n in range(count)
    ]


@pytest.fixture
def index(tmp_path: Path) -> Path:
    EmbeddedEngine.build(tmp_path / "index", documents(30), [FIELD])
    return tmp_path / "index"


def found(path: Path, text: str = "chest") -> int:
    return EmbeddedEngine.open(path).search(Query(text=text, profile="lexical")).total


def test_what_was_built_is_what_opens(index):
    memory = EmbeddedEngine.in_memory(documents(30), [FIELD])
    disk = EmbeddedEngine.open(index)
    query = Query(text="chest 7", vector=documents(3)[2].vectors["embedding"], profile="hybrid")
    assert disk.search(query).ids == memory.search(query).ids
    assert disk.get("d0003").vectors["embedding"].tolist() == pytest.approx(
        documents(30)[3].vectors["embedding"].tolist()
    )
    assert disk.info().vector_fields == (FIELD,)
    snapshot.verify(index)


def test_an_empty_index_opens_and_finds_nothing(tmp_path):
    EmbeddedEngine.build(tmp_path / "i", [], [FIELD])
    engine = EmbeddedEngine.open(tmp_path / "i")
    assert engine.count() == 0
    assert engine.search(Query(text="chest", vector=np.ones(8, np.float32))).ids == ()


def test_building_again_replaces_and_leaves_nothing_behind(index):
    EmbeddedEngine.build(index, documents(5, "brain"), [FIELD])
    assert (found(index), found(index, "brain")) == (0, 5)
    assert len(list((index / "segments").iterdir())) == 1
    assert len(list((index / "generations").iterdir())) == 1


def test_a_reader_goes_on_with_its_generation_and_then_follows(index):
    reader = EmbeddedEngine.open(index)
    before = reader._reader
    EmbeddedEngine.build(index, documents(5, "brain"), [FIELD])
    terms = before.texts["caption"].terms(["chest"])[0]
    assert before.parts[0][0].texts["caption"].scores(terms).all()
    assert reader.search(Query(text="brain", profile="lexical")).total == 5


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_index_is_refused_in_a_sentence(tmp_path, name):
    (tmp_path / "file").write_text("x")
    with pytest.raises(EngineError, match=r"index"):
        EmbeddedEngine.open(tmp_path / name)


def damage(index: Path, kind: str) -> None:
    segment = next((index / "segments").iterdir())
    generation = next((index / "generations").iterdir())
    if kind == "cut":
        os.truncate(segment, 100)
    elif kind == "missing":
        segment.unlink()
    elif kind == "zeros":
        segment.write_bytes(b"\0" * segment.stat().st_size)
    elif kind == "generation":
        (generation / "generation.json").write_text("{}")
    elif kind == "pointer":
        (index / "CURRENT").write_text("7")
    else:
        (generation / "profiles.toml").unlink()


@pytest.mark.parametrize("kind", ["cut", "missing", "zeros", "generation", "pointer", "profiles"])
def test_damage_is_one_sentence(index, kind):
    damage(index, kind)
    with pytest.raises(EngineError, match=r"^The index .* is damaged .*build it again\.$"):
        EmbeddedEngine.open(index)


@pytest.mark.parametrize(
    "change", [{"format": 1}, {"format": 99}, {"format": None}, {"alive": None}, {"new": 1}]
)
def test_an_index_of_another_version_is_not_called_damaged(index, change):
    pointer = json.loads((index / "CURRENT").read_text())
    file = index / "generations" / str(pointer["generation"]) / "generation.json"
    content = {**json.loads(file.read_text()), **change}
    text = json.dumps({key: value for key, value in content.items() if value is not None})
    file.write_text(text)
    pointer["sha256"] = sha256_bytes(text.encode())
    (index / "CURRENT").write_text(json.dumps(pointer))
    with pytest.raises(
        EngineError, match=r"another version of rocosearch.*rocosearch index CORPUS"
    ):
        EmbeddedEngine.open(index)
    EmbeddedEngine.build(index, documents(5, "brain"), [FIELD])
    assert found(index, "brain") == 5


def test_verify_finds_a_flipped_bit(index):
    file = next((index / "segments").iterdir())
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(EngineError, match="checksum"):
        snapshot.verify(index)


@pytest.mark.parametrize("at", ["write_arrays", "write_whole", "save_profiles"])
def test_a_full_disk_leaves_the_old_index(index, monkeypatch, at):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    target = "ranking.engine.engine" if at == "save_profiles" else "ranking.engine.store.writer"
    monkeypatch.setattr(f"{target}.{at}", full)
    with pytest.raises(EngineError, match="No space left"):
        EmbeddedEngine.build(index, documents(5, "brain"), [FIELD])
    monkeypatch.undo()
    assert (found(index), found(index, "brain")) == (30, 0)
    assert len(list((index / "segments").iterdir())) == 1


def _build_slowly(path: Path) -> None:
    def publish(*_: object, **__: object) -> None:
        (path / "ready").touch()
        time.sleep(60)

    embedded.publish = publish
    EmbeddedEngine.build(path, documents(5, "brain"), [FIELD])


def test_a_kill_while_building_leaves_the_old_index(index):
    process = multiprocessing.get_context("fork").Process(target=_build_slowly, args=(index,))
    process.start()
    while not (index / "ready").exists():
        time.sleep(0.01)
    with pytest.raises(EngineError, match="another process"):
        EmbeddedEngine.open(index).feed(documents(1))
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert found(index) == 30
    EmbeddedEngine.open(index).feed(documents(1))
    assert len(list((index / "segments").iterdir())) == 2


def _read(path: Path, stop: Path, totals: object) -> None:
    engine = EmbeddedEngine.open(path)
    while not stop.exists():
        result = engine.search(Query(text="chest", profile="lexical", k=100))
        assert len(result) == result.total
        totals.put(result.total)


def test_processes_read_while_one_writes(index, tmp_path):
    context = multiprocessing.get_context("fork")
    totals, stop = context.Queue(), tmp_path / "stop"
    readers = [context.Process(target=_read, args=(index, stop, totals)) for _ in range(2)]
    for reader in readers:
        reader.start()
    writer = EmbeddedEngine.open(index)
    for n in range(20):
        writer.feed([Document(f"new{n}", "chest")])
    while totals.get(timeout=60) < 50:
        pass
    stop.touch()
    seen = set()
    for reader in readers:
        while reader.is_alive() or not totals.empty():
            if not totals.empty():
                seen.add(totals.get())
        assert reader.exitcode == 0
    assert seen <= set(range(30, 51))


def test_the_encoder_travels_with_the_index(tmp_path):
    digest = sha256_bytes(b"{}")
    manifest = Manifest(8, True, 16, 32, "L", "pad", (0.5,), (0.5,), "00", digest, "{}")
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    manifest.save(encoder)
    with pytest.raises(ManifestError, match=r"tokenizer\.json is missing"):
        EmbeddedEngine.build(tmp_path / "index", documents(3), [FIELD], encoder=encoder)
    assert not (tmp_path / "index").exists()
    (encoder / "tokenizer.json").write_bytes(b"{}")
    EmbeddedEngine.build(tmp_path / "index", documents(3), [FIELD], encoder=encoder)
    engine = EmbeddedEngine.open(tmp_path / "index")
    assert Manifest.load(engine.encoder_folder) == manifest
    engine.feed(documents(4))
    assert Manifest.load(engine.encoder_folder) == manifest
    write_whole(engine.encoder_folder / "encoder.json", "{")  # the index's own copy alone
    with pytest.raises(ManifestError):
        Manifest.load(engine.encoder_folder)
    again = EmbeddedEngine.build(tmp_path / "index", documents(3), [FIELD], encoder=encoder)
    assert Manifest.load(again.encoder_folder) == manifest


def test_a_path_that_is_too_long_is_not_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="File name too long"):
        EmbeddedEngine.open(tmp_path / ("a" * 300))


def test_a_folder_removed_under_an_open_engine_is_not_made_again(tmp_path):
    engine = EmbeddedEngine.build(tmp_path / "index", documents(3), [FIELD])
    shutil.rmtree(tmp_path / "index")
    for change in (engine.feed, engine.update):
        with pytest.raises(EngineError, match="has been removed: open another index"):
            change(documents(4))
    with pytest.raises(EngineError, match="has been removed: open another index"):
        engine.remove(["d001"])
    assert not (tmp_path / "index").exists()


def test_an_open_index_may_be_copied_and_moved(tmp_path):
    engine = EmbeddedEngine.build(tmp_path / "index", documents(3), [FIELD])
    before = engine.search(Query("", np.eye(8, dtype=np.float32)[0], profile="vector")).ids
    shutil.copytree(tmp_path / "index", tmp_path / "copy")
    (tmp_path / "index").rename(tmp_path / "moved")
    for again in (engine, *map(EmbeddedEngine.open, (tmp_path / "copy", tmp_path / "moved"))):
        found = again.search(Query("", np.eye(8, dtype=np.float32)[0], profile="vector"))
        assert found.ids == before


def test_strange_names_in_its_folders_are_left_alone(tmp_path):
    index = tmp_path / "index"
    engine = EmbeddedEngine.build(index, documents(3), [FIELD])
    strange = [index / "generations" / "7.orig", index / "segments" / ".DS_Store", index / "x"]
    for path in strange:
        path.write_text("?")
    (index / "generations" / "desktop.ini").mkdir()
    engine.feed(documents(4))
    assert EmbeddedEngine.open(index).count() == 4
    assert all(path.exists() for path in (*strange, index / "generations" / "desktop.ini"))


def test_what_cannot_be_cleaned_up_is_a_warning_and_the_lock_is_free(tmp_path, monkeypatch):
    engine = EmbeddedEngine.build(tmp_path / "index", documents(3), [FIELD])

    def refuses(*_given, **_options):
        raise OSError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", refuses)
        with pytest.warns(LeftoverWarning, match="could not be removed"):
            engine.feed(documents(4))
    assert engine.count() == 4
    engine.feed(documents(5))  # another writer is not refused
    assert [each.name for each in (tmp_path / "index" / "generations").iterdir()] == ["3"]
