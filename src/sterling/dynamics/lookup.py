"""Gradients of states: kept in a cache of bounded memory, or computed from those of the nearest known state.

A run that chatters never returns to a state. After 256 new states in a row it keeps none: each is computed
from the one before, and only its hash is kept, which shows when the chatter ends. Such runs take a third to
two thirds of the time that a search for the nearest state would take.
The event loop (`kernels.py`) asks for the gradient at the current signs; `passes.py` works on the data.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sterling.dynamics import bookkeeping
from sterling.dynamics.passes import (
    BALANCE,
    CONSTANT,
    COUNT,
    DIRECT,
    ENTRIES,
    FULL,
    LEAD,
    LEAD_CONSTANT,
    LISTED,
    MOVE,
    PADDED,
    SQUARE,
    TOTALS,
    copy_into,
    run_job,
)
from sterling.dynamics.state import CURRENT, EVALUATIONS, FOUND, PAUSED, READ, RESTARTED
from sterling.exact.jit import embedded, helper
from sterling.exact.machine import clear_lowest, ones, trailing_zeros

look, close, spend, flip, turn, rest, full = bookkeeping.build(helper, embedded)

# Cells of Cache.state
(
    SIZE,  # slots in use
    HAND,  # slot at which the search for one to free continues
    CURRENT_SLOT,
    MISSES,  # states computed since one was last found
    PASSING,  # 1 while states are not kept
    WAIT,  # misses after which states are no longer kept
    COUNTING,  # rows with a nonzero coefficient, when last counted
    KNOWN,  # 1 where `Cache.parked` holds the sums of the base
    SINCE,  # states since the dearer way was last measured
) = range(9)

SPARE = 0  #: the slot of a state that is not kept

_ROWS = 8  # cost of the rows for one more differing sign, in columns
_INDEX = 32  # bits for the index in a number that packs cost and index
_SEARCHED = 1 << 13  # cached states among which the nearest to a new one is sought
_LEAN = 0.1  # weight of the newest state in `Cache.lean`
MANY = 1 << 30  # uses are counted up to this number
SEEN = 1 << 12  # states remembered by their hash alone while states are not kept
FIRST_WAIT = 256
_LOOK_AGAIN = 1024  # states after which the dearer way is measured again


class Cache(NamedTuple):
    """Gradients of visited states, found by a hash of the signs; those not used lately are dropped first."""

    gradients: np.ndarray  # float64 (slots, n)
    totals: np.ndarray  # int64 (slots, n), the exact sums if floats cannot hold them, else empty
    squares: np.ndarray  # int64 (slots,), sums of squared residual codes
    keys: np.ndarray  # uint64 (words, slots), packed signs
    hashes: np.ndarray  # uint64 (slots,)
    uses: np.ndarray  # int32 (slots,)
    following: np.ndarray  # int32 (slots,), next slot of the same bucket or 0
    buckets: np.ndarray  # int32 (power of two,), first slot or 0
    zobrist: np.ndarray  # uint64 (n,), a flip of weight k changes the hash by XOR with entry k
    key: np.ndarray  # uint64 (words + 1,), key of the current state, then its hash
    state: np.ndarray  # int64 (9,), the cells above
    base: np.ndarray  # uint64 (words, 1), key of the base
    lean: np.ndarray  # float64 (n,), recent share of new states that differ from the base
    apart: np.ndarray  # int64, room for distances
    seen: np.ndarray  # uint64 (SEEN,), hashes of recent states that were not kept
    parked: np.ndarray  # int64 (n,), gradient sums of the base, where known
    share: np.ndarray  # float64 (1,), rows that changed, divided by the number that `_predicted` gives


@embedded
def _find(cache):
    """Return the slot of the current state, or -1."""
    words = cache.keys.shape[0]
    code = cache.key[words]
    slot = cache.buckets[np.int64(code & np.uint64(cache.buckets.size - 1))]
    while slot > 0:
        if cache.hashes[slot] == code:
            same = True
            for w in range(words):
                same &= cache.keys[w, slot] == cache.key[w]
            if same:
                return np.int64(slot)
        slot = cache.following[slot]
    if cache.uses[SPARE] > 0 and cache.hashes[SPARE] == code:
        same = True
        for w in range(words):
            same &= cache.keys[w, SPARE] == cache.key[w]
        if same:
            return np.int64(SPARE)
    return np.int64(-1)


@helper
def _forget(cache):
    """Free the first unused slot after the hand, which halves the uses of all slots it passes; return it."""
    hand = cache.state[HAND]
    last = cache.uses.size - 1
    while cache.uses[hand] > 0:
        cache.uses[hand] >>= 1
        hand = hand % last + 1  # skips the spare slot
    cache.state[HAND] = hand % last + 1
    bucket = np.int64(cache.hashes[hand] & np.uint64(cache.buckets.size - 1))
    slot = cache.buckets[bucket]
    if slot == hand:
        cache.buckets[bucket] = cache.following[hand]
    else:
        while cache.following[slot] != hand:
            slot = cache.following[slot]
        cache.following[slot] = cache.following[hand]
    return hand


@helper
def _insert(cache):
    """Make a slot for the current state and return it."""
    slot = cache.state[SIZE]
    if slot < cache.uses.size:
        cache.state[SIZE] += 1
    else:
        slot = _forget(cache)
    words = cache.keys.shape[0]
    code = cache.key[words]
    for w in range(words):
        cache.keys[w, slot] = cache.key[w]
    cache.hashes[slot] = code
    cache.uses[slot] = 1
    bucket = np.int64(code & np.uint64(cache.buckets.size - 1))
    cache.following[slot] = cache.buckets[bucket]
    cache.buckets[bucket] = slot
    return slot


@embedded
def _nearest(cache):
    """Return the slot of the state, among the newest, from which the current one is cheapest to compute.

    Each sign in which the two differ costs rows of the data, about as many bytes as eight columns. Each sign
    in which the cached state differs from the base costs one column.
    """
    words = cache.keys.shape[0]
    direct = np.int64(0)
    for w in range(words):
        direct += ones(cache.base[w, 0] ^ cache.key[w])
    least = _ROWS + max(direct - 1, 0)  # no state can cost less
    best = np.int64(_ROWS + 1) * 64 * words + 1
    found = np.int64(-1)
    stop = cache.state[SIZE]
    last = max(SPARE + 1, stop - _SEARCHED)
    while stop > last and best > least:
        start = max(last, stop - cache.apart.size)
        apart = cache.apart[: stop - start]
        for i in range(apart.size):
            apart[i] = 0
        for w in range(words):
            known, key, parked = cache.keys[w, start:stop], cache.key[w], cache.base[w, 0]
            for i in range(apart.size):
                apart[i] += _ROWS * ones(known[i] ^ key) + ones(known[i] ^ parked)
        cheapest = best << _INDEX  # cost and index in one number: one minimum finds both
        for i in range(apart.size):
            cheapest = min(cheapest, (apart[i] << _INDEX) + i)
        if cheapest < best << _INDEX:
            best = cheapest >> _INDEX
            found = start + (cheapest & ((1 << _INDEX) - 1))
        stop = start
    return found


@embedded
def plan_first(data, job, signs):
    """Write the job that computes a state from scratch and makes it the base."""
    constant = np.int64(0)
    for k in range(signs.size):
        weight = np.int64(signs[k]) << data.shifts[k]
        job.steps[k] = weight
        constant += weight * data.offsets[k]
    job.info[LEAD] = 0
    job.info[COUNT] = 0
    job.info[PADDED] = 0
    job.info[CONSTANT] = constant
    job.info[MOVE] = 1


@helper
def write_flip(data, job, index, k, sign):
    """Add to the job that weight k takes this sign; return what its offset adds to pre-activations."""
    step = np.int64(2 * sign) << data.shifts[k]
    job.flips[index] = k
    job.steps[index] = step
    if data.paired:
        job.weights[index] = step
    return step * data.offsets[k]


@helper
def pad(data, job, first, count):
    """Pad a list of odd length with a step of zero if columns are taken in pairs; return its length."""
    if data.paired and count % 2 == 1:
        job.flips[first + count] = job.flips[first]
        job.steps[first + count] = 0
        job.weights[first + count] = 0
        job.info[PADDED] += 1
        return count + 1
    return count


@helper
def _plan_rest(data, job, known, key, signs, lead):
    """Write the flips from the state with the key ``known`` to these signs; return how many."""
    count = np.int64(0)
    constant = np.int64(0)
    for word in range(known.size):
        mask = known[word] ^ key[word]
        while mask != 0:
            k = 64 * word + trailing_zeros(mask)
            mask = clear_lowest(mask)
            constant += write_flip(data, job, lead + count, k, signs[k])
            count += 1
    job.info[COUNT] = pad(data, job, lead, count)
    job.info[CONSTANT] = constant
    return count


@embedded
def _plan(data, base, job, cache, signs, near):
    """Write the job that leads from the base via the known state in slot ``near`` to these signs.

    The base moves to this state if it is nearer than the base to the majority of recent new states, taken
    sign by sign.
    """
    lean = cache.lean
    lead = np.int64(0)  # typed: the functions below are compiled for this type alone
    constant = np.int64(0)
    majority = 0
    apart = 0
    for k in range(signs.size):
        differs = signs[k] != base.signs[k]
        lean[k] += _LEAN * ((1.0 if differs else 0.0) - lean[k])
        if lean[k] > 0.5:
            majority += 1
            apart += 0 if differs else 1
        elif differs:
            apart += 1
        positive = (cache.keys[k >> 6, near] >> np.uint64(k & 63)) & np.uint64(1)
        known = np.int8(1) if positive else np.int8(-1)
        if known != base.signs[k]:
            constant += write_flip(data, job, lead, k, known)
            lead += 1
    job.info[PADDED] = 0
    lead = pad(data, job, np.int64(0), lead)
    job.info[LEAD] = lead
    job.info[LEAD_CONSTANT] = constant
    job.info[MOVE] = 1 if apart < majority else 0
    job.info[DIRECT] = 0
    _plan_rest(data, job, cache.keys[:, near], cache.key, signs, lead)


@embedded
def _predicted(rows, n, flips):
    """Return the expected number of rows that change sign with ``flips`` of n weights, for normal inputs.

    If two sums of the same n normal numbers differ in the signs of a share x of the terms, they have opposite
    signs with probability 2/π·arcsin √x.
    """
    part = flips / n
    return rows * 0.6366 * math.sqrt(part) * (1.0 + part / 6.0)


@embedded
def _plan_passing(data, job, cache, signs):
    """Write the job that moves the base to these signs, in the way that reads fewer rows.

    It adds either the rows whose coefficient changed, or all rows with a nonzero coefficient, which are few
    where most residuals are zero. Returns the number that `_predicted` gives.
    """
    state = cache.state
    job.info[LEAD] = 0
    job.info[LEAD_CONSTANT] = 0
    job.info[PADDED] = 0
    job.info[MOVE] = 1
    count = _plan_rest(data, job, cache.base[:, 0], cache.key, signs, np.int64(0))
    changing = _predicted(float(data.rows.shape[0]), float(signs.size), float(count))
    direct = state[COUNTING] < cache.share[0] * changing
    state[SINCE] += 1
    if state[SINCE] >= _LOOK_AGAIN:
        direct = not direct
        state[SINCE] = 0
    job.info[DIRECT] = 1 if direct or state[KNOWN] == 0 else 0
    return changing


@helper
def _keep_again(state, lean):
    """Keep states from here on."""
    if state[PASSING]:
        for k in range(lean.size):
            lean[k] = 0.0
    state[PASSING] = 0
    state[MISSES] = 0


@embedded
def _keep_sums(data, base, job, scratch, cache, signs, unit, near):
    """Fill a slot for the current state: the sums of the job plus those of the slot ``near``, if any."""
    sums = scratch.sums[0]
    width = sums.size - TOTALS
    for k in range(signs.size):
        total = (sums[k] + data.offsets[k] * sums[width + BALANCE]) << data.shifts[k]
        if near >= 0:
            # Rounding recovers the sum from the stored quotient, see `_RECOVERABLE` in `event.py`.
            kept = (
                cache.totals[near, k]
                if cache.totals.size
                else np.int64(np.rint(cache.gradients[near, k] * unit))
            )
            total += kept
        sums[k] = total
    square = sums[width + SQUARE]
    if near >= 0:
        square += cache.squares[near]
    slot = _insert(cache)
    for k in range(signs.size):
        cache.gradients[slot, k] = float(sums[k]) / unit
        if cache.totals.size:
            cache.totals[slot, k] = sums[k]
    cache.squares[slot] = square
    if job.info[MOVE]:
        for w in range(cache.keys.shape[0]):
            cache.base[w, 0] = cache.key[w]
        for k in range(signs.size):
            if signs[k] != base.signs[k]:
                cache.lean[k] = 1.0 - cache.lean[k]
                base.signs[k] = signs[k]
    return slot


@embedded
def _pass_sums(data, base, job, scratch, cache, signs, unit, changing):
    """Put the current state into the spare slot; if it was seen before, keep it and all later states."""
    sums, parked, gradient, state = scratch.sums[0], cache.parked, cache.gradients[SPARE], cache.state
    width = sums.size - TOTALS
    balance = sums[width + BALANCE]
    if job.info[DIRECT]:
        state[COUNTING] = sums[width + LISTED]
        state[KNOWN] = 1
        cache.squares[SPARE] = 0
        for k in range(signs.size):
            parked[k] = 0
    else:
        cache.share[0] = sums[width + LISTED] / changing
    cache.squares[SPARE] += sums[width + SQUARE]
    for k in range(signs.size):
        parked[k] += (sums[k] + data.offsets[k] * balance) << data.shifts[k]
    for k in range(signs.size):
        gradient[k] = float(parked[k]) / unit
    words = cache.keys.shape[0]
    for w in range(words):
        cache.base[w, 0] = cache.key[w]
        cache.keys[w, SPARE] = cache.key[w]
    for q in range(job.info[COUNT]):
        k = job.flips[q]
        base.signs[k] = signs[k]
    code = cache.key[words]
    cache.hashes[SPARE] = code
    cache.uses[SPARE] = 1
    index = np.int64(code & np.uint64(cache.seen.size - 1))
    if cache.seen[index] != code:
        cache.seen[index] = code
        return np.int64(SPARE)
    slot = _insert(cache)
    copy_into(cache.gradients[slot], gradient, signs.size)
    if cache.totals.size:
        copy_into(cache.totals[slot], parked, signs.size)
    cache.squares[slot] = cache.squares[SPARE]
    _keep_again(cache.state, cache.lean)
    return slot


@helper
def _evaluate(data, base, job, scratch, cache, run, unit):
    """Compute loss and gradient of the current state and cache them; return its slot and the cost."""
    signs = run.signs
    entries = scratch.sums.shape[1] - TOTALS + ENTRIES
    passing = cache.state[PASSING]
    near = np.int64(-1)
    changing = 0.0
    if passing:
        changing = _plan_passing(data, job, cache, signs)
    elif job.info[FULL]:
        plan_first(data, job, signs)
    else:
        near = _nearest(cache)
        _plan(data, base, job, cache, signs, near)
    run_job(data, base, job, scratch)
    if passing:
        slot = _pass_sums(data, base, job, scratch, cache, signs, unit, changing)
    else:
        slot = _keep_sums(data, base, job, scratch, cache, signs, unit, near)
        job.info[FULL] = 0
    run.clock[EVALUATIONS] += 1
    run.clock[READ] += scratch.sums[0, entries]
    state = cache.state
    state[MISSES] += 1
    if not passing and state[MISSES] >= state[WAIT]:  # the run chatters and never returns to a state
        state[PASSING] = 1
        state[KNOWN] = 0
        state[SINCE] = 0
        cache.share[0] = 1.0
    return slot, 1000 + scratch.sums[0, entries] // 4


@embedded
def visit(data, base, job, scratch, cache, run, log, unit, budget):
    """Find the current state or compute it; return its slot, FOUND or the reason to stop, and the cost.

    The caller stops where the budget is spent, and where the state becomes the reference.
    """
    slot, cost, state = _find(cache), np.int64(0), cache.state
    if slot >= 0:
        if slot != state[CURRENT_SLOT]:
            if cache.uses[slot] < MANY:
                cache.uses[slot] += 1
            if state[MISSES] > 0:
                _keep_again(state, cache.lean)
    elif budget <= 0:
        return slot, PAUSED, cost
    else:
        slot, cost = _evaluate(data, base, job, scratch, cache, run, unit)
    state[CURRENT_SLOT] = slot
    square = cache.squares[slot]
    better = run.clock[CURRENT] != square and look(run, log, square)
    return slot, RESTARTED if better else FOUND, cost
