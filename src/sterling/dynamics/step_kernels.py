"""The step loop: every step of any built-in optimiser, with batches or all samples.

`dense.py` defines all of this in NumPy. Gradients are exact integers up to one division, and the optimiser's
numbers are rounded in the order of its NumPy step (`make` in the optimiser's file), so the bits agree.
With batches each step reads the rows of its batch. The gradient of all samples, and the loss where the
reference is still sought, come from the cache of visited states (`lookup.py`). It holds two levels only: with
more, the loop reads all samples at each new state.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sterling.dynamics.lookup import close, flip, full, look, rest, spend, turn, visit
from sterling.dynamics.passes import copy_into
from sterling.dynamics.state import (
    ANCHOR,
    CURRENT,
    DISTANCE,
    EVALUATIONS,
    FOUND,
    FULL_LOG,
    PAUSED,
    REACHED,
    READ,
    RESTARTED,
    SEEKING,
)
from sterling.exact.batches import TAKEN, add_rows, at_least, preactivate, put_signs, weigh
from sterling.exact.jit import embedded, helper, njit
from sterling.exact.machine import ADDED, clear_lowest, trailing_zeros
from sterling.exact.mass import KIND_TABLE, build
from sterling.optimizers import adam, bop, lion, sgd, signsgd

_mass_between = build(helper).mass
_sgd = sgd.make(embedded)
_adam, _lion, _signsgd, _bop = (part.make(helper) for part in (adam, lion, signsgd, bop))

#: Optimisers by their number in `Way.kind`.
KINDS = ("sgd", "adam", "lion", "signsgd", "bop")

# Cells of Way.at: the step, where its batch begins, and the budget that is left.
STEP, BEGIN, LEFT = range(3)


class Way(NamedTuple):
    """How a step moves the latents, and room for it."""

    kind: int  # index in `KINDS`
    numbers: np.ndarray  # float64, of the optimiser
    schedule: int  # kind, rate, exponent and sums as the functions of `mass.build` take them
    rate: float
    exponent: float
    sums: np.ndarray
    back: float  # θS, in units of Δ/2
    unit: float  # latent in the middle of a level, for each unit of the level; 1 for two levels
    clip: float  # infinite for none
    bounds: np.ndarray  # float64 (n,), −band·b: weight k is +1 after a step if and only if u_k ≥ bounds[k]
    key: np.ndarray  # uint64 (words,), the weights, packed
    gradient: np.ndarray  # float64 (n,)
    at: np.ndarray  # int64 (3,), the cells above
    cost: int  # of a step, in units of the budget


class Rows(NamedTuple):
    """An instance and a surrogate, as a batch reads them, and room for one batch."""

    rows: np.ndarray  # int16|int32 (N·m, width)
    labels: np.ndarray  # int64 (N,)
    residual: np.ndarray  # int64 (m,), the readout in units of the labels
    readout: np.ndarray  # int64 (m,)
    targets: np.ndarray  # int64 (N,), labels·readout; empty for several hidden units
    shifts: np.ndarray  # int64 (n,)
    offsets: np.ndarray  # int64 (n,)
    low: int  # the surrogate's derivative is one for low ≤ pre-activation ≤ high, else zero
    high: int
    scaled: int  # 1 where some shift or offset is not zero
    scale: float  # a sum over B samples is B·scale times the gradient
    group: int  # rows, an even number, whose sum fits 32 bits; 0 where 64 bits are needed
    weights: np.ndarray  # int64 (n,), the signs, shifted
    short: np.ndarray  # int16 (width,), the same, and zeros
    sizes: np.ndarray  # int16 (width,), their absolute values
    constant: np.ndarray  # int64 (1,), Σ weight·offset
    listed: np.ndarray  # int32 (room,), rows of the batch
    before: np.ndarray  # int64 (room,), pre-activations
    coefficients: np.ndarray  # int64 (room,)
    kept: np.ndarray  # int32 (room,), rows with a nonzero coefficient
    factors: np.ndarray  # int16 (room,), their coefficients, if these have 16 bits
    totals: np.ndarray  # int64 (width,)
    more: np.ndarray  # int64 (width,)


class Levels(NamedTuple):
    """More than two levels of a weight, and what is known of all samples."""

    values: np.ndarray  # int8 (k,), the levels, rising
    thresholds: np.ndarray  # float64 (k − 1,), rising
    everything: np.ndarray  # int32 (N,), all samples in order; empty where none needs them
    gradient: np.ndarray  # float64 (n,), of all samples
    stale: np.ndarray  # int64 (1,), 1 where that gradient is needed and is of earlier weights
    cost: int  # of reading all samples, in units of the budget


class Order(NamedTuple):
    """The samples of many steps, batch after batch."""

    order: np.ndarray  # int32; empty where every step takes all samples
    size: int  # samples of a batch
    epoch: int  # no batch goes across a multiple of this many samples


@embedded
def _list(data, order, begin, samples):
    """Return the rows of a batch, with more entries up to a multiple of `TAKEN`."""
    units, listed = data.readout.size, data.listed
    chosen = order[begin : begin + samples]  # a slice, since its indices need no test of their sign
    count = samples * units
    if units == 1 and samples % TAKEN == 0:
        return chosen
    for i in range(samples):
        for j in range(units):
            listed[i * units + j] = chosen[i] * units + j
    for q in range(count, (count + TAKEN - 1) // TAKEN * TAKEN):
        listed[q] = 0
    return listed


@embedded
def _preactivate(data, listed, count):
    """Compute the pre-activations of the listed rows."""
    rows, before, weights = data.rows, data.before, data.weights
    if data.group > 0:
        for first in range(0, count, TAKEN):
            preactivate(rows, listed, first, data.short, before)
    else:
        for q in range(count):
            row = rows[listed[q]]
            total = np.int64(0)
            for k in range(weights.size):
                total += weights[k] * row[k]
            before[q] = total


@embedded
def _weigh(data, listed, order, begin, samples):
    """Keep the listed rows with a nonzero coefficient; return how many.

    Products with 0 and 1 replace branches, which the processor would predict wrongly.
    """
    units, constant, low, high = data.readout.size, data.constant[0], data.low, data.high
    before, coefficients, labels, kept = data.before, data.coefficients, data.labels, 0
    for i in range(samples):
        residual = -labels[order[begin + i]]
        for j in range(units):
            residual += data.residual[j] * np.int64(before[i * units + j] + constant > 0)
        for j in range(units):
            value = before[i * units + j] + constant
            inside = np.int64(value >= low) & np.int64(value <= high)
            coefficient = residual * (data.readout[j] * inside)
            data.kept[kept] = listed[i * units + j]  # stored also where it is not kept
            if data.group > 0:  # else it may have more than 16 bits
                data.factors[kept] = coefficient
            coefficients[kept] = coefficient
            kept += np.int64(coefficient != 0)
    return kept


@embedded
def _weigh_narrow(data, listed, samples):
    """Compute pre-activations and do the same in 16 bits, for one hidden unit."""
    kept = 0
    for first in range(0, samples, TAKEN):
        preactivate(data.rows, listed, first, data.short, data.before)
        numbers = data.constant[0], data.low, data.high, data.residual[0] * data.readout[0]
        given = data.before, listed, first, samples - first, data.targets
        kept = weigh(*given, numbers, data.kept, data.factors, kept)
    return kept


@embedded
def _add(data, kept):
    """totals ← Σ coefficient·row over the kept rows."""
    rows, listed, totals, more, group = data.rows, data.kept, data.totals, data.more, data.group
    if group > 0:
        add_rows(rows, listed, data.factors, 0, min(group, kept), totals)
        for start in range(group, kept, group):
            add_rows(rows, listed, data.factors, start, min(start + group, kept), more)
            for k in range(totals.size):
                totals[k] += more[k]
    else:
        for k in range(totals.size):
            totals[k] = 0
        for q in range(kept):
            row, coefficient = rows[listed[q]], data.coefficients[q]
            for k in range(data.weights.size):
                totals[k] += coefficient * row[k]


@embedded
def _batch_gradient(data, order, begin, samples, gradient):
    """gradient ← that of the batch, exact up to one division."""
    listed = _list(data, order, begin, samples)
    if data.group > 0 and data.readout.size == 1:
        kept = _weigh_narrow(data, listed, samples)
    else:
        _preactivate(data, listed, samples * data.readout.size)
        kept = _weigh(data, listed, order, begin, samples)
    if kept % 2 == 1:  # rows are added in pairs
        data.kept[kept] = 0
        data.factors[kept] = 0
        data.coefficients[kept] = 0
        kept += 1
    _add(data, kept)
    totals = data.totals
    if data.scaled:
        balance = np.int64(0)
        for q in range(kept):
            balance += data.factors[q] if data.group > 0 else data.coefficients[q]
        for k in range(gradient.size):
            totals[k] = (totals[k] + data.offsets[k] * balance) << data.shifts[k]
    unit = float(samples) * data.scale
    if samples & (samples - 1) == 0:  # the unit is a power of two
        inverse = 1.0 / unit
        for k in range(gradient.size):
            gradient[k] = float(totals[k]) * inverse
    else:
        for k in range(gradient.size):
            gradient[k] = float(totals[k]) / unit


@embedded
def _mass(way, first, last):
    """Return the sum of the step sizes from one step to another; a constant rate needs no call."""
    if way.exponent == 0.0 and way.schedule != KIND_TABLE:
        return way.rate * float(last - first)
    return _mass_between(way.schedule, way.rate, way.exponent, way.sums, first, last)


@embedded
def _move(way, run, step):
    """Move the latents by one step of the optimiser, from the step's gradient."""
    latent, gradient, numbers = run.latent, way.gradient, way.numbers
    if way.back != 0.0:
        for k in range(latent.size):
            gradient[k] = gradient[k] + way.back * (latent[k] - way.unit * float(run.signs[k]))
    rate = _mass(way, step, step + 1)
    if way.kind == 0:
        _sgd(latent, gradient, run.moments, rate, numbers)
    elif way.kind == 1:
        _adam(latent, gradient, run.moments, rate, numbers)
    elif way.kind == 2:
        _lion(latent, gradient, run.moments, rate, numbers)
    elif way.kind == 3:
        _signsgd(latent, gradient, run.moments, rate, numbers)
    else:
        _bop(latent, gradient, run.moments, rate, numbers)
    clip = way.clip
    if clip < np.inf:
        for k in range(latent.size):
            latent[k] = min(max(latent[k], -clip), clip)


