"""The loops of the eight-bit tower that numpy would make 32-bit copies for.

`norm` is gain and bias of a group normalisation, float32 [2, C], in units of the output; what
falls below 0 becomes 0, as by ReLU, since eight bits stand for 0 and more there.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["normalised_relu", "stem"]

BLOCK = 32_768  # cells whose squares, of 255 at most, add up within 32 bits
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]
Sums = NDArray[np.float64]


@numba.njit(nogil=True, fastmath=True)
def normalised_relu(
    x: Bytes, norm: Floats, groups: int, epsilon: float, short: Bytes, slope: np.float32, out: Bytes
) -> None:
    """Group normalisation of uint8 [N, P, C], plus slope * short, rounded into `out`.

    epsilon: in squared units of the input.
    """
    low, high = np.float32(0), np.float32(255)
    for image in range(len(x)):
        total, square = _sums(x[image])
        gains, biases = _affine(total, square, x.shape[1], norm, groups, epsilon)
        for cell in range(x.shape[1]):
            for channel in range(x.shape[2]):
                value = np.float32(x[image, cell, channel]) * gains[channel] + biases[channel]
                value += np.float32(short[image, cell, channel]) * slope
                out[image, cell, channel] = np.uint8(min(max(value, low), high))


@numba.njit(nogil=True, fastmath=True)
def stem(
    pixels: Bytes, entry: Floats, weights: Floats, norm: Floats, groups: int, epsilon: float,
    out: Bytes,
) -> None:  # fmt: skip
    """From uint8 [N, C, S, S] to the rounded stem [N, s, s, W]: in 32 bits up to there.

    Pixels become entry[0] * pixel + entry[1], float32 [2, C]; then a 3x3 convolution of stride
    2, weights [C, 3, 3, W], group normalisation, ReLU.
    """
    size, side, width = pixels.shape[2], out.shape[1], out.shape[3]
    padded = np.zeros((pixels.shape[1], size + 2, size + 2), np.float32)
    made = np.empty((side * side, width), np.float32)
    low, high = np.float32(0), np.float32(255)
    for image in range(len(pixels)):
        _fill(padded, pixels[image], entry)
        _convolve(padded, weights, side, made)
        total, square = _float_sums(made)
        gains, biases = _affine(total, square, len(made), norm, groups, epsilon)
        flat = out[image].reshape(made.shape)
        for cell in range(len(made)):
            for channel in range(width):
                value = made[cell, channel] * gains[channel] + biases[channel]
                flat[cell, channel] = np.uint8(min(max(value, low), high))


@numba.njit(nogil=True)
def _sums(x: Bytes) -> tuple[Sums, Sums]:
    """Sum and sum of squares of each column of uint8 [P, C]."""
    cells, channels = x.shape
    total, square = np.zeros(channels, np.float64), np.zeros(channels, np.float64)
    for start in range(0, cells, BLOCK):
        sums, squares = np.zeros(channels, np.int32), np.zeros(channels, np.int32)
        for cell in range(start, min(start + BLOCK, cells)):
            for channel in range(channels):
                value = np.int32(x[cell, channel])
                sums[channel] += value
                squares[channel] += value * value
        total += sums
        square += squares
    return total, square


@numba.njit(nogil=True, fastmath=True)
def _float_sums(x: Floats) -> tuple[Sums, Sums]:
    """The same of float32 [P, C]; four cells at a time, or each addition waits for the last."""
    cells, channels = x.shape
    total, square = np.zeros(channels, np.float32), np.zeros(channels, np.float32)
    in_fours = cells - cells % 4
    for cell in range(0, in_fours, 4):
        for channel in range(channels):
            one, two = x[cell, channel], x[cell + 1, channel]
            three, four = x[cell + 2, channel], x[cell + 3, channel]
            total[channel] += (one + two) + (three + four)
            square[channel] += (one * one + two * two) + (three * three + four * four)
    for cell in range(in_fours, cells):
        for channel in range(channels):
            value = x[cell, channel]
            total[channel] += value
            square[channel] += value * value
    return total.astype(np.float64), square.astype(np.float64)


@numba.njit(nogil=True)
def _affine(
    total: Sums, square: Sums, cells: int, norm: Floats, groups: int, epsilon: float
) -> tuple[Floats, Floats]:
    """What normalising multiplies and adds, float32 [C] each; half is added for rounding."""
    gains, biases = np.empty_like(norm[0]), np.empty_like(norm[1])
    size = norm.shape[1] // groups
    for first in range(0, norm.shape[1], size):
        group = slice(first, first + size)
        mean = total[group].sum() / (cells * size)
        variance = max(0.0, square[group].sum() / (cells * size) - mean * mean)
        for channel in range(first, first + size):
            gains[channel] = norm[0, channel] / np.sqrt(variance + epsilon)
            biases[channel] = norm[1, channel] - mean * gains[channel] + np.float32(0.5)
    return gains, biases


@numba.njit(nogil=True, fastmath=True)
def _fill(padded: Floats, pixels: Bytes, entry: Floats) -> None:
    for plane in range(pixels.shape[0]):
        gain, bias = entry[0, plane], entry[1, plane]
        for y in range(pixels.shape[1]):
            for x in range(pixels.shape[2]):
                padded[plane, y + 1, x + 1] = np.float32(pixels[plane, y, x]) * gain + bias


@numba.njit(nogil=True, fastmath=True)
def _convolve(padded: Floats, weights: Floats, side: int, made: Floats) -> None:
    """The nine taps are written out, so that a cell is loaded and stored once for all of them."""
    made[:] = 0
    for plane in range(weights.shape[0]):
        taps = weights[plane].reshape(9, -1)
        for y in range(side):
            top, middle, bottom = (
                padded[plane, 2 * y],
                padded[plane, 2 * y + 1],
                padded[plane, 2 * y + 2],
            )
            for x in range(side):
                cell, at = made[y * side + x], 2 * x
                a, b, c = top[at], top[at + 1], top[at + 2]
                d, e, f = middle[at], middle[at + 1], middle[at + 2]
                g, h, i = bottom[at], bottom[at + 1], bottom[at + 2]
                for n in range(len(cell)):
                    upper = a * taps[0, n] + b * taps[1, n] + c * taps[2, n]
                    across = d * taps[3, n] + e * taps[4, n] + f * taps[5, n]
                    lower = g * taps[6, n] + h * taps[7, n] + i * taps[8, n]
                    cell[n] += upper + across + lower
