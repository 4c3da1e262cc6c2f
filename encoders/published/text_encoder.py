"""Convert a published text encoder, such as MiniLM, to a folder that embeds texts alone.

    text_folder("minilm")  # ~/.cache/rocosearch/encoders/<fingerprint>

It has encoder.json, tokenizer.json and text.onnx, whose vectors are the published ones: pooled
states of length 1. So captions can have vectors of it (`--caption-encoder`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from encoders.base.progress import Progress, silent
from encoders.base.storage import sha256_bytes, sha256_file, whole_folder
from encoders.export.torch_to_onnx import ExportError
from encoders.export.towers import PARITY_TEXTS, TOLERANCE, write_text_graph
from encoders.inference.onnx_encoder import IMAGE_GRAPH, TEXT_VECTORS, OnnxEncoder
from encoders.model.architecture import EncoderError
from encoders.model.bert import BertConfig, BertTower
from encoders.model.manifest import FILE_NAME as MANIFEST, TEXT_GRAPH, Manifest
from encoders.model.tokenizer import FILE_NAME as TOKENIZER, batch_ids
from encoders.published.packages import cache_folder
from encoders.published.single_towers import fill
from encoders.published.towers import text_part

__all__ = ["text_folder"]

LONGEST = 256  # tokens, where the published model reads more


def text_folder(source: str | Path, progress: Progress = silent) -> Path:
    """The folder of a published BERT, or of `minilm`, converted once.

    Raises EncoderError if it is none or cannot be read, ExportError if the graph gives other
    vectors than the model.
    """
    part = text_part(str(source), LONGEST)
    if not isinstance(part.config, BertConfig):
        raise EncoderError(f"{source} has no BERT: name a text encoder such as all-MiniLM-L6-v2.")
    tower = BertTower(part.config, part.config.width)
    fill(tower, part.weights)
    words = part.words.to_str(pretty=True)
    weights = {name: value.contiguous() for name, value in part.weights.items()}
    manifest = Manifest(
        dimension=part.config.width,
        normalized=True,
        max_tokens=part.config.context,
        image_size=0,
        image_mode="",
        image_resize="",
        image_mean=(),
        image_std=(),
        weights_sha256=sha256_bytes(save(weights)),
        tokenizer_sha256=sha256_bytes(words.encode()),
        architecture=json.dumps({"text": asdict(part.config)}, sort_keys=True),
    )
    kept = cache_folder().parent / "encoders" / manifest.fingerprint[:16]
    if (kept / MANIFEST).exists():
        return kept
    progress("reading published encoder", 0, 1)
    graph = _Words(tower).eval()
    with whole_folder(kept) as beside:
        (beside / TOKENIZER).write_text(words, "utf-8")
        write_text_graph(graph, part.config.context, [TEXT_VECTORS], beside / TEXT_GRAPH)
        exported = OnnxEncoder(
            manifest, part.words, {name: beside / name for name in (TEXT_GRAPH, IMAGE_GRAPH)}
        )
        for text in PARITY_TEXTS:
            with torch.inference_mode():
                expected = graph(*map(torch.from_numpy, batch_ids(part.words, [text])))
            gap = float(np.abs(exported.encode_texts([text]) - expected.numpy()).max())
            if not gap <= TOLERANCE:
                raise ExportError(f"The exported {source} differs by {gap:.2g} for {text[:40]!r}.")
        replace(manifest, graphs={TEXT_GRAPH: sha256_file(beside / TEXT_GRAPH)}).save(beside)
    progress("reading published encoder", 1, 1, f"kept in {kept}")
    return kept


class _Words(nn.Module):
    def __init__(self, tower: BertTower) -> None:
        super().__init__()
        self.tower = tower

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        pooled = self.tower.features(input_ids, attention_mask)
        return nn.functional.normalize(pooled, dim=-1)
