"""Runs from many starts, for `Landscape.basins`, and what came out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.pool import Pool
from sterling.base.progress import Progress, ProgressCallback, reporting
from sterling.base.text import Result, counted, percent
from sterling.landscapes.numbering import distances, number_of, signs_of
from sterling.model.problem import LATENT, part_seed

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit


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


class _Stopped(Exception):
    """Another thread has failed or was interrupted."""


def basins_of(
    run: Callable[[np.random.SeedSequence, ProgressCallback], Orbit],
    root: int | np.random.SeedSequence,
    starts: int,
    steps: int,
    reference: np.ndarray,
    threads: int | None,
    progress: bool | ProgressCallback,
) -> Basins:
    """Return the end states of ``run(seed, look)``; distances are to the signs ``reference``."""
    ends: list[int] = []
    verdicts: Counter[str] = Counter()
    with Pool(threads) as pool, reporting(progress, "runs") as show:

        def look(_) -> None:
            if pool.stopping:
                raise _Stopped

        def one(number: int) -> tuple[int | None, str]:
            orbit = run(part_seed(root, LATENT, number), look)
            return number_of(orbit.signs) if orbit.verdict.absorbed else None, orbit.verdict.name

        for done in pool.results(one, range(starts)):
            if done is not None:
                end, verdict = done.value
                verdicts[verdict] += 1
                ends += [] if end is None else [end]
            if show is not None:
                show(Progress(verdicts.total(), starts))
    states, counts = np.unique(np.array(ends, np.int64), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    states = states[order]
    return Basins(
        starts=starts,
        states=states,
        counts=counts[order],
        absorbing=signs_of(states, len(reference)),
        distance=distances(states, number_of(reference)),
        unabsorbed=starts - len(ends),
        verdicts=dict(sorted(verdicts.items())),
        steps=steps,
    )
