"""The small ResNet in eight bits: convolutions by ONNX Runtime, all between them in one pass.

Group normalisation cannot be folded into a convolution, because it depends on the image. As ONNX
operators it is read and written seven times over in 32 bits, and costs more than the convolutions
do. Here the numbers stay in eight bits between convolutions: one pass finds mean and deviation,
another normalises, adds the short cut, cuts off below zero and rounds.

Quantisation as in Jacob et al. 2018, equation 1: r = scale (q - zero), with scales of activations
from calibration images, and one scale for each output channel of the weights.
Shapes: N images, P = height * width cells, C channels, channels last.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import torch
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from encoders.int8_kernels import normalised_relu, stem
from encoders.preprocess import Preprocessing
from encoders.resnet import Residual, ResNet

__all__ = ["int8_resnet"]

Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
CHUNK = 64
IR = 10  # what onnxruntime 1.19 and later read
WATCHED = (nn.Conv2d, nn.GroupNorm)
OPSETS = (helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1))


@dataclass(frozen=True)
class Scale:
    """What eight bits stand for: scale * (q - zero)."""

    scale: float
    zero: int

    @classmethod
    def of(cls, low: float, high: float) -> Scale:
        """Cover low..high, and zero, which padding needs exactly."""
        low, high = min(low, 0.0), max(high, 1e-6)
        scale = (high - low) / 255
        return cls(scale, round(-low / scale))


class _Conv:
    """A convolution from eight bits to eight bits."""

    def __init__(self, conv: nn.Conv2d, taken: Scale, given: Scale) -> None:
        self.given = given
        self._session = _quantized(conv, taken, given)

    def __call__(self, x: Bytes) -> Bytes:
        """[N, h, w, C] of `taken` to that of `given`."""
        y: Bytes = self._session.run(None, {"x": x})[0]
        return y


class _Norm:
    """Group normalisation, a short cut if there is one, ReLU: eight bits to eight bits."""

    def __init__(self, norm: nn.GroupNorm, taken: Scale, given: Scale) -> None:
        self._norm = _in_units(norm, given)
        self._groups = norm.num_groups
        self._epsilon = norm.eps / taken.scale**2
        self.given = given

    def __call__(self, x: Bytes, short: Bytes | None = None, of: Scale | None = None) -> Bytes:
        """[N, h, w, C], and a short cut of the same shape, to the same shape."""
        cells = x.reshape(x.shape[0], -1, x.shape[-1])
        other = cells if short is None else short.reshape(cells.shape)
        out = np.empty_like(cells)
        norm, slope = self._norm, 0.0
        if of is not None:
            slope = of.scale / self.given.scale
            norm = norm - np.array([[0], [slope * of.zero]], np.float32)
        normalised_relu(cells, norm, self._groups, self._epsilon, other, np.float32(slope), out)
        return out.reshape(x.shape)


class _Stem:
    """The first convolution and its norm, from pixels to eight bits, in 32 bits between."""

    def __init__(self, prepare: Preprocessing, tower: ResNet, given: Scale) -> None:
        mean, deviation = np.array(prepare.mean), np.array(prepare.std)
        self._entry = np.stack([1 / (255 * deviation), -mean / deviation]).astype(np.float32)
        weights = tower.stem.weight.detach().permute(1, 2, 3, 0)
        self._weights = weights.contiguous().numpy()
        norm = tower.stem_norm
        self._norm = _in_units(norm, given)
        self._groups, self._epsilon = norm.num_groups, norm.eps

    def __call__(self, pixels: Bytes) -> Bytes:
        """[N, C, S, S] to [N, s, s, W]."""
        side = (pixels.shape[-1] + 1) // 2
        out = np.empty((len(pixels), side, side, self._norm.shape[1]), np.uint8)
        stem(
            np.ascontiguousarray(pixels),
            self._entry,
            self._weights,
            self._norm,
            self._groups,
            self._epsilon,
            out,
        )
        return out


def _in_units(norm: nn.GroupNorm, given: Scale) -> Floats:
    """Gain and bias of a norm whose output is rounded to `given`, float32 [2, C]."""
    both = torch.stack([norm.weight, norm.bias]).detach() / given.scale
    units: Floats = both.float().numpy()
    return units


class _Block:
    """One residual block."""

    def __init__(self, block: Residual, taken: Scale, seen: dict[nn.Module, Scale]) -> None:
        self._taken = taken
        first = seen[block.norm_1]
        self._conv_1 = _Conv(block.conv_1, taken, seen[block.conv_1])
        self._norm_1 = _Norm(block.norm_1, seen[block.conv_1], first)
        self._conv_2 = _Conv(block.conv_2, first, seen[block.conv_2])
        self._norm_2 = _Norm(block.norm_2, seen[block.conv_2], seen[block])
        self._short = None
        if isinstance(block.short, nn.Conv2d):
            self._short = _Conv(block.short, taken, seen[block.short])

    def __call__(self, x: Bytes) -> Bytes:
        y = self._conv_2(self._norm_1(self._conv_1(x)))
        if self._short is None:
            return self._norm_2(y, x, self._taken)
        return self._norm_2(y, self._short(x), self._short.given)


def int8_resnet(
    prepare: Preprocessing, tower: ResNet, pixels: Bytes
) -> Callable[[Bytes], NDArray[np.float32]]:
    """The image tower in eight bits: uint8 [N, C, S, S] to vectors float32 [N, D].

    pixels: images from which the scales of activations are taken.
    """
    seen = _scales(prepare, tower, pixels)
    first = _Stem(prepare, tower, seen[tower.stem_norm])
    scale, blocks = seen[tower.stem_norm], []
    for residual in tower.residuals():
        blocks.append(_Block(residual, scale, seen))
        scale = seen[residual]
    side = tower.cells(prepare.normalize(torch.from_numpy(pixels[:1]))).shape[-1]
    last = _head(tower, side, scale)

    def run(pixels: Bytes) -> NDArray[np.float32]:
        x = first(pixels)
        for block in blocks:
            x = block(x)
        vectors: NDArray[np.float32] = last.run(None, {"x": x.reshape(len(x), -1)})[0]
        return vectors

    return run


def _head(tower: ResNet, side: int, taken: Scale) -> onnxruntime.InferenceSession:
    """From uint8 [N, side * side * C] to float32 [N, D]: the projection, in 32 bits.

    Averaging cells down to the grid is linear, as the projection is, and goes into its weights.
    """
    grid = tower.config.grid
    weights = tower.projection.weight.detach()
    spread = F.adaptive_avg_pool2d(torch.eye(side**2).view(side**2, 1, side, side), grid)
    of_cells = torch.einsum(
        "dcg,pg->pcd", weights.view(len(weights), -1, grid**2), spread.flatten(1)
    )
    nodes = [
        helper.make_node("Cast", ["x"], ["cells"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["cells", "w"], ["y"]),
    ]
    constants = {"w": (of_cells.flatten(0, 1) * taken.scale).numpy()}
    return _session(nodes, constants, TensorProto.FLOAT, rank=2)


def _quantized(conv: nn.Conv2d, taken: Scale, given: Scale) -> onnxruntime.InferenceSession:
    """One `QLinearConv`, channels last, of ONNX Runtime's own domain."""
    weights = conv.weight.detach().numpy()
    scales = np.maximum(np.abs(weights).max(axis=(1, 2, 3)) / 127, 1e-12).astype(np.float32)
    rounded = np.rint(weights / scales[:, None, None, None]).astype(np.int8)
    constants = {
        "x_scale": np.float32(taken.scale),
        "x_zero": np.uint8(taken.zero),
        "w": rounded,
        "w_scale": scales,
        "w_zero": np.zeros(len(scales), np.int8),
        "y_scale": np.float32(given.scale),
        "y_zero": np.uint8(given.zero),
    }
    node = helper.make_node(
        "QLinearConv",
        ["x", *constants],
        ["y"],
        domain="com.microsoft",
        channels_last=1,
        kernel_shape=conv.kernel_size,
        strides=conv.stride,
        pads=[*conv.padding, *conv.padding],
    )
    return _session([node], constants, TensorProto.UINT8, rank=4)


