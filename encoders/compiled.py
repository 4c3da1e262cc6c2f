"""An image tower compiled for this machine's CPU, in 32, 16 or 8 bits."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from onnxruntime import quantization
from torch import Tensor, nn

from encoders.export.torch_to_onnx import make_onnx
from encoders.int8_resnet import fits, int8_resnet
from encoders.model.module import ClipModule
from encoders.model.resnet import ResNet
from encoders.model.towers import ViTConfig

__all__ = ["Pixels", "Precision", "Run", "compile_tower", "torch_run"]

Precision = Literal["int8", "bfloat16", "float32"]
Pixels = NDArray[np.uint8]
Run = Callable[[Pixels], NDArray[np.float32]]

INPUT, OUTPUT = "pixels", "image_embedding"
CHUNK = 64


def compile_tower(module: ClipModule, precision: Precision, to_fit: Pixels) -> Run:
    """Make a function from pixels uint8 [N, C, S, S] to unit vectors float32 [N, D].

    to_fit: images by which the scales of eight-bit activations are chosen.
    """
    if precision == "bfloat16":
        return torch_run(module, bfloat16=True)
    if precision == "int8" and isinstance(module.image, ResNet) and fits(module.image):
        run = int8_resnet(module.config.preprocessing, module.image, to_fit)
        return lambda pixels: _unit(run(pixels))
    model = make_onnx(
        _ImageGraph(module),
        {INPUT: torch.from_numpy(to_fit[:2])},
        {INPUT: {0: torch.export.Dim("batch")}},
        OUTPUT,
    )
    if precision == "int8":
        return _onnx_run(_quantized(module, model, to_fit))
    return _onnx_run(model.SerializeToString())


class _ImageGraph(nn.Module):
    def __init__(self, module: ClipModule) -> None:
        super().__init__()
        self.clip = module

    def forward(self, pixels: Tensor) -> Tensor:
        return self.clip.embed_pixels(pixels)


def _quantized(module: ClipModule, model: onnx.ModelProto, to_fit: Pixels) -> bytes:
    """The model in eight bits; the quantizer writes files only, so briefly one is made."""
    with tempfile.TemporaryDirectory(prefix="image-tower-") as folder:
        out = Path(folder) / "image.int8.onnx"
        _quantize(module, model, to_fit, out)
        return out.read_bytes()


def _quantize(module: ClipModule, model: onnx.ModelProto, to_fit: Pixels, out: Path) -> None:
    """Eight-bit weights; activations calibrated for convolutions, measured as they come for ViT.

    A transformer's activations have rare large values, on which one fixed scale is lost.
    """
    if isinstance(module.config.image, ViTConfig):
        model.graph.ClearField("value_info")  # the quantizer turns weights, and infers anew
        quantization.quantize_dynamic(model, out, per_channel=True)
        return
    quantization.quantize_static(
        model,
        out,
        _Calibration(to_fit),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Gemm"],
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )


class _Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pixels: Pixels) -> None:
        self.left = iter([pixels[n : n + CHUNK] for n in range(0, len(pixels), CHUNK)])

    def get_next(self) -> dict[str, Pixels] | None:
        batch = next(self.left, None)
        return None if batch is None else {INPUT: batch}


def _onnx_run(model: bytes) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the batches are what runs in parallel
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(pixels: Pixels) -> NDArray[np.float32]:
        return _unit(session.run([OUTPUT], {INPUT: pixels})[0])

    return run


def torch_run(module: ClipModule, *, bfloat16: bool) -> Run:
    """The tower in torch; one batch at a time, which torch's own threads share."""
    device = next(module.parameters()).device
    one_at_a_time = Lock()  # torch has threads of its own

    @torch.inference_mode()
    def run(pixels: Pixels) -> NDArray[np.float32]:
        cast = torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()
        with one_at_a_time, cast:
            vectors = module.embed_pixels(torch.from_numpy(pixels).to(device))
        return _unit(vectors.float().cpu().numpy())

    return run


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Length 1 again, whatever rounding did."""
    unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit
