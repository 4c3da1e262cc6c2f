"""The exported towers give the encoder's vectors, or are not written."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from PIL import Image

from encoders.base.extras import EXTRAS, MissingExtraError, need
from encoders.base.storage import sha256_file
from encoders.export import towers
from encoders.export.graphs import ensure_graphs
from encoders.export.towers import ExportError, export_towers
from encoders.images.preprocess import ImageError, Preprocessing
from encoders.inference.onnx_encoder import (
    IMAGE_GRAPH,
    PIXELS,
    TEXT_GRAPH,
    NoGraphsError,
    NoPartsError,
    OnnxEncoder,
)
from encoders.model.clip import ClipConfig, ClipModule, Encoder, EncoderError
from encoders.model.manifest import Manifest, ManifestError
from encoders.model.resnet import ModifiedResNet, ModifiedResNetConfig, ResNetConfig
from encoders.model.tokenizer import train_tokenizer
from encoders.model.towers import TextConfig, ViTConfig

TEXTS = ["chest x-ray of the lung", "mri", "", "word " * 99]
COLOUR = Preprocessing(
    size=32,
    mode="RGB",
    resize="crop",
    mean=(0.48, 0.45, 0.4),
    std=(0.26, 0.26, 0.27),
    resample="bicubic",
)
ROOT = Path(__file__).resolve().parents[2]


def encoder_with(**changes: object) -> Encoder:
    torch.manual_seed(3)
    captions = ["chest x-ray of the lung", "mri of the brain"]
    tokenizer = train_tokenizer(captions, vocabulary=300, max_tokens=12)
    config = ClipConfig(
        image=ResNetConfig(widths=(8, 16), blocks=(1, 1)),
        text=TextConfig(tokenizer.get_vocab_size(), context=12, width=16, heads=2),
        dimension=24,
        preprocessing=Preprocessing(size=32),
    )
    return Encoder(ClipModule(replace(config, **changes), tokenizer))


def images(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(7)
    drawn = [Image.fromarray(rng.integers(0, 256, (5, 6, 3), dtype=np.uint8)) for _ in range(count)]
    return [image.resize((40 + n, 36), Image.Resampling.BICUBIC) for n, image in enumerate(drawn)]


CLIP_TEXT = TextConfig(
    300,
    context=12,
    width=16,
    heads=2,
    layers=2,
    causal=True,
    pooling="eos",
    activation="quick_gelu",
)


@pytest.mark.parametrize(
    ("changes", "patches"),
    [
        ({}, 0),
        ({"image": ViTConfig(8, 16, 1, 2), "text": CLIP_TEXT, "preprocessing": COLOUR}, 16),
        ({"image": ModifiedResNetConfig(8, (1, 1), 2, 4), "preprocessing": COLOUR}, 0),
    ],
    ids=["resnet", "vit", "modified-resnet"],
)
def test_the_exported_towers_give_the_encoders_vectors(
    tmp_path: Path, changes: dict[str, object], patches: int
) -> None:
    encoder = encoder_with(**changes)
    encoder.save(tmp_path / "e")
    exported = export_towers(encoder, tmp_path / "e")
    assert max(exported.text_difference, exported.image_difference) < 1e-5
    loaded = OnnxEncoder.load(tmp_path / "e")
    assert loaded.manifest.fingerprint == encoder.manifest.fingerprint
    assert loaded.preprocessing == encoder.module.config.preprocessing
    shown = images(9)
    np.testing.assert_allclose(loaded.encode_texts(TEXTS), encoder.encode_texts(TEXTS), atol=1e-5)
    found = loaded.encode_images(shown, batch_size=2)
    np.testing.assert_allclose(found, encoder.encode_images(shown), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)
    assert loaded.has_patches == bool(patches)
    tokens = encoder.encode_tokens(TEXTS)
    for own, expected in zip(loaded.encode_tokens(TEXTS), tokens, strict=True):
        np.testing.assert_allclose(own, expected, atol=1e-5)
    if isinstance(encoder.module.image, ModifiedResNet):
        with pytest.raises(NoPartsError, match="pools by attention"):
            loaded.encode_parts(shown)
        with pytest.raises(EncoderError, match="pools by attention"):
            encoder.encode_parts(shown)
    else:
        whole, parts = loaded.encode_parts(shown, batch_size=2)
        np.testing.assert_array_equal(whole, found)
        for own, expected in zip((whole, parts), encoder.encode_parts(shown), strict=True):
            np.testing.assert_allclose(own, expected, atol=1e-5)
        assert parts.shape == (9, parts.shape[1], 24)
        np.testing.assert_allclose(np.linalg.norm(parts, axis=2), 1, atol=1e-5)
    if patches:
        pixels = loaded.pixels(shown)
        with torch.inference_mode():
            expected = encoder.module.embed_views(torch.from_numpy(pixels))[2].numpy()
        assert expected.shape == (9, patches, 24)
        np.testing.assert_allclose(loaded.encode_patches(pixels), expected, atol=1e-5)


def test_the_text_graph_is_what_vespa_takes(exported_folder: Path) -> None:
    graph = onnx.load(exported_folder / "text.onnx").graph
    assert [value.name for value in graph.input] == ["input_ids", "attention_mask"]
    assert [value.name for value in graph.output] == ["text_embedding", "token_embeddings"]


def test_graphs_tell_nothing_of_where_they_were_made(exported_folder: Path) -> None:
    for name in ("text.onnx", "image.onnx"):
        assert str(ROOT).encode() not in (exported_folder / name).read_bytes()


def test_a_damaged_or_missing_graph_is_told(exported_folder: Path) -> None:
    graph = exported_folder / "image.onnx"
    content = bytearray(graph.read_bytes())
    content[len(content) // 2] ^= 1
    graph.write_bytes(content)
    encoder = OnnxEncoder.load(exported_folder)
    assert encoder.encode_texts(["ct"]).shape == (1, 24)  # the other tower is not concerned
    with pytest.raises(ManifestError, match=r"image.onnx does not match its hash"):
        encoder.encode_images(images(1))
    graph.unlink()
    with pytest.raises(ManifestError, match=r"image.onnx is missing"):
        OnnxEncoder.load(exported_folder).encode_images(images(1))


def test_an_image_that_is_none(exported_folder: Path) -> None:
    encoder = OnnxEncoder.load(exported_folder)
    with pytest.raises(ImageError):
        encoder.encode_images([b"no image"])
    assert encoder.encode_images([]).shape == encoder.encode_texts([]).shape == (0, 24)


@pytest.fixture
def known_graphs(exported_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export of that folder's encoder writes the graphs that it had: tracing takes seconds."""
    known = tmp_path / "known"
    shutil.copytree(exported_folder, known)

    def write(module: object, inputs: dict[str, object], *rest: object) -> None:
        shutil.copy(known / (IMAGE_GRAPH if PIXELS in inputs else TEXT_GRAPH), str(rest[-1]))

    monkeypatch.setattr(towers, "write_onnx", write)


