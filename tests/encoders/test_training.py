from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.base.errors import UserError
from encoders.images.preprocess import ImageError
from encoders.model.clip import DeviceError, Encoder
from encoders.model.manifest import CURVES, TRAINING
from encoders.model.resnet import ModifiedResNetConfig
from encoders.training.augment import NO_AUGMENTATION
from encoders.training.augment_text import TextAugmentation
from encoders.training.checkpoint import ResumeError
from encoders.training.curves import COLUMNS, VALIDATION
from encoders.training.loss import late_interaction
from encoders.training.presets import TrainingConfig, preset, resized
from encoders.training.train import TrainingError, train
from encoders.training.validation import asked_once, chance_mrr, text_to_image_mrr

Drawn = list[tuple[Image.Image, str, str]]


def test_it_learns(drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path) -> None:
    config = replace(small_training, epochs=25)
    trained = train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "encoder", config)
    assert trained.mrr10 > 3 * trained.chance_mrr10
    assert trained.stopped == "all epochs done"
    assert trained.steps == 100
    assert "text to image, 18 images" in trained.sentence()
    assert 0.16 < trained.chance_mrr10 < 0.25  # .163 where no caption stands twice
    encoder = Encoder.load(tmp_path / "encoder", device="cpu")
    assert encoder.manifest.fingerprint == trained.fingerprint
    assert not list(tmp_path.glob(".*"))


