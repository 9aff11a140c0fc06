"""What a round still lacks, handed out in batches; numbers are looked up as they are needed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from sterling.study.kinds import Cell
from sterling.study.ledger import Ledger
from sterling.study.notices import Work

_WINDOW = 1 << 14  # trials of a cell looked up at a time: a plan may have more than memory holds


@dataclass
class _Gap:
    """What one cell lacks: numbers looked up and not handed out, and where the rest begins."""

    cell: Cell
    count: int
    lacking: int  # of those not handed out
    beyond: int = 0
    numbers: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


class Gaps:
    """The trials that a plan asks for and the ledger does not know.

    Parameters
    ----------
    ledger : Ledger
    plan : mapping of Cell to int
        How many of its first trials each cell shall have.
    order : random.Random
        Decides which cell comes first. No result depends on it.
    """

    def __init__(self, ledger: Ledger, plan: Mapping[Cell, int], order: random.Random):
        self._ledger = ledger
        lacking = {cell: count - ledger.known(cell, count) for cell, count in plan.items()}
        self.cells = [cell for cell, number in lacking.items() if number]
        order.shuffle(self.cells)
        self._gaps = {cell.key: _Gap(cell, plan[cell], lacking[cell]) for cell in self.cells}

    def __bool__(self) -> bool:
        return bool(self._gaps)

    @property
    def waiting(self) -> int:
        """Trials not handed out."""
        return sum(gap.lacking for gap in self._gaps.values())

    def take(self, size: Callable[[Cell], int], elsewhere: Work) -> tuple[Cell, np.ndarray] | None:
        """Hand out a batch of one cell; None while all that is left is done elsewhere at this moment."""
        for key in list(reversed(self._gaps)):
            gap = self._gaps[key]
            free = self._free(gap, elsewhere.get(key))
            if free.size:
                numbers = free[: size(gap.cell)]
                gap.numbers = gap.numbers[~np.isin(gap.numbers, numbers)]
                self._settle(gap, gap.lacking - numbers.size)
                return gap.cell, numbers
        return None

    def _free(self, gap: _Gap, elsewhere: np.ndarray | None) -> np.ndarray:
        while True:
            free = gap.numbers
            if elsewhere is not None:
                free = free[~np.isin(free, elsewhere)]
            if free.size or gap.beyond >= gap.count:
                return free
            stop = min(gap.count, gap.beyond + _WINDOW)
            more = self._ledger.missing(gap.cell, gap.beyond, stop)
            gap.numbers, gap.beyond = np.concatenate([gap.numbers, more]), stop

    def _settle(self, gap: _Gap, lacking: int) -> None:
        gap.lacking = lacking
        if not lacking:
            del self._gaps[gap.cell.key]

    def drop_known(self, keys: Iterable[str]) -> None:
        """Leave out what the ledger has learnt since of these cells."""
        for key in keys:
            gap = self._gaps.get(key)
            if gap is None:
                continue
            if gap.numbers.size:
                first, last = int(gap.numbers[0]), int(gap.numbers[-1])
                unknown = self._ledger.missing(gap.cell, first, last + 1)
                gap.numbers = gap.numbers[np.isin(gap.numbers, unknown)]
            before, upto = (self._ledger.known(gap.cell, number) for number in (gap.beyond, gap.count))
            self._settle(gap, gap.numbers.size + gap.count - gap.beyond - (upto - before))
