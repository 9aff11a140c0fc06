"""What is known so far: the outcome of each trial under each criterion, kept small and looked up fast."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sterling.study.criteria import SUCCESS, UNDECIDED, Criterion
from sterling.study.trial import Cell

if TYPE_CHECKING:
    import polars as pl

_MISSING = -1

# What operations cost, measured once on one machine; only ratios matter, and they decide placement only.
_WORK_COLUMNS = ("n", "samples", "m", "passes", "states", "events", "trap_free")
_TRIAL, _ENTRY, _PASSED_ENTRY, _STATE, _EVENT = 2e-3, 1e-8, 6e-10, 8e-8, 1e-8
_VISIT, _VISITED_ROW = 3e-7, 4e-9

#: How many of its first trials each cell shall have.
Plan = dict[Cell, int]


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


class Ledger:
    """Outcomes by cell and trial number.

    Parameters
    ----------
    criteria : sequence of Criterion
        What is kept of a trial: its outcome under each.
    """

    def __init__(self, criteria: Iterable[Criterion]):
        self.criteria = tuple(criteria)
        self._codes: dict[str, np.ndarray] = {}  # cell → int8 (criteria, trial number)
        self._work: dict[str, np.ndarray] = {}  # cell → float32 (trial number,)
        self._seconds: dict[str, tuple[float, int]] = {}

    @property
    def columns(self) -> list[str]:
        """The columns that `record` reads."""
        read = [name for criterion in self.criteria for name in criterion.columns]
        return list(dict.fromkeys(["cell", "trial", *read, "seconds", *_WORK_COLUMNS]))

    def record(self, frame: pl.DataFrame) -> dict[str, int]:
        """Take over finished trials; trials known already change nothing.

        Returns
        -------
        dict
            For each cell, named by its hash, how many of them were not known.
        """
        import polars as pl

        if frame.is_empty():
            return {}
        outcomes = [
            criterion.outcome().alias(f"outcome{place}") for place, criterion in enumerate(self.criteria)
        ]
        table = frame.select(pl.col("cell").cast(pl.String), "trial", "seconds", _work(), *outcomes).sort(
            "cell"
        )
        cells = table["cell"].to_numpy()
        numbers = table["trial"].to_numpy()
        seconds = table["seconds"].to_numpy()
        work = table["work"].to_numpy()
        codes = table.select(pl.col("^outcome.*$")).to_numpy().T
        starts = np.flatnonzero(np.concatenate([[True], cells[1:] != cells[:-1]]))
        learnt = {}
        for first, last in zip(starts, [*starts[1:], len(cells)], strict=True):
            kept = self._room(cells[first], int(numbers[first:last].max()) + 1)
            before = kept[0, numbers[first:last]] == _MISSING
            learnt[cells[first]] = np.unique(numbers[first:last][before]).size
            kept[:, numbers[first:last]] = codes[:, first:last]
            self._work[cells[first]][numbers[first:last]] = work[first:last]
            total, count = self._seconds.get(cells[first], (0.0, 0))
            self._seconds[cells[first]] = (
                total + float(seconds[first:last].sum()),
                count + int(last - first),
            )
        return learnt

    def _room(self, cell: str, count: int) -> np.ndarray:
        kept = self._codes.get(cell)
        size = 0 if kept is None else kept.shape[1]
        if count > size:
            grown = np.full((len(self.criteria), max(count, 2 * size)), _MISSING, np.int8)
            work = np.zeros(grown.shape[1], np.float32)
            if kept is not None:
                grown[:, :size] = kept
                work[:size] = self._work[cell]
            self._codes[cell], self._work[cell] = grown, work
            return grown
        assert kept is not None
        return kept

    def missing(self, cell: Cell, first: int, stop: int) -> np.ndarray:
        """Return which of the cell's trials first, …, stop − 1 are not known yet, rising."""
        unknown = np.ones(stop - first, bool)
        kept = self._codes.get(cell.key)
        if kept is not None:
            codes = kept[0, first:stop]
            unknown[: codes.size] = codes == _MISSING
        return first + np.flatnonzero(unknown)

    def known(self, cell: Cell, count: int) -> int:
        """Return how many of the cell's first ``count`` trials are known."""
        kept = self._codes.get(cell.key)
        return 0 if kept is None else int(np.count_nonzero(kept[0, :count] != _MISSING))

    def tally(self, cell: Cell, count: int, criterion: Criterion) -> Tally:
        """Count the known ones of the cell's first ``count`` trials."""
        kept = self._codes.get(cell.key)
        if kept is None:
            return Tally()
        codes = kept[self.criteria.index(criterion), :count]
        known = codes != _MISSING
        return Tally(
            int(np.count_nonzero(known)),
            int(np.count_nonzero(codes == SUCCESS)),
            int(np.count_nonzero(codes == UNDECIDED)),
            float(self._work[cell.key][:count][known].mean(dtype=np.float64)) if known.any() else 0.0,
        )

    def pace(self, cell: Cell) -> float | None:
        """Return the mean seconds of the cell's trials; None if there are none."""
        total, count = self._seconds.get(cell.key, (0.0, 0))
        return total / count if count else None


def _work() -> pl.Expr:
    """Return the expression for what a trial costs, in seconds of the machine of the constants above."""
    import polars as pl

    n = pl.col("n").cast(pl.Float64)
    rows = pl.col("samples") * pl.col("m")
    visit = pl.lit(2.0).pow(n) * (_VISIT + _VISITED_ROW * rows)  # of all states; one with a trap ends early
    entries = n * pl.col("samples") * pl.col("m")
    return (
        _TRIAL
        + entries * (_ENTRY + _PASSED_ENTRY * pl.col("passes"))
        + n * (_STATE * pl.col("states") + _EVENT * pl.col("events"))
        + pl.when(pl.col("trap_free")).then(visit).otherwise(0.0)
    ).alias("work")
