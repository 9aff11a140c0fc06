"""Which trials a study runs next: decided round by round, from the counts of complete rounds alone.

So the rounds do not depend on clocks, on workers, or on where a study was interrupted. They use fitted
numbers to six digits, so they are the same on every machine (`likelihood.settled`). Where the study chooses
the sample sizes, one `Placement` serves one series and one criterion: it brackets N₅₀ of each dimension by
doubling, then adds trials at the sample sizes where the success is nearest one half.
"""

from __future__ import annotations

import math
import os
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from sterling.stats import jeffreys
from sterling.study.columns import SUCCESS, Criterion
from sterling.study.fit import ExponentFit, FitError, fit_exponent, overlaps
from sterling.study.kind import Cell
from sterling.study.likelihood import Counts, settled
from sterling.study.spec import DEFAULT_WIDTH, Study

Point = tuple[int, int]  # (n, samples)
Tally = tuple[int, int]  # (trials, successes)
Wish = dict[Point, int]  # number of trials that a point should have in all
Wanted = dict[Cell, int]  # number of trials that each cell should have in all

_FIRST_TRIALS = 32  # first trials of each cell if its interval decides how many it gets
_PER_OCTAVE = 8  # sample sizes lie at 2^(j/8)
_EXPLORE = 8  # trials that decide on which side of N₅₀ a sample size lies
_FIRST = 16  # trials of each point around a bracket
_SPREAD = (-6, -3, 0, 3, 6)  # points around the middle of a bracket, in eighths of an octave
_FIRST_GUESS = 1.5  # exponent by which a bracket is carried to the next dimension, before two are known
_LARGEST = 1 << 31  # entries of an instance (n·N·m) above which no bracket is sought
_EVEN_SHARE = 0.2  # share of each round that is spread evenly over all dimensions
_LEAST_GROWTH, _MOST_GROWTH = 0.15, 1.0  # growth in one round, relative to the trials so far
_TRIES = 20  # random numbers that are tried before all trials are looked through

MISSING, TAKEN, KNOWN, FAILED = range(4)  # states of a trial


