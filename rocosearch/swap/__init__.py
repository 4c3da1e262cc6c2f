"""Replace the encoder of a running search without an outage, with rollback.

    start      the new encoder's field and profiles beside the old ones
    backfill   its vectors, by partial updates
    shadow     old against new on the same queries, with a verdict
    switch     the plain profile names (on an index: its path) refer to the new encoder
    rollback   one step back: from `switch` to the old encoder, before it to the initial state
    finish     the old encoder's field is removed


candidate.py  The index with the new encoder, built beside the current one
embedded.py   The steps of a swap on a local index
job.py        The order of the steps, and what each refuses
live.py       Query a running application with both encoders
open_swap.py  Open a swap in progress
state.py      State of a swap, in one file that is replaced after each step
vespa.py      The steps of a swap on a Vespa server: two encoders, each with its own fields
"""

from __future__ import annotations

from rocosearch.swap.embedded import start_on_index
from rocosearch.swap.job import Backfilled, Swap
from rocosearch.swap.open_swap import open_swap
from rocosearch.swap.state import STAGES, Stage, SwapError, SwapState
from rocosearch.swap.vespa import VespaServer, start_on_vespa

__all__ = [
    "STAGES",
    "Backfilled",
    "Stage",
    "Swap",
    "SwapError",
    "SwapState",
    "VespaServer",
    "open_swap",
    "start_on_index",
    "start_on_vespa",
]
