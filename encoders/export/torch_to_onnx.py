"""A torch module as an ONNX file, by torch's own exporter."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from encoders.base.errors import UserError

__all__ = ["ExportError", "make_onnx", "write_onnx"]

OPSET = 18

Dimensions = Mapping[int, object]


class ExportError(UserError):
    """The exported model does not do what the encoder does."""


def write_onnx(
    graph: nn.Module,
    inputs: Mapping[str, Tensor],
    dynamic: Mapping[str, Dimensions],
    output: str,
    path: Path,
) -> None:
    """Write what `make_onnx` gives into one file, weights included."""
    onnx.save(make_onnx(graph, inputs, dynamic, output), path)


def make_onnx(
    graph: nn.Module,
    inputs: Mapping[str, Tensor],
    dynamic: Mapping[str, Dimensions],
    output: str,
) -> onnx.ModelProto:
    """Turn `graph`, with named inputs and output, into a checked ONNX model.

    inputs: examples in the order of `graph.forward`, under its own argument names. dynamic:
    for each input, which axes may have any length (`torch.export.Dim`).

    Raises ExportError where torch cannot trace the graph.
    """
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            graph.eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=list(inputs),
            output_names=[output],
            dynamic_shapes=dict(dynamic),
            verbose=False,
        )
    if program is None:
        raise ExportError(f"torch gave no ONNX program for {output}.")
    model = program.model_proto
    onnx.checker.check_model(model)
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on its own parts from the user."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