class Trials:
    """The trials of a study by cell and number: those that are known, and those that a round hands out.

    A process hands out missing trials in order from a random one on, cell after cell. It jumps to another
    random one where it meets trials of another process. Each cell has an int8 array (1 + criteria, numbers):
    the first row holds states, the others outcomes. Memory that is never written costs nothing, so the
    numbers can be far apart.
    """

    def __init__(self, criteria: tuple[Criterion, ...]):
        self.criteria = criteria
        read = [name for criterion in criteria for name in criterion.columns]
        self.columns = list(dict.fromkeys(["cell", "trial", *read]))  # those that `record` reads
        self.wanted: Wanted = {}
        self._codes: dict[str, np.ndarray] = {}
        self._cells: dict[str, Cell] = {}  # of the round
        self._following: dict[str, Cell] = {}  # the next cell of the round, after the last the first
        self._missing: dict[str, int] = {}  # number of trials to hand out, by cell
        self._order = random.Random(os.urandom(16))  # another one in each process
        self._walk: tuple[Cell, int, int] | None = None  # the cell, where it began there, where it goes on

    @property
    def waiting(self) -> int:
        """Number of trials of the round that no worker has yet."""
        return sum(self._missing.values())

    def _of(self, key: str, count: int) -> np.ndarray:
        """Return the codes of a cell, for ``count`` numbers at least."""
        old = self._codes.get(key)
        if old is None or old.shape[1] < count:
            size = count if old is None else max(count, 2 * old.shape[1])
            self._codes[key] = np.zeros((1 + len(self.criteria), size), np.int8)
            if old is not None:
                self._codes[key][:, : old.shape[1]] = old
        return self._codes[key]

    def states(self, cell: Cell) -> np.ndarray:
        """Return the states of a cell's trials in this round, to read and to change."""
        return self._of(cell.key, self.wanted[cell])[0, : self.wanted[cell]]

    def tally(self, cell: Cell, count: int, criterion: Criterion) -> Tally:
        """Count the known trials and the successes among the cell's first ``count``."""
        codes = self._of(cell.key, count)[:, :count]
        outcomes = codes[1 + self.criteria.index(criterion)][codes[0] == KNOWN]
        return len(outcomes), int(np.count_nonzero(outcomes == SUCCESS))

    def record(self, frame: pl.DataFrame, own: bool = True) -> None:
        """Take finished trials, rows with `columns`; ``own`` are those that this process ran."""
        for (name,), rows in frame.partition_by("cell", as_dict=True, include_key=False).items():
            key = str(name)
            numbers = rows["trial"].to_numpy()
            known = self._of(key, int(numbers.max()) + 1)
            if not own and self._walk and key == self._walk[0].key:
                _, begun, end = self._walk
                if ((begun <= numbers) & (numbers < end)).any():
                    self._walk = None  # another process runs the same trials
            if key in self._missing:
                missing = numbers[known[0, numbers] == MISSING]
                self._change(key, -int(np.sum(missing < self.wanted[self._cells[key]])))
            known[0, numbers] = KNOWN
            for index, criterion in enumerate(self.criteria, 1):
                known[index, numbers] = rows.select(criterion.outcome()).to_series().to_numpy()

    def open(self, wanted: Wanted) -> list[Cell]:
        """Begin a round; return the cells that lack trials."""
        self.wanted, self._missing, self._walk = wanted, {}, None
        self._cells = {cell.key: cell for cell in wanted}
        self._following = dict(zip(self._cells, [*wanted][1:] + [*wanted][:1], strict=True))
        for key, cell in self._cells.items():
            self._change(key, wanted[cell] - int(np.count_nonzero(self.states(cell))))
        return [self._cells[key] for key in self._missing]

    def take(self, size: Callable[[Cell], int]) -> tuple[Cell, np.ndarray]:
        """Hand out missing trials of one cell, at most ``size(cell)``, while any are waiting."""
        cell, begun, first = self._walk or self._any()
        if first == self.wanted[cell]:
            cell, begun, first = self._following[cell.key], 0, 0
        if self.states(cell)[first] != MISSING:
            cell, begun, first = self._any()
        states = self.states(cell)[first : first + size(cell)]
        taken = np.flatnonzero(states != MISSING)
        count = int(taken[0]) if taken.size else len(states)
        states[:count] = TAKEN
        self._change(cell.key, -count)
        self._walk = cell, begun, first + count
        return cell, np.arange(first, first + count)

    def give_back(self, cell: Cell, numbers: np.ndarray) -> np.ndarray:
        """Hand out again those of the trials that have no result; return them."""
        states = self.states(cell)
        left = numbers[states[numbers] == TAKEN]
        states[left] = MISSING
        self._change(cell.key, len(left))
        return left

    def _any(self) -> tuple[Cell, int, int]:
        (key,) = self._order.choices(list(self._missing), list(self._missing.values()))
        cell = self._cells[key]
        states = self.states(cell)
        for _ in range(_TRIES):
            number = self._order.randrange(len(states))
            if states[number] == MISSING:
                return cell, number, number
        number = int(self._order.choice(np.flatnonzero(states == MISSING)))
        return cell, number, number

    def _change(self, key: str, change: int) -> None:
        count = self._missing.pop(key, 0) + change
        if count > 0:
            self._missing[key] = count


class Rounds:
    """The rounds of a study; each is requested when all trials of the previous round are known.

    A round gives a note and, for each cell, the number of trials that it must have in all, those of earlier
    rounds included. At the end ``reason`` says why there are no more rounds; ``messages`` are for the user.
    """

    def __init__(self, study: Study, known: Trials):
        self.study, self.known = study, known
        self.reason = "complete"
        self.messages: list[str] = []

    def __iter__(self) -> Iterator[tuple[Wanted, str]]:
        if self.study.adaptive:
            return self._exponents()
        if self.study.target == "proportion":
            return self._proportions()
        return iter([(dict.fromkeys(self.study.cells, self.study.trials), "")])

    def _proportions(self) -> Iterator[tuple[Wanted, str]]:
        """Every cell gets trials until its interval under every criterion is narrow enough."""
        study = self.study
        assert study.width is not None
        wanted: Wanted = dict.fromkeys(study.cells, min(_FIRST_TRIALS, study.trials))
        while True:
            yield dict(wanted), "all cells"
            widths = {}  # of each cell, the widest Jeffreys interval over the criteria
            for cell, count in wanted.items():
                tallies = np.array([self.known.tally(cell, count, one) for one in study.criteria])
                low, high = jeffreys(tallies[:, 1], tallies[:, 0])
                widths[cell] = float((high - low).max())
            wide = [cell for cell, width in widths.items() if width > study.width]
            growing = [cell for cell in wide if wanted[cell] < study.trials]
            if not growing:
                break
            for cell in growing:
                growth = min(2.0, max(1.1, (widths[cell] / study.width) ** 2))
                wanted[cell] = min(study.trials, math.ceil(wanted[cell] * growth))
        self.reason = "trials spent" if wide else "width reached"
        if wide:
            these = f"{len(wide)} of {len(wanted)} cells"
            self.messages.append(f"{these} stay wider than {study.width:g} after {study.trials:,} trials")

    def _exponents(self) -> Iterator[tuple[Wanted, str]]:
        """Adaptive placement in all series under all criteria, side by side."""
        study = self.study
        assert study.width is not None
        listed = study.samples_at if study.samples is not None else None
        placements = [
            (series, criterion, Placement(study.n, study.width, study.max_trials, listed, series.problem.m))
            for series in study.series
            for criterion in study.criteria
        ]
        cells: dict[Cell, dict[Point, Cell]] = {series: {} for series in study.series}
        wanted: Wanted = {}
        while True:
            complete = dict(wanted)  # all that this round's wishes go by, also those of other criteria
            for series, criterion, placement in placements:
                tallies = {
                    point: self.known.tally(cell, complete[cell], criterion)
                    for point, cell in cells[series].items()
                    if cell in complete
                }
                for point, count in placement.propose(tallies).items():
                    cell = cells[series].get(point) or series._at(*point)
                    cells[series][point] = cell
                    wanted[cell] = max(count, wanted.get(cell, 0))
            if wanted == complete:
                break
            widths = [placement.fit.width for *_, placement in placements if placement.fit is not None]
            note = f"α known to {max(widths):.3g}, target {study.width:g}" if widths else "looking for N₅₀"
            yield dict(wanted), note
        reasons = {placement.reason or "stuck" for *_, placement in placements}
        order = ("stuck", "no threshold", "trials spent", "width reached")
        self.reason = next(reason for reason in order if reason in reasons)
        self.messages += [f"{criterion}: {one.message}" for _, criterion, one in placements if one.message]


