"""Visit every sign vector of a small instance in Gray-code order; the loops behind `sweep.py`.

Neighbours in that order differ in one sign, so each state is a job of one flip for the passes over the data
(`dynamics/passes.py`), and the base moves along. All sums are integers: nothing is rounded. An interval of
states belongs to one thread, so threads share nothing that they write.
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

# Cells of Position.info
SQUARES, DISTANCE = range(2)
_LARGEST = (1 << 63) - 1


class Position(NamedTuple):
    """The position of one thread: the state of the base, with its sums."""

    data: passes.PassData
    base: passes.Base
    job: passes.Job
    scratch: passes.Scratch
    totals: np.ndarray  # int64 (n,), gradient sums
    info: np.ndarray  # int64 (2,), Σ residual², distance to the reference


class Found(NamedTuple):
    """The results of the visits."""

    squares: np.ndarray  # int64 (2**n,), Σ residual² of every state, shared by all threads
    absorbing: np.ndarray  # int64, numbers of absorbing states
    filled: np.ndarray  # int64 (1,), how many
    deviation: np.ndarray  # float64 (1,), largest |G_k − E G_k| so far
    farthest: np.ndarray  # int64 (1,), number of the state where it occurs


@helper
def _take(position):
    """Run the job and add what changed to the sums."""
    data, sums = position.data, position.scratch.sums[0]
    run_job(data, position.base, position.job, position.scratch)
    width = sums.size - TOTALS
    balance = sums[width + BALANCE]
    for k in range(position.totals.size):
        position.totals[k] += (sums[k] + data.offsets[k] * balance) << data.shifts[k]
    position.info[SQUARES] += sums[width + SQUARE]


@helper
def _begin(position, teacher, step):
    """Set a new position to the state number ``step`` of the Gray code, from the data."""
    code = step ^ (step >> 1)
    signs, info = position.base.signs, position.job.info
    for k in range(teacher.size):
        signs[k] = 1 if (code >> k) & 1 else -1
        position.info[DISTANCE] += signs[k] != teacher[k]
    info[FULL] = 1
    plan_first(position.data, position.job, signs)
    _take(position)
    info[FULL] = 0
    info[LEAD] = 0
    info[MOVE] = 1


@embedded
def _move(position, teacher, bit):
    """Flip one sign."""
    data, job = position.data, position.job
    new = -position.base.signs[bit]
    position.base.signs[bit] = new
    position.info[DISTANCE] += -1 if new == teacher[bit] else 1
    job.info[PADDED] = 0
    job.info[CONSTANT] = write_flip(data, job, np.int64(0), bit, new)
    job.info[COUNT] = pad(data, job, np.int64(0), np.int64(1))
    _take(position)


@embedded
def _judge(position, teacher, levels, unit, hold, found, number):
    """Note the loss of the current state, whether it absorbs, and how far its gradient is from the mean.

    A state absorbs if no b_k·G_k is above ``hold``, which is θS; 0 without damping.
    """
    found.squares[number] = position.info[SQUARES]
    # Extremes of w*_k·G_k over the weights that agree with the reference and over those that differ.
    top_same, low_same = np.int64(-_LARGEST), np.int64(_LARGEST)
    top_other, low_other = np.int64(-_LARGEST), np.int64(_LARGEST)
    for k in range(teacher.size):
        value = teacher[k] * position.totals[k]
        same = position.base.signs[k] == teacher[k]
        top_same = max(top_same, value if same else np.int64(-_LARGEST))
        low_same = min(low_same, value if same else np.int64(_LARGEST))
        top_other = max(top_other, np.int64(-_LARGEST) if same else value)
        low_other = min(low_other, np.int64(_LARGEST) if same else value)
    if top_same / unit <= hold and -low_other / unit <= hold:
        found.absorbing[found.filled[0]] = number
        found.filled[0] += 1
    if levels.size > 0:
        distance = position.info[DISTANCE]
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
def sweep(position, teacher, levels, unit, hold, found, first, last):
    """Judge states ``first`` … ``last`` − 1 of the Gray code, at a new position."""
    count = np.int64(1) << teacher.size
    _begin(position, teacher, first)
    for step in range(first, last):
        _judge(position, teacher, levels, unit, hold, found, step ^ (step >> 1))
        if step + 1 < count:
            _move(position, teacher, trailing_zeros(np.uint64(step + 1)))


@njit
def gather(position, reference, home, unit, table, first, last):
    """Write b_k·G_k of states ``first`` … ``last`` − 1 of the code, b the reference with the number ``home``.

    The row of a state is the set of weights that differ from the reference, as bits. The position is new.
    """
    count = np.int64(1) << reference.size
    _begin(position, reference, first)
    for step in range(first, last):
        row = step ^ (step >> 1) ^ home
        for k in range(reference.size):
            table[row, k] = (reference[k] * position.totals[k]) / unit
        if step + 1 < count:
            _move(position, reference, trailing_zeros(np.uint64(step + 1)))
