"""The demo skips what is there, and redoes what follows from something new."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from rocosearch import demo
from rocosearch.cli import app
from rocosearch.demo import DemoError, check_source, run_steps, start_over
from rocosearch.outputs import OutputError
from rocosearch.pipeline import build_corpus, build_index


@pytest.fixture(autouse=True)
def trainable(monkeypatch):
    """The runs here write no corpus."""
    monkeypatch.setattr(demo, "_contents", lambda corpus: ("a query", True))


def steps(out, source="phantoms:200"):
    return tuple(demo.steps(source, out))


def _runner(todo, ran, fails=()):
    def run(arguments):
        ran.append(arguments[0])
        produces = next(step.produces for step in todo if step.arguments == arguments)
        if produces:
            produces.parent.mkdir(parents=True, exist_ok=True)
            produces.touch()
        return 1 if arguments[0] in fails else 0

    return run


def _silent(step, skipped):
    pass


def test_everything_runs_once_then_only_what_shows(tmp_path):
    todo, ran = steps(tmp_path), []
    assert run_steps(todo, _runner(todo, ran), _silent) == 0
    assert ran == ["corpus", "train", "index", "search", "eval", "app"]
    ran.clear()
    run_steps(todo, _runner(todo, ran), _silent)
    assert ran == ["search"]


def test_what_follows_from_a_new_part_is_made_again(tmp_path):
    todo, ran = steps(tmp_path), []
    run_steps(todo, _runner(todo, ran), _silent)
    (tmp_path / "encoder" / "encoder.json").unlink()
    ran.clear()
    run_steps(todo, _runner(todo, ran), _silent)
    assert ran == ["train", "index", "search", "eval", "app"]


def test_what_was_made_from_another_source_is_not_replaced(tmp_path):
    build_corpus("phantoms:2", tmp_path / "corpus")
    check_source("phantoms:2", tmp_path)
    with pytest.raises(DemoError, match="was made from phantoms:2: name another folder"):
        check_source("phantoms:3", tmp_path)


def test_the_first_failure_ends_it(tmp_path):
    todo, ran = steps(tmp_path), []
    assert run_steps(todo, _runner(todo, ran, fails=("train",)), _silent) == 1
    assert ran == ["corpus", "train"]


def test_an_interrupted_training_goes_on_and_an_encoder_of_an_older_corpus_does_not(tmp_path):
    todo = steps(tmp_path)
    assert "--resume" in todo[1].arguments
    (tmp_path / "encoder").mkdir()
    (tmp_path / "encoder" / "encoder.json").touch()
    there = []
    run_steps(todo, lambda _: there.append((tmp_path / "encoder").exists()) or 0, _silent)
    assert there[:2] == [True, False]


def test_starting_over_leaves_nothing_of_an_interrupted_one(tmp_path):
    for name in (".encoder.training", ".corpus.new.abc", "index", "mine"):
        (tmp_path / name).mkdir()
    start_over(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_starting_over_removes_no_folder_of_somebody_elses(tmp_path):
    """OUT may be where the images lie, and these in a folder called corpus."""
    images = tmp_path / "corpus" / "1.png"
    images.parent.mkdir()
    images.touch()
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "CURRENT").touch()
    (tmp_path / ".corpus.mine").mkdir()
    with pytest.raises(OutputError, match="is not of an earlier run"):
        start_over(tmp_path)
    assert images.exists()
    assert (tmp_path / "index" / "CURRENT").exists()
    images.rename(tmp_path / "1.png")
    start_over(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".corpus.mine", "1.png"]


def test_a_caption_that_begins_as_an_option_is_still_a_query(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_contents", lambda corpus: ("--help --json", False))
    build_corpus("phantoms:12", tmp_path / "corpus")
    build_index(tmp_path / "corpus", tmp_path / "index")
    (search,) = (each for each in steps(tmp_path, "mine") if each.title == "Search it")
    found = CliRunner().invoke(app, list(search.arguments))
    assert found.exit_code == 0
    assert "Usage" not in found.output
    assert "{" not in found.output