@embedded
def _begin_flips(way, run, log, step):
    """Close the interval that ends at a step; return the mass so far, and whether the flips leave home."""
    close(run, log, step)
    return spend(run, _mass(way, run.clock[ANCHOR], step)), run.clock[DISTANCE] == 0


@embedded
def _positive(way, latent, word):
    """Return a mask of the weights of one word of the key that are +1 from this step on."""
    positive = np.uint64(0)
    first, last = 64 * word, min(64 * word + 64, latent.size)
    k = first
    while k + 8 <= last:
        positive |= at_least(latent, way.bounds, k) << np.uint64(k - first)
        k += 8
    while k < last:
        if latent[k] >= way.bounds[k]:
            positive |= np.uint64(1) << np.uint64(k - first)
        k += 1
    return positive


@embedded
def _flip(data, way, run, log, step):
    """Flip the weights of two levels whose latents crossed their bound; return whether there were any."""
    begun, total, leaving = False, 0.0, False
    for word in range(way.key.size):
        positive = _positive(way, run.latent, word)
        if data.group > 0:
            for start in range(64 * word, min(64 * word + 64, data.short.size), ADDED):
                bits = positive >> np.uint64(start - 64 * word)
                put_signs(data.short, data.sizes, start, bits)
        mask = positive ^ way.key[word]
        if mask != 0 and not begun:
            begun = True
            total, leaving = _begin_flips(way, run, log, step)
        way.key[word] ^= mask
        while mask != 0:
            k = np.uint64(64 * word + trailing_zeros(mask))  # unsigned: no test of its sign at each use
            mask = clear_lowest(mask)
            flip(run, log, step, total, k, leaving)
            way.bounds[k] = -way.bounds[k]
            if data.scaled:
                data.constant[0] -= 2 * data.weights[k] * data.offsets[k]
            data.weights[k] = -data.weights[k]
    if begun:
        rest(run, step)
    return begun


