"""Trials with the samples that the rows of a plan propose: a study of one cell for each row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import Any

from sterling.base.progress import Progress, ProgressCallback, reporting
from sterling.model.problem import Problem
from sterling.plans.needs import Check, Need
from sterling.stats import jeffreys
from sterling.study import Store, Study, run


def check_needs(
    needs: Sequence[Need],
    problem: Problem,
    settings: dict[str, Any],
    trials: int,
    seed: int,
    threads: int,
    progress: bool | ProgressCallback,
) -> list[Need]:
    """Return the rows of a plan, with the result of trials where trials can measure a row.

    Rows with most samples come first, since memory may refuse them.
    """
    asked = sorted(
        (index for index, need in enumerate(needs) if need.criterion),
        key=lambda index: -needs[index].proposed,
    )
    checked = list(needs)
    with reporting(progress, "trials") as show:
        for done, index in enumerate(asked):

            def report(now: Progress, before: int = done * trials) -> None:
                if show is not None:
                    show(Progress(before + now.done, trials * len(asked)))

            study = study_of(needs[index], problem, settings, trials=trials, seed=seed)
            with TemporaryDirectory(prefix="sterling-") as folder:
                try:
                    run(study, folder, threads=threads, progress=report)
                except KeyboardInterrupt:
                    raise KeyboardInterrupt from None  # without the note that the next run goes on
                row = Store(folder).counts().row(0, named=True)
            won, left = row["successes"], row["undecided"]
            low, high = jeffreys(won, trials)[0], jeffreys(won + left, trials)[1]
            (cell,) = study.cells
            found = Check(
                cell.problem.samples, cell.settings["steps"], trials, won, left, float(low), float(high)
            )
            checked[index] = replace(needs[index], check=found)
    return checked


def study_of(need: Need, problem: Problem, settings: dict[str, Any], **asked: Any) -> Study:
    """Return the study of a row: its samples, steps, restarts and optimizer."""
    problem = replace(problem, samples=need.proposed, noise=need.noise)
    of_row = {"steps": need.steps, "restart": "none" if need.restart is None else str(need.restart)}
    if need.optimizer is not None:
        of_row |= {"optimizer": need.optimizer, "schedule": "auto"}
    return Study(**problem.to_dict(), criteria=need.criterion, settings=settings | of_row, **asked)
