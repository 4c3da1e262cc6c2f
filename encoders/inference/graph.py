"""The ONNX file of one tower: hash check and session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from encoders.base.errors import UserError
from encoders.model.manifest import check_file

if TYPE_CHECKING:
    import onnxruntime  # type: ignore[import-untyped]

__all__ = ["Graph", "GraphError"]


class GraphError(UserError):
    """ONNX Runtime cannot run an encoder's ONNX file."""


class Graph:
    """An ONNX model. Threads may run it at the same time.

    threads: how many threads share one run; 0: one for each core.
    """

    def __init__(self, path: Path, sha256: str = "", *, threads: int = 0) -> None:
        self._path, self._sha256, self._threads = path, sha256, threads

    @property
    def outputs(self) -> list[str]:
        """Names of the outputs."""
        return [output.name for output in self._session.get_outputs()]

    def run(self, output: str, inputs: Mapping[str, NDArray[np.generic]]) -> NDArray[np.float32]:
        """One output; what only other outputs need is not computed."""
        return self.run_all([output], inputs)[0]

    def run_all(
        self, outputs: Sequence[str], inputs: Mapping[str, NDArray[np.generic]]
    ) -> list[NDArray[np.float32]]:
        """Several outputs of one run."""
        session = self._session
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.RunOptions()
        options.only_execute_path_to_fetches = True
        result: list[NDArray[np.float32]] = session.run(outputs, dict(inputs), options)
        return result

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        path = self._path
        check_file(path, self._sha256)
        # Not at the top: a search by words alone need not wait for it.
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        # Threads that wait by spinning take the cores from everything else on the machine.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # noqa: BLE001 - the binding raises its own
            first = str(error).strip().splitlines()[0]
            raise GraphError(f"{path} cannot be run by ONNX Runtime: {first}") from None
