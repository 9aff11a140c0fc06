"""Measuring the advice: trials with the samples that a mean-field row proposes, counted with an interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.pool import Pool
from sterling.base.progress import Progress, Show
from sterling.model.problem import Problem
from sterling.schedules import Power, Schedule

if TYPE_CHECKING:
    from sterling.plans.plan import Need

_BATCH = 4  # trials handed to a worker at a time


@dataclass(frozen=True)
class Check:
    """How often trials with the proposed samples did what a row promises.

    Attributes
    ----------
    samples, steps : int
        Of each trial.
    trials, successes, undecided : int
        Undecided trials (budget spent) are no successes.
    low, high : float
        95 % Jeffreys interval of the share of successes.
    """

    samples: int
    steps: int
    trials: int
    successes: int
    undecided: int
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of successes."""
        return self.successes / self.trials


def check_need(
    needs: Sequence[Need],
    problem: Problem,
    surrogate: str,
    trials: int,
    steps: int,
    schedule: Schedule | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: Show | None = None,
) -> list[Need]:
    """Return the rows of a plan, those that trials can measure with what they measured.

    Trials are those of studies (`sterling.study.trial`), so each can be replayed from seed and number.
    """
    from sterling.base.resources import require_memory
    from sterling.study.kinds import Cell
    from sterling.study.trial import Batch, warm_up

    cells = {
        place: Cell(
            "train",
            replace(problem, samples=need.proposed, noise=need.noise),
            {"schedule": schedule or Power(0.5, 0.5), "surrogate": surrogate, "steps": steps},
        )
        for place, need in enumerate(needs)
        if need.criterion
    }
    if not cells:
        return list(needs)
    rows: dict[int, list] = {place: [] for place in cells}
    with Pool(threads) as pool:
        largest = max((cell.problem for cell in cells.values()), key=Problem.memory)
        what = f"{pool.count} trials with n={largest.n}, m={largest.m}, {largest.samples} samples each"
        require_memory(pool.count * largest.memory(), what)
        warm_up(cells.values())
        batches = (
            (place, Batch(cell, np.arange(first, min(first + _BATCH, trials))))
            for place, cell in cells.items()
            for first in range(0, trials, _BATCH)
        )
        work = partial(_work, seed, lambda: pool.stopping)
        for done in pool.results(work, batches):
            if done is not None:
                rows[done.item[0]] += done.value
            if progress is not None:
                progress(Progress(sum(map(len, rows.values())), trials * len(cells)))
    return [
        replace(need, check=_count(need, cells[place], rows[place])) if place in cells else need
        for place, need in enumerate(needs)
    ]


def _work(seed: int, stop: Callable[[], bool], item: tuple) -> list:
    from sterling.study.trial import run_batch

    return run_batch(seed, stop, item[1])


def _count(need: Need, cell, rows: list) -> Check:
    from sterling.stats import jeffreys
    from sterling.study.criteria import SUCCESS, UNDECIDED
    from sterling.study.kinds import get_kind, parse_criterion
    from sterling.study.shards import frame_of

    outcomes = frame_of(get_kind(cell.kind), rows).select(parse_criterion(need.criterion).outcome())[
        "outcome"
    ]
    successes = int((outcomes == SUCCESS).sum())
    low, high = jeffreys(successes, len(rows))
    return Check(
        cell.problem.samples,
        cell.settings["steps"],
        len(rows),
        successes,
        int((outcomes == UNDECIDED).sum()),
        float(low),
        float(high),
    )
