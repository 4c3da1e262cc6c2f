"""A faster image tower gives the encoder's vectors, or is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from encoders.base.errors import UserError
from encoders.fast_images import fast_images
from encoders.images.preprocess import ImageError, Preprocessing
from encoders.model.clip import ClipConfig, ClipModule, Encoder
from encoders.model.resnet import ResNetConfig
from encoders.model.tokenizer import train_tokenizer
from encoders.model.towers import TextConfig, ViTConfig

RESNET = ResNetConfig(widths=(8, 16), blocks=(1, 1))
VIT = ViTConfig(patch=8, width=32, layers=1, heads=2)


def encoder_with(image: ResNetConfig | ViTConfig) -> Encoder:
    torch.manual_seed(5)
    tokenizer = train_tokenizer(["chest x-ray"], vocabulary=300)
    config = ClipConfig(
        image=image,
        text=TextConfig(vocabulary=tokenizer.get_vocab_size(), width=16, heads=2),
        dimension=24,
        preprocessing=Preprocessing(size=32),
    )
    return Encoder(ClipModule(config, tokenizer))


def drawn(count: int) -> list[bytes]:
    """Smooth blobs as PNG, of several sizes."""
    rng = np.random.default_rng(2)
    images = []
    for number in range(count):
        small = Image.fromarray(rng.integers(0, 255, (5, 6), dtype=np.uint8))
        stream = io.BytesIO()
        small.resize((30 + number % 7, 32 + number % 2), Image.Resampling.BICUBIC).save(
            stream, "PNG"
        )
        images.append(stream.getvalue())
    return images


@pytest.mark.parametrize(
    ("tower", "precision"),
    [(RESNET, "int8"), (RESNET, "bfloat16"), (VIT, "int8"), (VIT, "float32")],
    ids=["resnet-int8", "resnet-bfloat16", "vit-int8", "vit-float32"],
)
def test_the_encoders_vectors(
    tower: ResNetConfig | ViTConfig, precision: str, caplog: pytest.LogCaptureFixture
) -> None:
    encoder, images = encoder_with(tower), drawn(40)
    fast = fast_images(encoder, images[:32], [precision], gate=0.99)
    found, expected = fast.encode_images(images, batch_size=7), encoder.encode_images(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert (found * expected).sum(axis=1).min() > 0.99
    if precision == "float32":
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert fast.precision == precision
    assert fast.note == ""


def test_eight_bits_where_the_processor_has_no_vnni(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("encoders.compiled.fits", lambda _: False)
    encoder, images = encoder_with(RESNET), drawn(32)
    fast = fast_images(encoder, images, ["int8"], gate=0.99)
    found, expected = fast.encode_images(images), encoder.encode_images(images)
    assert (found * expected).sum(axis=1).min() > 0.99


def test_what_turns_vectors_is_refused_and_named() -> None:
    encoder, images = encoder_with(RESNET), drawn(32)
    fast = fast_images(encoder, images, ["int8", "float32"], gate=0.9999999)
    assert fast.precision == "float32"
    assert "int8 refused" in fast.note
    with pytest.raises(UserError, match="close enough"):
        fast_images(encoder, images, ["int8"], gate=0.9999999)


def test_too_few_images() -> None:
    with pytest.raises(UserError, match="3 images are too few"):
        fast_images(encoder_with(RESNET), drawn(3))


def test_an_image_that_is_none() -> None:
    encoder, images = encoder_with(RESNET), drawn(16)
    fast = fast_images(encoder, images, ["bfloat16"], gate=0.9)
    with pytest.raises(ImageError):
        fast.encode_images([b"no image"])


def test_nothing_to_encode() -> None:
    fast = fast_images(encoder_with(RESNET), drawn(16), ["bfloat16"], gate=0.9)
    assert fast.encode_images([]).shape == (0, 24)
