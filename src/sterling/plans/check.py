"""Measuring the advice: trials with the samples that a mean-field row proposes, counted with an interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sterling.base.progress import Progress, Show, showing
from sterling.base.text import Described
from sterling.model.problem import Problem
from sterling.stats import jeffreys
from sterling.study import Study
from sterling.study.collect import passing_store

if TYPE_CHECKING:
    from sterling.plans.plan import Need


@dataclass(frozen=True)
class Check(Described):
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

    Each is a study of one cell. Those with most samples come first: they are the ones that memory may refuse.
    """
    asked = sorted(
        (place for place, need in enumerate(needs) if need.criterion),
        key=lambda place: -needs[place].proposed,
    )
    checked = list(needs)
    with showing(progress, "trials") as show:
        for done, place in enumerate(asked):

            def told(now: Progress, before: int = done * trials) -> None:
                if show is not None:
                    show(Progress(before + now.done, trials * len(asked)))

            study = study_of(needs[place], problem, settings, trials=trials, seed=seed)
            with passing_store(study, threads, told) as store:
                counts = store.counts().row(0, named=True)
            checked[place] = replace(needs[place], check=_check(study, counts))
    return checked


def study_of(need: Need, problem: Problem, settings: dict[str, Any], **asked: Any) -> Study:
    """Return the study of a row: its samples, its budget and its restarts."""
    problem = replace(problem, samples=need.proposed, noise=need.noise)
    own = {"steps": need.steps, "restart": "none" if need.restart is None else str(need.restart)}
    return Study(**problem.to_dict(), criteria=need.criterion, settings=settings | own, **asked)


def _check(study: Study, counts: dict[str, Any]) -> Check:
    trials, successes, undecided = (counts[name] for name in ("trials", "successes", "undecided"))
    low, high = float(jeffreys(successes, trials)[0]), float(jeffreys(successes + undecided, trials)[1])
    (cell,) = study.cells
    return Check(cell.problem.samples, cell.settings["steps"], trials, successes, undecided, low, high)
