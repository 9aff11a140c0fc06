"""The event loop: from weight flip to weight flip, in time proportional to n for a state seen before.

Between two flips the latents move on straight lines in the mass of the schedule, so the next flip has a
closed form (science.md, 6). Gradients of visited states are kept in a cache of bounded memory; a new state
costs one pass over the data (`passes.py`). What a run means is defined, slowly, in `dense.py`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sterling import schedules
from sterling._jit import (
    clear_lowest,
    embedded,
    helper,
    largest_ratio,
    njit,
    ones,
    subtract_and_compare,
    trailing_zeros,
)
from sterling.dynamics.passes import CONSTANT, COUNT, FULL, LEAD, LEAD_CONSTANT, MOVE, copy_into, run_job
from sterling.dynamics.walk import (
    ABSORBED,
    ANCHOR,
    ARRIVED,
    BEST,
    CARRY,
    CURRENT,
    DISTANCE,
    EVALUATIONS,
    EVENTS,
    FIRST_HIT,
    FLIPS,
    FULL_LOG,
    GROW,
    LEFT,
    LOGGED,
    LOGGED_RETURNS,
    LOGGED_SOJOURNS,
    OCCUPIED,
    PAUSED,
    PENDING,
    REACHED,
    READ,
    RESTARTED,
    RETURNS,
    SEEKING,
    SOJOURNS,
    TOTAL,
    VISITS,
)

KIND_POWER = schedules.KIND_POWER
_mass_between, _guess, _first_reach = schedules.build(helper)

# Cells of Cache.state
SIZE, HAND, CURRENT_SLOT, LAST_SIZE = range(4)  # LAST_SIZE is 1 once the memory bound forbids growth

_SEARCHED = 1 << 14  # cached states among which the nearest to a new one is sought
_LEAN = 0.1  # weight of the newest state in the base's choice of place
_MANY = 1 << 30  # uses are not counted beyond
_NEAR = 1e6  # stretches up to so many steps are foretold from the last step size
_UNSURE = 1e-12  # a flip time this close to a step boundary is decided by the definition itself


class Schedule(NamedTuple):
    """Arguments of the functions of `schedules.build`, with the rates divided by ‖v‖²."""

    kind: int
    rate: float
    exponent: float
    sums: np.ndarray


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
    lean: np.ndarray  # float64 (n,), recent share of new states that differ from the base
    apart: np.ndarray  # int64, room for distances


@embedded
def _fastest(gradient, latent):
    """Return max_k G_k/u_k; its inverse is the mass to the next flip, and ≤ 0 means never.

    A latent moves towards zero where G_k and u_k have the same sign. A zero latent, which has sign +1, flips
    at once if G_k > 0 and never otherwise.
    """
    best = -1.0
    size = latent.size
    k = 0
    while k + 8 <= size:
        best = max(best, largest_ratio(gradient, latent, k))
        k += 8
    while k < size:
        best = max(best, gradient[k] / latent[k] if latent[k] != 0.0 else math.inf)
        k += 1
    if best == math.inf:
        best = -1.0
        for k in range(size):
            if latent[k] != 0.0:
                best = max(best, gradient[k] / latent[k])
            elif gradient[k] > 0.0:
                best = math.inf
    return best


@helper
def _flips_at(gradient, latent, signs, mass):
    """Whether some weight differs once so much mass is spent: the definition, to the last bit."""
    for k in range(latent.size):
        if (latent[k] - mass * gradient[k] >= 0.0) != (signs[k] > 0):
            return True
    return False


@embedded
def _mass(schedule, start, stop):
    return _mass_between(schedule.kind, schedule.rate, schedule.exponent, schedule.sums, start, stop)


@embedded
def _next_flip(schedule, gradient, walk, ratio, until, pace):
    """Return the first step after the anchor with a flip, at most until + 1, and the mass up to it.

    ``ratio`` is the inverse of the mass to the flip, ``pace`` the step size of late, 0 if unknown. Where it foretells the step so clearly that rounding
    cannot matter, one mass settles it; anything else is decided by the definition, to the last bit.
    """
    anchor = walk.clock[ANCHOR]
    target = 1.0 / ratio
    if pace > 0.0 and ratio * pace * _NEAR > 1.0:
        span = math.floor(1.0 / (ratio * pace)) + 1.0
        step = anchor + np.int64(span)
        mass = _mass(schedule, anchor, step)
        last_rate = 1.0 - abs(schedule.exponent) * span / (anchor + 1.0)  # at least, as a share of the mean
        if (
            step <= until
            and mass > target * (1.0 + _UNSURE)
            and mass * (span - last_rate) < target * span * (1.0 - _UNSURE)
        ):
            return step, mass
    step = _guess(schedule.kind, schedule.rate, schedule.exponent, anchor, target)
    step = _first_reach(
        schedule.kind, schedule.rate, schedule.exponent, schedule.sums, anchor, target, step, until
    )
    mass = _mass(schedule, anchor, step)
    while step <= until and not _flips_at(gradient, walk.latent, walk.signs, mass):
        step += 1
        mass = _mass(schedule, anchor, step)
    while step - 1 > anchor:
        earlier = _mass(schedule, anchor, step - 1)
        if not _flips_at(gradient, walk.latent, walk.signs, earlier):
            break
        step, mass = step - 1, earlier
    return step, mass


@embedded
def _find(cache):
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
    """Return the cached state with the fewest signs unlike the current one, looking at the newest slots."""
    words = cache.keys.shape[0]
    size = cache.state[SIZE]
    best = np.int64(64 * words + 1)
    found = np.int64(-1)
    stop = size
    while stop > 0 and stop > size - _SEARCHED and best > 1:
        start = max(0, stop - cache.apart.size)
        apart = cache.apart[: stop - start]
        for i in range(apart.size):
            apart[i] = 0
        for w in range(words):
            theirs, mine = cache.keys[w, start:stop], cache.key[w]
            for i in range(apart.size):
                apart[i] += ones(theirs[i] ^ mine)
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
def _evaluate(data, base, job, scratch, cache, walk, unit):
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
        for k in range(signs.size):
            if signs[k] != base.signs[k]:
                cache.lean[k] = 1.0 - cache.lean[k]
                base.signs[k] = signs[k]
    job.info[FULL] = 0
    return slot, 1000 + sums[width + 2] // 4


@embedded
def _look_at_reference(walk, square):
    """While seeking, take a state of lower risk than any before as the reference."""
    clock = walk.clock
    clock[CURRENT] = square
    if clock[SEEKING] and square < clock[BEST]:
        clock[BEST] = square
        copy_into(walk.reference, walk.signs, walk.signs.size)
        clock[DISTANCE] = 0
        clock[VISITS] = 0
        clock[FIRST_HIT] = -1
        clock[OCCUPIED] = 0
        clock[ARRIVED] = -1
        clock[LEFT] = -1
        clock[RETURNS] = 0
        clock[SOJOURNS] = 0
        return True
    return False


@embedded
def _close(walk, log, step):
    """Account for the stretch from the anchor to ``step``, in which the weights rested."""
    clock = walk.clock
    anchor = clock[ANCHOR]
    if clock[DISTANCE] == 0:
        if clock[ARRIVED] < 0:
            clock[ARRIVED] = anchor
            clock[VISITS] += 1
            if clock[FIRST_HIT] < 0:
                clock[FIRST_HIT] = anchor
            if clock[LEFT] >= 0:
                clock[RETURNS] += 1
                if log.returns.size:
                    log.returns[log.counts[LOGGED_RETURNS]] = anchor - clock[LEFT]
                    log.counts[LOGGED_RETURNS] += 1
        clock[OCCUPIED] += step - anchor
    elif clock[ARRIVED] >= 0:
        clock[SOJOURNS] += 1
        if log.sojourns.size:
            log.sojourns[log.counts[LOGGED_SOJOURNS]] = anchor - clock[ARRIVED]
            log.counts[LOGGED_SOJOURNS] += 1
        clock[LEFT] = anchor
        clock[ARRIVED] = -1


@embedded
def _move_latents(latent, gradient, mass, first):
    """Move up to 64 latents; bit i says that weight first + i flips."""
    mask = np.uint64(0)
    last = min(first + 64, latent.size)
    k = first
    while k + 8 <= last:
        mask |= subtract_and_compare(latent, gradient, mass, k) << np.uint64(k - first)
        k += 8
    while k < last:
        before = latent[k]
        latent[k] = before - mass * gradient[k]
        if (before >= 0.0) != (latent[k] >= 0.0):
            mask |= np.uint64(1) << np.uint64(k - first)
        k += 1
    return mask


@embedded
def _step_to(walk, gradient, cache, log, step, mass):
    """Move to the step of the next flip, and flip."""
    clock, latent, signs = walk.clock, walk.latent, walk.signs
    # Two-float sum: the mass of a long run keeps its last digits.
    total, carry = walk.mass[TOTAL], walk.mass[CARRY]
    part = mass + carry
    new = total + part
    walk.mass[TOTAL], walk.mass[CARRY] = new, part - (new - total)
    words = cache.keys.shape[0]
    for word in range(words):
        mask = _move_latents(latent, gradient, mass, 64 * word)
        cache.key[word] ^= mask
        while mask != 0:
            k = 64 * word + trailing_zeros(mask)
            mask = clear_lowest(mask)
            sign = signs[k]
            if sign > 0:
                walk.plus[k] += step - walk.since[k]
            walk.balance[k] += sign * (new - walk.since_mass[k])
            walk.since[k] = step
            walk.since_mass[k] = new
            clock[DISTANCE] += 1 if sign == walk.reference[k] else -1
            signs[k] = -sign
            cache.key[words] ^= cache.zobrist[k]
            clock[FLIPS] += 1
            if log.flips.size:
                record = log.flips[log.counts[LOGGED]]
                record.step = step
                record.coordinate = k
                record.sign = -sign
                log.counts[LOGGED] += 1
    clock[ANCHOR] = step
    clock[EVENTS] += 1


@embedded
def _log_full(log, n):
    counts = log.counts
    return (
        (log.flips.size > 0 and counts[LOGGED] + n > log.flips.size)
        or (log.returns.size > 0 and counts[LOGGED_RETURNS] >= log.returns.size)
        or (log.sojourns.size > 0 and counts[LOGGED_SOJOURNS] >= log.sojourns.size)
    )


@embedded
def _cache_full(cache):
    return cache.state[SIZE] == cache.uses.size and cache.state[LAST_SIZE] == 0


@njit
def rehash(cache):
    """Sort the filled slots into new, empty buckets."""
    for slot in range(cache.state[SIZE]):
        bucket = np.int64(cache.hashes[slot] & np.uint64(cache.buckets.size - 1))
        cache.following[slot] = cache.buckets[bucket]
        cache.buckets[bucket] = slot


@njit
def advance(data, base, job, scratch, schedule, unit, walk, cache, log, until, budget):
    """Run the events up to step ``until``, or until something needs the caller.

    ``budget`` is spent in units of about a nanosecond, so that the caller can look after signals and the
    display. Returns one of the reasons of `walk.py`.
    """
    size = walk.signs.size
    pace = 0.0
    slot = _find(cache)
    while True:
        if slot < 0:
            if budget <= 0:
                return PAUSED
            if _cache_full(cache):
                return GROW
            slot, cost = _evaluate(data, base, job, scratch, cache, walk, unit)
            budget -= cost
        elif cache.uses[slot] < _MANY:
            cache.uses[slot] += 1
        cache.state[CURRENT_SLOT] = slot
        if walk.clock[CURRENT] != cache.squares[slot] and _look_at_reference(walk, cache.squares[slot]):
            log.counts[LOGGED_RETURNS] = 0
            log.counts[LOGGED_SOJOURNS] = 0
            return RESTARTED  # what was recorded of the former reference is void
        gradient = cache.gradients[slot]
        ratio = _fastest(gradient, walk.latent)
        if ratio <= 0.0:
            walk.mass[PENDING] = math.inf
            return ABSORBED
        if budget <= 0:
            return PAUSED
        if _log_full(log, size):
            return FULL_LOG
        step, mass = _next_flip(schedule, gradient, walk, ratio, until, pace)
        if step > until:
            walk.mass[PENDING] = 1.0 / ratio
            return REACHED
        if schedule.kind == KIND_POWER:
            pace = mass / float(step - walk.clock[ANCHOR])
        _close(walk, log, step)
        _step_to(walk, gradient, cache, log, step, mass)
        slot = _find(cache)
        budget -= 2 * size + 60
