"""Basins: runs from many starts, counted by the absorbing state that each reaches."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from sterling.base.checks import integer
from sterling.base.checks import seed as checked_seed
from sterling.base.pool import Pool
from sterling.base.progress import Progress, ProgressCallback, reporting
from sterling.base.text import Result, counted, percent
from sterling.landscapes.numbering import distances, number_of, signs_of
from sterling.model.instance import Instance
from sterling.model.problem import LATENT, part_seed
from sterling.schedules import Schedule
from sterling.surrogates import Surrogate

#: Steps of a run if no state absorbs, at most: such a run never ends by itself.
ENDLESS_STEPS = 10_000

_CACHE_BYTES = 1 << 26  # for each run


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


def find_basins(
    instance: Instance,
    surrogate: Surrogate,
    reference: int,
    endless: bool,
    starts: int,
    schedule: Schedule | None,
    seed: int | np.random.SeedSequence | np.random.Generator,
    steps: int,
    threads: int | None,
    progress: bool | ProgressCallback,
) -> Basins:
    """Run the dynamics from many starts and count where they end; see `Landscape.basins`.

    ``reference`` is a state's number, ``endless`` whether no state absorbs.
    """
    from sterling.dynamics.train import train

    starts, steps, root = integer(starts, "starts", 1), integer(steps, "steps", 1), checked_seed(seed)
    if endless:
        steps = min(steps, ENDLESS_STEPS)
    where: list[int] = []
    verdicts: Counter[str] = Counter()
    with Pool(threads) as pool, reporting(progress, "runs") as show:

        def look(_) -> None:
            if pool.stopping:
                raise _Stopped

        def run(number: int) -> tuple[int | None, str]:
            orbit = train(
                instance,
                steps,
                schedule,
                surrogate,
                part_seed(root, LATENT, number),
                record=(),
                progress=look,
                threads=1,
                cache_bytes=_CACHE_BYTES,
            )
            return number_of(orbit.signs) if orbit.verdict.absorbed else None, orbit.verdict.name

        for done in pool.results(run, range(starts)):
            if done is not None:
                end, verdict = done.value
                verdicts[verdict] += 1
                where += [] if end is None else [end]
            if show is not None:
                show(Progress(verdicts.total(), starts))
    states, counts = np.unique(np.array(where, np.int64), return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return Basins(
        starts=starts,
        states=states[order],
        counts=counts[order],
        absorbing=signs_of(states[order], instance.n),
        distance=distances(states[order], reference),
        unabsorbed=starts - len(where),
        verdicts=dict(sorted(verdicts.items())),
        steps=steps,
    )
