"""Where a run stands: the state that both engines move, that checkpoints keep and that results come from.

Arrays rather than attributes, so that the kernels can change them in place. `bookkeeping.py` says how.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sterling.returns import counts

if TYPE_CHECKING:  # kernels are made of this file, and of all that it imports
    from sterling.dynamics.restart import Restart
    from sterling.schedules import Schedule
    from sterling.surrogates import Surrogate

# Why an engine returned.
REACHED, ABSORBED, FULL_LOG, RESTARTED, PAUSED, GROW = range(6)

CLOCK = 17
# Cells of Walk.clock, all int64.
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
    READ,  # input entries read, all told
    EPOCH,  # step of the last restart, 0 before the first: there the schedule began
) = range(CLOCK)

# Cells of Walk.mass.
TOTAL, CARRY, EPOCH_MASS = range(3)

# Cells of Log.counts.
LOGGED, LOGGED_RETURNS, LOGGED_SOJOURNS = range(3)

#: At most so many flips are kept; the run goes on without recording beyond (13 bytes each).
FLIP_BOUND = 20_000_000
#: At most so many return times and sojourn times each.
TIME_BOUND = 4_000_000

#: One weight flip: the step t of the first w_t with the new sign, the coordinate, the new sign.
FLIP = np.dtype([("step", "<i8"), ("coordinate", "<i4"), ("sign", "i1")])


class Walk(NamedTuple):
    """Everything that a checkpoint needs, and nothing that can be recomputed."""

    clock: np.ndarray  # int64 (17,)
    latent: np.ndarray  # float64 (n,), latents at the anchor
    signs: np.ndarray  # int8 (n,), weights since the anchor
    reference: np.ndarray  # int8 (n,)
    since: np.ndarray  # int64 (n,), step of the last flip
    plus: np.ndarray  # int64 (n,), finished steps at +1
    since_mass: np.ndarray  # float64 (n,), mass at the last flip
    balance: np.ndarray  # float64 (n,), Σ sign·mass of finished stretches
    epoch: np.ndarray  # float64 (n,), Σ sign·mass up to the last restart
    mass: np.ndarray  # float64 (3,), mass at the anchor in two floats, and that at the last restart
    tally: np.ndarray  # int64, counts of the visits to the reference (`returns/counts.py`); empty if not kept

    @classmethod
    def start(cls, latent: np.ndarray, teacher: np.ndarray | None, counting: bool = True) -> Walk:
        """Return the walk at step 0; ``counting`` says whether it keeps a tally."""
        n = len(latent)
        clock = np.zeros(CLOCK, np.int64)
        clock[[FIRST_HIT, ARRIVED, LEFT, CURRENT]] = -1
        clock[BEST] = np.iinfo(np.int64).max
        clock[SEEKING] = teacher is None
        signs = np.where(latent >= 0, 1, -1).astype(np.int8)
        reference = signs.copy() if teacher is None else teacher.astype(np.int8)
        clock[DISTANCE] = np.count_nonzero(signs != reference)
        return cls(
            clock,
            latent.astype(np.float64),
            signs,
            reference,
            np.zeros(n, np.int64),
            np.zeros(n, np.int64),
            np.zeros(n),
            np.zeros(n),
            np.zeros(n),
            np.zeros(3),
            counts.start(n) if counting else np.zeros(0, np.int64),
        )

    def copy(self) -> Walk:
        return Walk(*(part.copy() for part in self))


@dataclass(frozen=True, kw_only=True)
class Course:
    """The course of a run up to its step T: what an orbit is made of, and what a file holds."""

    walk: Walk  # where the run stood after its last flip
    steps: int
    planned: int
    gradient: np.ndarray  # at the last weights; empty while it is not known
    schedule: Schedule
    surrogate: Surrogate
    engine: str
    restart: Restart | None
    start_latent: np.ndarray
    flips: np.ndarray | None  # None if they were not recorded
    flips_complete_to: int
    times: tuple[np.ndarray, np.ndarray]  # recorded return and sojourn times
    seconds: float
    instance: dict  # as `Instance.to_dict` tells it


class Log(NamedTuple):
    """Buffers of what happened; an array of length zero is not kept. The caller empties full ones."""

    flips: np.ndarray  # FLIP
    returns: np.ndarray  # int64, steps from a departure to the next arrival
    sojourns: np.ndarray  # int64, steps from an arrival to the next departure
    counts: np.ndarray  # int64 (3,), how many of each are filled

    @classmethod
    def sized(cls, flips: int, returns: int, sojourns: int) -> Log:
        times = np.empty(returns, np.int64), np.empty(sojourns, np.int64)
        return cls(np.empty(flips, FLIP), *times, np.zeros(3, np.int64))
