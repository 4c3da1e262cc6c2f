"""An encoder's folder made in a moment, without torch: a traced process need not load it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from encoders.base.storage import sha256_file
from encoders.images.preprocess import Preprocessing
from encoders.inference.onnx_encoder import (
    IMAGE_GRAPH,
    IMAGE_VECTORS,
    PIXELS,
    TEXT_GRAPH,
    TEXT_INPUTS,
    TEXT_VECTORS,
)
from encoders.model.manifest import Manifest
from encoders.model.tokenizer import FILE_NAME, train_tokenizer

__all__ = ["make_encoder"]

SIDE, WORDS, TOKENS = 16, 300, 64
FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def make_encoder(folder: Path, seed: int, dimension: int) -> Path:
    """The image tower is a random matrix over pixels, the text tower a sum over tokens."""
    folder.mkdir()
    rng = np.random.default_rng(seed)
    tokenizer = train_tokenizer(["chest x-ray", "ct of the lung"], vocabulary=WORDS)
    tokenizer.save(str(folder / FILE_NAME))
    node = helper.make_node
    _save(
        folder / IMAGE_GRAPH,
        [
            node("Cast", [PIXELS], ["grey"], to=FLOAT),
            node("Flatten", ["grey"], ["flat"]),
            node("MatMul", ["flat", "weights"], ["sum"]),
        ],
        {PIXELS: (TensorProto.UINT8, ["batch", 1, SIDE, SIDE])},
        {"weights": rng.normal(size=(SIDE * SIDE, dimension)).astype(np.float32)},
        (IMAGE_VECTORS, dimension),
    )
    _save(
        folder / TEXT_GRAPH,
        [
            node("Gather", ["weights", TEXT_INPUTS[0]], ["tokens"]),
            node("Cast", [TEXT_INPUTS[1]], ["mask"], to=FLOAT),
            node("Unsqueeze", ["mask", "last"], ["column"]),
            node("Mul", ["tokens", "column"], ["kept"]),
            node("ReduceSum", ["kept", "middle"], ["sum"], keepdims=0),
        ],
        dict.fromkeys(TEXT_INPUTS, (INT, ["batch", "tokens"])),
        {
            "weights": rng.normal(size=(WORDS, dimension)).astype(np.float32),
            "last": np.array([2]),
            "middle": np.array([1]),
        },
        (TEXT_VECTORS, dimension),
    )
    settings = Preprocessing(size=SIDE)
    Manifest(
        dimension=dimension,
        normalized=True,
        max_tokens=TOKENS,
        image_size=SIDE,
        image_mode=settings.mode,
        image_resize=settings.resize,
        image_mean=settings.mean,
        image_std=settings.std,
        weights_sha256=sha256_file(folder / IMAGE_GRAPH),
        tokenizer_sha256=sha256_file(folder / FILE_NAME),
        architecture=json.dumps({"preprocessing": asdict(settings)}),
        graphs={name: sha256_file(folder / name) for name in (IMAGE_GRAPH, TEXT_GRAPH)},
    ).save(folder)
    return folder


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, list[str | int]]],
    constants: dict[str, np.ndarray],
    output: tuple[str, int],
) -> None:
    """Write the graph; its last value `sum` is brought to length 1."""
    name, dimension = output
    graph = helper.make_graph(
        [*nodes, helper.make_node("LpNormalization", ["sum"], [name])],
        path.stem,
        [helper.make_tensor_value_info(each, *kind) for each, kind in inputs.items()],
        [helper.make_tensor_value_info(name, FLOAT, ["batch", dimension])],
        [numpy_helper.from_array(value, each) for each, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    onnx.save(model, path)
