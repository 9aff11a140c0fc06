"""Where new trials narrow the interval of an exponent most.

One `Placement` serves one series and one criterion. It first brackets N₅₀ of each dimension by doubling,
dimension after dimension, then spreads trials around the brackets until a fit is possible, and from then on
puts them where they lower the variance of α most for what they cost, by the expected Fisher information at
the current fit. A share goes to every dimension alike, so that a wrong law would be seen.

It decides from counts alone, never from clocks or workers, so a study broken off takes the same way again. Of
fits it looks at six digits, so the way is the same on other machines too (`likelihood.settled`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sterling.study.fit import ExponentFit, FitError, fit_exponent, overlaps
from sterling.study.grid import DEFAULT_WIDTH
from sterling.study.laws import CURVED, POWER, Law, slope_design
from sterling.study.ledger import Tally
from sterling.study.likelihood import Counts, Model, maximise, predictor, settled

Place = tuple[int, int]  # (n, samples)
Wish = dict[Place, int]  # how many trials a place shall have in all

_PER_OCTAVE = 8  # sample sizes lie at 2^(j/8)
_EXPLORE = 8  # trials that decide on which side of N₅₀ a sample size lies
_FIRST = 16  # trials of each place around a bracket
_SPREAD = (-6, -3, 0, 3, 6)  # places around the middle of a bracket, in eighths of an octave
_FIRST_GUESS = 1.5  # exponent by which a bracket is carried to the next dimension, before two are known
_LARGEST = 1 << 31  # entries of an instance (n·N·m) beyond which no bracket is looked for
_ETA = 2.2  # candidates have expected shares between 0.1 and 0.9
_EVEN_SHARE = 0.2  # of each round, spread over all dimensions
_PORTIONS = 24  # in which a round is placed
_LEAST_GROWTH, _MOST_GROWTH = 0.15, 1.0  # of the trials so far, in one round


@dataclass
class Placement:
    """Decides the next trials of a series under a criterion."""

    dimensions: tuple[int, ...]
    width: float = DEFAULT_WIDTH  # target for the interval of α
    max_trials: int = 200_000  # all told
    listed: Callable[[int], list[int]] | None = None  # sample sizes allowed at n; by default any
    units: int = 1  # m, for the cost of a trial
    fit: ExponentFit | None = None
    reason: str | None = None  # why it is done, None while it is not
    message: str = ""
    brackets: dict[int, int] = field(default_factory=dict)  # n → lattice number of the first majority

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

    def propose(self, tallies: Mapping[Place, Tally]) -> Wish:
        """Return the trials wanted next, given complete counts of those wanted before; empty when done."""
        if self.reason is not None:
            return {}
        wish = self._explore(tallies)
        if not wish and self.reason is None:
            wish = self._first_spread(tallies) or self._improve(tallies)
        room = self.max_trials - sum(tally.trials for tally in tallies.values())
        if wish and sum(count - _trials(tallies, place) for place, count in wish.items()) > room:
            return self._done("trials spent", f"the {self.max_trials:,} trials allowed are spent")
        return wish

    def _done(self, reason: str, message: str = "") -> Wish:
        self.reason, self.message = reason, message
        return {}

    # -- brackets --------------------------------------------------------------------------------------------

    def _explore(self, tallies: Mapping[Place, Tally]) -> Wish:
        """Bracket N₅₀, one dimension after the other, by steps of an octave."""
        for n in self.dimensions:
            if n in self.brackets or n in self._lost:
                continue
            sizes = self._lattices[n]
            stride = _PER_OCTAVE if not (self.listed and self.listed(n)) else max(1, len(sizes) // 8)
            place = self._begin(n, sizes)
            while True:
                found = self._side(n, sizes[place], tallies)
                if found is None:
                    return {(n, sizes[place]): _EXPLORE}
                beyond = min(max(place + (-stride if found else stride), 0), len(sizes) - 1)
                if beyond == place:
                    how = "succeed" if found else "fail"
                    self._lost[n] = f"at n = {n} most trials {how} even with {sizes[place]:,} samples"
                    break
                other = self._side(n, sizes[beyond], tallies)
                if other is None:
                    return {(n, sizes[beyond]): _EXPLORE}
                if other != found:
                    self.brackets[n] = max(place, beyond)
                    break
                place = beyond
        if len(self.brackets) < 2:
            self._done("no threshold", "; ".join(self._lost.values()))
        return {}

    def _begin(self, n: int, sizes: list[int]) -> int:
        """Return the place to look first: carried over from smaller dimensions, or 2n samples."""
        known = sorted(self.brackets)
        target = 2.0 * n
        if known:
            last = known[-1]
            exponent = _FIRST_GUESS
            if len(known) > 1:
                before = known[-2]
                exponent = math.log(self._at(last) / self._at(before)) / math.log(last / before)
            target = self._at(last) * (n / last) ** max(0.25, min(exponent, 6.0))
        return int(np.argmin(settled(np.abs(np.log(sizes) - math.log(target)))))

    def _at(self, n: int) -> float:
        return float(self._lattices[n][self.brackets[n]])

    def _side(self, n: int, size: int, tallies: Mapping[Place, Tally]) -> bool | None:
        """Whether most trials succeed at a place, None if they have not been run."""
        tally = tallies.get((n, size))
        if tally is None or tally.trials < _EXPLORE:
            return None
        return 2 * tally.successes > tally.trials

    # -- a first fit -----------------------------------------------------------------------------------------

    def _first_spread(self, tallies: Mapping[Place, Tally]) -> Wish:
        wish = {}
        for n, top in self.brackets.items():
            sizes = self._lattices[n]
            middle = top - _PER_OCTAVE // 2
            for shift in _SPREAD:
                place = min(max(middle + shift, 0), len(sizes) - 1)
                wish[n, sizes[place]] = _FIRST
        return {place: count for place, count in wish.items() if _trials(tallies, place) < count}

    def _counts(self, tallies: Mapping[Place, Tally]) -> Counts:
        """Return the counts around the brackets; far places tell of the curve's tails, not of N₅₀."""
        rows = [
            (n, size, t.trials, t.successes) for (n, size), t in sorted(tallies.items()) if n in self.brackets
        ]
        return Counts.of(*zip(*rows, strict=True))

    def _improve(self, tallies: Mapping[Place, Tally]) -> Wish:
        counts = self._counts(tallies)
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
        return self._place(tallies, counts, self.fit)

    def _more_overlap(self, tallies: Mapping[Place, Tally], counts: Counts) -> Wish:
        """Ask for twice the trials near N₅₀ of dimensions whose successes and failures do not overlap."""
        wish: Wish = {}
        for n in self.brackets:
            one = counts.where(counts.n == n)
            if overlaps(one) and len(self.brackets) > 2:
                continue
            sizes = self._lattices[n]
            share = (one.successes + 0.5) / (one.trials + 1)
            near = int(one.samples[np.argmin(np.abs(share - 0.5))])
            middle = sizes.index(near)
            for place in range(max(0, middle - 2), min(len(sizes), middle + 3)):
                where = (n, sizes[place])
                wish[where] = max(_FIRST, 2 * _trials(tallies, where))
        return wish

    # -- the best next trials --------------------------------------------------------------------------------

    def _place(self, tallies: Mapping[Place, Tally], counts: Counts, fit: ExponentFit) -> Wish:
        curve = _Curve(counts, CURVED if fit.curved else POWER)
        candidates = [(n, size) for n in self.brackets for size in self._near(n, curve)]
        if not candidates:
            return self._done("no place", "no allowed sample size lies near N₅₀: list more of them")
        n = np.array([place[0] for place in candidates], np.float64)
        sizes = np.array([place[1] for place in candidates], np.float64)
        eta, derivative = curve.predict(n, sizes)
        batch = self._batch(counts, fit)
        weights = 1 / (2 + np.exp(eta) + np.exp(-eta))  # p(1 − p)
        cost = _costs(tallies, n, sizes)
        added = _best_portions(curve.best.information, weights, derivative, cost, (1 - _EVEN_SHARE) * batch)
        added += _even(n, eta, _EVEN_SHARE * batch)
        return {
            place: _trials(tallies, place) + math.ceil(settled(more))
            for place, more in zip(candidates, added, strict=True)
            if more > 0
        }

    def _near(self, n: int, curve: _Curve) -> list[int]:
        sizes = np.array(self._lattices[n], np.float64)
        eta, _ = curve.predict(np.full(len(sizes), float(n)), sizes)
        eta = settled(np.abs(eta))
        near = eta <= _ETA
        near[int(np.argmin(eta))] = True
        return [int(size) for size in sizes[near]]

    def _batch(self, counts: Counts, fit: ExponentFit) -> float:
        """Return how many trials to place: what the target should need, within bounds."""
        total = float(counts.trials.sum())
        ratio = settled(fit.width) / self.width
        growth = ratio * ratio - 1 if math.isfinite(ratio) else _MOST_GROWTH
        return total * min(max(growth, _LEAST_GROWTH), _MOST_GROWTH)


