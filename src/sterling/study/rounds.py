"""Which trials a study runs, round by round, decided from the counts of complete rounds alone."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from sterling.stats import jeffreys
from sterling.study.adaptive import DEFAULT_WIDTH, Place, Placement
from sterling.study.cells import Cell
from sterling.study.grid import Series, Study
from sterling.study.ledger import Ledger, Tally, Wanted

_FIRST_TRIALS = 32  # of each cell, where its interval decides how many it gets


@dataclass(frozen=True)
class Step:
    """One round: the trials that must be there at its end, those of earlier rounds included."""

    wanted: Wanted
    note: str = ""


class Rounds:
    """The rounds of a study; each is asked for when the one before is complete in the ledger.

    ``reason`` says, at the end, why there are no more; ``messages`` hold what the reader should know.
    """

    def __init__(self, study: Study, ledger: Ledger):
        self.study, self.ledger = study, ledger
        self.reason = "complete"
        self.messages: list[str] = []
        self.placements: list[tuple[Series, int, Placement]] = []

    def __iter__(self) -> Iterator[Step]:
        if self.study.adaptive:
            return self._exponents()
        if self.study.target == "proportion":
            return self._proportions()
        return iter([Step(dict.fromkeys(self.study.cells, self.study.trials))])

    def _proportions(self) -> Iterator[Step]:
        """Every cell gets trials until its interval under every criterion is narrow enough."""
        study = self.study
        assert study.width is not None
        wanted: Wanted = dict.fromkeys(study.cells, min(_FIRST_TRIALS, study.trials))
        while True:
            yield Step(dict(wanted), "all cells" if len(wanted) else "")
            needs = {cell: self._need(cell, count) for cell, count in wanted.items()}
            wider = {cell: need for cell, need in needs.items() if need > wanted[cell]}
            if not wider:
                break
            wanted |= wider
        missed = sum(self.width(cell, count) > study.width for cell, count in wanted.items())
        self.reason = "trials spent" if missed else "width reached"
        if missed:
            these = f"{missed} of {len(wanted)} cells"
            self.messages.append(f"{these} stay wider than {study.width:g} after {study.trials:,} trials")

    def width(self, cell: Cell, count: int) -> float:
        """Return the widest Jeffreys interval of the cell over the criteria."""
        return max(
            interval_width(self.ledger.tally(cell, count, criterion)) for criterion in self.study.criteria
        )

    def _need(self, cell: Cell, count: int) -> int:
        target = self.study.width
        assert target is not None
        width = self.width(cell, count)
        if width <= target or count >= self.study.trials:
            return count
        growth = min(2.0, max(1.1, (width / target) ** 2))
        return min(self.study.trials, math.ceil(count * growth))

    def _exponents(self) -> Iterator[Step]:
        """Adaptive placement in all series under all criteria, side by side."""
        study = self.study
        listed = study.samples_at if study.samples is not None else None
        self.placements = [
            (
                series,
                place,
                Placement(study.n, study.width or DEFAULT_WIDTH, study.max_trials, listed, series.units),
            )
            for series in study.series
            for place in range(len(study.criteria))
        ]
        asked: dict[Series, dict[Place, int]] = {series: {} for series in study.series}
        cells: dict[tuple[Series, Place], Cell] = {}
        while True:
            more = False
            for series, number, placement in self.placements:
                tallies = self._tallies(series, asked[series], cells, number)
                for place, count in placement.propose(tallies).items():
                    if count > asked[series].get(place, 0):
                        asked[series][place] = count
                        cells[series, place] = series.cell(*place)
                        more = True
            if not more:
                break
            wanted = {
                cells[series, place]: count
                for series, counts in asked.items()
                for place, count in counts.items()
            }
            yield Step(wanted, self._note())
        self._close()

    def _tallies(self, series, asked, cells, number) -> dict[Place, Tally]:
        criterion = self.study.criteria[number]
        return {
            place: self.ledger.tally(cells[series, place], count, criterion) for place, count in asked.items()
        }

    def _note(self) -> str:
        fits = [placement.fit for *_, placement in self.placements]
        widths = [fit.width for fit in fits if fit is not None]
        if not widths:
            return "looking for N₅₀"
        target = self.study.width or DEFAULT_WIDTH
        return f"α known to {max(widths):.3g}, target {target:g}"

    def _close(self) -> None:
        reasons = {placement.reason or "stuck" for *_, placement in self.placements}
        order = ("stuck", "no threshold", "no place", "trials spent", "width reached")
        self.reason = next(reason for reason in order if reason in reasons)
        for _, number, placement in self.placements:
            if placement.message:
                self.messages.append(f"{self.study.criteria[number]}: {placement.message}")


def interval_width(tally: Tally) -> float:
    """Return the width of the Jeffreys interval of a tally."""
    low, high = jeffreys(tally.successes, max(tally.trials, 0))
    return float(high - low) if tally.trials else 1.0