def _session(
    nodes: list[NodeProto], constants: Mapping[str, Any], given: int, rank: int
) -> onnxruntime.InferenceSession:
    """Nodes from uint8 "x" to "y" of the type `given`, both of that rank, on one thread."""
    free = [None] * rank
    graph = helper.make_graph(
        nodes,
        "part",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, free)],
        [helper.make_tensor_value_info("y", given, free)],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=OPSETS, ir_version=IR)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # batches are what runs in parallel
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


@torch.inference_mode()
def _scales(prepare: Preprocessing, tower: ResNet, pixels: Bytes) -> dict[nn.Module, Scale]:
    """The range of what each convolution, norm and block gives, over the calibration images."""
    seen: dict[nn.Module, tuple[float, float]] = {}

    def look(part: nn.Module, _: object, given: Tensor) -> None:
        low, high = seen.get(part, (0.0, 0.0))
        # What leaves a norm goes through ReLU, and so does a block.
        bottom = float(given.min()) if isinstance(part, nn.Conv2d) else 0.0
        seen[part] = (min(low, bottom), max(high, float(given.max())))

    watched = [*tower.residuals(), *(m for m in tower.modules() if isinstance(m, WATCHED))]
    hooks = [part.register_forward_hook(look) for part in watched]
    for start in range(0, len(pixels), CHUNK):
        tower(prepare.normalize(torch.from_numpy(pixels[start : start + CHUNK])))
    for hook in hooks:
        hook.remove()
    return {part: Scale.of(*span) for part, span in seen.items()}
