"""The step loop for more than two levels; `steps.py` and `levels.py` define in NumPy what it does.

A step reads the rows of its batch as in `step_kernels.py`. The cache of visited states holds two levels only.
So without batches, and while the reference is sought, the loop reads all samples at each new state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sterling.dynamics import bookkeeping
from sterling.dynamics.passes import copy_into
from sterling.dynamics.state import (
    ANCHOR,
    CURRENT,
    DISTANCE,
    EVALUATIONS,
    FLIPS,
    LOGGED,
    READ,
    RESTARTED,
    SEEKING,
)
from sterling.dynamics.step_kernels import (
    BEGIN,
    LEFT,
    STEP,
    batch_gradient,
    mass_between,
    move,
    next_batch,
    why_stop,
)
from sterling.exact.jit import embedded, helper, njit
from sterling.returns.counts import FLIPPED

_look, _close, _spend, _, _rest, _ = bookkeeping.build(helper, embedded)


class Levels(NamedTuple):
    """The quantiser, and what is known of all samples at the current weights."""

    values: np.ndarray  # int8 (k,), the levels, rising
    thresholds: np.ndarray  # float64 (k − 1,), rising
    everything: np.ndarray  # int32 (N,), all samples in order
    gradient: np.ndarray  # float64 (n,), of all samples
    stale: np.ndarray  # int64 (1,), 1 where that gradient is of earlier weights
    cost: int  # of reading all samples, in units of the budget


@embedded
def _square(data, samples):
    """Return the sum of squared residual codes of all samples, whose pre-activations have been computed."""
    units, constant = data.readout.size, data.constant[0] if data.readout.size == 1 else 0
    total = np.int64(0)
    for i in range(samples):
        residual = -data.labels[i]
        for j in range(units):
            residual += data.residual[j] * np.int64(data.before[i * units + j] + constant > 0)
        total += residual * residual
    return total


@embedded
def _turn(levels, run, log, step, total, k, index, leaving):
    """Move weight k to the level of this index, as `turn` of `levels.py`."""
    clock, old, count = run.clock, run.signs[k], levels.values.size
    new, home = levels.values[index], run.reference[k]
    before = (np.int64(old) - levels.values[0]) // (levels.values[1] - levels.values[0])
    run.plus[k * count + before] += step - run.since[k]
    run.balance[k] += old * (total - run.since_mass[k])
    run.since[k], run.since_mass[k] = step, total
    clock[DISTANCE] += np.int64(old == home) - np.int64(new == home)
    run.signs[k] = new
    clock[FLIPS] += 1
    if log.flips.size:
        record = log.flips[log.counts[LOGGED]]
        record["step"] = step
        record["coordinate"] = k
        record["sign"] = new
        log.counts[LOGGED] += 1
    if run.tally.size:
        run.tally[FLIPPED + k] += 1
        if leaving:
            run.tally[FLIPPED + run.signs.size + k] += 1


@embedded
def _take(data, way, levels, run, log, step):
    """Take step ``step``, from the step's gradient."""
    move(way, run, step)
    begun, total, leaving = False, 0.0, False
    for k in range(run.latent.size):
        index = 0
        while index < levels.thresholds.size and run.latent[k] >= levels.thresholds[index]:
            index += 1
        change = np.int64(levels.values[index]) - run.signs[k]
        if change == 0:
            continue
        if not begun:
            begun = True
            _close(run, log, step + 1)
            anchor = run.clock[ANCHOR]
            mass = mass_between(way.schedule, way.rate, way.exponent, way.sums, anchor, step + 1)
            total = _spend(run, mass)
            leaving = run.clock[DISTANCE] == 0
        _turn(levels, run, log, step + 1, total, k, index, leaving)
        moved = change << data.shifts[k]
        data.weights[k] += moved
        data.short[k] += moved
        data.constant[0] += moved * data.offsets[k]
    if begun:
        levels.stale[0] = 1
        _rest(run, step + 1)


@njit
def advance_levels(data, drawn, way, levels, run, log, until, budget):
    """Take the steps of these batches up to step ``until``, or return why not (`state.py`)."""
    begin, step, samples = way.at[BEGIN], way.at[STEP], levels.everything.size
    whole, status = drawn.order.size == 0, -1
    while True:
        if levels.stale[0] == 1 and (whole or run.clock[SEEKING]):
            batch_gradient(data, levels.everything, 0, samples, levels.gradient)
            levels.stale[0] = 0
            budget -= levels.cost
            run.clock[EVALUATIONS] += 1
            run.clock[READ] += 2 * samples * data.readout.size * run.signs.size
            if run.clock[SEEKING]:
                square = _square(data, samples)
                if run.clock[CURRENT] != square and _look(run, log, square):
                    status = RESTARTED
                    break
        status = why_stop(run, log, step, until, budget)
        if status >= 0:
            break
        if whole:
            copy_into(way.gradient, levels.gradient, run.signs.size)
        else:
            end = next_batch(drawn, begin)
            batch_gradient(data, drawn.order, begin, end - begin, way.gradient)
            begin = end
        _take(data, way, levels, run, log, step)
        step += 1
        budget -= way.cost
    way.at[STEP] = step
    way.at[BEGIN] = begin
    way.at[LEFT] = budget
    return status
