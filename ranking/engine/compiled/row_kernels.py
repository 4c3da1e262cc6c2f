"""64 documents at a time in vector registers: their sums, and which of them meet a demand.

Written in LLVM's words: what is added, compared and asked for at once never leaves the registers.
"""

# ruff: noqa: ANN401 - llvmlite's own classes have no types
from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from encoders.int8_registers import everywhere

__all__ = ["ROW", "Frequent", "Line", "sum_row", "who_meets"]

ROW = 64
BYTE, INT32, INT64, FLOAT = ir.IntType(8), ir.IntType(32), ir.IntType(64), ir.FloatType()
BYTES, BITS = ir.VectorType(BYTE, ROW), ir.VectorType(ir.IntType(1), ROW)
FLOATS, NUMBERS = ir.VectorType(FLOAT, ROW), ir.VectorType(INT32, ROW)


class Frequent(NamedTuple):
    """Terms that have a row of bytes: which, int64 [n], and what a byte is worth, float32 [n]."""

    rows: NDArray[np.int64]
    steps: NDArray[np.float32]


class Line(NamedTuple):
    """A demand in float32: a sum above `floor`; and above `sure`, or reaching the line.

    That is, the sum times `weight` and the code's product times `unit` are together above `cut`.
    """

    floor: np.float32
    sure: np.float32
    weight: np.float32
    unit: np.float32
    cut: np.float32


def _at(context: Any, builder: Any, kind: Any, array: Any, place: Any, lanes: Any) -> Any:
    """A pointer to 64 numbers of an array in one dimension, from `place` on."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [place]), lanes.as_pointer())


def _sum_row(
    _: Any, bytes_: Any, rows: Any, steps: Any, begin: Any, kept: Any, sums: Any, place: Any
) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bytes_, rows, steps = (
            context.make_array(signature.args[n])(context, builder, arguments[n]) for n in range(3)
        )
        begin, kept, sums, place = arguments[3:]
        at = _at(context, builder, signature.args[5], sums, place, FLOATS)
        total = cgutils.alloca_once_value(builder, builder.load(at, align=4))  # type: ignore[no-untyped-call]
        width, count = builder.extract_value(bytes_.shape, 1), builder.extract_value(rows.shape, 0)
        with cgutils.for_range(builder, count) as loop:
            row = builder.load(builder.gep(rows.data, [loop.index]))
            first = builder.gep(bytes_.data, [builder.add(builder.mul(row, width), begin)])
            parts = builder.load(builder.bitcast(first, BYTES.as_pointer()), align=1)
            step = everywhere(builder, builder.load(builder.gep(steps.data, [loop.index])), ROW)
            added = builder.fmul(builder.uitofp(parts, FLOATS), step, flags=["contract"])
            builder.store(builder.fadd(builder.load(total), added, flags=["contract"]), total)
        nothing = ir.Constant(FLOATS, None)
        left = builder.select(builder.bitcast(kept, BITS), builder.load(total), nothing)
        builder.store(left, at, align=4)
        return builder.bitcast(builder.fcmp_ordered(">", left, nothing), INT64)

    kinds = (bytes_, rows, steps, types.int64, types.uint64, sums, types.int64)
    return types.uint64(*kinds), build


def _who_meets(_: Any, sums: Any, place: Any, products: Any, line: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        sums, place, products, line = arguments
        has = builder.load(_at(context, builder, signature.args[0], sums, place, FLOATS), align=4)
        floor, sure, weight, unit, cut = (
            everywhere(builder, builder.extract_value(line, n), ROW) for n in range(5)
        )
        product = builder.load(
            _at(context, builder, signature.args[2], products, place, NUMBERS), align=4
        )
        along = builder.fmul(unit, builder.sitofp(product, FLOATS), flags=["contract"])
        reached = builder.fadd(
            builder.fmul(weight, has, flags=["contract"]), along, flags=["contract"]
        )
        enough = builder.or_(
            builder.fcmp_ordered(">", has, sure), builder.fcmp_ordered(">", reached, cut)
        )
        found = builder.and_(builder.fcmp_ordered(">", has, floor), enough)
        return builder.bitcast(found, INT64)

    return types.uint64(sums, types.int64, products, line), build


sum_row = cast(Callable[..., np.uint64], intrinsic(_sum_row))
"""Add the rows' parts to the sums of 64 documents; a bit for each whose sum is above 0.

bytes: uint8 [rows, documents, a multiple of 64]; rows, steps: those of a `Frequent`. begin: the
first document. kept: a bit for each, 0 to set its sum to 0. sums: float32, from `place` on.
"""

who_meets = cast(Callable[..., np.uint64], intrinsic(_who_meets))
"""A bit for each of 64 documents that meets the line.

sums: float32, products: int32, from `place` on.
"""
