"""How a run leaves its reference and comes back: times, escapes, occupancy with an interval, growth with T.

Made from counts of fixed size that the run keeps (`dynamics/tally.py`), so 10⁹ steps cost no more memory than
10³, and every number counts all of the run, not only the part whose flips were recorded.

**The clock is the step.** The orbit does not change when all step sizes and the first latents are scaled
alike (science.md, 5): a slowly decaying schedule changes the scale of the moving latents, and the lengths of
stays and absences in steps stay as they are. In the mass of the schedule they would shrink. So batches have
equal numbers of steps.

What does move in the mass are latents on a long way: weights that drift to their first flip (`arrivals`).
After the mass H those have arrived whose share of wrong steps will be some √(2π)/H or more; later ones lower
the occupancy further, by as much in all, while chance moves the estimate by some 1/√T. Where H is not far
above √T, as with rates like 1/√t, two things keep the interval of the long run honest. The first three
quarters of the steps are left out, not one, for weights come to the border late in the run too. And the lower
end allows for those still on their way: one that has come closer by the speed g per unit of mass will be
wrong for a share of about g/S of the time (mean-field, S as in `theory.signal`, for inputs of unit variance),
and twice that is taken off. `python -m benchmarks.recurrence --coverage` counts how often it holds
the stationary value: in 91 and 90 of 96 data sets at 10⁵ and 10⁶ steps with rates 0.5/√(t + 1), in 93 and 88
at constant rates of 0.1 and 0.003 (10⁵ steps).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from sterling.dynamics import tally
from sterling.dynamics.walk import ARRIVED, FIRST_HIT, LEFT, OCCUPIED, RETURNS, SOJOURNS
from sterling.errors import InputError
from sterling.schedules import MAX_STEPS
from sterling.visits.batch_means import (
    BURN_IN,
    LONG_BURN_IN,
    Estimate,
    coarsen,
    drift,
    interval,
    ratio_of_halves,
)
from sterling.visits.tails import Tail, tail

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit
    from sterling.schedules import Schedule

_CYCLES = 10  # mean times from one visit to the next that a batch must have at least
_GROWTH_SPAN = 100  # the exponent of growth is that of the last two decades
_FEW = 10  # visits below which growth is not looked at
_AMPLE = 15  # mass in units of √T from which on late arrivals are lost in the noise
_ALLOWED = 2.0  # shares of coming weights are taken this many times: their speed is known to a factor or so


@dataclass(frozen=True, repr=False)
class Times:
    """How long completed absences or stays lasted, in steps.

    Attributes
    ----------
    count : int
    mean : float
        Exact; NaN if there are none.
    longest : int
        0 if there are none.
    starts, counts : int64 (bins,)
        Smallest time of each bin that is not empty, and how many times lie in it.
    stops : int64 (bins,)
        First time beyond each bin: starts + 1 below 64 steps, above it at most 1/32 further.
    tail : Tail
        How the long ones fall off, if that can be told.
    """

    count: int
    mean: float
    longest: int
    starts: np.ndarray
    stops: np.ndarray
    counts: np.ndarray
    tail: Tail

    def quantile(self, share: float) -> float:
        """Return the smallest time t such that at least this share of the times is t or less.

        Exact up to 64 steps; beyond, the middle of a bin that is at most 1/32 of the time wide. NaN if there
        are no times.
        """
        if not self.count:
            return math.nan
        i = int(np.searchsorted(np.cumsum(self.counts), share * self.count - 1e-9))
        i = min(i, len(self.counts) - 1)
        last = min(int(self.stops[i]) - 1, self.longest)
        return (int(self.starts[i]) + last) / 2

    def survival(self) -> tuple[np.ndarray, np.ndarray]:
        """Return times t, int64, and the share of all times that are t or longer: exact, one for each bin."""
        return self.starts, self.counts[::-1].cumsum()[::-1] / max(self.count, 1)

    def to_dict(self) -> dict:
        """Return plain values; the histogram as (start, stop, count) of the bins that are not empty."""
        return {
            "count": self.count,
            "mean": _plain(self.mean),
            "median": _plain(self.quantile(0.5)),
            "quantile_90": _plain(self.quantile(0.9)),
            "quantile_99": _plain(self.quantile(0.99)),
            "longest": self.longest,
            "tail": {name: _plain(value) for name, value in asdict(self.tail).items()},
            "histogram": np.stack([self.starts, self.stops, self.counts], axis=1).tolist(),
        }

    def __repr__(self) -> str:
        if not self.count:
            return "Times(none)"
        return f"Times(count={self.count:,}, mean={self.mean:.4g}, longest={self.longest:,})"


@dataclass(frozen=True, repr=False)
class Recurrence:
    """The statistics of the visits to the reference over the iterates w_0 … w_{T−1}.

    Attributes
    ----------
    steps : int
        T.
    reference_kind : str
        "teacher" or "lowest risk seen".
    certified : bool
        True where the run is proved to be over: absorbed or stalled, so that nothing recurs any more.
    visits : int
        Arrivals at the reference.
    occupancy : float
        Share of the steps spent there.
    long_run : Estimate or None
        Occupancy of a stationary run, with an interval by batch means after the burn-in, its lower end
        lowered for the weights in `arrivals`; None where it cannot be had, `long_run_note` says why.
    burn_in : float
        Share of the steps that the interval leaves out: 1/4, or 3/4 where the mass is not far above √T.
    drift : float or None
        p-value of Geweke's test that the occupancy after the burn-in does not drift; below 0.01 it does.
    returns, sojourns : Times
        Completed absences and completed stays.
    first : int64 (n,)
        Departures from the reference in which each weight flipped, w_T included.
    flips : int64 (n,)
        Flips of each weight.
    reached : int64 (n + 1,)
        Completed absences by the largest Hamming distance to the reference.
    mark_steps, mark_visits, mark_occupied : int64 (marks,)
        Visits and steps at the reference among the iterates before each of the steps, 8 to a factor of two.
    growth : float or None
        Exponent of the number of visits over T, by least squares over the last two decades of steps; the
        points are not independent, so it has no interval.
    halves : Estimate or None
        Visits in the later half of the run over those in the earlier one, again without the first quarter.
    arrivals : tuple of (weight, step)
        Weights that have never flipped but come closer to it, and when they get there at the mean speed of
        the run so far; infinite if the step sizes do not suffice. Then the occupancy falls.
    batch_steps, batch_occupancy : int, float (batches,)
        Steps of a batch, and the share of each that was spent at the reference.
    """

    steps: int
    reference_kind: str
    certified: bool
    visits: int
    occupancy: float
    long_run: Estimate | None
    long_run_note: str
    drift: float | None
    returns: Times
    sojourns: Times
    first: np.ndarray
    flips: np.ndarray
    reached: np.ndarray
    mark_steps: np.ndarray
    mark_visits: np.ndarray
    mark_occupied: np.ndarray
    growth: float | None
    halves: Estimate | None
    arrivals: tuple[tuple[int, float], ...] = ()
    burn_in: float = BURN_IN
    batch_steps: int = 0
    batch_occupancy: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @property
    def escapes(self) -> float:
        """Departures from the reference per 10³ steps."""
        return 1000 * self.sojourns.count / max(self.steps, 1)

    @property
    def recurs(self) -> bool:
        """Whether the reference was left and visited again, and the run is not over."""
        return self.visits >= 2 and not self.certified

    def leavers(self) -> list[tuple[int, float]]:
        """Return (weight, share of the departures in which it flips), the most frequent first."""
        departures = max(int(self.sojourns.count), 1)
        order = np.argsort(-self.first, kind="stable")[: np.count_nonzero(self.first)]
        return [(int(k), min(1.0, float(self.first[k] / departures))) for k in order]

    def summary(self) -> list[tuple[str, str]]:
        """Return the statistics as (name, text) pairs, for tables."""
        from sterling.visits.words import summary

        return summary(self)

    def to_dict(self) -> dict:
        """Return the statistics as plain values."""
        return {
            "steps": self.steps,
            "reference": self.reference_kind,
            "certified": self.certified,
            "visits": self.visits,
            "occupancy": self.occupancy,
            "long_run_occupancy": None if self.long_run is None else asdict(self.long_run),
            "long_run_note": self.long_run_note,
            "burn_in": self.burn_in,
            "drift_p_value": self.drift,
            "escapes_per_1000_steps": self.escapes,
            "returns": self.returns.to_dict(),
            "sojourns": self.sojourns.to_dict(),
            "first_to_leave": self.first.tolist(),
            "flips": self.flips.tolist(),
            "largest_distance": self.reached.tolist(),
            "first_flips_to_come": [[k, _plain(step)] for k, step in self.arrivals],
            "growth_exponent": self.growth,
            "later_half_over_earlier": None if self.halves is None else asdict(self.halves),
            "visits_before_step": np.stack([self.mark_steps, self.mark_visits], axis=1).tolist(),
        }

    def __repr__(self) -> str:
        known = "" if self.long_run is None else f" ± {(self.long_run.high - self.long_run.low) / 2:.2g}"
        return (
            f"Recurrence(visits={self.visits:,}, occupancy={self.occupancy:.4g}{known}, "
            f"escapes={self.escapes:.4g}/1000 steps, mean return={self.returns.mean:.4g}, "
            f"mean stay={self.sojourns.mean:.4g})"
        )


def recurrence(orbit: Orbit) -> Recurrence:
    """Return the statistics of a run's visits to its reference.

    Raises
    ------
    InputError
        If the run did not record them.
    """
    cells, clock = orbit.settled.tally, orbit.settled.clock
    if not cells.size:
        raise InputError('the visits to the reference were not counted: run with record=("recurrence",)')
    tables = tally.tables(cells)
    away, stayed = _totals(clock, orbit.steps)
    marked, batched = int(cells[tally.MARKED]), int(cells[tally.BATCHED])
    length = int(cells[tally.SPACING])
    occupied, visited = np.diff(tables.batches[:batched], axis=0, prepend=[[0, 0]]).T
    steps, counts = tally.mark_steps()[:marked], tables.marks[:marked]
    coming = () if orbit.certified else _arrivals(orbit)
    burn_in = _burn_in(orbit)
    long_run, note, drifting, halves = _long_run(orbit, occupied / length, visited / length, length, burn_in)
    if long_run is not None:
        allowed = _allowance(orbit, [k for k, _ in coming])
        long_run = replace(long_run, low=max(0.0, long_run.low * allowed), high=min(1.0, long_run.high))
    return Recurrence(
        steps=orbit.steps,
        reference_kind=orbit.reference_kind,
        certified=orbit.certified,
        visits=orbit.visits,
        occupancy=orbit.occupancy,
        long_run=long_run,
        long_run_note=note,
        drift=drifting,
        returns=_times(tables.returns, int(clock[RETURNS]), away, int(cells[tally.LONGEST_RETURN])),
        sojourns=_times(tables.sojourns, int(clock[SOJOURNS]), stayed, int(cells[tally.LONGEST_SOJOURN])),
        first=tables.first.copy(),
        flips=tables.flipped.copy(),
        reached=tables.reached.copy(),
        mark_steps=steps,
        mark_occupied=counts[:, 0].copy(),
        mark_visits=counts[:, 1].copy(),
        growth=None if orbit.certified else _growth(steps, counts[:, 1]),
        halves=halves,
        arrivals=coming,
        burn_in=burn_in,
        batch_steps=length,
        batch_occupancy=occupied / length,
    )


def _totals(clock: np.ndarray, steps: int) -> tuple[int, int]:
    """Return the steps in completed absences and in completed stays, from first arrival to last change."""
    first, arrived, left, occupied = (int(clock[cell]) for cell in (FIRST_HIT, ARRIVED, LEFT, OCCUPIED))
    if first < 0:
        return 0, 0
    if arrived < 0:  # away: the last stay is complete
        return left - first - occupied, occupied
    stayed = occupied - (steps - arrived)  # less the stay under way
    return arrived - first - stayed, stayed


def _times(counts: np.ndarray, count: int, total: int, longest: int) -> Times:
    starts = tally.bin_starts()
    filled = np.flatnonzero(counts)
    return Times(
        count,
        total / count if count else math.nan,
        longest,
        starts[filled],
        starts[filled + 1],
        counts[filled],
        tail(counts, starts),
    )


def _burn_in(orbit: Orbit) -> float:
    """Return the share of the run to leave out; why is at the top of this file."""
    ample = orbit.schedule.mass(orbit.steps) >= _AMPLE * math.sqrt(orbit.steps)
    return BURN_IN if ample else LONG_BURN_IN


def _long_run(
    orbit: Orbit, occupancy: np.ndarray, visits: np.ndarray, length: int, burn_in: float
) -> tuple[Estimate | None, str, float | None, Estimate | None]:
    """Return the occupancy of a stationary run, or None and why; the p-value for drift; the ratio of halves.

    The ratio leaves out a quarter of the run, whatever the burn-in: it is there to see change.
    """
    if orbit.certified:
        return None, "the run is over for all time, so there is nothing to estimate", None, None
    counted = visits[math.ceil(BURN_IN * len(visits)) :]
    if not counted.any():
        return None, "no visits after the first quarter of the run", None, None
    least = _CYCLES / float(counted.mean())  # steps from one visit to the next, times the cycles of a batch
    halves = ratio_of_halves(*coarsen(counted, length, least))
    means, steps = coarsen(occupancy[math.ceil(burn_in * len(occupancy)) :], length, least)
    estimate = interval(means, steps)
    if estimate is None:
        return None, "the run is too short, or visits are too rare, for an interval", None, halves
    return estimate, "", drift(means), halves


def _allowance(orbit: Orbit, coming: list[int]) -> float:
    """Return the factor by which weights on their way may lower the occupancy; see the top of this file."""
    from sterling.surrogates import get_surrogate
    from sterling.theory.numbers import Numbers
    from sterling.theory.population import pull

    if not coming:
        return 1.0
    before, now = np.abs(orbit.start_latent[coming]), np.abs(orbit.latent[coming])
    speed = (before - now) / orbit.schedule.mass(orbit.steps)
    shares = _ALLOWED * speed / pull(Numbers(orbit.n, 1, 1.0, 0.0, get_surrogate(orbit.surrogate)))
    return float(np.prod(1 - np.minimum(shares, 1)))


def _arrivals(orbit: Orbit) -> tuple[tuple[int, float], ...]:
    """Return the weights on their way to their first flip, the nearest first."""
    before, now = np.abs(orbit.start_latent), np.abs(orbit.latent)
    coming = np.flatnonzero((orbit.settled.since == 0) & (now < before))
    spent = orbit.schedule.mass(orbit.steps)
    found = []
    for k in coming:
        needed = spent * before[k] / (before[k] - now[k])
        found.append((int(k), _step_of_mass(orbit.schedule, needed, orbit.steps)))
    return tuple(sorted(found, key=lambda pair: pair[1]))


def _step_of_mass(schedule: Schedule, mass: float, low: int) -> float:
    """Return the step at which so much mass is spent, infinity if it is beyond all runs."""
    high = MAX_STEPS
    if schedule.mass(high) < mass:
        return math.inf
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if schedule.mass(middle) < mass else (low, middle)
    return float(high)


def _growth(steps: np.ndarray, visits: np.ndarray) -> float | None:
    """Return the slope of log visits over log steps in the last two decades."""
    kept = (visits >= _FEW) & (steps * _GROWTH_SPAN >= steps[-1])
    if kept.sum() < 8:
        return None
    return float(np.polyfit(np.log(steps[kept]), np.log(visits[kept]), 1)[0])


def _plain(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value
