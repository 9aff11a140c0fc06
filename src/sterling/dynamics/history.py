"""The errors of a run over time, in bins that grow with time; `plot` draws them.

They are computed from the recorded flips, so they are exact for any number of steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sterling.schedules import Schedule, Table

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit

_BINS = 240  # largest number of bins


@dataclass(frozen=True)
class History:
    """Errors of a run over time. Bin i holds the iterates w_t with edges[i] ≤ t < edges[i + 1]."""

    edges: np.ndarray
    mean: np.ndarray  # Hamming distance to the reference over the iterates of each bin
    low: np.ndarray
    high: np.ndarray
    ergodic: np.ndarray  # int64 (bins,), of the sign of the ergodic mean of all iterates before the bin's end

    @property
    def centres(self) -> np.ndarray:
        """Geometric middle of the steps of each bin."""
        return np.sqrt(self.edges[:-1] * (self.edges[1:] - 1.0))


def history(orbit: Orbit) -> History:
    """Return the errors over time, as far as flips were recorded; InputError if they were not."""
    end = max(1, orbit.flips_complete_to)
    edges = np.unique(np.rint(np.geomspace(1, end, _BINS)).astype(np.int64))
    edges = np.union1d([0, end // 10], edges)  # one edge at a tenth of the steps, which the text mentions
    steps, after = orbit._distances
    count = np.searchsorted(steps, end)
    flips, steps, after = orbit.flips[:count], steps[:count], after[: count + 1]  # the distance after flips
    moments = np.concatenate([[0], np.cumsum(np.diff(after) * steps)])
    before = np.searchsorted(steps, edges)  # flips before each edge
    sums = edges * after[before] - moments[before]  # Σ distance over t < edge
    mean = np.diff(sums) / np.diff(edges)
    last = np.ones(len(steps), bool)  # within a step, only the distance after the last flip is real
    last[:-1] = steps[1:] != steps[:-1]
    moved, reached = steps[last], after[1:][last]
    low = after[np.searchsorted(steps, edges[:-1], side="right")]
    high = low.copy()
    first, stop = np.searchsorted(moved, edges[:-1]), np.searchsorted(moved, edges[1:])
    for i in np.flatnonzero(stop > first):
        low[i] = min(low[i], reached[first[i] : stop[i]].min())
        high[i] = max(high[i], reached[first[i] : stop[i]].max())
    return History(edges, mean, low, high, _ergodic_errors(orbit, flips, edges))


def _ergodic_errors(orbit: Orbit, flips: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the distance of sign(Σ η_s w_s, s < edge) to the reference at the end of each bin."""
    clock = _mass_at(orbit, edges, edges)
    shape = (len(edges) - 1, orbit.n)
    cell = (np.searchsorted(edges, flips["step"], side="right") - 1) * orbit.n + flips["coordinate"]
    turn = orbit._moves[: len(flips)].astype(np.float64)  # what a flip adds to the sign, from its step on
    weighted = turn * _mass_at(orbit, flips["step"], edges)

    def so_far(amounts):
        return np.bincount(cell, amounts, shape[0] * shape[1]).reshape(shape).cumsum(axis=0)

    balance = (so_far(turn) + orbit.start_signs) * clock[1:, None] - so_far(weighted)
    average = balance / np.maximum(clock[1:, None], np.finfo(float).tiny)
    return np.count_nonzero(orbit._quantiser.nearest(average) != orbit.reference, axis=1)


def _mass_at(orbit: Orbit, steps: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the mass of a run at many steps, summed over its restarts."""
    schedule = orbit.schedule
    if orbit.restart is None:
        return _plain_mass_at(schedule, steps, edges)
    every = orbit.restart.every
    local = np.unique(np.rint(np.geomspace(1, every, _BINS)).astype(np.int64))
    restarts, since = np.divmod(steps, every)
    return restarts * schedule.mass(every) + _plain_mass_at(schedule, since, np.union1d([0], local))


def _plain_mass_at(schedule: Schedule, steps: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return the mass H at many steps: exact for a table, otherwise interpolated between the edges.

    The interpolation is linear in the integral of the power law. As a function of that integral, H is a
    straight line up to the small terms of Euler and Maclaurin.
    """
    if isinstance(schedule, Table):
        sums = np.concatenate([[0.0], np.cumsum(schedule.rates)])
        length = len(schedule.rates)
        return sums[np.minimum(steps, length)] + np.maximum(steps - length, 0) * schedule.rates[-1]
    power = 1.0 - float(schedule._kernel_arguments()[2])

    def axis(t):
        middle = np.asarray(t) + 0.5
        return np.log(middle) if abs(power) < 1e-9 else middle**power / power

    return np.interp(axis(steps), axis(edges), [schedule.mass(int(edge)) for edge in edges])
