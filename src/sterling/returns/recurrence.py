"""How a run leaves its reference and comes back: times, escapes, occupancy with an interval, growth with T.

The numbers come from counts of fixed size (`counts.py`), so 10⁹ steps cost no more memory than 10³. They
cover the whole run, not only the part whose flips were recorded.

**The clock is the step.** The orbit does not change when all step sizes and the first latents are scaled
alike (docs/science, 5): a slowly decaying schedule changes the scale of the moving latents, and stays and
absences keep their lengths in steps. In the mass of the schedule they would shrink. So batches have equal
numbers of steps. Only weights on a long way to their first flip move in the mass; `dynamics/visits.py` says
how much of the run to leave out for them, and how far they can lower the occupancy.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sterling.base.text import Described, Result, as_json, counted, number, percent, share
from sterling.returns.batch_means import BURN_IN, Estimate, coarsen, interval, ratio_of_halves
from sterling.returns.counts import VisitCounts, bin_starts, mark_steps

_CYCLES = 10  # mean times from one visit to the next that a batch must have at least
_GROWTH_SPAN = 100  # the exponent of growth is that of the last two decades
_FEW = 10  # with fewer visits no growth is estimated
_MANY = 100  # with fewer times 99 % of them are all


@dataclass(frozen=True, repr=False)
class Times(Described):
    """Lengths of completed absences or stays, in steps."""

    count: int
    mean: float  # exact; NaN if there are no times
    longest: int  # 0 if there are no times
    starts: np.ndarray  # int64 (bins,), smallest time of each bin that is not empty
    stops: np.ndarray  # first time beyond each bin: one more below 64 steps, at most 1/32 more above
    counts: np.ndarray  # number of times in each bin

    def quantile(self, share: float) -> float:
        """Return the smallest time t such that at least this share of the times is t or less.

        Exact up to 64 steps; beyond, the middle of a bin that is at most 1/32 of the time wide. NaN
        without any.
        """
        if not self.count:
            return math.nan
        return (int(self.starts[self._bin(share)]) + self._within(share)) / 2

    def _within(self, share: float) -> int:
        """Return a time that at least this share of the times does not exceed: the end of a bin."""
        return min(int(self.stops[self._bin(share)]) - 1, self.longest)

    def _bin(self, share: float) -> int:
        i = int(np.searchsorted(np.cumsum(self.counts), share * self.count - 1e-9))
        return min(i, len(self.counts) - 1)

    @property
    def text(self) -> str:
        """The distribution in words."""
        if not self.count:
            return "was never completed"
        median, most = self._within(0.5), self._within(0.99)
        if self.count == 1:
            return f"lasted {counted(self.longest, 'step')}, the only one"
        if most == 1:
            return "lasts 1 step" + (f", the longest {self.longest:,}" if self.longest > 1 else "")
        nearly_all = f", 99 % at most {most:,}" if self.count >= _MANY else ""
        return (
            f"lasts {number(self.mean)} steps on average; half of all last at most {median:,}{nearly_all}, "
            f"and the longest {self.longest:,}"
        )

    def __repr__(self) -> str:
        return f"Times(count={self.count:,}, mean={self.mean:.4g}, longest={self.longest:,})"


@dataclass(frozen=True, repr=False)
class Recurrence(Result):
    """The statistics of the visits to the reference over the iterates w_0 … w_{T−1}.

    `Orbit.recurrence` makes one; `recurrence` makes one of plain counts.

    Examples
    --------
    >>> import sterling as st
    >>> orbit = st.train(st.Problem(n=8, samples=100, noise=0.5).draw(seed=0), steps=50_000)
    >>> found = orbit.recurrence()
    >>> found.visits == orbit.visits, found.returns.longest == max(orbit.return_times.tolist())
    (True, True)
    >>> print(found.summary().splitlines()[0])
    visits to the teacher       the run came to the teacher 9,595 times in 50,000 steps
    """

    steps: int
    certified: bool  # whether the verdict is proved: then no further visit occurs
    visits: int  # arrivals at the reference
    occupancy: float  # share of the steps spent there
    long_run: Estimate | None  # occupancy of a stationary run, by batch means; lowered for `arrivals`
    long_run_note: str  # why the long-run occupancy is unknown
    returns: Times  # completed absences
    sojourns: Times  # completed stays
    first: np.ndarray  # int64 (n,), departures in which each weight flipped, w_T included
    flips: np.ndarray  # int64 (n,), flips of each weight
    reached: np.ndarray  # int64 (n + 1,), completed absences by their largest distance
    mark_steps: np.ndarray  # int64 (marks,), 8 to a factor of two
    mark_visits: np.ndarray  # visits among the iterates before each mark
    growth: float | None  # exponent of visits over T in the last two decades, without an interval
    halves: Estimate | None  # visits, later half over earlier, without the first quarter
    reference_kind: str = "teacher"  # or "lowest risk seen"
    since: int = 0  # step at which the reference was found, and its counts began
    names: tuple[str, ...] = ()  # names of the weights, if they have names
    arrivals: tuple[tuple[int, float], ...] = ()  # weights on their way to their first flip, and its step
    burn_in: float = BURN_IN  # share of the steps that the interval leaves out

    @property
    def recurs(self) -> bool:
        """Whether the reference was left and visited again, and the run is not over."""
        return self.visits >= 2 and not self.certified

    def _rows(self) -> list[tuple[str, str]]:
        """Return names and sentences for a table; rows that the run cannot determine are left out."""
        where, steps = home(self), counted(self.steps, "step")
        if not self.visits:
            return [(f"visits to the {where}", f"the run never came to the {where} in {steps}")]
        over = ", and no visit will follow: the weights rest" if self.certified else ""
        came = f"the run came to the {where} {counted(self.visits, 'time')} in {steps}{over}"
        rows = [
            (f"visits to the {where}", came),
            (f"occupancy of the {where}", self._occupancy_in_words()),
        ]
        if self.sojourns.count:
            rows.append(("stays", f"a stay {self.sojourns.text}"))
        if self.returns.count:
            rows.append(("absences", f"an absence {self.returns.text}"))
        if self.recurs:
            rows += self._growth_in_words()
        if self.arrivals:
            rows.append(("still to come", self._arrivals_in_words()))
        return rows

    def _occupancy_in_words(self) -> str:
        measured = f"{share(self.occupancy)} of the steps are at the {home(self)}"
        known = self.long_run
        if known is None:
            return f"{measured}; no interval: {self.long_run_note}"
        coming = f", and {counted(len(self.arrivals), 'weight')} still to come" if self.arrivals else ""
        left_out = "the first quarter" if self.burn_in == BURN_IN else "the first three quarters"
        doubt = "; batches are still correlated, so it may be too narrow" if known.correlated else ""
        return (
            f"{measured}; in the long run {known.percent.text} % ({percent(known.level)} interval "
            f"{known.percent.bounds} %, from {known.batches} batches of {known.length:,} steps after "
            f"{left_out}{coming}{doubt})"
        )

    def _growth_in_words(self) -> list[tuple[str, str]]:
        rows = []
        if self.growth is not None:
            text = (
                f"ten times as many steps bring {10**self.growth:.3g} times as many visits, measured after "
                "the first hundredth of the run"
            )
            rows.append(("number of visits over time", text))
        if self.halves is not None:
            more, fewer = self.halves.low > 1, self.halves.high < 1
            often = "more often" if more else "less often" if fewer else "about as often as before"
            text = (
                f"late in the run visits come {often}: the last three eighths have {self.halves.text} times "
                f"the visits of the three eighths before ({percent(self.halves.level)} interval "
                f"{self.halves.bounds})"
            )
            rows.append(("visits late in the run", text))
        few = "the visits are too few to say how their number grows"
        return rows or [("number of visits over time", few)]

    def _arrivals_in_words(self) -> str:
        k, step = self.arrivals[0]
        name = self.names[k] if self.names else str(k)
        when = "beyond all steps" if math.isinf(step) else f"near step {number(float(f'{step:.2g}'))}"
        known = "" if self.long_run is None else "; only the lower end of its interval allows for that"
        are = "is" if len(self.arrivals) == 1 else "are"
        return (
            f"{counted(len(self.arrivals), 'weight')} {are} on the way to a first flip; at the mean speed of "
            f"the run weight {name} flips first, {when}. Each first flip lowers the occupancy{known}"
        )

    def to_dict(self) -> dict:
        return json.loads(as_json(super().to_dict()))  # without infinite and undefined numbers

    def __repr__(self) -> str:
        known = "" if self.long_run is None else f" ± {(self.long_run.high - self.long_run.low) / 2:.2g}"
        return (
            f"Recurrence(visits={self.visits:,}, occupancy={self.occupancy:.4g}{known}, "
            f"mean return={self.returns.mean:.4g}, mean stay={self.sojourns.mean:.4g})"
        )


def recurrence(
    counts: VisitCounts,
    *,
    certified: bool = False,
    burn_in: float = BURN_IN,
    since: int = 0,
    allowance: float = 1.0,
    **more: Any,
) -> Recurrence:
    """Return the statistics of the visits to a reference from counts; the options are fields of the result.

    ``allowance`` is a factor on the lower end of the interval, for the weights that are on their way.
    """
    length = counts.batch_steps
    occupied, visited = np.diff(counts.batches, axis=0, prepend=[[0, 0]]).T / length
    steps = mark_steps()[: len(counts.marks)]
    long_run, note, halves = _long_run(certified, occupied, visited, length, burn_in)
    if since > burn_in * counts.steps:
        long_run, note = None, "the best state seen was found too late in the run"
    if since > BURN_IN * counts.steps:
        halves = None
    if long_run is not None:
        low, high = max(0.0, long_run.low * allowance), min(1.0, long_run.high)
        long_run = replace(long_run, low=low, high=high)
    return Recurrence(
        steps=counts.steps,
        certified=certified,
        visits=counts.visits,
        occupancy=counts.occupied / max(counts.steps, 1),
        long_run=long_run,
        long_run_note=note,
        returns=_times(counts.returns, counts.away, counts.longest_return),
        sojourns=_times(counts.sojourns, counts.stayed, counts.longest_sojourn),
        first=counts.first,
        flips=counts.flips,
        reached=counts.reached,
        mark_steps=steps,
        mark_visits=counts.marks[:, 1],
        growth=None if certified else growth(steps - since, counts.marks[:, 1]),
        halves=halves,
        since=since,
        burn_in=burn_in,
        **more,
    )


def _times(counts: np.ndarray, total: int, longest: int) -> Times:
    starts = bin_starts()
    filled = np.flatnonzero(counts)
    count = int(counts.sum())
    mean = total / count if count else math.nan
    return Times(count, mean, longest, starts[filled], starts[filled + 1], counts[filled])


def _long_run(
    certified: bool, occupancy: np.ndarray, visits: np.ndarray, length: int, burn_in: float
) -> tuple[Estimate | None, str, Estimate | None]:
    """Return the occupancy of a stationary run, or None and why; the ratio of halves.

    The ratio leaves out a quarter of the run for any burn-in, so that change shows.
    """
    if certified:
        return None, "the weights rest for all time, so there is nothing to estimate", None
    late = visits[math.ceil(BURN_IN * len(visits)) :]
    if not late.any():
        return None, "no visits after the first quarter of the run", None
    least = _CYCLES / float(late.mean())  # steps from one visit to the next, times the cycles of a batch
    halves = ratio_of_halves(*coarsen(late, length, least))
    means, steps = coarsen(occupancy[math.ceil(burn_in * len(occupancy)) :], length, least)
    estimate = interval(means, steps)
    if estimate is None:
        return None, "the run is too short, or visits are too rare", halves
    return estimate, "", halves


def home(run: Any) -> str:
    """Return the reference of an orbit or of its recurrence, in words."""
    return "teacher" if run.reference_kind == "teacher" else "best state seen"


def growth(steps: np.ndarray, visits: np.ndarray) -> float | None:
    """Return the slope of log visits over log steps in the last two decades; None with few visits."""
    kept = (visits >= _FEW) & (steps * _GROWTH_SPAN >= steps[-1])
    if kept.sum() < 8:
        return None
    return float(np.polyfit(np.log(steps[kept]), np.log(visits[kept]), 1)[0])
