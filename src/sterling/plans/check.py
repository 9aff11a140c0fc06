"""Measuring the advice: trials with the samples that a mean-field row proposes, counted with an interval."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sterling.base.pool import Pool
from sterling.base.progress import Progress, Show, showing
from sterling.base.resources import require_memory
from sterling.base.text import Plain
from sterling.model.problem import Problem
from sterling.stats import jeffreys
from sterling.study.cells import Cell
from sterling.study.criteria import SUCCESS, UNDECIDED
from sterling.study.kinds import get_kind, parse_criterion
from sterling.study.trial import run_trial, warm_up

if TYPE_CHECKING:
    from sterling.plans.plan import Need


@dataclass(frozen=True)
class Check(Plain):
    """How often trials with the proposed samples did what a row promises.

    Attributes
    ----------
    samples, steps : int
        Of each trial.
    trials, successes, undecided : int
        Undecided trials spent their budget: within it they are no successes, what they are for ever is not
        known.
    low, high : float
        95 % Jeffreys interval of the share: its lower end is that with undecided trials as failures, its
        upper end that with them as successes.
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
        """Share of successes within the budget."""
        return self.successes / self.trials

    @property
    def most(self) -> float:
        """Share of successes if all undecided trials were some."""
        return (self.successes + self.undecided) / self.trials


def check_needs(
    needs: Sequence[Need],
    problem: Problem,
    settings: dict[str, Any],
    trials: int,
    seed: int,
    threads: int | None,
    progress: bool | Show,
) -> list[Need]:
    """Return the rows of a plan, those that trials can measure with what they measured.

    Trials are those of studies, of the kind "train" with the given settings, so each can be run again from
    the seed and its number.
    """
    cells = {place: cell_of(need, problem, settings) for place, need in enumerate(needs) if need.criterion}
    rows: dict[int, list[dict]] = defaultdict(list)
    with Pool(threads) as pool, showing(progress, "trials") as show:
        if cells:
            largest = max((cell.problem for cell in cells.values()), key=Problem.memory)
            what = f"{pool.count} trials with n={largest.n}, m={largest.m}, {largest.samples} samples each"
            require_memory(pool.count * largest.memory(), what)
        warm_up(cells.values())

        def run(job: tuple[int, int]) -> dict:
            place, number = job
            return run_trial(cells[place], number, seed, lambda: pool.stopping)

        jobs = ((place, number) for place in cells for number in range(trials))
        for done in pool.results(run, jobs):
            if done is not None:
                rows[done.item[0]].append(done.value)
            if show is not None:
                show(Progress(sum(map(len, rows.values())), trials * len(cells)))
    return [
        replace(need, check=_count(need, cells[place], rows[place])) if place in cells else need
        for place, need in enumerate(needs)
    ]


def cell_of(need: Need, problem: Problem, settings: dict[str, Any]) -> Cell:
    """Return the cell of the trials of a row: its samples, its budget and its restarts."""
    own = {"steps": need.steps, "restart": "none" if need.restart is None else str(need.restart)}
    return Cell("train", replace(problem, samples=need.proposed, noise=need.noise), settings | own)


def _count(need: Need, cell: Cell, rows: list[dict]) -> Check:
    import polars as pl

    columns = {name: column.polars for name, column in get_kind(cell.kind).columns.items()}
    outcomes = pl.DataFrame(rows, columns).select(parse_criterion(need.criterion).outcome())["outcome"]
    successes = int((outcomes == SUCCESS).sum())
    undecided = int((outcomes == UNDECIDED).sum())
    low, high = float(jeffreys(successes, len(rows))[0]), float(jeffreys(successes + undecided, len(rows))[1])
    return Check(cell.problem.samples, cell.settings["steps"], len(rows), successes, undecided, low, high)
