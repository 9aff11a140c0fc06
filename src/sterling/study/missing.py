"""What a round still lacks, handed out in batches, in an order that each process draws for itself.

Processes that share a folder do not talk to each other. Each begins at a random trial of a random cell, goes
on from there, and jumps elsewhere when it comes to trials that another one has done; so they meet seldom, and
what is done twice is little.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from sterling.study.cells import Cell
from sterling.study.ledger import Ledger

_WINDOW = 1 << 14  # trials of a cell looked up at a time: a round may have more than memory holds
_TRIES = 8  # random numbers that are tried before all are looked through


class Missing:
    """The trials that a round asks for and that are neither known to the ledger nor being run.

    ``wanted`` says how many of its first trials each cell shall have, ``order`` where to begin, and where to
    go on after a meeting; no result depends on it.
    """

    def __init__(self, ledger: Ledger, wanted: Mapping[Cell, int], order: random.Random):
        self._ledger, self._wanted, self._order = ledger, wanted, order
        self._by_key = {cell.key: cell for cell in wanted}
        self._lacking: dict[Cell, int] = {}
        self.learnt(self._by_key)
        self._turns: deque[Cell] = deque()
        self._place: tuple[Cell, int] | None = None  # where to go on

    def __bool__(self) -> bool:
        return bool(self._lacking)

    @property
    def cells(self) -> list[Cell]:
        """The cells that lack trials."""
        return list(self._lacking)

    @property
    def waiting(self) -> int:
        """How many trials there are to hand out."""
        return sum(self._lacking.values())

    def take(self, size: Callable[[Cell], int]) -> tuple[Cell, np.ndarray] | None:
        """Hand out a batch of one cell; None if nothing is left to hand out."""
        if not self._lacking:
            return None
        place = self._place
        if place is None or not self._free(*place, 1).size:
            place = self._jump()
        cell, first = place
        free = self._free(cell, first, _WINDOW)
        gaps = np.flatnonzero(np.diff(free) != 1)
        numbers = free[: min(size(cell), gaps[0] + 1 if gaps.size else free.size)]
        self._ledger.hand_out(cell, numbers)
        self._place = cell, int(numbers[-1]) + 1
        self.learnt([cell.key])
        return cell, numbers

    def learnt(self, keys: Iterable[str]) -> None:
        """Say that the ledger has changed on trials of these cells."""
        for key in keys:
            cell = self._by_key.get(key)
            if cell is None:
                continue
            lacking = self._ledger.lacking(cell, self._wanted[cell])
            if lacking:
                self._lacking[cell] = lacking
            else:
                self._lacking.pop(cell, None)

    def _free(self, cell: Cell, first: int, count: int) -> np.ndarray:
        """Return which of so many numbers can be handed out, rising."""
        return self._ledger.missing(cell, first, min(first + count, self._wanted[cell]))

    def _jump(self) -> tuple[Cell, int]:
        """Return a random free number of the next cell whose turn it is."""
        while not self._turns or self._turns[0] not in self._lacking:
            if self._turns:
                self._turns.popleft()
            else:  # at the beginning, and for cells that came back as a trial has to be done again
                self._turns.extend(self._order.sample(self.cells, len(self._lacking)))
        cell = self._turns[0]
        self._turns.rotate(-1)
        count = self._wanted[cell]
        for _ in range(_TRIES):
            number = self._order.randrange(count)
            if self._free(cell, number, 1).size:
                return cell, number
        rank = self._order.randrange(self._lacking[cell])
        for first in range(0, count, _WINDOW):
            free = self._free(cell, first, _WINDOW)
            if rank < free.size:
                return cell, int(free[rank])
            rank -= free.size
        raise AssertionError("a cell lacks trials that nobody can find")