@helper
def _change_levels(data, way, levels, run, log, step):
    """Give each weight the level nearest to its latent."""
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
            total, leaving = _begin_flips(way, run, log, step)
        turn(run, log, step, total, k, levels.values, index, leaving)
        moved = change << data.shifts[k]
        data.weights[k] += moved
        if data.group > 0:
            data.short[k] += moved
        data.constant[0] += moved * data.offsets[k]
    if begun:
        levels.stale[0] = 1
        rest(run, step)


@embedded
def _square(data, samples):
    """Return the sum of squared residual codes of all samples, whose pre-activations have been computed."""
    units, constant = data.readout.size, data.constant[0]
    total = np.int64(0)
    for i in range(samples):
        residual = -data.labels[i]
        for j in range(units):
            residual += data.residual[j] * np.int64(data.before[i * units + j] + constant > 0)
        total += residual * residual
    return total


@embedded
def _epoch_end(drawn, begin):
    """Return where the epoch ends in which a batch begins."""
    return (begin // drawn.epoch + 1) * drawn.epoch


@embedded
def _next_batch(drawn, begin, edge):
    """Return where the batch ends that begins here, and its epoch, given the end of the last one."""
    if begin == edge:
        edge += drawn.epoch
    return min(begin + drawn.size, edge), edge


@embedded
def _why_stop(run, log, step, until, budget):
    """Return why the loop stops before this step (`state.py`), FOUND if it goes on."""
    if step >= until:
        return REACHED
    if full(log, run.signs.size):
        return FULL_LOG
    if budget <= 0:
        return PAUSED
    return FOUND


@helper
def _read_all(data, levels, run, log):
    """Compute the gradient of all samples; return whether the state became the reference."""
    samples = levels.everything.size
    _batch_gradient(data, levels.everything, 0, samples, levels.gradient)
    levels.stale[0] = 0
    run.clock[EVALUATIONS] += 1
    run.clock[READ] += 2 * samples * data.readout.size * run.signs.size
    if not run.clock[SEEKING]:
        return False
    square = _square(data, samples)
    return run.clock[CURRENT] != square and look(run, log, square)


@njit
def advance(data, drawn, way, levels, run, log, until, budget):
    """Take the steps of these batches up to step ``until``, or return why not (`state.py`).

    ``levels`` is None for two levels. Numba compiles one kernel for either.
    """
    begin, step, whole = way.at[BEGIN], way.at[STEP], drawn.order.size == 0
    edge = _epoch_end(drawn, begin)
    while True:
        if levels is not None and levels.stale[0] and (whole or run.clock[SEEKING]):
            budget -= levels.cost
            if _read_all(data, levels, run, log):
                status = RESTARTED
                break
        status = _why_stop(run, log, step, until, budget)
        if status != FOUND:
            break
        if levels is not None and whole:
            copy_into(way.gradient, levels.gradient, run.signs.size)
        else:
            end, edge = _next_batch(drawn, begin, edge)
            _batch_gradient(data, drawn.order, begin, end - begin, way.gradient)
            begin = end
        _move(way, run, step)
        step += 1
        if levels is None:
            _flip(data, way, run, log, step)
        else:
            _change_levels(data, way, levels, run, log, step)
        budget -= way.cost
    way.at[STEP] = step
    way.at[BEGIN] = begin
    way.at[LEFT] = budget
    return status


@embedded
def _follow(way, cache):
    """Let the cache know the weights that turned."""
    words = way.key.size
    for word in range(words):
        mask = cache.key[word] ^ way.key[word]
        cache.key[word] = way.key[word]
        while mask != 0:
            k = 64 * word + trailing_zeros(mask)
            mask = clear_lowest(mask)
            cache.key[words] ^= cache.zobrist[k]


@njit
def advance_looking(passed, base, job, scratch, each, unit, run, cache, log, until, budget):
    """The same where each new state is looked at: its loss, and its gradient if there are no batches.

    ``each`` holds the other arguments of `advance`.
    """
    data, drawn, way = each
    begin, step = way.at[BEGIN], way.at[STEP]
    edge = _epoch_end(drawn, begin)
    while True:
        slot, status, cost = visit(passed, base, job, scratch, cache, run, log, unit, 1)
        budget -= cost
        turned = False
        while status == FOUND and not turned:
            status = _why_stop(run, log, step, until, budget)
            if status != FOUND:
                break
            if drawn.order.size > 0:
                end, edge = _next_batch(drawn, begin, edge)
                _batch_gradient(data, drawn.order, begin, end - begin, way.gradient)
                begin = end
            else:
                copy_into(way.gradient, cache.gradients[slot], run.signs.size)
            _move(way, run, step)
            step += 1
            turned = _flip(data, way, run, log, step)
            budget -= way.cost
        if not turned:
            break
        _follow(way, cache)
    way.at[STEP] = step
    way.at[BEGIN] = begin
    way.at[LEFT] = budget
    return status
