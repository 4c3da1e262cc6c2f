"""Which documents of a block meet the demand, and room for them until they are bounded."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from encoders.jit import compiled
from ranking.engine.compiled.demand_kernels import Demand
from ranking.engine.compiled.kernels import kth_largest
from ranking.engine.compiled.near_kernels import Code
from ranking.engine.compiled.register_kernels import bits_above, placed
from ranking.engine.compiled.row_kernels import ROW, Line, who_meets

__all__ = [
    "ROUNDING",
    "Room",
    "gathered",
    "largest",
    "line_of",
    "promising",
    "some_room",
    "those_above",
    "those_meeting",
]

Docs = NDArray[np.int64]
Floats = NDArray[np.float32]
Scores = NDArray[np.int32]

# There is room for so many at first: most queries need no more.
FEW = 256
# A sum in float32 may be so much too low.
ROUNDING = 1e-6


class Room(NamedTuple):
    """Room for documents that met the demand: numbers, sums of BM25, products of their codes."""

    docs: Docs
    sums: Floats
    products: Scores


@compiled
def some_room() -> Room:
    """Room for a few."""
    return Room(np.empty(FEW, np.int64), np.empty(FEW, np.float32), np.empty(FEW, np.int32))


@compiled
def largest(sums: Floats) -> Floats:
    """The largest of a block's sums in each of 64 columns, which registers can tell."""
    columns = sums[:ROW].copy()
    for start in range(ROW, len(sums), ROW):
        for place in range(ROW):
            value = sums[start + place]
            columns[place] = value if value > columns[place] else columns[place]
    return columns


@compiled
def promising(sums: Floats, columns: Floats, depth: int) -> np.float32:
    """What at least twice as many sums of a block reach as hits are wanted, if so many are above 0.

    columns: the largest in each column, whose largest are among the largest of all.
    """
    count = min(2 * depth, len(sums))
    edge = kth_largest(columns, count) if count <= ROW else kth_largest(sums, count)
    return np.float32(edge * (1.0 - ROUNDING))


@compiled
def line_of(code: Code, longest: float, demand: Demand, products: Scores) -> Line:
    """The demand on sums and products of codes; on sums alone where codes bound nothing.

    longest: the largest of the code's lengths.
    """
    sure, cut = demand.sure, demand.cut - code.differs - longest * code.outside
    if len(products) == 0 or code.unit == 0.0:
        sure = demand.floor
    return Line(
        np.float32(demand.floor),
        np.float32(sure),
        np.float32(demand.weight),
        np.float32(code.unit),
        np.float32(cut),
    )


@compiled
def those_above(sums: Floats, floor: np.float32, places: Docs) -> Docs:
    """Places of a block's sums above the floor, which is not below 0; places: room for them."""
    # Floats not below 0, seen as whole numbers, sort as they are.
    wholes, count, edge = sums.view(np.int32), 0, np.full(1, floor).view(np.int32)[0]
    for row in range(0, len(sums), ROW):
        count = placed(bits_above(wholes, row, edge), row, places, count)
    return places[:count]


@compiled
def those_meeting(sums: Floats, products: Scores, line: Line, places: Docs) -> Docs:
    """Places of a block's documents that meet the line; places: room for them."""
    count = 0
    for row in range(0, len(products), ROW):
        count = placed(who_meets(sums, row, products, line), row, places, count)
    return places[:count]


@compiled
def gathered(
    places: Docs, sums: Floats, products: Scores, begin: int, room: Room, filled: int
) -> tuple[Room, int]:
    """Move these documents of a block into the room, made larger if needed.

    Also how many are in it now.
    """
    while filled + len(places) > len(room.docs):
        room = doubled(room)
    for place in places:
        room.docs[filled], room.sums[filled] = begin + place, sums[place]
        room.products[filled] = products[place] if len(products) else 0
        sums[place] = 0.0
        filled += 1
    return room, filled


@compiled
def doubled(room: Room) -> Room:
    """Twice as much room, for those in it and others."""
    docs, sums, products = room
    return Room(
        np.concatenate((docs, docs)),
        np.concatenate((sums, sums)),
        np.concatenate((products, products)),
    )
