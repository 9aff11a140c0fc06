"""What is known so far: the outcome of each trial under each criterion, kept small and looked up fast."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sterling.study.cells import Cell
from sterling.study.criteria import SUCCESS, UNDECIDED, Criterion
from sterling.study.kinds import Kind

if TYPE_CHECKING:
    import polars as pl

_MISSING = -1
_BLOCK = 1 << 14  # trial numbers kept in one piece: those of a cell may lie far apart
_UNIT = 1e-9  # seconds of work are added as integers, so that sums are the same on every machine

#: How many of its first trials each cell shall have.
Wanted = dict[Cell, int]


@dataclass(frozen=True)
class Tally:
    """Trials of one cell, counted. Undecided ones are among the trials, not among the successes.

    ``work`` is what a trial costs on average, in seconds of some machine: computed from counted operations,
    so that it is the same everywhere.
    """

    trials: int = 0
    successes: int = 0
    undecided: int = 0
    work: float = 0.0


class _Block:
    """Trial numbers in a row: outcomes, int8 (criteria, numbers), and work, float32."""

    def __init__(self, criteria: int):
        self.codes = np.full((max(1, criteria), _BLOCK), _MISSING, np.int8)
        self.work = np.zeros(_BLOCK, np.float32)


class Ledger:
    """Outcomes by cell and trial number.

    Parameters
    ----------
    kind : Kind
    criteria : sequence of Criterion
        What is kept of a trial: its outcome under each.
    """

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
        """Take over finished trials; trials known already change nothing.

        Parameters
        ----------
        frame : Polars frame
            With `columns`; the cells by their hashes.
        cells : mapping of str to Cell
            The cells of these hashes.

        Returns
        -------
        dict
            For each cell, named by its hash, the numbers that were not known.
        """
        return {
            str(key): self._record_cell(cells[str(key)], rows)
            for (key,), rows in frame.partition_by("cell", as_dict=True, include_key=False).items()
        }

    def _record_cell(self, cell: Cell, rows: pl.DataFrame) -> np.ndarray:
        import polars as pl

        work = pl.lit(1.0) if self.kind.work is None else self.kind.work(cell)
        outcomes = [one.outcome().alias(f"outcome{place}") for place, one in enumerate(self.criteria)]
        table = rows.select("trial", "seconds", work.cast(pl.Float32).alias("work"), *outcomes)
        numbers = table["trial"].to_numpy()
        codes = table.select(pl.col("^outcome.*$")).to_numpy().T if outcomes else np.zeros((1, len(numbers)))
        total, count = self._seconds.get(cell.key, (0.0, 0))
        self._seconds[cell.key] = (total + float(table["seconds"].sum()), count + len(numbers))
        blocks, new = self._blocks.setdefault(cell.key, {}), []
        places = numbers // _BLOCK
        for place in np.unique(places):
            mine = places == place
            block = blocks.setdefault(int(place), _Block(len(self.criteria)))
            within = numbers[mine] - place * _BLOCK
            new.append(np.unique(numbers[mine][block.codes[0, within] == _MISSING]))
            block.codes[:, within] = codes[:, mine]
            block.work[within] = table["work"].to_numpy()[mine]
        return np.concatenate(new)

    def missing(self, cell: Cell, first: int, stop: int) -> np.ndarray:
        """Return which of the cell's trials first, …, stop − 1 are not known yet, rising."""
        unknown = np.ones(stop - first, bool)
        for start, block in self._within(cell, stop):
            if start + _BLOCK > first:
                low, high = max(first, start), min(stop, start + _BLOCK)
                unknown[low - first : high - first] = block.codes[0, low - start : high - start] == _MISSING
        return first + np.flatnonzero(unknown)

    def known(self, cell: Cell, count: int) -> int:
        """Return how many of the cell's first ``count`` trials are known."""
        return sum(
            int(np.count_nonzero(block.codes[0, : count - start] != _MISSING))
            for start, block in self._within(cell, count)
        )

    def tally(self, cell: Cell, count: int, criterion: Criterion) -> Tally:
        """Count the known ones of the cell's first ``count`` trials."""
        place = self.criteria.index(criterion)
        trials = successes = undecided = work = 0
        for start, block in self._within(cell, count):
            codes = block.codes[place, : count - start]
            known = codes != _MISSING
            trials += int(np.count_nonzero(known))
            successes += int(np.count_nonzero(codes == SUCCESS))
            undecided += int(np.count_nonzero(codes == UNDECIDED))
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
