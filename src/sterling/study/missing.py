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
    """The trials that a round asks for and the ledger does not know.

    Parameters
    ----------
    ledger : Ledger
    wanted : mapping of Cell to int
        How many of its first trials each cell shall have.
    order : random.Random
        Where to begin, and where to go on after a meeting. No result depends on it.
    """

    def __init__(self, ledger: Ledger, wanted: Mapping[Cell, int], order: random.Random):
        self._ledger, self._wanted, self._order = ledger, dict(wanted), order
        self._by_key = {cell.key: cell for cell in wanted}
        self.flying: dict[Cell, set[int]] = {}  # handed out, and not ended
        self._lacking: dict[Cell, int] = {}
        for cell in wanted:
            self._count(cell)
        cells = list(self._lacking)
        order.shuffle(cells)
        self._turns = deque(cells)
        self._place: tuple[Cell, int] | None = None  # where to go on

    def __bool__(self) -> bool:
        return bool(self._lacking)

    @property
    def cells(self) -> list[Cell]:
        """The cells that lack trials."""
        return list(self._lacking)

    @property
    def waiting(self) -> int:
        """Trials that are neither known nor handed out."""
        return sum(self._lacking.values())

    def take(self, size: Callable[[Cell], int]) -> tuple[Cell, np.ndarray] | None:
        """Hand out a batch of one cell; None if nothing is left to hand out."""
        if not self._lacking:
            return None
        place = self._place
        if place is None or not self._free(*place, place[1] + 1).size:
            place = self._jump()
        cell, first = place
        free = self._free(cell, first, min(self._wanted[cell], first + _WINDOW))
        run = 1 + int(np.argmax(np.diff(free) != 1)) if (np.diff(free) != 1).any() else free.size
        numbers = free[: min(run, size(cell))]
        self.flying.setdefault(cell, set()).update(numbers.tolist())
        self._place = cell, int(numbers[-1]) + 1
        self._count(cell)
        return cell, numbers

    def ended(self, cell: Cell, numbers: Iterable[int]) -> None:
        """Say that trials are handed out no more: they are known by now, or have to be done again."""
        self.flying.get(cell, set()).difference_update(int(number) for number in numbers)
        if cell in self._wanted:
            self._count(cell)

    def learnt(self, keys: Iterable[str]) -> None:
        """Say that the ledger knows more trials of these cells."""
        for key in keys:
            if key in self._by_key:
                self._count(self._by_key[key])

    def _count(self, cell: Cell) -> None:
        known = self._ledger.known(cell, self._wanted[cell])
        flying = sum(1 for number in self.flying.get(cell, ()) if self._is_missing(cell, number))
        lacking = self._wanted[cell] - known - flying
        if lacking > 0:
            self._lacking[cell] = lacking
        else:
            self._lacking.pop(cell, None)

    def _is_missing(self, cell: Cell, number: int) -> bool:
        return number < self._wanted[cell] and self._ledger.missing(cell, number, number + 1).size > 0

    def _free(self, cell: Cell, first: int, stop: int) -> np.ndarray:
        """Return the numbers that are neither known nor handed out, rising."""
        if first >= self._wanted[cell]:
            return np.empty(0, np.int64)
        free = self._ledger.missing(cell, first, min(stop, self._wanted[cell]))
        flying = self.flying.get(cell)
        return free[~np.isin(free, list(flying))] if flying else free

    def _jump(self) -> tuple[Cell, int]:
        """Return a random free number of the next cell whose turn it is."""
        while self._turns[0] not in self._lacking:
            self._turns.popleft()
            if not self._turns:  # cells come back when a trial has to be done again
                self._turns.extend(self._order.sample(self.cells, len(self._lacking)))
        cell = self._turns[0]
        self._turns.rotate(-1)
        count = self._wanted[cell]
        for _ in range(_TRIES):
            number = self._order.randrange(count)
            if self._free(cell, number, number + 1).size:
                return cell, number
        rank = self._order.randrange(self._lacking[cell])
        for first in range(0, count, _WINDOW):
            free = self._free(cell, first, first + _WINDOW)
            if rank < free.size:
                return cell, int(free[rank])
            rank -= free.size
        raise AssertionError("a cell lacks trials that nobody can find")
