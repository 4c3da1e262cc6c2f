"""Asking memory for a row before it is needed: rows at random places are waited for otherwise."""

# ruff: noqa: ANN401 - llvmlite's own classes have no types
from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

__all__ = ["AHEAD", "prefetch_row"]

# So many rows are asked for at a time: measured, 2 KB each, at 16,000 to a million rows.
AHEAD = 2
CACHE_LINE = 64
INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
BYTES = ir.IntType(8).as_pointer()
# To read, not to write; into the second cache, the first is too small; data, not instructions.
READ, SECOND, DATA = INT32(0), INT32(2), INT32(1)


def _prefetch_row(_: Any, rows: Any, row: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        width = builder.extract_value(array.shape, 1)
        start = builder.gep(array.data, [builder.mul(arguments[1], width)])
        fetch = builder.module.declare_intrinsic(
            "llvm.prefetch", [BYTES], ir.FunctionType(ir.VoidType(), [BYTES, INT32, INT32, INT32])
        )
        step = INT64(8 * CACHE_LINE // signature.args[0].dtype.bitwidth)
        with cgutils.for_range_slice(builder, INT64(0), width, step, INT64) as (place, _):
            line = builder.bitcast(builder.gep(start, [place]), BYTES)
            builder.call(fetch, [line, READ, SECOND, DATA])
        return context.get_dummy_value()

    return types.none(rows, types.int64), build


prefetch_row = cast(Callable[[NDArray[np.float32], int], None], intrinsic(_prefetch_row))
"""Ask for a row of float32 [n, d], laid out row by row; goes on at once."""
