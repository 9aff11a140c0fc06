"""What is known so far, and what is being run: each trial's state and outcomes, small and looked up fast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from sterling.study.cells import Cell
from sterling.study.criteria import SUCCESS, UNDECIDED, Criterion
from sterling.study.kinds import Kind

MISSING, HANDED_OUT, KNOWN = range(3)  # states of a trial
_BLOCK = 1 << 14  # trial numbers kept in one piece: those of a cell may lie far apart
_UNIT = 1e-9  # seconds of work are added as integers, so that sums are the same on every machine

#: How many of its first trials each cell shall have.
Wanted = dict[Cell, int]


@dataclass(frozen=True)
class Tally:
    """Trials of one cell, counted; undecided ones are among the trials, not among the successes."""

    trials: int = 0
    successes: int = 0
    undecided: int = 0
    work: float = 0.0  # seconds a trial costs on some machine: of counted operations, so the same everywhere


class _Block:
    """Trial numbers in a row: states and outcomes, int8 (1 + criteria, numbers), and work, float32."""

    def __init__(self, criteria: int):
        self.states, *self.outcomes = np.zeros((1 + criteria, _BLOCK), np.int8)
        self.work = np.zeros(_BLOCK, np.float32)


class Ledger:
    """Outcomes of a kind's trials under each of some criteria, by cell and trial number."""

    def __init__(self, kind: Kind, criteria: Iterable[Criterion]):
        self.kind, self.criteria = kind, tuple(criteria)
        self._blocks: dict[str, dict[int, _Block]] = {}  # by cell, and by number // _BLOCK
        self._seconds: dict[str, tuple[float, int]] = {}

    @property
    def columns(self) -> list[str]:
        """The columns that `record` reads."""
        read = [name for criterion in self.criteria for name in criterion.columns]
        worked = [name for name, column in self.kind.columns.items() if column.dtype in ("Int64", "Float64")]
        return list(dict.fromkeys(["cell", "trial", "seconds", *read, *(worked if self.kind.work else ())]))

    def record(self, frame: pl.DataFrame, cells: Mapping[str, Cell]) -> dict[str, np.ndarray]:
        """Take over finished trials, rows with `columns`; return the numbers that are new in each cell.

        Cells are named by their hashes; trials known already change nothing.
        """
        return {
            str(key): self._record_cell(cells[str(key)], rows)
            for (key,), rows in frame.partition_by("cell", as_dict=True, include_key=False).items()
        }

    def _record_cell(self, cell: Cell, rows: pl.DataFrame) -> np.ndarray:
        work = pl.lit(1.0) if self.kind.work is None else self.kind.work(cell)
        table = rows.select(
            "trial",
            "seconds",
            work.cast(pl.Float32).alias("work"),
            *(one.outcome().alias(f"outcome{place}") for place, one in enumerate(self.criteria)),
        )
        numbers, seconds, costs, *outcomes = (column.to_numpy() for column in table)
        total, count = self._seconds.get(cell.key, (0.0, 0))
        self._seconds[cell.key] = (total + float(seconds.sum()), count + len(numbers))
        new = []
        for block, mine, within in self._blocks_of(cell, numbers):
            new.append(np.unique(numbers[mine][block.states[within] != KNOWN]))
            block.states[within], block.work[within] = KNOWN, costs[mine]
            for kept, outcome in zip(block.outcomes, outcomes, strict=True):
                kept[within] = outcome[mine]
        return np.concatenate(new)

    def hand_out(self, cell: Cell, numbers: np.ndarray) -> None:
        """Mark trials as being run."""
        self._change(cell, numbers, MISSING, HANDED_OUT)

    def take_back(self, cell: Cell, numbers: np.ndarray) -> None:
        """Say that trials are being run no more; those that are not known have to be run again."""
        self._change(cell, numbers, HANDED_OUT, MISSING)

    def _change(self, cell: Cell, numbers: np.ndarray, old: int, new: int) -> None:
        for block, _, within in self._blocks_of(cell, np.asarray(numbers)):
            block.states[within[block.states[within] == old]] = new

    def _blocks_of(self, cell: Cell, numbers: np.ndarray) -> Iterator[tuple[_Block, np.ndarray, np.ndarray]]:
        """Give the blocks that numbers lie in: each with the mask of its numbers and their places in it."""
        blocks, places = self._blocks.setdefault(cell.key, {}), numbers // _BLOCK
        for place in np.unique(places).tolist():
            if place not in blocks:
                blocks[place] = _Block(len(self.criteria))
            mine = places == place
            yield blocks[place], mine, numbers[mine] - place * _BLOCK

    def missing(self, cell: Cell, first: int, stop: int) -> np.ndarray:
        """Return which of the cell's trials first, …, stop − 1 are neither known nor being run, rising."""
        free = np.ones(max(0, stop - first), bool)
        for start, block in self._within(cell, stop):
            if start + _BLOCK > first:
                low, high = max(first, start), min(stop, start + _BLOCK)
                free[low - first : high - first] = block.states[low - start : high - start] == MISSING
        return first + np.flatnonzero(free)

    def lacking(self, cell: Cell, count: int) -> int:
        """Return how many of the cell's first ``count`` trials are neither known nor being run."""
        return count - sum(
            int(np.count_nonzero(block.states[: count - start])) for start, block in self._within(cell, count)
        )

    def known(self, cell: Cell, count: int) -> int:
        """Return how many of the cell's first ``count`` trials are known."""
        return sum(
            int(np.count_nonzero(block.states[: count - start] == KNOWN))
            for start, block in self._within(cell, count)
        )

    def tally(self, cell: Cell, count: int, criterion: Criterion) -> Tally:
        """Count the known ones of the cell's first ``count`` trials."""
        place = self.criteria.index(criterion)
        trials = successes = undecided = work = 0
        for start, block in self._within(cell, count):
            known = block.states[: count - start] == KNOWN
            outcomes = block.outcomes[place][: count - start][known]
            trials += outcomes.size
            successes += int(np.count_nonzero(outcomes == SUCCESS))
            undecided += int(np.count_nonzero(outcomes == UNDECIDED))
            costs = block.work[: count - start][known].astype(np.float64)
            work += int(np.rint(costs / _UNIT).astype(np.int64).sum())
        return Tally(trials, successes, undecided, work * _UNIT / trials if trials else 0.0)

    def _within(self, cell: Cell, stop: int) -> Iterable[tuple[int, _Block]]:
        """Give the blocks of a cell that begin below a number, with their first numbers."""
        blocks = self._blocks.get(cell.key, {})
        return ((place * _BLOCK, block) for place, block in blocks.items() if place * _BLOCK < stop)

    def pace(self, cell: Cell) -> float | None:
        """Return the mean seconds of the cell's trials; None if there are none."""
        total, count = self._seconds.get(cell.key, (0.0, 0))
        return total / count if count else None