def test_late_interaction_is_learned_and_recorded(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    def measured(out: Path) -> float:
        module = Encoder.load(out, device="cpu").module
        images, texts = zip(*[pair[:2] for pair in drawn_pairs[72:]], strict=True)
        with torch.inference_mode():
            cells = module.embed_views(module.pixels(images))[1]
            tokens = module.embed_words(**module.preprocess(texts))[1]
        assert cells is not None
        return float(late_interaction(cells, tokens, torch.tensor(10.0), torch.eye(18) > 0))

    losses = {}
    for weight in (0.0, 1.0):
        config = replace(small_training, epochs=12, late_interaction=weight)
        out = tmp_path / str(weight)
        train(drawn_pairs[:72], drawn_pairs[72:], out, config)
        told = json.loads((out / TRAINING).read_text())
        assert told["settings"]["late_interaction"] == weight
        losses[weight] = measured(out)
    assert losses[1.0] < losses[0.0] - 0.2


def test_late_interaction_with_locked_towers_moves_projections_alone(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    frozen = replace(
        small_training,
        freeze=("image.tower", "text.tower"),
        augmentation=NO_AUGMENTATION,
        start=str(tmp_path / "start"),
        late_interaction=1.0,
    )
    train(drawn_pairs[:72], [], tmp_path / "start", replace(small_training, epochs=1))
    train(drawn_pairs[:72], [], tmp_path / "a", frozen)
    before, after = (Encoder.load(tmp_path / n, "cpu").module.state_dict() for n in ("start", "a"))
    moved = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert moved == {"image.projection.weight", "text.projection.weight", "logit_scale"}


def test_a_tower_without_cells_cannot_learn_late_interaction(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    image = ModifiedResNetConfig(8, (1, 1), 2, 4)
    model = replace(small_training.model, image=image)
    config = replace(small_training, model=model, late_interaction=1.0)

    def unread() -> Iterator[tuple[object, ...]]:
        raise AssertionError("refused before a pair is read")
        yield

    with pytest.raises(UserError, match="pools by attention"):
        train(unread(), [], tmp_path / "a", config)


def test_curves_have_every_column_and_validation_at_each_epochs_end(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "encoder", small_training)
    with (tmp_path / "encoder" / CURVES).open() as stream:
        rows = list(csv.DictReader(stream))
    assert tuple(rows[0]) == COLUMNS
    ends = [row for row in rows if row[VALIDATION]]
    assert [int(row["epoch"]) for row in ends] == [1, 2, 3]
    assert {row["validation_pool"] for row in ends} == {"18"}
    assert {row["pairs"] for row in rows} == {"72"}


def test_the_same_seed_gives_the_same_encoder(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    names = ("one", "two", "other seed")
    for name, seed in zip(names, (0, 0, 1), strict=True):
        config = replace(small_training, seed=seed)
        train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / name, config)
    one, two, other = (Encoder.load(tmp_path / name).manifest.fingerprint for name in names)
    assert one == two
    assert one != other


KILLED = """
import os, signal, sys
from pathlib import Path
import encoders.training.contrastive as contrastive
import encoders.training.train as training
sys.path.insert(0, {tests!r})
from conftest import drawn_pairs, small_training
pairs, config = drawn_pairs.__wrapped__(), small_training.__wrapped__()
from dataclasses import replace
config = replace(config, checkpoint_seconds=0.0)
step = contrastive.Run._step
def killed_at(run):
    if run.counters.step == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(run)
contrastive.Run._step = killed_at
training.train(pairs[:72], pairs[72:], Path({out!r}), config)
"""


@pytest.mark.parametrize("step", [1, 6])
def test_killed_and_resumed_it_ends_as_if_never_killed(
    step: int, drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    config = replace(small_training, checkpoint_seconds=0.0)
    out = tmp_path / "killed"
    script = KILLED.format(tests=str(Path(__file__).parent), step=step, out=str(out))
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert not out.exists()
    resumed = train(drawn_pairs[:72], drawn_pairs[72:], out, config, resume=True)
    whole = train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "whole", config)
    assert resumed.fingerprint == whole.fingerprint
    assert resumed.steps == whole.steps


def interrupted(pairs: Drawn, config: TrainingConfig, out: Path) -> None:
    """Stop after the first epoch, as a person pressing control-c does."""

    def stop(stage: str, done: int, total: int | None, note: str = "") -> None:
        if stage == "training" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(pairs[:72], pairs[72:], out, replace(config, checkpoint_seconds=0.0), stop)


def test_other_data_cannot_be_resumed(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    interrupted(drawn_pairs, small_training, tmp_path / "a")
    with pytest.raises(ResumeError, match="other settings or data"):
        train(drawn_pairs[1:73], drawn_pairs[72:], tmp_path / "a", small_training, resume=True)


def test_a_damaged_state_is_told(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    interrupted(drawn_pairs, small_training, tmp_path / "a")
    state = next((tmp_path / ".a.training").glob("state*"))
    state.write_bytes(state.read_bytes()[:500])
    for resume in (True, False):
        with pytest.raises(ResumeError, match=r"damaged.*Delete .*\.a\.training"):
            train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "a", small_training, resume=resume)


@pytest.mark.parametrize("resume", [True, False])
def test_two_do_not_train_into_one_folder(
    resume: bool, drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    def another(stage: str, done: int, total: int | None, note: str = "") -> None:
        if stage == "training":
            with pytest.raises(TrainingError, match="Another process is training into"):
                train(drawn_pairs[:72], [], tmp_path / "a", small_training, resume=resume)

    train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "a", small_training, another)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_interrupted_run_is_not_thrown_away(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    interrupted(drawn_pairs, small_training, tmp_path / "a")
    state = next((tmp_path / ".a.training").glob("state*"))
    before = state.read_bytes()
    with pytest.raises(ResumeError, match=r"step \d, epoch 1\): continue with --resume, or delete"):
        train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "a", small_training)
    assert state.read_bytes() == before


def test_it_stops_early_and_when_time_is_up(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    still = replace(small_training, epochs=50, learning_rate=0.0, patience=2)
    assert train(drawn_pairs, drawn_pairs[:9], tmp_path / "a", still).stopped.startswith(
        "no improvement"
    )
    brief = replace(small_training, epochs=500, max_seconds=0.2)
    assert (
        train(drawn_pairs, drawn_pairs[:9], tmp_path / "b", brief).stopped == "time limit reached"
    )


def test_gradient_caching_trains_too(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    config = replace(small_training, epochs=15, micro_batch=7)
    assert train(drawn_pairs[:72], drawn_pairs[72:], tmp_path / "a", config).mrr10 > 0.4


def test_bfloat16_on_a_cpu_is_refused(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    config = replace(small_training, precision="bfloat16", device="cpu")
    with pytest.raises(TrainingError, match="GPU"):
        train(drawn_pairs, [], tmp_path / "a", config)


@pytest.mark.parametrize("name", ["cuda:99", "meta", "toaster", ""])
def test_a_device_that_is_not_there_is_one_sentence(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path, name: str
) -> None:
    with pytest.raises(DeviceError, match=f"^There is no device '{name}': use"):
        train(drawn_pairs, [], tmp_path / "a", replace(small_training, device=name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("concept_epochs", [0, 1])
def test_every_step_moves_the_weights_even_the_only_one(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path, concept_epochs: int
) -> None:
    config = replace(
        small_training, batch=72, epochs=1, concept_epochs=concept_epochs, concept_minimum=1
    )
    pairs = [(*pair, ("drawn",)) for pair in drawn_pairs[:72]]
    assert train(pairs, [], tmp_path / "a", config).steps == 1 + concept_epochs
    with (tmp_path / "a" / CURVES).open() as stream:
        rates = [float(row["learning_rate"]) for row in csv.DictReader(stream)]
    assert min(rates) > config.learning_rate / 4


def test_sub_sampled_epochs_are_shorter(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    config = replace(small_training, samples_per_epoch=36)
    assert train(drawn_pairs, [], tmp_path / "a", config).steps == 6


def test_too_few_pairs_and_unreadable_images_are_told(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="0 pairs"):
        train([], [], tmp_path / "a", small_training)
    with pytest.raises(ImageError, match="Pair 3"):
        train([*drawn_pairs[:2], (b"", "text", "")], [], tmp_path / "a", small_training)
    assert list(tmp_path.iterdir()) == []


def test_a_finished_run_is_left_as_it_is(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    out, config = tmp_path / "a", replace(small_training, epochs=1)
    trained = train(drawn_pairs, [], out, config)
    assert train(drawn_pairs, [], out, config, resume=True) == trained
    with pytest.raises(ResumeError, match=r"other settings.*--start"):
        train(drawn_pairs, [], out, replace(config, epochs=2), resume=True)
    image, *told = drawn_pairs[0]
    for other in ((image, "another caption"), (drawn_pairs[1][0], *told)):
        with pytest.raises(ResumeError, match=r"other pairs.*--start"):
            train([other, *drawn_pairs[1:]], [], out, config, resume=True)
    told = json.loads((out / TRAINING).read_text())
    del told["settings"]["late_interaction"]  # as a version without that option wrote it
    (out / TRAINING).write_text(json.dumps(told))
    assert train(drawn_pairs, [], out, config, resume=True) == trained
    with pytest.raises(ResumeError, match=r"other settings.*--start"):
        train(drawn_pairs, [], out, replace(config, late_interaction=0.5), resume=True)
    (out / TRAINING).unlink()
    with pytest.raises(ResumeError, match=r"no training\.json"):
        train(drawn_pairs, [], out, config, resume=True)


def test_mrr_counts_equal_captions_as_found_and_ties_against() -> None:
    images = np.eye(4, dtype=np.float32)
    labels = np.array([0, 0, -1, -1])
    assert text_to_image_mrr(images, images[[1, 0, 2, 3]], labels) == 1
    collapsed = np.ones((20, 2), dtype=np.float32)
    assert text_to_image_mrr(collapsed, collapsed, np.arange(20)) == 0
    wrong = text_to_image_mrr(images, images[[1, 0, 2, 3]], np.arange(4))
    assert wrong == pytest.approx((2 + 1 / 4 + 1 / 4) / 4)


def test_a_caption_of_many_images_can_be_asked_once() -> None:
    labels = np.array([3, 3, 3, 5, -1, -1])
    weights = asked_once(labels)
    np.testing.assert_allclose(weights, [1 / 3, 1 / 3, 1 / 3, 1, 1, 1])
    images = np.eye(6, dtype=np.float32)
    texts = images[[0, 0, 0, 4, 5, 3]]  # the repeated caption finds its images, the others do not
    assert text_to_image_mrr(images, texts, labels) == pytest.approx((3 + 3 / 6) / 6)
    once = text_to_image_mrr(images, texts, labels, weights=weights)
    assert once == pytest.approx((1 + 3 / 6) / 4)


def test_without_its_own_image_a_text_asks_for_the_others_of_its_case() -> None:
    images = np.eye(4, dtype=np.float32)
    cases = np.array([7, 7, 8, -1])
    texts = np.array([[1, 0.9, 0, 0], [0.1, 1, 0.5, 0.4], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)
    assert text_to_image_mrr(images, texts, cases, own=False) == pytest.approx((1 + 1 / 3) / 2)
    assert text_to_image_mrr(images, texts, np.arange(4), own=False) == 0


def test_chance_of_a_random_order() -> None:
    assert chance_mrr(np.full(500, -1)) == pytest.approx(0.00586, abs=1e-5)
    assert chance_mrr(np.array([], np.int64)) == 0
    assert chance_mrr(np.zeros(5, np.int64)) == 1
    labels = np.array([0, 0, 0, 1, 1, -1, *range(2, 14)])
    images, random = np.ones((18, 1), np.float32), np.random.default_rng(0)
    orders = [random.permutation(18) for _ in range(4000)]
    simulated = [
        1 / rank if (rank := 1 + int(np.argmax(same[order]))) <= 10 else 0
        for text in range(18)
        for same in [(labels == labels[text]) & (labels >= 0) | (np.arange(18) == text)]
        for order in orders
    ]
    assert chance_mrr(labels) == pytest.approx(np.mean(simulated), abs=0.004)
    assert text_to_image_mrr(images, images, labels) <= chance_mrr(labels)  # ties: the worst order
    weights = asked_once(labels)
    assert chance_mrr(labels, weights) < chance_mrr(labels)


def test_images_may_have_another_size(small_training: TrainingConfig) -> None:
    assert resized(small_training, image_size=48).model.preprocessing.size == 48
    with pytest.raises(UserError, match="sizes of its own: remove --image-size and --heads"):
        resized(replace(small_training, start="encoder"), image_size=48, heads=2)


def test_an_unknown_preset_lists_the_known() -> None:
    with pytest.raises(Exception, match="tiny, small"):
        preset("huge")


def test_concept_pretraining_comes_first_and_is_reported(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    named = [(*pair, tuple(pair[1].replace(",", "").split()[1:3])) for pair in drawn_pairs]
    config = replace(small_training, concept_epochs=2, epochs=1)
    trained = train(named[:72], named[72:], tmp_path / "a", config)
    assert trained.epochs == 3
    assert trained.concepts > 1
    assert 0 < trained.concept_map <= 1
    assert f"mAP {trained.concept_map:.3f}, F1 {trained.concept_f1:.3f}" in trained.sentence()
    rows = list(csv.DictReader((tmp_path / "a" / CURVES).read_text().splitlines()))
    ends = [row for row in rows if row["step"] in ("4", "8", "12")]
    assert [bool(row["validation_map"]) for row in ends] == [True, True, False]
    assert rows[-1][VALIDATION]
    with pytest.raises(TrainingError, match="No concept has 5 pairs"):
        train(drawn_pairs, [], tmp_path / "b", config)


@pytest.mark.parametrize("loss", ["asymmetric", "focal"])
def test_balancing_is_kept_in_the_runs_figures(
    loss: str, drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    named = [(*pair, (pair[1].split()[1],)) for pair in drawn_pairs]
    config = replace(small_training, balance_cap=6, concept_epochs=1, epochs=1, concept_loss=loss)
    told: list[str] = []
    train(named, [], tmp_path / "a", config, lambda *stage: told.append(str(stage)))
    assert any("balancing pairs" in stage and "faint 45 to 6" in stage for stage in told)
    kept = json.loads((tmp_path / "a" / TRAINING).read_text())
    assert kept["balance"]["concepts"]["bright"] == [45, 6.0]
    assert kept["settings"]["balance_cap"] == 6


def test_fine_tuning_moves_only_what_is_not_frozen(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path
) -> None:
    first = replace(small_training, epochs=1)
    train(drawn_pairs, [], tmp_path / "first", first)
    config = replace(first, start=str(tmp_path / "first"), freeze=("image",), layer_decay=0.8)
    train(drawn_pairs, [], tmp_path / "tuned", config)
    before, after = (Encoder.load(tmp_path / name).module for name in ("first", "tuned"))
    for name, value in before.state_dict().items():
        assert value.equal(after.state_dict()[name]) == name.startswith("image."), name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"concept_loss": "focal"}, "--concept-loss has no effect"),
        ({"freeze": ("image",), "concept_epochs": 1}, "--concept-epochs has no effect"),
        ({"micro_batch": 64}, "--micro-batch has no effect"),
        ({"learning_rate": 0.0}, "nothing is learned"),
    ],
)
def test_a_preset_refuses_a_change_without_an_effect(changes, said):
    with pytest.raises(UserError, match=said):
        preset("tiny", **changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"concept_loss": "focal", "concept_epochs": 1},
        {"freeze": ("image.tower",), "concept_epochs": 1},
        {"micro_batch": 32},
    ],
)
def test_a_preset_takes_a_change_with_one(changes):
    preset("tiny", **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"balance_cap": 5}, "--balance-cap has no effect, since no pair has a concept"),
        ({"text_augmentation": TextAugmentation(concepts=0.5)}, "--concept-names has no effect"),
        ({"positives": "group"}, "no pair has a case or an article"),
        ({"text_epochs": 1}, "There are 0 captions of 4 words or more to pretrain"),
    ],
)
def test_what_the_pairs_leave_without_an_effect_is_refused(
    drawn_pairs: Drawn, small_training: TrainingConfig, tmp_path: Path, changes, said
) -> None:
    pairs = [(image, f"number {row}") for row, (image, *_) in enumerate(drawn_pairs[:18])]
    with pytest.raises(TrainingError, match=said):
        train(pairs, [], tmp_path / "a", replace(small_training, epochs=1, **changes))
    assert list(tmp_path.iterdir()) == []
