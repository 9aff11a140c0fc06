"""Gradients of states: kept in a cache of bounded memory, or computed from those of the nearest known state.

The event loop (`kernels.py`) asks for the gradient at the current signs; the work on the data is done by
`passes.py`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sterling.dynamics.passes import CONSTANT, COUNT, FULL, LEAD, LEAD_CONSTANT, MOVE, run_job
from sterling.dynamics.walk import EVALUATIONS, READ
from sterling.exact.jit import embedded, helper, njit
from sterling.exact.machine import clear_lowest, ones, trailing_zeros

# Cells of Cache.state
SIZE, HAND, CURRENT_SLOT, LAST_SIZE = range(4)  # LAST_SIZE is 1 once the memory bound forbids growth

_ROWS = 8  # what the rows of one more differing sign cost, in columns
_SEARCHED = 1 << 13  # cached states among which the nearest to a new one is sought
_LEAN = 0.1  # weight of the newest state in the base's choice of place
MANY = 1 << 30  # uses are not counted beyond


class Cache(NamedTuple):
    """Gradients of visited states, found by a hash of the signs; the least useful leave first."""

    gradients: np.ndarray  # float64 (slots, n)
    totals: np.ndarray  # int64 (slots, n), the sums behind them where floats cannot hold these, else empty
    squares: np.ndarray  # int64 (slots,), sums of squared residual codes
    keys: np.ndarray  # uint64 (words, slots), packed signs
    hashes: np.ndarray  # uint64 (slots,)
    uses: np.ndarray  # int32 (slots,)
    following: np.ndarray  # int32 (slots,), next slot of the same bucket or -1
    buckets: np.ndarray  # int32 (power of two,), first slot or -1
    zobrist: np.ndarray  # uint64 (n,), what a flip does to the hash
    key: np.ndarray  # uint64 (words + 1,), key of the current state, then its hash
    state: np.ndarray  # int64 (4,)
    base: np.ndarray  # uint64 (words,), key of the base
    lean: np.ndarray  # float64 (n,), recent share of new states that differ from the base
    apart: np.ndarray  # int64, room for distances


@embedded
def find(cache):
    """Return the slot of the current state, or -1."""
    words = cache.keys.shape[0]
    code = cache.key[words]
    slot = cache.buckets[np.int64(code & np.uint64(cache.buckets.size - 1))]
    while slot >= 0:
        if cache.hashes[slot] == code:
            same = True
            for w in range(words):
                same &= cache.keys[w, slot] == cache.key[w]
            if same:
                return np.int64(slot)
        slot = cache.following[slot]
    return np.int64(-1)


@helper
def _forget(cache):
    """Free the slot that the sweeping hand finds unused; uses fade as it passes."""
    hand = cache.state[HAND]
    while cache.uses[hand] > 0:
        cache.uses[hand] >>= 1
        hand = (hand + 1) % cache.uses.size
    cache.state[HAND] = (hand + 1) % cache.uses.size
    bucket = np.int64(cache.hashes[hand] & np.uint64(cache.buckets.size - 1))
    slot = cache.buckets[bucket]
    if slot == hand:
        cache.buckets[bucket] = cache.following[hand]
    else:
        while cache.following[slot] != hand:
            slot = cache.following[slot]
        cache.following[slot] = cache.following[hand]
    return hand


@embedded
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
    """Return the cached state from which the current one is cheapest to reach, looking at the newest slots.

    Each sign in which the two differ costs rows of the data, as many bytes as eight columns; each in which
    the cached state differs from the base costs one column.
    """
    words = cache.keys.shape[0]
    direct = np.int64(0)
    for w in range(words):
        direct += ones(cache.base[w] ^ cache.key[w])
    least = _ROWS + max(direct - 1, 0)  # no state can cost less
    best = np.int64((_ROWS + 1) * 64 * words + 1)
    found = np.int64(-1)
    stop = cache.state[SIZE]
    last = max(0, stop - _SEARCHED)
    while stop > last and best > least:
        start = max(0, stop - cache.apart.size)
        apart = cache.apart[: stop - start]
        for i in range(apart.size):
            apart[i] = 0
        for w in range(words):
            theirs, mine, parked = cache.keys[w, start:stop], cache.key[w], cache.base[w]
            for i in range(apart.size):
                apart[i] += _ROWS * ones(theirs[i] ^ mine) + ones(theirs[i] ^ parked)
        for i in range(apart.size):
            if apart[i] < best:
                best = apart[i]
                found = start + i
        stop = start
    return found


@embedded
def _plan_first(data, job, signs):
    """Write the job that computes a state from nothing and parks the base there."""
    constant = np.int64(0)
    for k in range(signs.size):
        weight = np.int64(signs[k]) << data.shifts[k]
        job.steps[k] = weight
        constant += weight * data.offsets[k]
    job.info[LEAD] = 0
    job.info[COUNT] = 0
    job.info[CONSTANT] = constant
    job.info[MOVE] = 1


@embedded
def _plan(data, base, job, cache, signs, near):
    """Write the job that leads from the base over the known state in slot ``near`` to these signs.

    The base follows when more coordinates of recent new states differ from it than agree, and this state
    is nearer to their majority.
    """
    lean = cache.lean
    lead = 0
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
        known = 1 if (cache.keys[k >> 6, near] >> np.uint64(k & 63)) & np.uint64(1) else -1
        if known != base.signs[k]:
            step = np.int64(2 * known) << data.shifts[k]
            job.flips[lead] = k
            job.steps[lead] = step
            constant += step * data.offsets[k]
            lead += 1
    job.info[LEAD] = lead
    job.info[LEAD_CONSTANT] = constant
    job.info[MOVE] = 1 if apart < majority else 0
    count = 0
    constant = np.int64(0)
    for word in range(cache.keys.shape[0]):
        mask = cache.keys[word, near] ^ cache.key[word]
        while mask != 0:
            k = 64 * word + trailing_zeros(mask)
            mask = clear_lowest(mask)
            step = np.int64(2 * signs[k]) << data.shifts[k]
            job.flips[lead + count] = k
            job.steps[lead + count] = step
            constant += step * data.offsets[k]
            count += 1
    job.info[COUNT] = count
    job.info[CONSTANT] = constant


@embedded
def evaluate(data, base, job, scratch, cache, walk, unit):
    """Compute loss and gradient of the current state and cache them; return its slot and the cost."""
    signs = walk.signs
    near = np.int64(-1)
    if job.info[FULL]:
        _plan_first(data, job, signs)
    else:
        near = _nearest(cache)
        _plan(data, base, job, cache, signs, near)
    run_job(data, base, job, scratch)
    sums = scratch.sums[0]
    width = sums.size - 3
    square = sums[width + 1]
    for k in range(signs.size):
        total = (sums[k] + data.offsets[k] * sums[width]) << data.shifts[k]
        if near >= 0:
            # The quotient that was stored is within half a unit of the integer, see `event.py`.
            kept = (
                cache.totals[near, k]
                if cache.totals.size
                else np.int64(np.rint(cache.gradients[near, k] * unit))
            )
            total += kept
        sums[k] = total
    if near >= 0:
        square += cache.squares[near]
    slot = _insert(cache)
    for k in range(signs.size):
        cache.gradients[slot, k] = float(sums[k]) / unit
        if cache.totals.size:
            cache.totals[slot, k] = sums[k]
    cache.squares[slot] = square
    walk.clock[EVALUATIONS] += 1
    walk.clock[READ] += sums[width + 2]
    if job.info[MOVE]:
        for w in range(cache.base.size):
            cache.base[w] = cache.key[w]
        for k in range(signs.size):
            if signs[k] != base.signs[k]:
                cache.lean[k] = 1.0 - cache.lean[k]
                base.signs[k] = signs[k]
    job.info[FULL] = 0
    return slot, 1000 + sums[width + 2] // 4


@embedded
def cache_full(cache):
    return cache.state[SIZE] == cache.uses.size and cache.state[LAST_SIZE] == 0


@njit
def rehash(cache):
    """Sort the filled slots into new, empty buckets."""
    for slot in range(cache.state[SIZE]):
        bucket = np.int64(cache.hashes[slot] & np.uint64(cache.buckets.size - 1))
        cache.following[slot] = cache.buckets[bucket]
        cache.buckets[bucket] = slot
