"""The one loop of the eight-bit tower that numpy would make 32-bit copies for."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

__all__ = ["normalised_relu"]

BLOCK = 32_768  # cells whose squares, of 255 at most, add up within 32 bits
Bytes = NDArray[np.uint8]
Floats = NDArray[np.float32]


@numba.njit(nogil=True, fastmath=True)
def normalised_relu(
    x: Bytes,
    gain: Floats,
    bias: Floats,
    groups: int,
    epsilon: float,
    short: Bytes,
    slope: np.float32,
    out: Bytes,
) -> None:
    """Group normalisation of uint8 [N, P, C], plus slope * short, rounded into `out`.

    gain, bias: float32 [C], in units of the output. epsilon: in squared units of the input.
    What falls below 0 becomes 0, as by ReLU, where `out` stands for 0 and more.
    """
    images, cells, channels = x.shape
    size = channels // groups
    low, high, half = np.float32(0), np.float32(255), np.float32(0.5)
    gains, biases = np.empty(channels, np.float32), np.empty(channels, np.float32)
    for image in range(images):
        total, square = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
        for start in range(0, cells, BLOCK):
            sums, squares = np.zeros(channels, np.int32), np.zeros(channels, np.int32)
            for cell in range(start, min(start + BLOCK, cells)):
                for channel in range(channels):
                    value = np.int32(x[image, cell, channel])
                    sums[channel] += value
                    squares[channel] += value * value
            total += sums
            square += squares
        for first in range(0, channels, size):
            group = slice(first, first + size)
            mean = total[group].sum() / (cells * size)
            variance = square[group].sum() / (cells * size) - mean * mean
            for channel in range(first, first + size):
                gains[channel] = gain[channel] / np.sqrt(variance + epsilon)
                biases[channel] = bias[channel] - mean * gains[channel] + half
        for cell in range(cells):
            for channel in range(channels):
                value = np.float32(x[image, cell, channel]) * gains[channel] + biases[channel]
                value += np.float32(short[image, cell, channel]) * slope
                out[image, cell, channel] = np.uint8(min(max(value, low), high))
