"""The event loop: from weight flip to weight flip, in time proportional to n for a state seen before.

Between two flips the latents move on straight lines in the mass of the schedule, so the next flip has a
closed form (science.md, 6). Gradients of visited states are kept in a cache of bounded memory; a new state
costs one pass over the data (`passes.py`). What a run means is defined, slowly, in `dense.py`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sterling.dynamics import tally
from sterling.dynamics.lookup import CURRENT_SLOT, cache_full, evaluate, find, note_found
from sterling.dynamics.passes import copy_into
from sterling.dynamics.walk import (
    ABSORBED,
    ANCHOR,
    ARRIVED,
    BEST,
    CARRY,
    CURRENT,
    DISTANCE,
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
    RESTARTED,
    RETURNS,
    SEEKING,
    SOJOURNS,
    TOTAL,
    VISITS,
)
from sterling.exact.jit import embedded, helper, njit
from sterling.exact.machine import clear_lowest, largest_ratio, subtract_and_compare, trailing_zeros
from sterling.exact.mass import KIND_POWER, NARROW_FROM, NARROW_SPAN, build

_mass_between, _guess, _first_reach, _narrow = build(helper)
_returned, _stayed, _away, _flipped, _note, _restart = tally.build(helper)

_UNSURE = 1e-12  # a flip time this close to a step boundary is decided by the definition itself


class Schedule(NamedTuple):
    """Arguments of the functions of `mass.build`, with the rates divided by ‖v‖²."""

    kind: int
    rate: float
    exponent: float
    sums: np.ndarray


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

    ``ratio`` is the inverse of the mass to the flip, ``pace`` the step size of late, 0 if unknown. Where
    that foretells the step so clearly that rounding cannot matter, one mass settles it; anything else is
    decided by the definition, to the last bit.
    """
    anchor = walk.clock[ANCHOR]
    target = 1.0 / ratio
    if pace > 0.0 and anchor >= NARROW_FROM and ratio * pace * (NARROW_SPAN - 1) > 1.0:
        span = math.floor(1.0 / (ratio * pace)) + 1.0
        step = anchor + np.int64(span)
        mass = schedule.rate * _narrow(schedule.exponent, span, float(anchor) + 0.5 * (span + 1.0))
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
        if walk.tally.size:
            _restart(walk.tally, walk.signs.size)
        return True
    return False


@embedded
def _close(walk, log, step):
    """Account for the stretch from the anchor to ``step``, in which the weights rested."""
    clock = walk.clock
    anchor, occupied, counting = clock[ANCHOR], clock[OCCUPIED], walk.tally.size > 0
    present = clock[DISTANCE] == 0
    if present:
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
                if counting:
                    _returned(walk.tally, walk.signs.size, anchor - clock[LEFT])
        clock[OCCUPIED] += step - anchor
    elif clock[ARRIVED] >= 0:
        clock[SOJOURNS] += 1
        if log.sojourns.size:
            log.sojourns[log.counts[LOGGED_SOJOURNS]] = anchor - clock[ARRIVED]
            log.counts[LOGGED_SOJOURNS] += 1
        if counting:
            _stayed(walk.tally, anchor - clock[ARRIVED])
        clock[LEFT] = anchor
        clock[ARRIVED] = -1
    if counting:
        if not present:
            _away(walk.tally, clock[DISTANCE])
        if walk.tally[tally.NEXT] <= step:
            _note(walk.tally, anchor, step, occupied, clock[VISITS], present)


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
    leaving = clock[DISTANCE] == 0
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
                record["step"] = step
                record["coordinate"] = k
                record["sign"] = -sign
                log.counts[LOGGED] += 1
            if walk.tally.size:
                _flipped(walk.tally, signs.size, k, leaving)
    walk.mass[PENDING] = 0.0
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


@njit
def advance(data, base, job, scratch, schedule, unit, walk, cache, log, until, budget):
    """Run the events up to step ``until``, or until something needs the caller.

    ``budget`` is spent in units of about a nanosecond, so that the caller can look after signals and the
    display. Returns one of the reasons of `walk.py`.
    """
    size = walk.signs.size
    pace = 0.0
    slot = find(cache)
    while True:
        if slot < 0:
            if budget <= 0:
                return PAUSED
            if cache_full(cache):
                return GROW
            slot, cost = evaluate(data, base, job, scratch, cache, walk, unit)
            budget -= cost
        else:
            note_found(cache, slot)
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
        slot = find(cache)
        budget -= 2 * size + 60
