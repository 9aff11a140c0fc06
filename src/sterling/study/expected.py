"""What theory says of the series of a study: proved exponents, and mean-field laws over its dimensions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sterling import theory
from sterling.errors import InputError
from sterling.model.families import Gaussian
from sterling.schedules import parse_schedule
from sterling.study.cells import Cell
from sterling.study.criteria import Criterion
from sterling.study.kinds import parse_criterion

_PAPER = "Jeong, Xin & Yin, arXiv 2505.18113"
#: Which of the paper's claims speaks of a criterion: `theory.samples_proved`.
_PROVED = {"ergodic": "ergodic", "optimal": "recurrent", "visit": "recurrent", "occupancy": "recurrent"}


@dataclass(frozen=True)
class Expected:
    """An exponent that theory gives for a series."""

    exponent: float  # of a bound, or the slope of the line nearest to a law over the dimensions run
    kind: str
    source: str
    samples: dict[int, float]  # N₅₀ by dimension; empty for a bound, which has no constant


def expected(cell: Cell, criterion: str | Criterion, dimensions: Iterable[int]) -> tuple[Expected, ...]:
    """Return what theory says of N₅₀ in the series of a cell: nothing where it does not speak of it.

    The paper and the laws are about independent Gaussian inputs.
    """
    known = sorted(int(n) for n in dimensions if n > 1)
    if len(known) < 2 or "steps" not in cell.settings:  # the laws are about runs
        return ()
    one, problem = parse_criterion(criterion), cell.problem
    if not isinstance(problem.inputs, Gaussian) or problem.normalize is not None:
        return ()
    found = []
    claim = _PROVED.get(one.column)
    if claim:
        order = {n: theory.samples_proved(replace(problem, n=n), claim=claim) for n in known}
        source = f"{_PAPER}; without label noise" if claim == "ergodic" else _PAPER
        found.append(Expected(_slope(order), "theorem", source, {}))
    law = _law(one, cell)
    if law is not None:
        try:
            samples = {n: law(n) for n in known}
        except InputError:  # beyond what the law is solved for
            return tuple(found)
        found.append(Expected(_slope(samples), "mean-field", "sterling.theory", samples))
    return tuple(found)


def _law(criterion: Criterion, cell: Cell) -> Callable[[int], float] | None:
    """Return the mean-field law of N₅₀ for a criterion, if there is one; the noiseless ones have a budget."""
    problem, settings = cell.problem, cell.settings
    noise, surrogate = problem.noise, settings["surrogate"]
    if settings.get("restart", "none") != "none":
        return None
    given: Any = {"schedule": parse_schedule(settings["schedule"]), "surrogate": surrogate}
    given["steps"] = settings["steps"]
    if criterion.column == "optimal" and not noise:
        return lambda n: theory.samples_for_iterate(replace(problem, n=n), **given)
    if criterion.column == "ergodic":
        return lambda n: theory.samples_for_average(replace(problem, n=n), **given)
    share = criterion.threshold
    if criterion.column == "occupancy" and noise and share is not None and share < 1:
        return lambda n: theory.samples_for_occupancy(
            replace(problem, n=n), occupancy=share, surrogate=surrogate
        )
    return None


def _slope(samples: dict[int, float]) -> float:
    return float(np.polyfit(np.log(list(samples)), np.log(list(samples.values())), 1)[0])
