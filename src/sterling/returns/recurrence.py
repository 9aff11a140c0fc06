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

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from sterling.base.text import Described, Result, counted, number, percent
from sterling.returns.batch_means import (
    BURN_IN,
    DRIFT_LEVEL,
    Estimate,
    coarsen,
    drift,
    interval,
    ratio_of_halves,
)
from sterling.returns.counts import VisitCounts, bin_starts, mark_steps

_CYCLES = 10  # mean times from one visit to the next that a batch must have at least
_GROWTH_SPAN = 100  # the exponent of growth is that of the last two decades
_FEW = 10  # with fewer visits no growth is estimated
_NAMED = 5  # weights listed by name


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
        i = int(np.searchsorted(np.cumsum(self.counts), share * self.count - 1e-9))
        i = min(i, len(self.counts) - 1)
        last = min(int(self.stops[i]) - 1, self.longest)
        return (int(self.starts[i]) + last) / 2

    def survival(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the starts of the bins, and the share of times that are at least that long; both exact."""
        return self.starts, self.counts[::-1].cumsum()[::-1] / max(self.count, 1)

    def to_dict(self) -> dict:
        return {
            "count": self.count,
            "mean": _plain(self.mean),
            "median": _plain(self.quantile(0.5)),
            "quantile_90": _plain(self.quantile(0.9)),
            "quantile_99": _plain(self.quantile(0.99)),
            "longest": self.longest,
            "histogram": np.stack([self.starts, self.stops, self.counts], axis=1).tolist(),
        }

    @property
    def text(self) -> str:
        """The distribution in words."""
        mean, median, most = (number(x) for x in (self.mean, self.quantile(0.5), self.quantile(0.99)))
        return f"in steps: mean {mean}, median {median}, 99 % last at most {most}, longest {self.longest:,}"

    def __repr__(self) -> str:
        if not self.count:
            return "Times(none)"
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
    visits to the teacher       9,595 in 50,000 steps
    """

    steps: int
    reference_kind: str  # "teacher" or "lowest risk seen"
    certified: bool  # whether the verdict is proved: then no further visit occurs
    visits: int  # arrivals at the reference
    occupancy: float  # share of the steps spent there
    long_run: Estimate | None  # occupancy of a stationary run, by batch means; lowered for `arrivals`
    long_run_note: str  # why the long-run occupancy is unknown
    drift: float | None  # p-value of Geweke's test after the burn-in
    returns: Times  # completed absences
    sojourns: Times  # completed stays
    first: np.ndarray  # int64 (n,), departures in which each weight flipped, w_T included
    flips: np.ndarray  # int64 (n,), flips of each weight
    reached: np.ndarray  # int64 (n + 1,), completed absences by their largest distance
    mark_steps: np.ndarray  # int64 (marks,), 8 to a factor of two
    mark_visits: np.ndarray  # visits among the iterates before each mark
    mark_occupied: np.ndarray  # steps at the reference before each mark
    growth: float | None  # exponent of visits over T in the last two decades, without an interval
    halves: Estimate | None  # visits, later half over earlier, without the first quarter
    since: int = 0  # step at which the reference was found, and its counts began
    names: tuple[str, ...] = ()  # names of the weights, if they have names
    arrivals: tuple[tuple[int, float], ...] = ()  # weights on their way to their first flip, and its step
    burn_in: float = BURN_IN  # share of the steps that the interval leaves out
    batch_steps: int = 0
    batch_occupancy: np.ndarray = field(default_factory=lambda: np.zeros(0))  # float (batches,)

    @property
    def escapes(self) -> float:
        """Departures from the reference per 10³ steps."""
        return 1000 * self.sojourns.count / max(self.steps, 1)

    @property
    def recurs(self) -> bool:
        """Whether the reference was left and visited again, and the run is not over."""
        return self.visits >= 2 and not self.certified

    def leavers(self) -> list[tuple[int, float]]:
        """Return the weights that flip when the reference is left, with their shares of the departures."""
        departures = max(int(self.sojourns.count), 1)
        order = np.argsort(-self.first, kind="stable")[: np.count_nonzero(self.first)]
        return [(int(k), min(1.0, float(self.first[k] / departures))) for k in order]

    def name(self, k: int) -> str:
        """Return the name of weight k, or its number, counted from 0."""
        return self.names[k] if self.names else str(k)

    @property
    def grown(self) -> str:
        """Growth of the visits, and over which steps, in words; empty if there are too few visits."""
        if self.growth is None:
            return ""
        steps = self.mark_steps[_grown(self.mark_steps - self.since, self.mark_visits)]
        first, last = steps[[0, -1]]
        decades = math.log10((last - self.since) / (first - self.since))
        where = f", T counted from step {self.since:,}" if self.since else ""
        return (
            f"like T^{self.growth:.2f}, a fit over {decades:.1f} decades, from step {first:,} to "
            f"{last:,}{where}"
        )

    @property
    def left_out(self) -> str:
        """The part of the run that the interval of the occupancy leaves out, in words."""
        return "the first quarter" if self.burn_in == BURN_IN else "the first three quarters"

    @property
    def thinning(self) -> str:
        """What the growth of visits implies about "infinitely often", in words."""
        if self.halves is None:
            return "The run is too short to say whether they get rarer"
        if self.halves.high < 1:
            less = percent(1 - self.halves.value, 2)
            return f"They get rarer within the run, by {less} from one half to the next"
        return (
            "No sign that they get rarer; a finite run cannot prove that they never do, sterling certify can "
            "where weights are few"
        )

    def _rows(self) -> list[tuple[str, str]]:
        """Return names and texts for a table; rows that the run cannot determine are left out."""
        where = home(self)
        if not self.visits:
            return [(f"visits to the {where}", f"none in {counted(self.steps, 'step')}")]
        over = ", and the run is over" if self.certified else ""
        rows = [
            (f"visits to the {where}", f"{self.visits:,} in {counted(self.steps, 'step')}{over}"),
            (f"occupancy of the {where}", self._occupancy_in_words()),
        ]
        if self.sojourns.count:
            rows += [
                ("escapes", f"{self.escapes:.4g} per 1,000 steps, {self.sojourns.count:,} in all"),
                ("stays", self.sojourns.text),
                ("weights that leave", self._leavers_in_words()),
            ]
        if self.returns.count:
            rows += [("absences", self.returns.text), ("distance reached", self._distances_in_words())]
        if self.recurs:
            rows.append(("number of visits over time", self._growth_in_words()))
        if self.recurs and self.drift is not None:
            seen = "no drift is seen" if self.drift >= DRIFT_LEVEL else "drifts"
            test = f"Geweke's test over batch means, p = {self.drift:.2g}, level {DRIFT_LEVEL:g}"
            rows.append(("stationary", f"{seen} after {self.left_out} of the run ({test})"))
        if self.arrivals:
            rows.append(("still to come", self._arrivals_in_words()))
        return rows

    def _occupancy_in_words(self) -> str:
        measured = f"{self.occupancy:.4g} of the steps"
        known = self.long_run
        if known is None:
            return f"{measured}; no interval: {self.long_run_note}"
        coming = f", and {counted(len(self.arrivals), 'weight')} still to come" if self.arrivals else ""
        doubt = "; batches are still correlated, so it may be too narrow" if known.correlated else ""
        return (
            f"{measured}; in the long run {known.text} ({known.bounds}, {percent(known.level)} by "
            f"{known.batches} batch means of {known.length:,} steps after {self.left_out}{coming}{doubt})"
        )

    def _leavers_in_words(self) -> str:
        ranked = self.leavers()
        named = ", ".join(f"{self.name(k)} ({percent(share)})" for k, share in ranked[:_NAMED])
        more = f" and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else ""
        several = "; several may flip in one" if self.first.sum() > self.sojourns.count else ""
        return (
            f"{len(ranked)} of {len(self.first)} ever start an absence: {named}{more} (share of "
            f"departures{several})"
        )

    def _distances_in_words(self) -> str:
        common = int(self.reached.argmax())
        share = int(self.reached[common]) / self.returns.count
        most = "all" if share == 1 else percent(share, 0 if share < 0.995 else 2)
        farthest = int(self.reached.nonzero()[0][-1])
        return f"{counted(common, 'weight')} in {most} of the absences, {farthest} at most"

    def _growth_in_words(self) -> str:
        parts = []
        if self.grown:
            parts.append(f"grows {self.grown}")
        if self.halves is not None:
            parts.append(
                f"after the first quarter of the run, later half over earlier half {self.halves.text} "
                f"({self.halves.bounds}, {percent(self.halves.level)})"
            )
        return f"{'; '.join(parts)}. {self.thinning}" if parts else "too few to say"

    def _arrivals_in_words(self) -> str:
        k, step = self.arrivals[0]
        count = len(self.arrivals)
        when = "beyond all steps" if math.isinf(step) else f"near step {number(float(f'{step:.2g}'))}"
        return (
            f"{counted(count, 'weight')} {'has' if count == 1 else 'have'} never flipped but "
            f"{'comes' if count == 1 else 'come'} closer to it; at the mean speed of this run weight "
            f"{self.name(k)} is the first, {when}. Each will lower the occupancy; only the lower end of its "
            "interval allows for that"
        )

    def to_dict(self) -> dict:
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
            "counted_since": self.since,
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


def recurrence(
    counts: VisitCounts,
    *,
    reference_kind: str = "teacher",
    certified: bool = False,
    burn_in: float = BURN_IN,
    arrivals: tuple[tuple[int, float], ...] = (),
    allowance: float = 1.0,
    since: int = 0,
    names: tuple[str, ...] = (),
) -> Recurrence:
    """Return the statistics of the visits to a reference from counts; the options are fields of the result.

    ``allowance`` is a factor on the lower end of the interval, for the weights that are on their way.
    """
    length = counts.batch_steps
    occupied, visited = np.diff(counts.batches, axis=0, prepend=[[0, 0]]).T / length
    steps = mark_steps()[: len(counts.marks)]
    long_run, note, drifting, halves = _long_run(certified, occupied, visited, length, burn_in)
    if since > burn_in * counts.steps:
        long_run, note, drifting = None, "the best state seen was found too late in the run", None
    if since > BURN_IN * counts.steps:
        halves = None
    if long_run is not None:
        low, high = max(0.0, long_run.low * allowance), min(1.0, long_run.high)
        long_run = replace(long_run, low=low, high=high)
    return Recurrence(
        steps=counts.steps,
        reference_kind=reference_kind,
        certified=certified,
        visits=counts.visits,
        occupancy=counts.occupied / max(counts.steps, 1),
        long_run=long_run,
        long_run_note=note,
        drift=drifting,
        returns=_times(counts.returns, counts.away, counts.longest_return),
        sojourns=_times(counts.sojourns, counts.stayed, counts.longest_sojourn),
        first=counts.first,
        flips=counts.flips,
        reached=counts.reached,
        mark_steps=steps,
        mark_occupied=counts.marks[:, 0],
        mark_visits=counts.marks[:, 1],
        growth=None if certified else growth(steps - since, counts.marks[:, 1]),
        halves=halves,
        since=since,
        names=names,
        arrivals=arrivals,
        burn_in=burn_in,
        batch_steps=length,
        batch_occupancy=occupied,
    )


def _times(counts: np.ndarray, total: int, longest: int) -> Times:
    starts = bin_starts()
    filled = np.flatnonzero(counts)
    count = int(counts.sum())
    mean = total / count if count else math.nan
    return Times(count, mean, longest, starts[filled], starts[filled + 1], counts[filled])


def _long_run(
    certified: bool, occupancy: np.ndarray, visits: np.ndarray, length: int, burn_in: float
) -> tuple[Estimate | None, str, float | None, Estimate | None]:
    """Return the occupancy of a stationary run, or None and why; the p-value for drift; the ratio of halves.

    The ratio leaves out a quarter of the run for any burn-in, so that change shows.
    """
    if certified:
        return None, "the run is over for all time, so there is nothing to estimate", None, None
    late = visits[math.ceil(BURN_IN * len(visits)) :]
    if not late.any():
        return None, "no visits after the first quarter of the run", None, None
    least = _CYCLES / float(late.mean())  # steps from one visit to the next, times the cycles of a batch
    halves = ratio_of_halves(*coarsen(late, length, least))
    means, steps = coarsen(occupancy[math.ceil(burn_in * len(occupancy)) :], length, least)
    estimate = interval(means, steps)
    if estimate is None:
        return None, "the run is too short, or visits are too rare, for an interval", None, halves
    return estimate, "", drift(means), halves


def home(run: Any) -> str:
    """Return the reference of an orbit or of its recurrence, in words."""
    return "teacher" if run.reference_kind == "teacher" else "best state seen"


def growth(steps: np.ndarray, visits: np.ndarray) -> float | None:
    """Return the slope of log visits over log steps in the last two decades; None with few visits."""
    kept = _grown(steps, visits)
    if kept.sum() < 8:
        return None
    return float(np.polyfit(np.log(steps[kept]), np.log(visits[kept]), 1)[0])


def _grown(steps: np.ndarray, visits: np.ndarray) -> np.ndarray:
    """Return which marks determine the exponent of growth."""
    return (visits >= _FEW) & (steps * _GROWTH_SPAN >= steps[-1])


def _plain(value):
    return None if isinstance(value, float) and not math.isfinite(value) else value
