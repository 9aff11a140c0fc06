"""The state of a run, which both engines change and checkpoints store, and the log of its events.

The state is made of arrays, so that the kernels can change it in place. The functions that change it are in
`bookkeeping.py`. This file is part of the kernels' source: after an edit all kernels are compiled again.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Why an engine returned.
REACHED, ABSORBED, FULL_LOG, RESTARTED, PAUSED = range(5)
FOUND = -1  # the current state is known, and the engine goes on

CLOCK = 17
# Cells of RunState.clock, all int64.
(
    ANCHOR,  # step from which the current weights hold
    EVENTS,  # steps at which some weight flipped
    FLIPS,  # weights flipped
    EVALUATIONS,  # states whose gradient was computed from the data
    DISTANCE,  # Hamming distance to the reference
    VISITS,  # arrivals at the reference
    FIRST_HIT,  # step of the first, or -1
    OCCUPIED,  # steps spent there
    ARRIVED,  # step of the last arrival, or -1 while away
    LEFT,  # step of the last departure, or -1 if there was none
    SEEKING,  # 1 where the reference is the best state seen so far
    BEST,  # sum of squared residual codes at the reference, while seeking
    CURRENT,  # the same at the current state, -1 before the first look
    RETURNS,  # completed absences
    SOJOURNS,  # completed stays
    READ,  # total of input entries read
    EPOCH,  # step at which the schedule began: the last restart, or 0
) = range(CLOCK)

# Cells of RunState.mass.
TOTAL, CARRY, EPOCH_MASS = range(3)

# Cells of Log.counts.
LOGGED, LOGGED_RETURNS, LOGGED_SOJOURNS = range(3)

#: Bound on recorded flips, of 13 bytes each; a run with more goes on without recording.
FLIP_BOUND = 20_000_000
#: Bound on recorded return times, and on recorded sojourn times.
TIME_BOUND = 4_000_000

#: One weight flip: the step t of the first w_t with the new sign, the coordinate, the new sign.
FLIP = np.dtype([("step", "<i8"), ("coordinate", "<i4"), ("sign", "i1")])


class RunState(NamedTuple):
    """Everything that a checkpoint needs, and nothing that can be recomputed."""

    clock: np.ndarray  # int64 (17,)
    latent: np.ndarray  # float64 (n,), latents at the anchor
    signs: np.ndarray  # int8 (n,), weights since the anchor
    reference: np.ndarray  # int8 (n,)
    since: np.ndarray  # int64 (n,), step of the last flip
    plus: np.ndarray  # int64 (n,), finished steps at +1; (n·k,) of k > 2 levels, at each level
    since_mass: np.ndarray  # float64 (n,), mass at the last flip
    balance: np.ndarray  # float64 (n,), Σ sign·mass of finished intervals
    epoch: np.ndarray  # float64 (n,), Σ sign·mass up to the last restart
    mass: np.ndarray  # float64 (3,), mass at the anchor in two floats, and that at the last restart
    moments: np.ndarray  # float64, what the optimiser remembers, flat; empty for plain SGD
    tally: np.ndarray  # int64, counts of the visits to the reference (`returns/counts.py`); empty if not kept


class Log(NamedTuple):
    """Buffers of events; one of length zero records nothing. The caller empties full ones."""

    flips: np.ndarray  # FLIP
    returns: np.ndarray  # int64, steps from a departure to the next arrival
    sojourns: np.ndarray  # int64, steps from an arrival to the next departure
    counts: np.ndarray  # int64 (3,), entries used in each


def completed(clock: np.ndarray, steps: int) -> tuple[int, int]:
    """Return the steps in completed absences and in completed stays, from first arrival to last change."""
    first, arrived, left, occupied = (int(clock[at]) for at in (FIRST_HIT, ARRIVED, LEFT, OCCUPIED))
    if first < 0:
        return 0, 0
    if arrived < 0:  # away: the last stay is complete
        return left - first - occupied, occupied
    stayed = occupied - (steps - arrived)  # less the stay under way
    return arrived - first - stayed, stayed
