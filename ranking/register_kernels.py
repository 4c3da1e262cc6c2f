"""What vector registers do that numba has no words for, written in LLVM's.

Comparing 64 numbers to a bit each; and products of bytes, four at a time, where the processor has
VNNI (Intel: Deep Learning Boost), which is three times as fast as what a compiler makes of a loop.
"""

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

from encoders.int8_registers import add_products, everywhere
from encoders.jit import HAS_VNNI, compiled
from ranking.kernels import scan_codes
from ranking.term_kernels import popcount

__all__ = ["bits_above", "lowest_bit", "pack", "products_of"]

ROW = 64
LANES = 8
# Codes are within -63..63; VNNI multiplies numbers not below 0 with numbers of either sign.
LIFT = 64
INT32 = ir.IntType(32)
INT64 = ir.IntType(64)
REGISTER = ir.VectorType(INT32, LANES)


def _data(context: Any, builder: Any, kind: Any, array: Any, cell: Any) -> Any:
    """A pointer to an array's numbers."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(data, cell.as_pointer())


def _bits_above(_: Any, numbers: Any, begin: Any, edge: Any) -> Any:
    """A bit, the first lowest, for each of 64 int32 from `begin` on: whether it is above `edge`."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        start = builder.gep(
            _data(context, builder, signature.args[0], arguments[0], INT32), [arguments[1]]
        )
        lanes = ir.VectorType(INT32, ROW)
        found = builder.load(builder.bitcast(start, lanes.as_pointer()), align=4)
        above = builder.icmp_signed(">", found, everywhere(builder, arguments[2], ROW))
        return builder.bitcast(above, INT64)

    return types.uint64(numbers, types.int64, types.int32), build


def _row_dots(_: Any, packed: Any, row: Any, cells: Any, start: Any, out: Any) -> Any:
    """Add products of 64 documents, those of a row of `packed`, with a query to `start`."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kinds, (codes, place, query, first, _) = signature.args, arguments
        steps = builder.extract_value(
            context.make_array(kinds[0])(context, builder, codes).shape, 1
        )
        words = _data(context, builder, kinds[0], codes, INT32)
        words = builder.gep(words, [builder.mul(place, builder.mul(steps, INT64(ROW)))])
        fours = _data(context, builder, kinds[2], query, INT32)
        sums = [
            cgutils.alloca_once_value(builder, everywhere(builder, first))  # type: ignore[no-untyped-call]
            for _ in range(ROW // LANES)
        ]
        with cgutils.for_range(builder, steps) as loop:
            four = builder.load(builder.gep(fours, [loop.index]), align=1)
            four = everywhere(builder, four)
            line = builder.gep(words, [builder.mul(loop.index, INT64(ROW))])
            for number, total in enumerate(sums):
                at = builder.gep(line, [INT64(LANES * number)])
                some = builder.load(builder.bitcast(at, REGISTER.as_pointer()), align=1)
                builder.store(add_products(builder, builder.load(total), some, four), total)
        result = _data(context, builder, kinds[4], arguments[4], INT32)
        result = builder.gep(result, [builder.mul(place, INT64(ROW))])
        for number, total in enumerate(sums):
            at = builder.gep(result, [INT64(LANES * number)])
            at = builder.bitcast(at, REGISTER.as_pointer())
            builder.store(builder.load(total), at, align=4)
        return context.get_dummy_value()

    return types.none(packed, types.int64, cells, types.int32, out), build


bits_above = cast(
    Callable[[NDArray[np.int32], int, int | np.int32], np.uint64], intrinsic(_bits_above)
)
_dots = cast(Callable[..., None], intrinsic(_row_dots))


@compiled
def lowest_bit(bits: np.uint64) -> int:
    """The place of the lowest bit that is set."""
    return popcount(~bits & (bits - np.uint64(1)))


@compiled
def _pack_fours(blocks: NDArray[np.int8], out: NDArray[np.uint8]) -> None:
    for block in range(blocks.shape[0]):
        for step in range(blocks.shape[1] // 4):
            for doc in range(ROW):
                for each in range(4):
                    cell = blocks[block, 4 * step + each, doc]
                    out[block, step, 4 * doc + each] = np.uint8(cell + LIFT)


@compiled
def _vnni_products(
    packed: NDArray[np.uint8], begin: int, end: int, cells: NDArray[np.int8], out: NDArray[np.int32]
) -> None:
    lifted = np.int32(0)
    for cell in cells:
        lifted -= np.int32(LIFT) * np.int32(cell)
    for row in range(begin, end):
        _dots(packed, row, cells, lifted, out)


@compiled
def _copy(blocks: NDArray[np.int8], out: NDArray[np.uint8]) -> None:
    out.view(np.int8).reshape(-1)[: blocks.size] = blocks.reshape(-1)


@compiled
def _plain_products(
    packed: NDArray[np.uint8], begin: int, end: int, cells: NDArray[np.int8], out: NDArray[np.int32]
) -> None:
    blocks = packed.view(np.int8).reshape(len(packed), len(cells), ROW)
    scan_codes(blocks[begin:end], cells, out[ROW * begin : ROW * end])


pack = _pack_fours if HAS_VNNI else _copy
"""Lay codes int8 [rows, d, 64] out as `products_of` wants them: uint8 [rows, d / 4, 256]."""

products_of = _vnni_products if HAS_VNNI else _plain_products
"""Products of the documents in rows `begin` to `end` of `packed`, 64 in each, with a query's code
int8 [d]: int32, at their places in `out`.
"""
