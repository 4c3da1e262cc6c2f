"""Products of bytes, four at a time, in vector registers, written in LLVM's words.

numba has none for VNNI (Intel: Deep Learning Boost; AMD: from Zen 4), one instruction that adds 32
products of bytes to eight sums. Processors without it compute the same in several.
"""

# ruff: noqa: ANN401 - llvmlite's own classes have no types
from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from llvmlite import binding, ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = ["TILE", "WIDTH", "tile_products"]

TILE = 4  # positions together: the sums of more would leave the registers
LANES = 8
REGISTERS = 4
WIDTH = LANES * REGISTERS  # output channels together
BYTE, SHORT, INT, LONG = (ir.IntType(bits) for bits in (8, 16, 32, 64))
SUMS = ir.VectorType(INT, LANES)
VNNI = "llvm.x86.avx512.vpdpbusd.256"


def _has_vnni() -> bool:
    """Whether numba compiles for a processor that has it."""
    if getattr(config, "CPU_NAME", None) or getattr(config, "CPU_FEATURES", None):
        return False
    features = binding.get_host_cpu_features()
    return bool(features.get("avx512vnni") and features.get("avx512vl"))


def _everywhere(builder: Any, number: Any) -> Any:
    """A register with the number in every lane."""
    first = builder.insert_element(ir.Constant(SUMS, ir.Undefined), number, INT(0))
    return builder.shuffle_vector(first, first, ir.Constant(SUMS, None))


def _add_by_vnni(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """To each of eight sums the products of its four bytes."""
    dot = cgutils.get_or_insert_function(  # type: ignore[no-untyped-call]
        builder.module, ir.FunctionType(SUMS, [SUMS] * 3), VNNI
    )
    return builder.call(dot, [total, unsigned, signed])


def _add_by_any(builder: Any, total: Any, unsigned: Any, signed: Any) -> Any:
    """The same on any processor."""
    cells, shorts, ints = (ir.VectorType(kind, 4 * LANES) for kind in (BYTE, SHORT, INT))
    left = builder.zext(builder.bitcast(unsigned, cells), shorts)
    right = builder.sext(builder.bitcast(signed, cells), shorts)
    products = builder.sext(builder.mul(left, right), ints)  # 255 * -128 is within 16 bits
    for place in range(4):
        lanes = ir.Constant(SUMS, [4 * lane + place for lane in range(LANES)])
        total = builder.add(total, builder.shuffle_vector(products, products, lanes))
    return total


def _tile_products(add: Callable[..., Any]) -> Callable[..., Any]:
    """The intrinsic `tile_products` with that way to add."""

    def tile(_: Any, x: Any, starts: Any, pitch: Any, weights: Any, group: Any, out: Any) -> Any:
        def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            arrays = [
                kind if kind == types.int64 else context.make_array(kind)(context, builder, value)
                for kind, value in zip(signature.args, arguments, strict=True)
            ]
            x, starts, weights, out = (arrays[n] for n in (0, 1, 3, 5))
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
                    builder.bitcast(builder.gep(window, [skip]), INT.as_pointer())
                    for window in windows
                ]
                line = builder.gep(packed, [builder.mul(row.index, size)])
                with cgutils.for_range(builder, fours) as step:
                    taps = _registers(builder, line, builder.mul(step.index, LONG(WIDTH)))
                    for cells, totals in zip(lines, sums, strict=True):
                        four = builder.load(builder.gep(cells, [step.index]), align=1)
                        four = _everywhere(builder, four)
                        for tap, total in zip(taps, totals, strict=True):
                            more = add(
                                builder, builder.load(total), four, builder.load(tap, align=1)
                            )
                            builder.store(more, total)
            width = builder.extract_value(out.shape, 1)
            first = builder.mul(group, LONG(WIDTH))
            for place, totals in enumerate(sums):
                begin = builder.add(first, builder.mul(width, LONG(place)))
                for lanes, total in zip(_registers(builder, out.data, begin), totals, strict=True):
                    builder.store(builder.load(total), lanes, align=4)
            return context.get_dummy_value()

        return types.none(x, starts, pitch, weights, group, out), build

    return cast(Callable[..., Any], intrinsic(tile))


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


HAS_VNNI = _has_vnni()
tile_products = _tile_products(_add_by_vnni if HAS_VNNI else _add_by_any)
"""Sums for `TILE` positions and `WIDTH` output channels, written to rows of `out`.

x: uint8 [L]. starts: int64, where in it the windows of the positions begin; pitch: bytes from one
row of a window to the next. weights: int8 [groups, rows, bytes of a row / 4, WIDTH, 4], of which
`group` is used. out: int32 [TILE or more, groups * WIDTH].
"""
