"""The loops of the eight-bit tower: an image goes through all of it without leaving the cache.

Maps are uint8 [L]: height, width, channels, with a border of one zero cell all around, so that no
convolution meets an edge. `cells` are the places where the inner cells begin. What falls below 0
becomes 0, as by ReLU, since eight bits stand for 0 and more there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.int8_registers import TILE, tile_products
from encoders.jit import compiled, compiled_in_any_order

__all__ = ["Block", "Conv", "Layer", "Norm", "Room", "encode", "project"]

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
Places = NDArray[np.int64]


class Conv(NamedTuple):
    """A convolution of a map to sums int32; scale * (sum + offset), float32 [C], is what it gives.

    starts: where the windows of the output's positions begin, int64 [P], P a multiple of TILE;
    pitch: bytes from one row of a window to the next. weights: as `tile_products` wants them.
    """

    starts: Places
    pitch: int
    weights: NDArray[np.int8]
    scale: Floats
    offset: Floats


class Norm(NamedTuple):
    """Group normalisation; gain and bias, float32 [C], in units of what comes out."""

    gain: Floats
    bias: Floats
    groups: int
    epsilon: float


class Layer(NamedTuple):
    """A convolution, its normalisation and ReLU; the map they give has `size` bytes."""

    conv: Conv
    norm: Norm
    cells: Places
    size: int


class Block(NamedTuple):
    """A residual block."""

    first: Layer
    second: Layer
    short: Conv


class Room(NamedTuple):
    """What one thread computes a block in: two maps, and the sums of two convolutions."""

    middle: Bytes
    out: Bytes
    made: Ints
    short: Ints


@compiled
def encode(
    pixels: Bytes, stem: Layer, blocks: tuple[Block, ...], rooms: tuple[Room, ...], ends: Bytes
) -> None:
    """Pixels uint8 [N, C, S, S] to the last block's maps, `ends` [N, L].

    rooms: the stem's, whose `middle` takes the pixels and has its border already, and the blocks'.
    """
    for image in range(len(pixels)):
        first = rooms[0]
        _lay_out(pixels[image], first.middle)
        _layer(first.middle, stem, first.made, first.out)
        for number in range(len(blocks)):
            _block(rooms[number].out, blocks[number], rooms[number + 1])
        end = rooms[len(blocks)].out
        for at in range(len(end)):  # an assignment of slices takes seconds to compile
            ends[image, at] = end[at]


@compiled_in_any_order
def project(x: Bytes, conv: Conv, made: Ints, out: Floats) -> None:
    """Maps [N, L] to float32 [N, D]: a convolution whose positions are the images."""
    _convolve(x.reshape(-1), conv, made)
    for image in range(len(out)):
        for number in range(out.shape[1]):
            out[image, number] = np.float32(made[image, number]) * conv.scale[number]


@compiled
def _lay_out(pixels: Bytes, out: Bytes) -> None:
    """Channels last, inside the border."""
    planes, height, width = pixels.shape
    for plane in range(planes):
        for y in range(height):
            row = pixels[plane, y]
            line = out[((y + 1) * (width + 2) + 1) * planes + plane :]
            for x in range(width):
                line[planes * x] = row[x]


@compiled
def _layer(x: Bytes, layer: Layer, made: Ints, out: Bytes) -> None:
    _convolve(x, layer.conv, made)
    gain, bias = _affine(made, len(layer.cells), layer.conv, layer.norm)
    _write(made, gain, bias, layer.cells, out)


@compiled
def _block(x: Bytes, block: Block, room: Room) -> None:
    _layer(x, block.first, room.made, room.middle)
    conv, cells = block.second.conv, block.second.cells
    _convolve(room.middle, conv, room.made)
    _convolve(x, block.short, room.short)
    gain, bias = _affine(room.made, len(cells), conv, block.second.norm)
    _write_sum(room.made, gain, bias, room.short, block.short.scale, cells, room.out)


@compiled
def _convolve(x: Bytes, conv: Conv, made: Ints) -> None:
    for group in range(len(conv.weights)):
        for tile in range(0, len(conv.starts), TILE):
            starts = conv.starts[tile:]
            tile_products(x, starts, conv.pitch, conv.weights, group, made[tile:])


@compiled_in_any_order
def _affine(made: Ints, cells: int, conv: Conv, norm: Norm) -> tuple[Floats, Floats]:
    """What normalising multiplies and adds, float32 [C] each; half is added for rounding."""
    total, square = _sums(made, cells, len(conv.scale))
    gains, biases = np.empty_like(norm.gain), np.empty_like(norm.bias)
    size = len(conv.scale) // norm.groups
    for first in range(0, len(conv.scale), size):
        mean = power = 0.0
        for channel in range(first, first + size):
            scale, offset = np.float64(conv.scale[channel]), np.float64(conv.offset[channel])
            sum_of = total[channel] + cells * offset
            mean += scale * sum_of
            power += scale * scale * (square[channel] + offset * (total[channel] + sum_of))
        mean /= cells * size
        spread = np.sqrt(max(0.0, power / (cells * size) - mean * mean) + norm.epsilon)
        for channel in range(first, first + size):
            gain = norm.gain[channel] / spread
            gains[channel] = gain * conv.scale[channel]
            shift = conv.scale[channel] * conv.offset[channel] - mean
            biases[channel] = norm.bias[channel] + shift * gain + 0.5
    return gains, biases


@compiled_in_any_order
def _sums(x: Ints, cells: int, channels: int) -> tuple[Floats, Floats]:
    """Sum and sum of squares of columns; four cells at a time, or each addition waits."""
    total, square = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    in_fours = cells - cells % 4
    for cell in range(0, in_fours, 4):
        for channel in range(channels):
            one, two = np.float32(x[cell, channel]), np.float32(x[cell + 1, channel])
            three, four = np.float32(x[cell + 2, channel]), np.float32(x[cell + 3, channel])
            total[channel] += (one + two) + (three + four)
            square[channel] += (one * one + two * two) + (three * three + four * four)
    for cell in range(in_fours, cells):
        for channel in range(channels):
            value = np.float32(x[cell, channel])
            total[channel] += value
            square[channel] += value * value
    return total, square


@compiled_in_any_order
def _write(made: Ints, gain: Floats, bias: Floats, cells: Places, out: Bytes) -> None:
    """Slices first: places that are computed in the inner loop keep it from vector registers."""
    low, high = np.float32(0), np.float32(255)
    for cell, at in enumerate(cells):
        row, line = made[cell], out[at : at + len(gain)]
        for channel in range(len(gain)):
            value = np.float32(row[channel]) * gain[channel] + bias[channel]
            line[channel] = np.uint8(np.int32(min(max(value, low), high)))


@compiled_in_any_order
def _write_sum(
    made: Ints, gain: Floats, bias: Floats, short: Ints, slope: Floats, cells: Places, out: Bytes
) -> None:
    """The same, with `short` times `slope` added."""
    low, high = np.float32(0), np.float32(255)
    for cell, at in enumerate(cells):
        row, beside, line = made[cell], short[cell], out[at : at + len(gain)]
        for channel in range(len(gain)):
            value = np.float32(row[channel]) * gain[channel] + bias[channel]
            value += np.float32(beside[channel]) * slope[channel]
            line[channel] = np.uint8(np.int32(min(max(value, low), high)))
