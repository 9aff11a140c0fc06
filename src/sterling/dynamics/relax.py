"""The event loop for latents that relax: damping, decay, a band of hysteresis, Bop (docs/science, 17).

While no weight turns, u_t = u_a − M·F with F = pull·G − back·b + κ u_a, so latents move on straight lines
in M as plain ones do in the mass (`kernels.py`). M is the mass H where κ = 0, else (1 − e^{−L})/κ in the
clock L of `exact/relaxation.py`. A band shifts the threshold of every latent away from zero. `Movement` in
`motion.py` defines all of this in NumPy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sterling.dynamics.kernels import fastest, move_latents
from sterling.dynamics.lookup import close, flip, full, rest, spend, visit
from sterling.dynamics.state import ABSORBED, ANCHOR, DISTANCE, FOUND, FULL_LOG, PAUSED, REACHED
from sterling.exact.jit import embedded, helper, njit
from sterling.exact.machine import clear_lowest, trailing_zeros
from sterling.exact.mass import KIND_POWER, build, make_search
from sterling.exact.relaxation import build_clock

_mass_between, _guess, _, _ = build(helper)
_clock_between, _decay, _spent = build_clock(helper)

_UNSURE = 1e-9  # a flip time this close to a step, relative to the interval, is decided by the definition
_CLOSE = 1e-12  # the same for travels that are compared themselves
_BARELY = 1e-9  # a ratio this close to κ says too little about whether the weight can turn
_TINY = 5e-324

#: Intervals of up to this many steps are looked up.
SHORT = 256


class Relaxation(NamedTuple):
    """How latents move: the numbers of `optimizers.base.Motion`, the schedule, and its clock."""

    pull: float
    back: float
    kappa: float
    band: float
    hold: float  # weight k turns in the end if and only if pull·b_k G_k is larger
    kind: int  # of the schedule, as the functions of `mass.build` take it
    rate: float
    exponent: float
    sums: np.ndarray
    clock_kind: int  # of the clock, as `build_clock` takes it
    clock_rate: float
    clock_sums: np.ndarray
    force: np.ndarray  # float64 (n,), room, as are the next
    shifted: np.ndarray  # u + band·b, which changes its sign where a weight turns; unused without a band
    home: np.ndarray  # back·b
    away: np.ndarray  # band·b
    travels: np.ndarray  # float64 (SHORT,), M of 0, 1, … steps at a constant rate


@embedded
def _prepare(way, run, gradient, shifted):
    """Compute the force; return the inverse of M at the next flip, ≤ 0 for never."""
    force, home, latent = way.force, way.home, run.latent
    pull, kappa = way.pull, way.kappa
    for k in range(latent.size):
        force[k] = (pull * gradient[k] - home[k]) + kappa * latent[k]
    ratio = fastest(force, shifted)
    if ratio <= kappa * (1.0 + _BARELY):
        ratio = -1.0
        for k in range(latent.size):
            if pull * gradient[k] * run.signs[k] > way.hold:
                ratio = max(ratio, force[k] / shifted[k] if shifted[k] != 0.0 else math.inf)
    return ratio


@helper
def _travel(way, t0, t1):
    """Return M over t0 ≤ t < t1."""
    if way.kappa == 0.0:
        return _mass_between(way.kind, way.rate, way.exponent, way.sums, t0, t1)
    clock = _clock_between(way.clock_kind, way.clock_rate, way.exponent, way.clock_sums, t0, t1)
    return _spent(clock) / way.kappa


@helper
def _turns_at(args, anchor, step):
    """Return whether some weight has turned by this step, and the travel up to it: the definition."""
    way, shifted, gradient, signs = args
    force, travel = way.force, _travel(way, anchor, step)
    for k in range(signs.size):
        crossed = (shifted[k] - travel * force[k] >= 0.0) != (signs[k] > 0)
        if crossed and way.pull * gradient[k] * signs[k] > way.hold:
            return True, travel
    return False, travel


_search = helper(make_search(_turns_at))


@embedded
def _next_flip(way, shifted, gradient, run, ratio, until):
    """Return the first step after the anchor with a flip, at most until + 1, and the travel up to it.

    At a constant rate a table or the clock gives the step, unless rounding could matter. Then the definition
    decides.
    """
    anchor = run.clock[ANCHOR]
    target = 1.0 / ratio
    share = way.kappa * target
    if way.kind == KIND_POWER and way.exponent == 0.0 and share < 0.999:
        steps = target / way.rate  # a lower bound, since M ≤ H
        if steps < SHORT:
            index = np.int64(steps) + 1
            while index < SHORT and way.travels[index] <= target:
                index += 1
            if index < SHORT and index <= until - anchor:
                travel, before = way.travels[index], way.travels[index - 1]
                if travel > target * (1.0 + _CLOSE) and before < target * (1.0 - _CLOSE):
                    return anchor + index, travel
        if way.kappa != 0.0:
            steps = _decay(share) / way.clock_rate
        span = math.floor(steps) + 1.0
        unsure = _UNSURE * span
        if span <= until - anchor and unsure < steps - (span - 1.0) and steps < span - unsure:
            travel = way.rate * span if way.kappa == 0.0 else _spent(way.clock_rate * span) / way.kappa
            return anchor + np.int64(span), travel
    step = until
    if share < 1.0:  # else rounding decides whether the latent ever arrives
        mass = target if way.kappa == 0.0 else _decay(share) / way.kappa
        step = _guess(way.kind, way.rate, way.exponent, anchor, mass)
    return _search((way, shifted, gradient, run.signs), anchor, step, until)


@embedded
def _unshift(latent, shifted, away):
    """Compute latents from shifted ones, and these again, since the definition rounds both sums.

    A loop from zero to a size is vectorised; one between two bounds is not.
    """
    for k in range(latent.size):
        plain = shifted[k] - away[k]
        latent[k] = plain
        shifted[k] = plain + away[k]


@embedded
def _step_to(way, shifted, run, gradient, cache, log, step, travel):
    """Move to the step of the next flip, and flip."""
    latent = run.latent
    mass = _mass_between(way.kind, way.rate, way.exponent, way.sums, run.clock[ANCHOR], step)
    total = spend(run, mass)
    words = cache.keys.shape[0]
    leaving = run.clock[DISTANCE] == 0
    for word in range(words):
        mask = move_latents(shifted, way.force, travel, 64 * word)
        if way.band != 0.0:
            _unshift(latent[64 * word : 64 * word + 64], shifted[64 * word :], way.away[64 * word :])
        while mask != 0:
            k = 64 * word + trailing_zeros(mask)
            mask = clear_lowest(mask)
            sign = run.signs[k]
            if way.pull * gradient[k] * sign > way.hold:
                cache.key[word] ^= np.uint64(1) << np.uint64(k - 64 * word)
                cache.key[words] ^= cache.zobrist[k]
                flip(run, log, step, total, k, leaving)
                way.home[k], way.away[k] = -way.home[k], -way.away[k]
            else:  # the latent stays on its side; only rounding took it across
                latent[k] = (0.0 if sign > 0 else -_TINY) - way.band * float(sign)
            if way.band != 0.0:
                shifted[k] = latent[k] + way.away[k]
    rest(run, step)


@njit
def advance(data, base, job, scratch, way, unit, run, cache, log, until, budget):
    """Run the events up to step ``until``, as `kernels.advance` does."""
    size = run.signs.size
    shifted = run.latent if way.band == 0.0 else way.shifted
    for k in range(size):
        way.home[k], way.away[k] = way.back * float(run.signs[k]), way.band * float(run.signs[k])
        if way.band != 0.0:
            shifted[k] = run.latent[k] + way.away[k]
    if way.kind == KIND_POWER and way.exponent == 0.0:
        for span in range(SHORT):
            way.travels[span] = _travel(way, 0, span)
    while True:
        slot, status, cost = visit(data, base, job, scratch, cache, run, log, unit, budget)
        if status != FOUND:
            return status
        gradient = cache.gradients[slot]
        ratio = _prepare(way, run, gradient, shifted)
        if ratio <= 0.0:
            return ABSORBED
        budget -= cost
        if budget <= 0:
            return PAUSED
        if full(log, size):
            return FULL_LOG
        step, travel = _next_flip(way, shifted, gradient, run, ratio, until)
        if step > until:
            return REACHED
        close(run, log, step)
        _step_to(way, shifted, run, gradient, cache, log, step, travel)
        budget -= 3 * size + 120
