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
from ranking.engine.compiled.kernels import scan_codes
from ranking.engine.compiled.term_kernels import popcount

__all__ = ["QUERIES", "bits_above", "lowest_bit", "pack", "placed", "products_of"]

ROW = 64
HALF = 32
LANES = 8
QUERIES = 4
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


def _row_dots(_: Any, packed: Any, row: Any, cells: Any, starts: Any, out: Any) -> Any:
    """Add products of 64 documents, those of a row of `packed`, with four queries to `starts`."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        row = arguments[1]
        arrays = [
            context.make_array(signature.args[n])(context, builder, arguments[n])
            for n in (0, 2, 3, 4)
        ]
        steps, width = (builder.extract_value(arrays[n].shape, 1) for n in (0, -1))
        words, fours, firsts, result = (
            builder.bitcast(array.data, INT32.as_pointer()) for array in arrays
        )
        words = builder.gep(words, [builder.mul(row, builder.mul(steps, INT64(ROW)))])
        result = builder.gep(result, [builder.mul(row, INT64(ROW))])
        for side in range(0, ROW, HALF):  # so many sums as there are registers for
            sums = [_sums(builder, firsts, query) for query in range(QUERIES)]
            with cgutils.for_range(builder, steps) as loop:
                line = builder.gep(words, [builder.mul(loop.index, INT64(ROW))])
                some = [builder.load(at, align=1) for at in _registers(builder, line, side)]
                for query, totals in enumerate(sums):
                    at = builder.add(builder.mul(steps, INT64(query)), loop.index)
                    four = everywhere(builder, builder.load(builder.gep(fours, [at]), align=1))
                    for each, total in zip(some, totals, strict=True):
                        added = add_products(builder, builder.load(total), each, four)
                        builder.store(added, total)
            for query, totals in enumerate(sums):
                line = builder.gep(result, [builder.mul(width, INT64(query))])
                for at, total in zip(_registers(builder, line, side), totals, strict=True):
                    builder.store(builder.load(total), at, align=4)
        return context.get_dummy_value()

    return types.none(packed, types.int64, cells, starts, out), build


def _sums(builder: Any, firsts: Any, query: int) -> list[Any]:
    """Registers for the sums of a query and half a row's documents, at what the sums begin with."""
    first = everywhere(builder, builder.load(builder.gep(firsts, [INT64(query)]), align=4))
    return [
        cgutils.alloca_once_value(builder, first)  # type: ignore[no-untyped-call]
        for _ in range(HALF // LANES)
    ]


def _registers(builder: Any, numbers: Any, begin: int) -> list[Any]:
    """Pointers to half a row of numbers, register by register, from `begin` on."""
    places = range(begin, begin + HALF, LANES)
    return [
        builder.bitcast(builder.gep(numbers, [INT64(at)]), REGISTER.as_pointer()) for at in places
    ]


bits_above = cast(
    Callable[[NDArray[np.int32], int, int | np.int32], np.uint64], intrinsic(_bits_above)
)
_dots = cast(Callable[..., None], intrinsic(_row_dots))


@compiled
def lowest_bit(bits: np.uint64) -> int:
    """The place of the lowest bit that is set."""
    return popcount(~bits & (bits - np.uint64(1)))


@compiled
def placed(bits: np.uint64, begin: int, places: NDArray[np.int64], count: int) -> int:
    """Put down where bits are set, as places from `begin` on; how many are put down now."""
    while bits != np.uint64(0):
        places[count] = begin + lowest_bit(bits)
        count += 1
        bits &= bits - np.uint64(1)
    return count


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
    packed: NDArray[np.uint8], cells: NDArray[np.int8], out: NDArray[np.int32]
) -> None:
    lifted = np.zeros(QUERIES, np.int32)
    for query in range(QUERIES):
        for cell in cells[query]:
            lifted[query] -= np.int32(LIFT) * np.int32(cell)
    for row in range(len(packed)):
        _dots(packed, row, cells, lifted, out)


@compiled
def _copy(blocks: NDArray[np.int8], out: NDArray[np.uint8]) -> None:
    out.view(np.int8).reshape(-1)[: blocks.size] = blocks.reshape(-1)


@compiled
def _plain_products(
    packed: NDArray[np.uint8], cells: NDArray[np.int8], out: NDArray[np.int32]
) -> None:
    blocks = packed.view(np.int8).reshape(len(packed), cells.shape[1], ROW)
    for query in range(QUERIES):
        scan_codes(blocks, cells[query], out[query])


pack = _pack_fours if HAS_VNNI else _copy
"""Lay codes int8 [rows, d, 64] out as `products_of` wants them: uint8 [rows, d / 4, 256]."""

products_of = _vnni_products if HAS_VNNI else _plain_products
"""Products of all documents of `packed`, 64 in each row, with four queries' codes int8 [4, d]:
int32 [4, documents or more]. Four share what is read.
"""
