"""Change the encoder of a running search without an outage, and with a way back.

    start      the new encoder's field and profiles beside the old ones
    backfill   its vectors, by partial updates
    shadow     old against new on the same queries, with a verdict
    switch     the plain profile names (an index: its place) go to the new encoder
    rollback   one step back: from `switch` to the old encoder, before that to how it was
    finish     the old encoder's field goes

Which file does what: state.py keeps what has been done; job.py has the steps, their order, and
what each refuses; candidate.py builds an index with the new encoder; embedded.py does the steps
on an index of this machine, vespa.py on a server; live.py asks both encoders side by side;
opening.py finds a swap under way.
candidate.py  An index with the new encoder, built beside the one in use
embedded.py   A swap on an index of this machine
job.py        The steps of a swap: in which order they may come, and what each refuses
live.py       The same queries put to a running application by two encoders: both must be answered
state.py      What a swap has done, in one file that is replaced whole after each step
vespa.py      A swap on a Vespa server: two encoders in one application, told apart by the names o
"""

from __future__ import annotations

from rocosearch.swap.embedded import start_on_index
from rocosearch.swap.job import Backfilled, Swap
from rocosearch.swap.opening import open_swap
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
