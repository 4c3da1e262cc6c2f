"""A decoder learns what it is shown, says the likeliest first, and is tied to its encoder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from encoders.analysis.caption_scores import caption_scores
from encoders.model.architecture import EncoderError
from encoders.model.decoder import CaptionDecoder, Decoder, DecoderConfig
from encoders.model.tokenizer import END_ID, START_ID
from encoders.training.captioning import CaptioningConfig, Described, train_decoder
from encoders.training.checkpoint import ResumeError, TrainingError

CAPTIONS = [
    f"{side} {organ} with {finding}"
    for side in ("left", "right")
    for organ in ("lung", "kidney", "knee")
    for finding in ("edema", "a fracture", "a cyst")
]
SMALL = CaptioningConfig(
    DecoderConfig(300, 0, 0, context=24, width=32, heads=2, dropout=0.0),
    epochs=40,
    patience=0,
    batch=6,
    learning_rate=1e-2,
)


def described(captions=CAPTIONS) -> Described:
    """An image of four cells for each caption; equal ids have equal cells."""

    def cells(ids):
        return np.stack(
            [np.random.default_rng(int(i)).normal(size=(4, 12)).astype(np.float16) for i in ids]
        )

    return Described([str(CAPTIONS.index(text)) for text in captions], captions, cells)


def untrained(vocabulary=9, context=6) -> CaptionDecoder:
    torch.manual_seed(1)
    module = CaptionDecoder(DecoderConfig(vocabulary, 4, 12, context=context, width=16, heads=2))
    torch.nn.init.normal_(module.tokens.weight, std=1.0)
    return module.eval()


def test_it_learns_what_images_show(tmp_path: Path):
    pairs = described()

    decoder = train_decoder(pairs, described(CAPTIONS[:6]), tmp_path / "a", "e" * 32, SMALL)

    said = [texts[0] for texts in decoder.captions(pairs.at(range(len(pairs)))[0], beams=3)]
    assert sum(map(str.__eq__, said, CAPTIONS)) >= 15
    again = Decoder.load(tmp_path / "a", "e" * 32)
    assert again.fingerprint == decoder.fingerprint
    assert again.captions(pairs.at([0])[0]) == decoder.captions(pairs.at([0])[0])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_was_read_before_need_not_be_read_again():
    """Token by token with a past, the greedy path is that of whole prefixes."""
    module, cells = untrained(context=12), described().at([3, 5])[0]

    found = module.generate(cells)

    for image in range(2):
        ids = [START_ID]
        while len(ids) < 12 and ids[-1] != END_ID:
            logits = module(torch.tensor([ids]), cells[image : image + 1])[0, -1]
            logits[END_ID] -= 1e9 * (len(ids) == 1)  # no caption is empty
            ids.append(int(logits.argmax()))
        assert found[image] == [[i for i in ids[1:] if i != END_ID]]


def test_beams_find_what_an_exhaustive_search_finds():
    """With as many beams as there are texts nothing is cut off: the likeliest is the likeliest."""
    module, cells = untrained(vocabulary=5, context=4), described().at([7])[0]

    best = module.generate(cells, beams=200)[0]

    def score(tokens):
        ids = torch.tensor([[START_ID, *tokens]])
        likely = module(ids[:, :-1], cells)[0].log_softmax(-1)
        return (
            float(likely[torch.arange(len(tokens)), ids[0, 1:]].sum().detach()) / len(tokens) ** 0.7
        )

    texts = [[]]
    for _ in range(3):
        texts += [
            [*t, w] for t in texts if END_ID not in t for w in range(5) if [*t, w] not in texts
        ]
    whole = [t for t in texts if (len(t) == 3 or t[-1:] == [END_ID]) and t[:1] != [END_ID]]
    likeliest = max(whole, key=score)
    assert best[0] == [t for t in likeliest if t != END_ID]


def test_an_interrupted_training_goes_on_to_the_same_weights(tmp_path: Path):
    config = dataclasses.replace(SMALL, epochs=4, checkpoint_seconds=0.0)
    config = dataclasses.replace(config, model=dataclasses.replace(config.model, dropout=0.3))

    def stop(stage, done, total, note=""):
        if done == 2:
            raise KeyboardInterrupt

    whole = train_decoder(described(), described(), tmp_path / "a", "e", config)
    with pytest.raises(KeyboardInterrupt):
        train_decoder(described(), described(), tmp_path / "b", "e", config, progress=stop)
    with pytest.raises(ResumeError, match="continue with --resume"):
        train_decoder(described(), described(), tmp_path / "b", "e", config)
    with pytest.raises(ResumeError, match="other settings or data"):
        train_decoder(described(), described(), tmp_path / "b", "f", config, resume=True)
    after = train_decoder(described(), described(), tmp_path / "b", "e", config, resume=True)
    assert after.fingerprint == whole.fingerprint


def test_another_encoders_or_a_damaged_decoder_is_one_sentence(tmp_path: Path):
    with pytest.raises(TrainingError, match="needs 2"):
        train_decoder(described(CAPTIONS[:1]), described([]), tmp_path / "b", "e", SMALL)
    config = dataclasses.replace(SMALL, epochs=1)
    train_decoder(described(), described([]), tmp_path / "a", "e" * 32, config)
    with pytest.raises(EncoderError, match="reads encoder eeeeeeee, not ffffffff"):
        Decoder.load(tmp_path / "a", "f" * 32)
    whole = (tmp_path / "a").read_bytes()
    for damaged in (b"x", whole[:-20], whole[:-4] + b"\0\0\0\1"):
        (tmp_path / "a").write_bytes(damaged)
        with pytest.raises(EncoderError, match="is no decoder, or was changed"):
            Decoder.load(tmp_path / "a", "e" * 32)
    (tmp_path / "a").unlink()
    with pytest.raises(EncoderError, match="There is no decoder"):
        Decoder.load(tmp_path / "a", "e" * 32)


def test_equal_captions_score_best_and_strange_ones_nothing():
    for module in ("sacrebleu", "rouge_score", "pycocoevalcap"):
        pytest.importorskip(module, reason="the extra captions is not installed")
    texts = ["CT of the left lung, axial.", "MRI of the knee with a torn meniscus", "a b c d e f"]
    same = caption_scores([text.upper() for text in texts], texts)
    assert (same.bleu, same.rouge_l) == (pytest.approx(100), 1)
    assert same.cider == pytest.approx(10)
    none = caption_scores(["x"] * 3, texts)
    assert (none.bleu, none.rouge_l, none.cider) == (0, 0, 0)
