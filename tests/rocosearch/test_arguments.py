"""The Python API says in a sentence what it was given in place of a path or a text."""

from __future__ import annotations

from pathlib import Path

import pytest

from encoders.base.arguments import typed
from encoders.base.errors import UserError
from rocosearch import pipeline
from tests.power.encoder import make_encoder

NO_PATHS = [None, 5, b"x", [], {}, object(), 1.5, True, "", "\0", "a/\ud800", "x" * 300]
GIVEN = {
    "build_corpus": ("phantoms:8", "OUT"),
    "build_index": ("CORPUS", "OUT"),
    "calibrate_index": ("INDEX",),
    "embed_images": ("CORPUS", "ENCODER"),
    "embedding_encoder": ("ENCODER",),
    "evaluate": ("INDEX", "CORPUS", "OUT"),
    "learn_synonyms": ("CORPUS", "OUT"),
    "load_encoder": ("ENCODER",),
    "open_engine": ("INDEX",),
    "open_searcher": ("INDEX",),
    "tune_profiles": ("INDEX", "CORPUS", "OUT"),
    "write_app": ("INDEX", "OUT"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_what_is_no_path_is_a_sentence(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for place in range(len(GIVEN[name])):
        for value in NO_PATHS:
            given = list(GIVEN[name])
            given[place] = value
            with pytest.raises(UserError, match="which is no path: give text or a pathlib"):
                getattr(pipeline, name)(*given)
    assert not list(tmp_path.iterdir())


@typed
def takes(path: str | Path, text: str = "", other: str | Path | None = None) -> str:
    return f"{path} {text} {other}"


def test_annotations_say_what_is_checked():
    assert takes(Path("a"), "b") == "a b None"
    assert takes("a", other=Path("c")) == "a  c"
    with pytest.raises(UserError, match="text is None, which is no text"):
        takes("a", None)
    with pytest.raises(UserError, match="other is b'c', which is no path"):
        takes("a", other=b"c")


@pytest.mark.parametrize("count", ["²", "-1", "1e3", "9" * 100, "0"])
def test_a_count_that_is_none(count, tmp_path):
    with pytest.raises(UserError, match="with a number above 0"):
        pipeline.build_corpus(f"phantoms:{count}", tmp_path / "c")


@pytest.mark.parametrize("part", ["²/4", "1/²"])
def test_a_part_that_is_none(part, tmp_path):
    pipeline.build_corpus("phantoms:12", tmp_path / "c")
    make_encoder(tmp_path / "e", 0, 8)
    with pytest.raises(UserError, match="write INDEX/COUNT"):
        pipeline.embed_images(tmp_path / "c", tmp_path / "e", part=part)