@dataclass
class Placement:
    """Decides the next trials of a series under a criterion."""

    dimensions: tuple[int, ...]
    width: float = DEFAULT_WIDTH  # target for the interval of α
    max_trials: int = 200_000  # in all
    listed: Callable[[int], list[int]] | None = None  # sample sizes allowed at n; by default any
    units: int = 1  # m
    fit: ExponentFit | None = None
    reason: str | None = None  # why it is done, None while it is not
    message: str = ""
    brackets: dict[int, int] = field(default_factory=dict)  # n → index of the first majority in the lattice

    def __post_init__(self):
        self.dimensions = tuple(sorted(self.dimensions))
        self._lattices = {n: self._lattice(n) for n in self.dimensions}
        self._lost: dict[int, str] = {}

    def _lattice(self, n: int) -> list[int]:
        """Return the allowed sample sizes of a dimension, rising."""
        listed = self.listed(n) if self.listed is not None else []
        if listed:
            return sorted(set(listed))
        top = max(2, int(math.log2(_LARGEST / (n * self.units))) * _PER_OCTAVE)
        return sorted({round(2 ** (j / _PER_OCTAVE)) for j in range(top + 1)})

    def propose(self, tallies: Mapping[Point, Tally]) -> Wish:
        """Return the trials wanted next, given complete counts of those wanted before; empty when done."""
        if self.reason is not None:
            return {}
        wish = self._explore(tallies)
        if not wish and self.reason is None:
            wish = self._first_spread(tallies) or self._improve(tallies)
        room = self.max_trials - sum(trials for trials, _ in tallies.values())
        if wish and sum(count - _trials(tallies, point) for point, count in wish.items()) > room:
            return self._done("trials spent", f"the {self.max_trials:,} trials allowed are spent")
        return wish

    def _done(self, reason: str, message: str = "") -> Wish:
        self.reason, self.message = reason, message
        return {}

    def _explore(self, tallies: Mapping[Point, Tally]) -> Wish:
        """Bracket N₅₀, one dimension after the other, by steps of an octave."""
        for n in self.dimensions:
            if n in self.brackets or n in self._lost:
                continue
            sizes = self._lattices[n]
            stride = _PER_OCTAVE if not (self.listed and self.listed(n)) else max(1, len(sizes) // 8)
            index = self._begin(n, sizes)
            while True:
                found = self._succeeds((n, sizes[index]), tallies)
                if found is None:
                    return {(n, sizes[index]): _EXPLORE}
                beyond = min(max(index + (-stride if found else stride), 0), len(sizes) - 1)
                if beyond == index:
                    how = "succeed" if found else "fail"
                    self._lost[n] = f"at n = {n} most trials {how} even with {sizes[index]:,} samples"
                    break
                other = self._succeeds((n, sizes[beyond]), tallies)
                if other is None:
                    return {(n, sizes[beyond]): _EXPLORE}
                if other != found:
                    self.brackets[n] = max(index, beyond)
                    break
                index = beyond
        if len(self.brackets) < 2:
            self._done("no threshold", "; ".join(self._lost.values()))
        return {}

    def _begin(self, n: int, sizes: list[int]) -> int:
        """Return the index of the first sample size to try: extrapolated from smaller n, or 2n samples."""
        target = 2.0 * n
        known = {k: float(self._lattices[k][top]) for k, top in sorted(self.brackets.items())}
        if known:
            exponent, last = _FIRST_GUESS, max(known)
            if len(known) > 1:
                before = sorted(known)[-2]
                exponent = math.log(known[last] / known[before]) / math.log(last / before)
            target = known[last] * (n / last) ** max(0.25, min(exponent, 6.0))
        return int(np.argmin(settled(np.abs(np.log(sizes) - math.log(target)))))

    def _succeeds(self, point: Point, tallies: Mapping[Point, Tally]) -> bool | None:
        """Whether most trials succeed at a point, None if they have not been run."""
        trials, successes = tallies.get(point, (0, 0))
        return None if trials < _EXPLORE else 2 * successes > trials

    def _first_spread(self, tallies: Mapping[Point, Tally]) -> Wish:
        """Spread trials around the brackets for the first fit."""
        wish = {}
        for n, top in self.brackets.items():
            sizes = self._lattices[n]
            middle = top - _PER_OCTAVE // 2
            for shift in _SPREAD:
                wish[n, sizes[min(max(middle + shift, 0), len(sizes) - 1)]] = _FIRST
        return {point: count for point, count in wish.items() if _trials(tallies, point) < count}

    def _improve(self, tallies: Mapping[Point, Tally]) -> Wish:
        rows = [(*point, *tally) for point, tally in sorted(tallies.items()) if point[0] in self.brackets]
        counts = Counts.of(*zip(*rows, strict=True))
        try:
            self.fit = fit_exponent(
                counts.n, counts.samples, counts.trials, counts.successes, thresholds=False
            )
        except FitError as problem:
            self.message = str(problem)
            return self._more_overlap(tallies, counts)
        self.message = ""
        if settled(self.fit.width) <= self.width:
            return self._done("width reached", "; ".join(self._lost.values()))
        return self._near_one_half(tallies, self.fit)

    def _more_overlap(self, tallies: Mapping[Point, Tally], counts: Counts) -> Wish:
        """Ask for twice the trials near N₅₀ of dimensions whose successes and failures do not overlap."""
        wish: Wish = {}
        for n in self.brackets:
            one = counts.where(counts.n == n)
            if overlaps(one) and len(self.brackets) > 2:
                continue
            sizes = self._lattices[n]
            share = (one.successes + 0.5) / (one.trials + 1)
            middle = sizes.index(int(one.samples[np.argmin(np.abs(share - 0.5))]))
            for size in sizes[max(0, middle - 2) : middle + 3]:
                wish[n, size] = max(_FIRST, 2 * _trials(tallies, (n, size)))
        return wish

    def _near_one_half(self, tallies: Mapping[Point, Tally], fit: ExponentFit) -> Wish:
        """Add trials at the sample sizes next to N₅₀, below and above, of each dimension.

        Dimensions that determine a slope best for their cost get most trials: their share is proportional to
        the distance from the mean log n, divided by the root of the size of an instance. A fifth of the
        trials is spread evenly, so that curvature would show.
        """
        n = np.array(sorted(self.brackets), np.float64)
        middles = settled([fit.samples_at(one) for one in n])
        lever = np.abs(np.log(n) - np.log(n).mean()) / np.sqrt(n * middles)
        share = (1 - _EVEN_SHARE) * lever / lever.sum() + _EVEN_SHARE / len(n)
        wish: Wish = {}
        for dimension, middle, more in zip(n.astype(int).tolist(), middles, share, strict=True):
            sizes = self._lattices[dimension]
            above = min(int(np.searchsorted(sizes, middle)), len(sizes) - 1)
            for size in {sizes[max(0, above - 1)], sizes[above]}:
                point = dimension, size
                count = math.ceil(settled(more * self._batch(tallies, fit) / 2))
                wish[point] = _trials(tallies, point) + count
        return wish

    def _batch(self, tallies: Mapping[Point, Tally], fit: ExponentFit) -> float:
        """Return how many trials to add: the estimated need of the target, within bounds."""
        total = sum(trials for (n, _), (trials, _) in tallies.items() if n in self.brackets)
        ratio = settled(fit.width) / self.width
        growth = ratio * ratio - 1 if math.isfinite(ratio) else _MOST_GROWTH
        return total * min(max(growth, _LEAST_GROWTH), _MOST_GROWTH)


def _trials(tallies: Mapping[Point, Tally], point: Point) -> int:
    return tallies.get(point, (0, 0))[0]
