"""The demo skips what is there, and redoes what follows from something new."""

from __future__ import annotations

from rocosearch.demo import run_steps, steps


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


def test_the_first_failure_ends_it(tmp_path):
    todo, ran = steps(tmp_path, 200), []
    assert run_steps(todo, _runner(todo, ran, fails=("train",)), _silent) == 1
    assert ran == ["corpus", "train"]
