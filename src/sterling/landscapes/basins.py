"""The result of `Landscape.basins`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sterling.base.text import Result, counted, percent


@dataclass(frozen=True, eq=False)
class Basins(Result):
    """End states of runs from many starts, most frequent first."""

    starts: int  # runs
    states: np.ndarray  # int64 (count,), numbers of the absorbing states that were reached
    counts: np.ndarray  # int64 (count,), runs that ended in each
    absorbing: np.ndarray  # int8 (count, n), the same states as signs
    distance: np.ndarray  # uint8 (count,), to the reference
    unabsorbed: int  # runs that were not absorbed within the steps
    verdicts: dict[str, int]  # number of runs by verdict
    steps: int  # most steps of a run

    @property
    def shares(self) -> np.ndarray:
        """Counts divided by the number of starts: the sizes of the basins."""
        return self.counts / self.starts

    def to_dict(self) -> dict:
        return {name: value for name, value in super().to_dict().items() if name != "absorbing"}

    def __repr__(self) -> str:
        ends = counted(len(self.states), "end state")
        return f"Basins({self.starts:,} starts, {ends}, {self.unabsorbed:,} not absorbed)"

    def _rows(self) -> list[tuple[str, str]]:
        ends = zip(self.states.tolist(), self.shares, self.distance, strict=True)
        rows = [
            (f"state {state}", f"{percent(share, 1)} of the starts, distance {d}") for state, share, d in ends
        ]
        return [("starts", f"{self.starts:,}"), *rows, ("not absorbed", f"{self.unabsorbed:,}")]
