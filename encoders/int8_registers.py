"""Products of bytes, four at a time, in vector registers, written in LLVM's words.

numba has none for VNNI (Intel: Deep Learning Boost; AMD: from Zen 4), one instruction that adds 32
products of bytes to eight sums.
"""

# ruff: noqa: ANN401 - llvmlite's own classes have no types
from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["TILE", "WIDTH", "add_products", "everywhere", "tile_products"]

TILE = 4  # positions together: the sums of more would leave the registers
LANES = 8
REGISTERS = 4
WIDTH = LANES * REGISTERS  # output channels together
INT, LONG = ir.IntType(32), ir.IntType(64)
SUMS = ir.VectorType(INT, LANES)
VNNI = "llvm.x86.avx512.vpdpbusd.256"


def everywhere(builder: Any, number: Any, lanes: int = LANES) -> Any:
    """A register with the number in every lane."""
    register = ir.VectorType(number.type, lanes)
    first = builder.insert_element(ir.Constant(register, ir.Undefined), number, INT(0))
    return builder.shuffle_vector(first, first, ir.Constant(ir.VectorType(INT, lanes), None))


def add_products(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """To each of eight sums the products of its four bytes."""
    dot = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
        builder.module, ir.FunctionType(SUMS, [SUMS] * 3), VNNI
    )
    return builder.call(dot, [total, unsigned, signed])


def _tile(_: Any, x: Any, starts: Any, pitch: Any, weights: Any, group: Any, out: Any) -> Any:
    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        x, starts, weights, out = (
            context.make_array(signature.args[n])(context, builder, arguments[n])
            for n in (0, 1, 3, 5)
        )
        pitch, group = arguments[2], arguments[4]
        rows, fours = (builder.extract_value(weights.shape, axis) for axis in (1, 2))
        size = builder.mul(fours, LONG(WIDTH))
        packed = builder.bitcast(weights.data, INT.as_pointer())
        packed = builder.gep(packed, [builder.mul(group, builder.mul(rows, size))])
        windows = [
            builder.gep(x.data, [builder.load(builder.gep(starts.data, [LONG(n)]))])
            for n in range(TILE)
        ]
        sums = _zeros(builder)
        with cgutils.for_range(builder, rows) as row:
            skip = builder.mul(row.index, pitch)
            lines = [
                builder.bitcast(builder.gep(window, [skip]), INT.as_pointer()) for window in windows
            ]
            line = builder.gep(packed, [builder.mul(row.index, size)])
            with cgutils.for_range(builder, fours) as step:
                at = _registers(builder, line, builder.mul(step.index, LONG(WIDTH)))
                taps = [builder.load(tap, align=1) for tap in at]
                for cells, totals in zip(lines, sums, strict=True):
                    four = builder.load(builder.gep(cells, [step.index]), align=1)
                    four = everywhere(builder, four)
                    for tap, total in zip(taps, totals, strict=True):
                        builder.store(add_products(builder, builder.load(total), four, tap), total)
        width = builder.extract_value(out.shape, 1)
        first = builder.mul(group, LONG(WIDTH))
        for place, totals in enumerate(sums):
            begin = builder.add(first, builder.mul(width, LONG(place)))
            for lanes, total in zip(_registers(builder, out.data, begin), totals, strict=True):
                builder.store(builder.load(total), lanes, align=4)
        return context.get_dummy_value()

    return types.none(x, starts, types.int64, weights, types.int64, out), build


def _zeros(builder: Any) -> list[list[Any]]:
    zero = ir.Constant(SUMS, None)
    return [
        [cgutils.alloca_once_value(builder, zero) for _ in range(REGISTERS)]  # type: ignore[no-untyped-call]
        for _ in range(TILE)
    ]


def _registers(builder: Any, numbers: Any, begin: Any) -> list[Any]:
    """Pointers to the registers' numbers, one after the other from `begin` on."""
    places = (builder.add(begin, LONG(LANES * number)) for number in range(REGISTERS))
    return [builder.bitcast(builder.gep(numbers, [at]), SUMS.as_pointer()) for at in places]


tile_products = cast(Callable[..., None], intrinsic(_tile))
"""Sums for `TILE` positions and `WIDTH` output channels, written to rows of `out`, by VNNI.

x: uint8 [L]. starts: int64, where in it the windows of the positions begin; pitch: bytes from one
row of a window to the next. weights: int8 [groups, rows, bytes of a row / 4, WIDTH, 4], of which
`group` is used. out: int32 [TILE or more, groups * WIDTH].
"""
