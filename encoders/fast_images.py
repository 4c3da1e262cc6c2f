"""The image tower for whole corpora: ONNX Runtime, in fewer bits where that changes nothing.

    fast = fast_images(encoder, calibration=first_hundred_images)
    vectors = fast.encode_images(images)   # float32 [N, D], as encoder.encode_images

Eight-bit towers are calibrated on a part of the images given, and every tower is judged on the
rest: one that turns a vector by more than the gate allows is not taken, and `note` says so.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

import numpy as np
import onnx
import onnxruntime  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from onnxruntime import quantization
from PIL import Image
from torch import Tensor, nn

from encoders.clip import ClipModule, Encoder
from encoders.errors import UserError
from encoders.manifest import Manifest
from encoders.onnx_export import write_onnx
from encoders.preprocess import open_image
from encoders.towers import ViTConfig

__all__ = ["FastImages", "Precision", "fast_images"]

Precision = Literal["int8", "bfloat16", "float32"]
ImageInput = Image.Image | bytes | Path
Pixels = NDArray[np.uint8]
Run = Callable[[Pixels], NDArray[np.float32]]

INPUT, OUTPUT = "pixels", "image_embedding"
GATE = 0.999
FEWEST = 16
CHUNK = 64


@dataclass(frozen=True)
class FastImages:
    """A compiled image tower.

    precision: what was taken. cosine: the lowest between its vectors and the encoder's, over
    the images kept for judging. note: which precisions were refused, "" where none was.
    """

    manifest: Manifest
    precision: Precision
    cosine: float
    note: str
    _encoder: Encoder
    _run: Run

    def encode_images(
        self, images: Sequence[ImageInput], batch_size: int = CHUNK
    ) -> NDArray[np.float32]:
        """Unit vectors float32 [N, D]. Raises ImageError for an image that cannot be decoded.

        As many batches are worked on at a time as there are cores, each by one thread from the
        file to the vector: threads that share a batch spend more on waiting than they save.
        """
        out = np.empty((len(images), self.manifest.dimension), dtype=np.float32)
        make = self._encoder.module.config.preprocessing.pixels

        def encode(start: int) -> None:
            batch = images[start : start + batch_size]
            pixels = np.stack([make(open_image(image)) for image in batch])
            out[start : start + len(batch)] = self._run(pixels)

        with ThreadPoolExecutor(_cores()) as pool:
            for _ in pool.map(encode, range(0, len(images), batch_size)):
                pass
        return out


def fast_images(
    encoder: Encoder,
    calibration: Sequence[ImageInput],
    precisions: Sequence[Precision] = ("int8", "bfloat16", "float32"),
    gate: float = GATE,
) -> FastImages:
    """Compile the image tower for this machine: the fastest of `precisions` that passes the gate.

    calibration: images of the corpus, a hundred or more; half of them calibrate, half judge.
    gate: the lowest cosine to the encoder's vectors that any of the judging images may have.

    Raises UserError for fewer than 16 images, or where no precision passes.
    """
    if len(calibration) < FEWEST:
        raise UserError(
            f"{len(calibration)} images are too few to judge a faster image tower by: give at "
            f"least {FEWEST}, or use the encoder as it is."
        )
    make = encoder.module.config.preprocessing.pixels
    pixels = np.stack([make(open_image(image)) for image in calibration])
    to_fit, to_judge = pixels[::2], pixels[1::2]
    expected = _torch_run(encoder.module, bfloat16=False)(to_judge)
    tried = [
        _try(encoder.module, precision, to_fit, to_judge, expected) for precision in precisions
    ]
    passed = [t for t in tried if t.cosine >= gate]
    note = "; ".join(
        f"{t.precision} refused: lowest cosine {t.cosine:.5f}, {gate:g} wanted"
        for t in tried
        if t.cosine < gate
    )
    if not passed:
        raise UserError(f"No faster image tower is close enough to the encoder: {note}.")
    best = min(passed, key=lambda t: t.seconds)
    return FastImages(encoder.manifest, best.precision, best.cosine, note, encoder, best.run)


@dataclass(frozen=True)
class _Trial:
    precision: Precision
    run: Run
    cosine: float
    seconds: float


def _try(
    module: ClipModule,
    precision: Precision,
    to_fit: Pixels,
    to_judge: Pixels,
    expected: NDArray[np.float32],
) -> _Trial:
    run = _compile(module, precision, to_fit)
    cosine = float((run(to_judge) * expected).sum(axis=1).min())
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        with ThreadPoolExecutor(_cores()) as pool:
            list(pool.map(run, np.array_split(to_judge, _cores())))
        seconds.append(time.perf_counter() - start)
    return _Trial(precision, run, cosine, min(seconds))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _ImageGraph(nn.Module):
    def __init__(self, module: ClipModule) -> None:
        super().__init__()
        self.clip = module

    def forward(self, pixels: Tensor) -> Tensor:
        return self.clip.embed_pixels(pixels)


def _compile(module: ClipModule, precision: Precision, to_fit: Pixels) -> Run:
    if precision == "bfloat16":
        return _torch_run(module, bfloat16=True)
    with tempfile.TemporaryDirectory(prefix="image-tower-") as folder:
        path = Path(folder) / "image.onnx"
        example = torch.from_numpy(to_fit[:2])
        write_onnx(
            _ImageGraph(module),
            {INPUT: example},
            {INPUT: {0: torch.export.Dim("batch")}},
            OUTPUT,
            path,
        )
        if precision == "int8":
            path = _quantized(module, path, to_fit)
        return _onnx_run(path)


def _quantized(module: ClipModule, path: Path, to_fit: Pixels) -> Path:
    """Eight-bit weights; activations calibrated for convolutions, measured as they come for ViT.

    A transformer's activations have rare large values, on which one fixed scale is lost.
    """
    out = path.with_name("image.int8.onnx")
    if isinstance(module.config.image, ViTConfig):
        tower = onnx.load(path)
        tower.graph.ClearField("value_info")  # the quantizer turns weights, and infers anew
        quantization.quantize_dynamic(tower, out, per_channel=True)
        return out
    quantization.quantize_static(
        path,
        out,
        _Calibration(to_fit),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv", "Gemm"],
        per_channel=True,
        activation_type=quantization.QuantType.QUInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return out


class _Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, pixels: Pixels) -> None:
        self.left = iter([pixels[n : n + CHUNK] for n in range(0, len(pixels), CHUNK)])

    def get_next(self) -> dict[str, Pixels] | None:
        batch = next(self.left, None)
        return None if batch is None else {INPUT: batch}


def _onnx_run(path: Path) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # the batches are what runs in parallel
    session = onnxruntime.InferenceSession(
        path.read_bytes(), options, providers=["CPUExecutionProvider"]
    )

    def run(pixels: Pixels) -> NDArray[np.float32]:
        return _unit(session.run([OUTPUT], {INPUT: pixels})[0])

    return run


def _torch_run(module: ClipModule, *, bfloat16: bool) -> Run:
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
