"""Export both towers to ONNX, with a parity check.

    export_towers(encoder, folder)   # text.onnx and image.onnx, and their hashes in encoder.json

text.onnx    input_ids, attention_mask, int64 [B, T]  ->  text_embedding, float32 [B, D], and
             token_embeddings, float32 [B, T, D]
image.onnx   pixels, uint8 [B, C, S, S]               ->  image_embedding, float32 [B, D],
             part_embeddings, float32 [B, P, D], of at most 16 patches row by row, and for a vision
             transformer patch_embeddings, of all of its patches

Vectors have length 1, as the encoder's; pixels are normalised inside the graph. The text graph also
runs inside Vespa: https://docs.vespa.ai/en/rag/embedding.html#huggingface-embedder
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from encoders.base.storage import sha256_file, whole_file
from encoders.export.torch_to_onnx import ExportError, write_onnx
from encoders.inference.onnx_encoder import (
    IMAGE_GRAPH,
    IMAGE_VECTORS,
    PART_VECTORS,
    PATCH_VECTORS,
    PIXELS,
    TEXT_GRAPH,
    TEXT_INPUTS,
    TEXT_VECTORS,
    TOKEN_VECTORS,
    OnnxEncoder,
)
from encoders.model.clip import ClipModule, Encoder
from encoders.model.manifest import Manifest

__all__ = [
    "PARITY_TEXTS",
    "TOLERANCE",
    "ExportError",
    "ExportedTowers",
    "export_towers",
    "write_text_graph",
]

TOLERANCE = 1e-5

PARITY_TEXTS: tuple[str, ...] = (
    "",
    " ",
    "ct",
    "Chest X-ray, frontal view.",
    "T2-weighted MRI: 2.28 cm lesion at C2-C6 [arrow]; 05/000",
    "Radiographie du thorax: opacité à gauche, épanchement pleural",
    "胸部X線写真で右下葉に浸潤影を認める",
    "рентгенограмма грудной клетки",
    "\u0000 \t\n ½ 🩻 e\u0301",
    "<s> </s> <pad> [CLS]",
    "nodule " * 200,
    "pneumothorax" * 80,
)
"""What the text tower must agree on: empty, 200 words, other scripts, control characters."""


@dataclass(frozen=True)
class ExportedTowers:
    """The manifest that now names the graphs, and the largest differences the checks saw."""

    manifest: Manifest
    text_difference: float
    image_difference: float


def export_towers(
    encoder: Encoder, folder: Path, texts: Sequence[str] = PARITY_TEXTS
) -> ExportedTowers:
    """Write text.onnx and image.onnx into the encoder's `folder`, and name them in its manifest.

    Raises ExportError if a component of any vector, of `texts` or of drawn images, differs
    from the encoder's by more than 1e-5; the folder is unchanged then.
    """
    module = encoder.module
    with (
        whole_file(folder / TEXT_GRAPH) as text,
        whole_file(folder / IMAGE_GRAPH) as image,
    ):
        both = [TEXT_VECTORS, TOKEN_VECTORS]
        write_text_graph(_TextGraph(module), module.config.text.context, both, text)
        outputs = _write_image(module, image)
        exported = OnnxEncoder(
            replace(encoder.manifest, graphs={}),
            encoder.module.tokenizer,
            {TEXT_GRAPH: text, IMAGE_GRAPH: image},
        )
        text_gap = _text_parity(encoder, exported, texts)
        image_gap = _image_parity(module, exported, outputs)
        graphs = {TEXT_GRAPH: sha256_file(text), IMAGE_GRAPH: sha256_file(image)}
        if Manifest.load(folder).graphs:  # killed from here on, it is an encoder without graphs
            replace(encoder.manifest, graphs={}).save(folder)
    manifest = replace(encoder.manifest, graphs=graphs)
    manifest.save(folder)
    return ExportedTowers(manifest, text_gap, image_gap)


def write_text_graph(module: nn.Module, longest: int, outputs: Sequence[str], path: Path) -> None:
    """Write a module of TEXT_INPUTS of at most `longest` tokens, which gives `outputs`."""
    device = next(module.parameters()).device
    examples = (torch.tensor([[1, 5, 2], [1, 2, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]]))
    inputs = {n: e.to(device) for n, e in zip(TEXT_INPUTS, examples, strict=True)}
    axes = {
        0: torch.export.Dim("batch"),
        1: torch.export.Dim("tokens", max=longest),
    }
    write_onnx(module, inputs, dict.fromkeys(TEXT_INPUTS, axes), outputs, path)


class _TextGraph(nn.Module):
    def __init__(self, module: ClipModule) -> None:
        super().__init__()
        self.clip = module

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        return self.clip.embed_words(input_ids, attention_mask)


def _write_image(module: ClipModule, path: Path) -> list[str]:
    """Write the graph and return the names of its outputs."""
    pixels = torch.from_numpy(_drawn_pixels(module, 2)).to(next(module.parameters()).device)
    with torch.inference_mode():
        found = _seen(module, pixels)
        outputs = [name for name, tensor in found.items() if tensor is not None]
    batch = {PIXELS: {0: torch.export.Dim("batch")}}
    write_onnx(_ImageGraph(module), {PIXELS: pixels}, batch, outputs, path)
    return outputs


class _ImageGraph(nn.Module):
    def __init__(self, module: ClipModule) -> None:
        super().__init__()
        self.clip = module

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(each for each in _seen(self.clip, pixels).values() if each is not None)


def _seen(module: ClipModule, pixels: Tensor) -> dict[str, Tensor | None]:
    """What the image graph gives, by output; None where the tower has no such thing."""
    names = (IMAGE_VECTORS, PART_VECTORS, PATCH_VECTORS)
    return dict(zip(names, module.embed_views(pixels), strict=True))


def _drawn_pixels(module: ClipModule, count: int) -> NDArray[np.uint8]:
    """Clouds of several sizes, brightnesses and contrasts, uint8 [count, C, S, S]; seeded.

    None is flat: what is left of a flat image after normalisation is its rounding errors.
    """
    settings = module.config.preprocessing
    side, rng = settings.size, np.random.default_rng(0)
    drawn = []
    for number in range(count * settings.channels):
        cells = 2 + 3 * (number % 5)
        cloud = rng.integers(0, 256, (cells, cells), dtype=np.uint8)
        smooth = Image.fromarray(cloud).resize((side, side), Image.Resampling.BICUBIC)
        noise = rng.normal(0, 5 * (number % 4), (side, side))
        drawn.append((np.asarray(smooth) * rng.uniform(0.3, 1) + noise).clip(0, 255))
    return np.stack(drawn).astype(np.uint8).reshape(count, settings.channels, side, side)


def _text_parity(encoder: Encoder, exported: OnnxEncoder, texts: Sequence[str]) -> float:
    """The largest difference; texts one at a time, as Vespa and a search ask."""
    found = np.concatenate([exported.encode_texts([text]) for text in texts])
    gaps = np.abs(encoder.encode_texts(texts) - found).max(axis=1)
    worst = int(gaps.argmax())
    _check("text tower", float(gaps[worst]), repr(texts[worst][:40]))
    for text in texts:
        expected, tokens = (each.encode_tokens([text])[0] for each in (encoder, exported))
        _check("text tower", float(np.abs(expected - tokens).max()), f"tokens of {text[:40]!r}")
    return float(gaps[worst])


def _image_parity(module: ClipModule, exported: OnnxEncoder, outputs: Sequence[str]) -> float:
    pixels = _drawn_pixels(module, 16)
    device = next(module.parameters()).device
    with torch.inference_mode():
        on_device = torch.from_numpy(pixels).to(device)
        expected = _seen(module, on_device)
    worst = 0.0
    for name in outputs:
        vectors = expected[name]
        assert vectors is not None  # noqa: S101
        gap = float(np.abs(vectors.float().cpu().numpy() - exported.see(name, pixels)).max())
        _check("image tower", gap, f"drawn images ({name})")
        worst = max(worst, gap)
    return worst


def _check(tower: str, gap: float, where: str) -> None:
    if not gap <= TOLERANCE:  # NaN as well
        raise ExportError(
            f"The exported {tower} gives another vector than the encoder for {where} (difference "
            f"{gap:.2g}, {TOLERANCE:g} allowed): the export was discarded. Report this with the "
            "versions of torch, onnx and onnxruntime."
        )