@pytest.mark.usefixtures("known_graphs")
def test_another_vector_is_refused_and_nothing_is_written(
    exported_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = Encoder.load(exported_folder)
    encoder.save(tmp_path / "e")
    honest = OnnxEncoder.see
    monkeypatch.setattr(OnnxEncoder, "see", lambda *a: honest(*a) + np.float32(2e-5))
    with pytest.raises(ExportError, match="image tower gives another vector than the encoder"):
        export_towers(encoder, tmp_path / "e")
    assert not list((tmp_path / "e").glob("*.onnx"))
    assert not Manifest.load(tmp_path / "e").graphs


def test_an_encoder_of_format_1_is_read_and_completed(
    exported_folder: Path, tmp_path: Path
) -> None:
    """Its fingerprint, which stands beside every vector, stays."""
    path = exported_folder / "encoder.json"
    content = json.loads(path.read_text("utf-8"))
    del content["checksum"]
    content["format"] = 1
    graphs = content.pop("graphs")
    path.write_text(json.dumps(content), "utf-8")
    for name in graphs:
        (exported_folder / name).unlink()
    with pytest.raises(NoGraphsError, match="rocosearch index"):
        OnnxEncoder.load(exported_folder)
    completed = ensure_graphs(exported_folder)
    assert completed.fingerprint == content["fingerprint"]
    assert completed.graphs == graphs  # byte for byte what was exported before
    assert ensure_graphs(exported_folder) == completed
    content["format"] = 4
    path.write_text(json.dumps(content), "utf-8")
    with pytest.raises(ManifestError, match="format 4, and this version reads 1 to 3"):
        OnnxEncoder.load(exported_folder)


def test_searching_loads_neither_torch_nor_what_training_needs(exported_folder: Path) -> None:
    code = """
import sys
from pathlib import Path
from encoders.analysis.heatmap import heat_map
from encoders.inference.onnx_encoder import OnnxEncoder
from ranking.searcher import Searcher
from PIL import Image
encoder = OnnxEncoder.load(Path(sys.argv[1]))
image = Image.effect_noise((40, 40), 60)
encoder.encode_texts(["ct"]), encoder.encode_images([image])
heat_map(encoder, image, "ct", method="tiles")
heavy = {"torch", "transformers", "sentence_transformers", "onnx", "pandas", "pyarrow", "scipy",
         "matplotlib", "pydicom", "safetensors"}
assert not heavy & sys.modules.keys(), heavy & sys.modules.keys()
"""
    command = [sys.executable, "-c", code, str(exported_folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_package_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    need("torch", "Training")
    monkeypatch.setitem(EXTRAS, "no_such_package", "train")
    with pytest.raises(MissingExtraError, match=r"Training needs no_such_package.*'\.\[train\]'"):
        need("no_such_package", "Training")


@pytest.mark.usefixtures("known_graphs")
def test_an_export_over_other_graphs_that_is_killed_can_be_repeated(
    exported_folder, tmp_path, monkeypatch
):
    folder = tmp_path / "again"
    shutil.copytree(exported_folder, folder)
    model = onnx.load(folder / TEXT_GRAPH)
    model.producer_version = "earlier"
    onnx.save(model, folder / TEXT_GRAPH)
    known = Manifest.load(folder)
    graphs = {**known.graphs, TEXT_GRAPH: sha256_file(folder / TEXT_GRAPH)}
    replace(known, graphs=graphs).save(folder)
    save = Manifest.save

    def killed(manifest, folder):
        if manifest.graphs:
            raise KeyboardInterrupt
        save(manifest, folder)

    with monkeypatch.context() as patched:
        patched.setattr(Manifest, "save", killed)
        with pytest.raises(KeyboardInterrupt):
            export_towers(Encoder.load(folder), folder)
    completed = ensure_graphs(folder)
    assert completed.graphs == known.graphs
    assert OnnxEncoder.load(folder).encode_texts(["lesion"]).shape == (1, known.dimension)
