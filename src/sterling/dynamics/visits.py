"""The visits of a run to its reference: their counts, and what these say about the long run.

Some weights reach their first flip late. Latents move in proportion to the mass of the schedule, not to
steps: the weights that flip within the mass H are those that will be wrong in a share √(2π)/H of the steps or
more. Weights that flip later lower the occupancy by about that share again, while chance moves its estimate
by about 1/√T. Where H is not far above √T, as with rates like 1/√t, the interval of the long run is corrected
twice:

1. It leaves out the first three quarters of the steps, not just one quarter: some weights flip late.
2. Its lower end allows for weights that have not flipped. If the latent nears zero at speed g per unit of
   mass, its weight is wrong for a share of about g/S of the time (mean-field). Twice that share is
   subtracted. S = (μ′(0+) + μ′(0−))/√(2πn) is the mean pull on one wrong weight to leading order in 1/n, for
   inputs of unit variance; it is exact for ReLU and identity.

`python -m benchmarks.papers.recurrence --coverage` counts in how many of 96 data sets the interval contains
the stationary value. With rates 0.5/√(t + 1) it does in 91 after 10⁵ steps and in 90 after 10⁶; with constant
rates of 0.1 and 0.003 in 93 and 88 after 10⁵ steps.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from sterling.dynamics import state as cell
from sterling.errors import InputError
from sterling.returns.batch_means import BURN_IN, LONG_BURN_IN
from sterling.returns.counts import VisitCounts
from sterling.returns.recurrence import Recurrence, recurrence
from sterling.schedules import MAX_STEPS, Schedule
from sterling.surrogates import Surrogate

#: An `Orbit`, which itself calls the functions here.
Orbit = Any

_AMPLE = 15  # mass in units of √T above which the effect of late flips is lost in the noise
_ALLOWED = 2.0  # safety factor on the shares of weights that will flip, whose speed is known only roughly
_NEAR = 1e-9  # an argument close to zero, to evaluate μ′ on either side of the step


def counts_of(orbit: Orbit) -> VisitCounts:
    """Return the counts of visits at the end of a run that counted them."""
    end = orbit._end
    away, stayed = cell.completed(end.clock, orbit.steps)
    return VisitCounts.read(
        end.tally,
        steps=orbit.steps,
        visits=orbit.visits,
        occupied=int(end.clock[cell.OCCUPIED]),
        away=away,
        stayed=stayed,
    )


def recurrence_of(orbit: Orbit) -> Recurrence:
    """Return the statistics that `Orbit.recurrence` describes."""
    if not orbit.counted:
        raise InputError('the visits to the reference were not counted: run with record=("recurrence",)')
    resting = orbit._end.since == 0
    before, now = orbit.start_latent, orbit.latent
    # After a restart no weight is on its way; other optimisers do not move in proportion to the mass.
    over = orbit.certified or orbit.restart is not None or not orbit._plain
    found = () if over else _arrivals(orbit.schedule, orbit.steps, before, now, resting)
    coming = [k for k, _ in found]
    mass = orbit.schedule.mass(orbit.steps)
    return recurrence(
        counts_of(orbit),
        reference_kind=orbit.reference_kind,
        certified=orbit.certified,
        burn_in=BURN_IN if mass >= _AMPLE * math.sqrt(orbit.steps) else LONG_BURN_IN,
        since=(orbit.first_hit or 0) if orbit.reference_kind != "teacher" else 0,
        names=orbit.weight_names,
        arrivals=found,
        allowance=_allowance(orbit._course.options.surrogate, mass, before[coming], now[coming], orbit.n),
    )


def _arrivals(
    schedule: Schedule, steps: int, before: np.ndarray, now: np.ndarray, resting: np.ndarray
) -> tuple[tuple[int, float], ...]:
    """Return (weight, predicted step of its first flip) for latents that near zero, the earliest first.

    ``before`` and ``now`` are the latents at step 0 and at ``steps``; ``resting`` marks weights that never
    flipped.
    """
    before, now = np.abs(before), np.abs(now)
    spent = schedule.mass(steps)
    found = []
    for k in np.flatnonzero(resting & (now < before)):
        needed = spent * before[k] / (before[k] - now[k])
        step = None
        if schedule.mass(MAX_STEPS) >= needed:
            step = schedule.first_reach(0, float(needed))
        found.append((int(k), math.inf if step is None else float(max(step, steps + 1))))
    return tuple(sorted(found, key=lambda pair: pair[1]))


def _allowance(surrogate: Surrogate, mass: float, before: np.ndarray, now: np.ndarray, n: int) -> float:
    """Return the factor by which weights yet to flip can lower the occupancy; latents as in `_arrivals`."""
    slopes = float(surrogate.derivative(_NEAR) + surrogate.derivative(-_NEAR))
    pull = slopes / math.sqrt(2 * math.pi * n)
    if not len(before) or pull <= 0:
        return 1.0
    shares = _ALLOWED * (np.abs(before) - np.abs(now)) / mass / pull
    return float(np.prod(1 - np.minimum(shares, 1)))
