"""The text tower as ONNX, so that Vespa embeds queries by itself; never without a parity check.

Vespa's `hugging-face-embedder` runs one text at a time: tokenizer.json gives ids, the model
gives one vector. https://docs.vespa.ai/en/rag/embedding.html#huggingface-embedder
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from encoders.base.storage import whole_folder
from encoders.export.torch_to_onnx import ExportError, write_onnx
from encoders.model import tokenizer as tokens
from encoders.model.clip import ClipModule, Encoder

__all__ = ["PARITY_TEXTS", "TEXT_MODEL", "ExportError", "TextExport", "export_text_tower"]

TEXT_MODEL = "text.onnx"
INPUTS = ("input_ids", "attention_mask")
OUTPUT = "text_embedding"
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
"""What an export must agree on: empty, 200 words, other scripts, control characters."""


@dataclass(frozen=True)
class TextExport:
    """The files written, and the largest difference to the encoder seen in the parity check."""

    model: Path
    tokenizer: Path
    difference: float


def export_text_tower(
    encoder: Encoder, out: Path, texts: Sequence[str] = PARITY_TEXTS
) -> TextExport:
    """Write text.onnx and tokenizer.json into the folder `out`, replacing it.

    The model takes `input_ids` and `attention_mask`, int64 [B, T], and gives `text_embedding`,
    float32 [B, D], pooled and normalised as the encoder does.

    Raises ExportError where a component of any of `texts`' vectors differs from
    `encoder.encode_texts` by more than 1e-5; nothing is written then.
    """
    with whole_folder(out) as beside:
        _export(encoder.module, beside / TEXT_MODEL)
        (beside / tokens.FILE_NAME).write_text(_tokenizer(encoder).to_str(), encoding="utf-8")
        difference = _parity(encoder, beside, texts)
    return TextExport(out / TEXT_MODEL, out / tokens.FILE_NAME, difference)


class _TextGraph(nn.Module):
    """The part of the encoder that Vespa runs."""

    def __init__(self, module: ClipModule) -> None:
        super().__init__()
        self.clip = module

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.clip.embed_ids(input_ids, attention_mask)


def _export(module: ClipModule, path: Path) -> None:
    device = next(module.parameters()).device
    ids = torch.tensor([[1, 5, 2], [1, 2, 0]], device=device)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]], device=device)
    longest = module.config.text.context
    axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens", max=longest)}
    inputs = dict(zip(INPUTS, (ids, mask), strict=True))
    write_onnx(_TextGraph(module), inputs, dict.fromkeys(INPUTS, axes), OUTPUT, path)


def _tokenizer(encoder: Encoder) -> Tokenizer:
    """Without padding, cut as the manifest says: Vespa reads both from the file."""
    tokenizer = Tokenizer.from_str(encoder.module.tokenizer.to_str())
    tokenizer.no_padding()
    tokenizer.enable_truncation(encoder.manifest.max_tokens, strategy="longest_first")
    return tokenizer


def _parity(encoder: Encoder, folder: Path, texts: Sequence[str]) -> float:
    expected = encoder.encode_texts(texts)
    actual = _run_as_vespa(folder, texts)
    differences = np.abs(expected - actual).max(axis=1)
    worst = int(differences.argmax())
    if not differences[worst] <= TOLERANCE:
        raise ExportError(
            f"The exported text tower gives another vector than the encoder for "
            f"{texts[worst][:40]!r} (difference {differences[worst]:.2g}, {TOLERANCE:g} allowed): "
            "the export was discarded. Embed at the client, or report the torch and onnx versions."
        )
    return float(differences[worst])


def _run_as_vespa(folder: Path, texts: Sequence[str]) -> NDArray[np.float32]:
    """Vectors [N, D] from the exported files alone, one text at a time as Vespa does."""
    tokenizer = tokens.load_tokenizer(folder)
    session = onnxruntime.InferenceSession(folder / TEXT_MODEL, providers=["CPUExecutionProvider"])
    rows = []
    for text in texts:
        ids, mask = tokens.batch_ids(tokenizer, [text])
        inputs = dict(zip(INPUTS, (ids.numpy(), mask.numpy()), strict=True))
        rows.append(session.run([OUTPUT], inputs)[0][0])
    return np.stack(rows)
