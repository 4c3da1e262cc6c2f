"""Export a torch module to ONNX."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from encoders.base.errors import UserError

__all__ = ["ExportError", "write_onnx"]

OPSET = 18

Dimensions = Mapping[int, object]


class ExportError(UserError):
    """The exported model does not do what the encoder does."""


def write_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    dynamic: Mapping[str, Dimensions],
    outputs: Sequence[str],
    path: Path,
) -> None:
    """Write `module` as one checked ONNX file, weights included.

    inputs: examples in the order of `module.forward`, under its own argument names. dynamic:
    for each input, which axes may have any length (`torch.export.Dim`). outputs: names, in the
    order in which `module.forward` returns them.

    Raises ExportError if torch cannot trace the module.
    """
    with _quiet(), torch.inference_mode():
        program = torch.onnx.export(
            module.eval(),
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_shapes=dict(dynamic),
            verbose=False,
        )
    if program is None:
        raise ExportError(f"torch gave no ONNX program for {', '.join(outputs)}.")
    model = program.model_proto
    _forget_origin(model)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _forget_origin(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes of its own run, such as paths of source files."""
    model.graph.ClearField("metadata_props")
    model.ClearField("metadata_props")
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for function in model.functions:
        for node in function.node:
            node.ClearField("metadata_props")
            node.ClearField("doc_string")


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
