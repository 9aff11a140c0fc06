"""Which trials a study runs, round by round, decided from the counts of complete rounds alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

from sterling.stats import jeffreys
from sterling.study.adaptive import Place, Placement
from sterling.study.cells import Cell
from sterling.study.grid import Study
from sterling.study.ledger import Ledger, Wanted

_FIRST_TRIALS = 32  # of each cell, where its interval decides how many it gets

#: The trials that must be there at the end of a round, those of earlier ones included, and a word on it.
Round = tuple[Wanted, str]


class Rounds:
    """The rounds of a study; each is asked for when the one before is complete in the ledger.

    ``reason`` says, at the end, why there are no more; ``messages`` hold what the reader should know.
    """

    def __init__(self, study: Study, ledger: Ledger):
        self.study, self.ledger = study, ledger
        self.reason = "complete"
        self.messages: list[str] = []

    def __iter__(self) -> Iterator[Round]:
        if self.study.adaptive:
            return self._exponents()
        if self.study.target == "proportion":
            return self._proportions()
        return iter([(dict.fromkeys(self.study.cells, self.study.trials), "")])

    def _proportions(self) -> Iterator[Round]:
        """Every cell gets trials until its interval under every criterion is narrow enough."""
        study = self.study
        assert study.width is not None
        wanted: Wanted = dict.fromkeys(study.cells, min(_FIRST_TRIALS, study.trials))
        while True:
            yield dict(wanted), "all cells"
            widths = {cell: self._width(cell, count) for cell, count in wanted.items()}
            wide = {cell: width for cell, width in widths.items() if width > study.width}
            growing = {cell: width for cell, width in wide.items() if wanted[cell] < study.trials}
            if not growing:
                break
            for cell, width in growing.items():
                growth = min(2.0, max(1.1, (width / study.width) ** 2))
                wanted[cell] = min(study.trials, math.ceil(wanted[cell] * growth))
        self.reason = "trials spent" if wide else "width reached"
        if wide:
            these = f"{len(wide)} of {len(wanted)} cells"
            self.messages.append(f"{these} stay wider than {study.width:g} after {study.trials:,} trials")

    def _width(self, cell: Cell, count: int) -> float:
        """Return the widest Jeffreys interval of the cell over the criteria."""
        tallies = [self.ledger.tally(cell, count, criterion) for criterion in self.study.criteria]
        low, high = jeffreys([one.successes for one in tallies], [one.trials for one in tallies])
        return float((high - low).max())

    def _exponents(self) -> Iterator[Round]:
        """Adaptive placement in all series under all criteria, side by side."""
        study = self.study
        assert study.width is not None
        listed = study.samples_at if study.samples is not None else None
        placements = [
            (series, criterion, Placement(study.n, study.width, study.max_trials, listed, series.problem.m))
            for series in study.series
            for criterion in study.criteria
        ]
        cells: dict[Cell, dict[Place, Cell]] = {series: {} for series in study.series}
        wanted: Wanted = {}
        while True:
            complete = dict(wanted)  # what this round's wishes go by, those of other criteria included
            for series, criterion, placement in placements:
                tallies = {
                    place: self.ledger.tally(cell, complete[cell], criterion)
                    for place, cell in cells[series].items()
                    if cell in complete
                }
                for place, count in placement.propose(tallies).items():
                    cell = cells[series].get(place) or series.at(*place)
                    cells[series][place] = cell
                    wanted[cell] = max(count, wanted.get(cell, 0))
            if wanted == complete:
                break
            widths = [placement.fit.width for *_, placement in placements if placement.fit is not None]
            known = f"α known to {max(widths):.3g}, target {study.width:g}" if widths else "looking for N₅₀"
            yield dict(wanted), known
        reasons = {placement.reason or "stuck" for *_, placement in placements}
        order = ("stuck", "no threshold", "no place", "trials spent", "width reached")
        self.reason = next(reason for reason in order if reason in reasons)
        self.messages += [f"{criterion}: {one.message}" for _, criterion, one in placements if one.message]
