"""The demo skips what is there, and redoes what follows from something new."""

from __future__ import annotations

import json

from rocosearch.demo import run_steps, start_over, steps


def _runner(todo, ran, fails=()):
    def run(arguments):
        ran.append(arguments[0])
        produces = next(step.produces for step in todo if step.arguments == arguments)
        if produces:
            produces.parent.mkdir(parents=True, exist_ok=True)
            source = arguments[1] if arguments[0] == "corpus" else ""
            produces.write_text(json.dumps({"source": source}))
        return 1 if arguments[0] in fails else 0

    return run


def _silent(step, skipped):
    pass


def test_everything_runs_once_then_only_what_shows(tmp_path):
    todo, ran = steps(tmp_path, 200), []
    assert run_steps(todo, _runner(todo, ran), _silent) == 0
    assert ran == ["corpus", "train", "index", "search", "eval", "app"]
    ran.clear()
    run_steps(todo, _runner(todo, ran), _silent)
    assert ran == ["search"]


def test_what_follows_from_a_new_part_is_made_again(tmp_path):
    todo, ran = steps(tmp_path, 200), []
    run_steps(todo, _runner(todo, ran), _silent)
    (tmp_path / "encoder" / "encoder.json").unlink()
    ran.clear()
    run_steps(todo, _runner(todo, ran), _silent)
    assert ran == ["train", "index", "search", "eval", "app"]


def test_a_demo_of_another_size_is_made_again(tmp_path):
    todo, ran = steps(tmp_path, 200), []
    run_steps(todo, _runner(todo, ran), _silent)
    ran.clear()
    larger = steps(tmp_path, 400)
    run_steps(larger, _runner(larger, ran), _silent)
    assert ran == ["corpus", "train", "index", "search", "eval", "app"]


def test_the_first_failure_ends_it(tmp_path):
    todo, ran = steps(tmp_path, 200), []
    assert run_steps(todo, _runner(todo, ran, fails=("train",)), _silent) == 1
    assert ran == ["corpus", "train"]


def test_an_interrupted_training_goes_on_and_an_encoder_of_an_older_corpus_does_not(tmp_path):
    todo = steps(tmp_path, 200)
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
