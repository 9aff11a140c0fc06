"""The event loop moves from flip to flip, in time proportional to n if the state was seen before.

Between two flips the latents move on straight lines in the mass of the schedule, so the next flip has a
closed form (docs/science, 6). Gradients of visited states are kept in a cache of bounded memory; a new state
costs one pass over the data (`passes.py`). `dense.py` defines what a run is.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sterling.dynamics.lookup import close, flip, full, rest, spend, visit
from sterling.dynamics.state import ABSORBED, ANCHOR, DISTANCE, EPOCH, FOUND, FULL_LOG, PAUSED, REACHED
from sterling.exact.jit import embedded, helper, njit
from sterling.exact.machine import clear_lowest, largest_ratio, subtract_and_compare, trailing_zeros
from sterling.exact.mass import KIND_POWER, NARROW_FROM, NARROW_SPAN, build, make_search

_mass_between, _guess, _first_reach, _narrow = build(helper)

_UNSURE = 1e-12  # a flip time this close to a step boundary is decided by the definition itself


class StepSizes(NamedTuple):
    """A schedule as the functions of `mass.build` take it, with the rates divided by ‖v‖²."""

    kind: int
    rate: float
    exponent: float
    sums: np.ndarray


@embedded
def fastest(gradient, latent):
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
def _flips_at(args, anchor, step):
    """Return whether some weight has flipped by this step, and the mass up to it: the definition."""
    schedule, gradient, latent, signs = args
    mass = _mass_between(schedule.kind, schedule.rate, schedule.exponent, schedule.sums, anchor, step)
    for k in range(latent.size):
        if (latent[k] - mass * gradient[k] >= 0.0) != (signs[k] > 0):
            return True, mass
    return False, mass


_search = helper(make_search(_flips_at))


@embedded
def _next_flip(schedule, gradient, run, ratio, until, pace):
    """Return the first step after the anchor with a flip, at most until + 1, and the mass up to it.

    ``ratio`` is the inverse of the mass to the flip, ``pace`` the recent step size, 0 if unknown. Often
    they give the step so clearly that rounding cannot matter, and one mass proves it. Otherwise the
    definition decides, to the last bit; the mass gives a guess that is right up to rounding.
    """
    begun = run.clock[EPOCH]  # step at which the schedule began
    anchor = run.clock[ANCHOR] - begun
    until -= begun
    target = 1.0 / ratio
    if pace > 0.0 and anchor >= NARROW_FROM and ratio * pace * (NARROW_SPAN - 1) > 1.0:
        span = math.floor(1.0 / (ratio * pace)) + 1.0
        step = anchor + np.int64(span)
        mass = schedule.rate * _narrow(schedule.exponent, span, float(anchor) + 0.5 * (span + 1.0))
        last_rate = 1.0 - abs(schedule.exponent) * span / (anchor + 1.0)  # lower bound as a share of the mean
        if (
            step <= until
            and mass > target * (1.0 + _UNSURE)
            and mass * (span - last_rate) < target * span * (1.0 - _UNSURE)
        ):
            return begun + step, mass
    kind, rate, exponent, sums = schedule
    step = _guess(kind, rate, exponent, anchor, target)
    step = _first_reach(kind, rate, exponent, sums, anchor, target, step, until)
    step, mass = _search((schedule, gradient, run.latent, run.signs), anchor, step, until)
    return begun + step, mass


@embedded
def move_latents(latent, gradient, mass, first):
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
def _step_to(run, gradient, cache, log, step, mass):
    """Move to the step of the next flip, and flip."""
    latent = run.latent
    total = spend(run, mass)
    words = cache.keys.shape[0]
    leaving = run.clock[DISTANCE] == 0
    for word in range(words):
        mask = move_latents(latent, gradient, mass, 64 * word)
        cache.key[word] ^= mask
        while mask != 0:
            k = 64 * word + trailing_zeros(mask)
            mask = clear_lowest(mask)
            cache.key[words] ^= cache.zobrist[k]
            flip(run, log, step, total, k, leaving)
    rest(run, step)


@njit
def advance(data, base, job, scratch, schedule, unit, run, cache, log, until, budget):
    """Run the events up to step ``until``, or until the caller is needed; return a reason of `state.py`.

    ``budget`` limits the work, in units of about a nanosecond, so that the caller can check signals and
    update the display.
    """
    size = run.signs.size
    pace = 0.0
    while True:
        slot, status, cost = visit(data, base, job, scratch, cache, run, log, unit, budget)
        if status != FOUND:
            return status
        gradient = cache.gradients[slot]
        ratio = fastest(gradient, run.latent)
        if ratio <= 0.0:
            return ABSORBED
        budget -= cost
        if budget <= 0:
            return PAUSED
        if full(log, size):
            return FULL_LOG
        step, mass = _next_flip(schedule, gradient, run, ratio, until, pace)
        if step > until:
            return REACHED
        if schedule.kind == KIND_POWER:
            pace = mass / float(step - run.clock[ANCHOR])
        close(run, log, step)
        _step_to(run, gradient, cache, log, step, mass)
        budget -= 2 * size + 60