def _trials(tallies: Mapping[Place, Tally], place: Place) -> int:
    tally = tallies.get(place)
    return 0 if tally is None else tally.trials


class _Curve:
    """A law fitted to counts, to be asked about other places."""

    def __init__(self, counts: Counts, law: Law):
        self.law, self.counts = law, counts
        self.dimensions = np.unique(counts.n)
        self.slopes = "power" if len(self.dimensions) > 2 else "common"
        self.centre = float(np.log(counts.n).mean())
        self.best = maximise(counts, law.model(counts.n, self.slopes, self.centre))

    def predict(self, n: np.ndarray, sizes: np.ndarray):
        """Return η and its derivatives at places, with the designs centred as those of the counts."""
        law = self.law.model(n, "common", self.centre, self.dimensions)
        slope = slope_design(n, self.slopes, float(np.log(self.counts.n).mean()))
        return predictor(Model(law.location, slope, law.offset), np.log(sizes), self.best.parameters)


def _best_portions(fisher, weights, derivative, cost, batch: float) -> np.ndarray:
    """Place a batch in portions, each where it lowers the variance of α (parameter 1) most for its cost."""
    added = np.zeros(len(weights))
    scale = np.trace(fisher) / len(fisher)
    information = fisher + 1e-9 * scale * np.eye(len(fisher))
    portion = batch / _PORTIONS
    for _ in range(_PORTIONS):
        moved = derivative @ np.linalg.inv(information)  # (candidates, parameters)
        spread = np.einsum("ij,ij->i", moved, derivative)
        gain = portion * weights * moved[:, 1] ** 2 / (1 + portion * weights * spread) / cost
        chosen = int(np.argmax(settled(gain)))
        one = derivative[chosen]
        information = information + portion * weights[chosen] * np.outer(one, one)
        added[chosen] += portion
    return added


def _even(n: np.ndarray, eta: np.ndarray, batch: float) -> np.ndarray:
    """Spread a batch over all dimensions, half of each share below N₅₀ and half above."""
    added = np.zeros(len(n))
    dimensions = np.unique(n)
    for dimension in dimensions:
        places = np.flatnonzero(n == dimension)
        for side in (-1.0, 1.0):
            chosen = places[int(np.argmin(settled(np.abs(eta[places] - side))))]
            added[chosen] += batch / len(dimensions) / 2
    return added


def _costs(tallies: Mapping[Place, Tally], n: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Return what a trial costs at places: as at the run places of the same n, in between interpolated."""
    costs = np.ones(len(n))
    for dimension in np.unique(n):
        known = sorted(
            (size, tally.work) for (one, size), tally in tallies.items() if one == dimension and tally.trials
        )
        if known:
            logs, work = np.log([size for size, _ in known]), np.log([work for _, work in known])
            mine = n == dimension
            costs[mine] = np.exp(np.interp(np.log(sizes[mine]), logs, work))
    return costs / costs.min()
