"""Visit every sign vector of a small instance in Gray-code order; the loops behind `sweep.py`.

Neighbours in that order differ in one sign, so each state is a job of one flip for the passes over the data
(`dynamics/passes.py`), and the base moves along. All sums are integers: nothing is rounded. A stretch of
states belongs to one thread, so threads share nothing they write.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sterling.dynamics import passes
from sterling.dynamics.lookup import pad, plan_first, write_flip
from sterling.dynamics.passes import (
    BALANCE,
    CONSTANT,
    COUNT,
    FULL,
    LEAD,
    MOVE,
    PADDED,
    SQUARE,
    TOTALS,
    run_job,
)
from sterling.exact.jit import embedded, helper, njit
from sterling.exact.machine import trailing_zeros

# Cells of Place.info
SQUARES, DISTANCE = range(2)
_LARGEST = (1 << 63) - 1


class Place(NamedTuple):
    """Where one thread stands: at the state of the base, with its sums."""

    data: passes.Data
    base: passes.Base
    job: passes.Job
    scratch: passes.Scratch
    totals: np.ndarray  # int64 (n,), gradient sums
    info: np.ndarray  # int64 (2,), Σ residual², distance to the reference


class Found(NamedTuple):
    """What the visits leave."""

    squares: np.ndarray  # int64 (2**n,), Σ residual² of every state, shared by all threads
    absorbing: np.ndarray  # int64, numbers of absorbing states
    filled: np.ndarray  # int64 (1,), how many
    deviation: np.ndarray  # float64 (1,), largest |G_k − E G_k| so far
    farthest: np.ndarray  # int64 (1,), number of the state where it occurs


@helper
def _take(place):
    """Run the job and add what changed to the sums."""
    data, sums = place.data, place.scratch.sums[0]
    run_job(data, place.base, place.job, place.scratch)
    width = sums.size - TOTALS
    balance = sums[width + BALANCE]
    for k in range(place.totals.size):
        place.totals[k] += (sums[k] + data.offsets[k] * balance) << data.shifts[k]
    place.info[SQUARES] += sums[width + SQUARE]


@helper
def _begin(place, teacher, step):
    """Set a new place to the state number ``step`` of the Gray code, from the data."""
    code = step ^ (step >> 1)
    signs, info = place.base.signs, place.job.info
    for k in range(teacher.size):
        signs[k] = 1 if (code >> k) & 1 else -1
        place.info[DISTANCE] += signs[k] != teacher[k]
    info[FULL] = 1
    plan_first(place.data, place.job, signs)
    _take(place)
    info[FULL] = 0
    info[LEAD] = 0
    info[MOVE] = 1


@embedded
def _move(place, teacher, bit):
    """Flip one sign."""
    data, job = place.data, place.job
    new = -place.base.signs[bit]
    place.base.signs[bit] = new
    place.info[DISTANCE] += -1 if new == teacher[bit] else 1
    job.info[PADDED] = 0
    job.info[CONSTANT] = write_flip(data, job, np.int64(0), bit, new)
    job.info[COUNT] = pad(data, job, np.int64(0), np.int64(1))
    _take(place)


@embedded
def _judge(place, teacher, levels, unit, found, number):
    """Note the loss of the current state, whether it absorbs, and how far its gradient is from the mean."""
    found.squares[number] = place.info[SQUARES]
    # Extremes of w*_k·G_k over the weights that agree with the reference and over those that differ.
    top_same, low_same = np.int64(-_LARGEST), np.int64(_LARGEST)
    top_other, low_other = np.int64(-_LARGEST), np.int64(_LARGEST)
    for k in range(teacher.size):
        value = teacher[k] * place.totals[k]
        same = place.base.signs[k] == teacher[k]
        top_same = max(top_same, value if same else np.int64(-_LARGEST))
        low_same = min(low_same, value if same else np.int64(_LARGEST))
        top_other = max(top_other, np.int64(-_LARGEST) if same else value)
        low_other = min(low_other, np.int64(_LARGEST) if same else value)
    if top_same <= 0 and low_other >= 0:
        found.absorbing[found.filled[0]] = number
        found.filled[0] += 1
    if levels.size > 0:
        distance = place.info[DISTANCE]
        largest = 0.0
        if distance < teacher.size:
            mean = levels[0, distance]
            largest = max(abs(top_same / unit - mean), abs(low_same / unit - mean))
        if distance > 0:
            mean = levels[1, distance]
            largest = max(largest, abs(top_other / unit - mean), abs(low_other / unit - mean))
        best = found.deviation[0]
        if largest > best or (largest == best and number < found.farthest[0]):
            found.deviation[0] = largest
            found.farthest[0] = number


@njit
def sweep(place, teacher, levels, unit, found, first, last):
    """Judge states ``first`` … ``last`` − 1 of the Gray code, at a new place."""
    count = np.int64(1) << teacher.size
    _begin(place, teacher, first)
    for step in range(first, last):
        _judge(place, teacher, levels, unit, found, step ^ (step >> 1))
        if step + 1 < count:
            _move(place, teacher, trailing_zeros(np.uint64(step + 1)))


@njit
def gather(place, reference, home, unit, table, first, last):
    """Write b_k·G_k of states ``first`` … ``last`` − 1 of the code, b the reference with the number ``home``.

    The row of a state is the set of weights that differ from the reference, as bits. The place is new.
    """
    count = np.int64(1) << reference.size
    _begin(place, reference, first)
    for step in range(first, last):
        row = step ^ (step >> 1) ^ home
        for k in range(reference.size):
            table[row, k] = (reference[k] * place.totals[k]) / unit
        if step + 1 < count:
            _move(place, reference, trailing_zeros(np.uint64(step + 1)))
