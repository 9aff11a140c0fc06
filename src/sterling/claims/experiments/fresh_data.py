"""Recurrence needs fixed data: the same samples at every step, compared with fresh samples (online)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from scipy.special import erfc

from sterling.base.registry import register
from sterling.base.text import number
from sterling.claims.claim import SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, mean, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import said, schedule_words
from sterling.dynamics.options import initial_latent
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.plot.curves import slope_triangles, visits_over_steps
from sterling.returns.counts import mark_steps
from sterling.returns.recurrence import growth
from sterling.schedules import Schedule, parse_schedule
from sterling.study.columns import COUNT, REAL, SHARE
from sterling.study.kind import Cell, Kind, Look, Seeds
from sterling.study.trial import trial_seeds
from sterling.surrogates import get_surrogate
from sterling.theory import signal

#: Visits at a constant pace grow like T, visits with fresh data like √T: an exponent between the two.
BETWEEN = 0.75
_BLOCK = 512  # steps whose samples are drawn together
_LEAST, _MOST = 4, 128  # steps taken together while no weight flips
_ARMS = {"fixed": "the same samples at every step", "fresh": "fresh samples at each step"}

#: Evidence: the intervals (low, high) of the exponents of visits with fixed and with fresh data, and that of
#: the ratio of steps away from w*, last half over first half, with fresh data.
RULE = Rule(
    (
        consistent(
            "with constant steps the 95 % interval of the exponent of visits over the last two decades "
            f"of T lies wholly above {BETWEEN:g} for fixed data and wholly below for fresh data",
            lambda fixed, fresh, away: fixed[0] > BETWEEN > fresh[1],
            "with fresh data the 95 % interval of the ratio of steps away from w*, second half of the "
            "run over first half, lies wholly below 1",
            lambda fixed, fresh, away: away[1] < 1,
        ),
        contradicted(
            f"one of the exponents lies wholly on the other side of {BETWEEN:g}, or that ratio wholly above "
            "1",
            lambda fixed, fresh, away: fixed[1] < BETWEEN or fresh[0] > BETWEEN or away[0] > 1,
        ),
    ),
    "The rule tells the two paces apart at these T. It does not test the law, whose exponent with fresh data "
    "stands beside the measured one.",
)


@dataclass(frozen=True)
class FreshDataBudget:
    """Runs with constant steps on fixed and on fresh data, from the same starts."""

    n: int
    samples: int
    trials: int
    steps: int
    noise: float = 0.5
    schedule: str = "constant:0.5"


# -- fresh samples at each step ------------------------------------------------------------------------------


def fresh_iterates(
    problem: Problem, seeds: Seeds, schedule: Schedule, surrogate: str, steps: int, look: Look
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (step, signs) of w_0 and of every w_t that differs from the previous one, for t < steps.

    The teacher and the start are those of the kind "train". `Problem.draw` draws N samples for each step, in
    blocks. Each draw has another teacher w′; multiplying its Gaussian columns by w*·w′ makes w* the teacher
    and changes no probability. Inputs and labels lie on dyadic grids, so sums are exact and the run is the
    same on every machine. While no weight flips, the gradients of many steps are computed together.
    """
    teacher = problem.draw(seeds.data, threads=1).teacher
    assert teacher is not None  # it was drawn
    slope, scale = get_surrogate(surrogate).derivative, math.sqrt(problem.n)
    blocks = replace(problem, samples=problem.samples * _BLOCK)
    latent = initial_latent(problem.n, seeds.data)
    signs = np.where(latent >= 0, 1.0, -1.0)
    yield 0, signs
    for first in range(0, steps, _BLOCK):
        look()
        seed: Any = np.random.SeedSequence(seeds.rest, spawn_key=(first // _BLOCK,))
        drawn = blocks.draw(seed, threads=1)
        assert drawn.teacher is not None
        inputs = drawn.inputs.reshape(_BLOCK, problem.samples, problem.n) * (teacher * drawn.teacher)
        labels = drawn.labels.reshape(_BLOCK, problem.samples)
        sizes = schedule.at(np.arange(first, first + _BLOCK))
        step, ahead = 0, _LEAST
        while step < _BLOCK:
            part = slice(step, step + ahead)
            before = inputs[part] @ signs
            weights = ((before > 0) - labels[part]) * slope(before / scale)
            gradients = (weights[:, None, :] @ inputs[part])[:, 0, :] / problem.samples
            path = np.cumsum(np.vstack([latent, -sizes[part, None] * gradients]), axis=0)[1:]
            flipped = ((path >= 0) != (signs > 0)).any(axis=1)
            taken = int(flipped.argmax()) + 1 if flipped.any() else len(path)
            latent, step = path[taken - 1], step + taken
            if flipped.any():
                signs, ahead = np.where(latent >= 0, 1.0, -1.0), _LEAST
                if first + step < steps:
                    yield first + step, signs
            else:
                ahead = min(2 * ahead, _MOST)


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    problem, steps = cell.problem, cell.settings["steps"]
    schedule = parse_schedule(cell.settings["schedule"])
    teacher = problem.draw(seeds.data, threads=1).teacher
    surrogate = cell.settings["surrogate"]
    changes = list(fresh_iterates(problem, seeds, schedule, surrogate, steps, look))
    lengths = np.diff([*(step for step, _ in changes), steps])
    wrong = np.repeat([np.count_nonzero(signs != teacher) for _, signs in changes], lengths)  # at each step
    there = wrong == 0
    arrivals = there & ~np.concatenate([[False], there[:-1]])
    marks = mark_steps()
    marks = marks[marks <= steps]
    visits = np.cumsum(arrivals)[marks - 1]
    return {
        "visits": int(arrivals.sum()),
        "occupancy": float(there.mean()),
        "away_first": int((~there)[: steps // 2].sum()),
        "away_last": int((~there)[steps // 2 :].sum()),
        "wrong": float(wrong.mean() / problem.n),
        "growth": growth(marks, visits),
        "mark_steps": marks.tolist(),
        "mark_visits": visits.tolist(),
    }


def _check(cell: Cell) -> None:
    problem = cell.problem
    if problem.m != 1 or str(problem.inputs) != "gaussian" or problem.normalize is not None:
        raise InputError("runs on fresh data need m = 1 and Gaussian inputs that are not normalised")
    get_surrogate(cell.settings["surrogate"])


KIND = Kind(
    "fresh",
    _run,
    {
        "visits": COUNT,
        "occupancy": SHARE,
        "away_first": COUNT,  # steps away from w* in the first half of the run, and in the last
        "away_last": COUNT,
        "wrong": SHARE,  # of all weights over all steps
        "growth": REAL.maybe(),  # exponent of visits over steps
        "mark_steps": COUNT.list(),
        "mark_visits": COUNT.list(),
    },
    settings={"schedule": "constant:0.5", "surrogate": "relu", "steps": 100_000},
    check=_check,
)
register(KIND)


# -- the measurement -----------------------------------------------------------------------------------------


def measure(context: Context, budget: FreshDataBudget) -> Finding:
    """Compare the growth of visits, and the time away from w*, with fixed and with fresh data."""
    kept = ["arm", "trial", "visits", "occupancy", "growth", "mark_steps", "mark_visits"]
    fixed_runs, walks = (
        context.trials(f"fresh-data-{arm}", kind=kind, **asdict(budget)).with_columns(arm=pl.lit(arm))
        for arm, kind in (("fixed", "recurrence"), ("fresh", "fresh"))
    )
    extra = walks.select(*kept, "away_first", "away_last", "wrong")
    runs = pl.concat([fixed_runs.select(kept), extra], how="diagonal").sort("arm", "trial")
    marks = runs.select("arm", "trial", "mark_steps", "mark_visits").explode("mark_steps", "mark_visits")
    fixed, fresh = (
        mean(f"exponent of visits over T, {words}", runs.filter(arm=arm)["growth"].drop_nulls())
        for arm, words in _ARMS.items()
    )
    known = walks.filter(pl.col("away_first") > 0)
    away = mean(
        "steps away from w* with fresh samples, last half over first half",
        known["away_last"] / known["away_first"],
    )
    wrong, predicted = "share of weights wrong with fresh samples", predicted_wrong(budget)
    walk = ("mean-field", "a random walk reflected at zero")
    laws = [
        Reference(
            f"at these T, from these starts (½ as T grows), {_ARMS['fresh']}", value, *walk, beside=True
        )
        for value in predicted_growth(budget, context.seed)
    ]
    return CLAIM.found(
        RULE,
        [(fixed.ends, fresh.ends, away.ends)],
        experiment=(
            f"{len(runs)} runs of {budget.steps:,} steps with σ = {budget.noise:g}, n = {budget.n}, m = 1, "
            f"from {budget.trials} draws of w* and of the start: once with one data set of N = "
            f"{budget.samples}, once with {budget.samples} fresh samples at each step; step sizes "
            f"{schedule_words(parse_schedule(budget.schedule))}."
        ),
        reason=(
            f"With the same samples at every step visits grow like T^{said(fixed)}, with fresh ones like "
            f"T^{said(fresh, laws)}{''.join(f'; the law has {number(one.value, 2)} here' for one in laws)}. "
            "With fresh samples the run leaves w* less and less often: the number of steps "
            f"away from w* in the last half is {said(away)} times that in the first. Recurrence at a "
            "constant pace comes from the errors of one data set, which push the same weights at every step."
        ),
        measured=(
            fresh,
            fixed,
            away,
            mean(wrong, walks["wrong"]),
            *(
                mean(f"occupancy of w*, {words}", runs.filter(arm=arm)["occupancy"])
                for arm, words in _ARMS.items()
            ),
        ),
        references=(
            *laws,
            Reference("exponent of visits, fixed samples", 1.0, "mean-field", f"{SCIENCE}, 7"),
            Reference(wrong, predicted, *walk),
        ),
        pictures=(picture("Visits to w*: fixed against fresh data", draw_visits, marks),),
        tables={"fresh-data-runs": runs.select(pl.exclude(pl.List)), "fresh-data-visits": marks},
        notes=(
            "At w* the gradient of fresh samples is zero on average (exact), so each latent walks at random, "
            "and is pulled back while its weight is wrong. Such a walk moves away from zero like √T, so its "
            "weight flips less and less often. As T grows, visits grow like √T, and the share of time away "
            "falls like 1/√T (mean-field). One data set pushes some latents towards zero at every step.",
            "A latent that starts at some distance from zero comes there late, so the exponent of the law is "
            "above ½ at these T. This correction was derived after the first data of the claim were seen.",
            f"The predicted share of wrong weights, {number(predicted)}, uses neither data nor start.",
        ),
    )


def predicted_growth(budget: FreshDataBudget, seed: int) -> list[float]:
    """Return the exponent of visits that the law gives for constant steps η and the starts of the runs.

    It is in a list, which is empty where too few visits are expected. Each latent is the random walk of
    `predicted_wrong`. One that starts at distance d on the right side is pushed back by E|d + B| − d within T
    steps, where the variance of the normal B is V. One on the wrong side is soon at zero, so its d is 0. A
    visit takes about one push, ηS.
    """
    problem = Problem(budget.n, budget.samples, noise=budget.noise)
    cell = Cell(KIND.name, problem, {"schedule": budget.schedule, "steps": budget.steps})
    rate = float(parse_schedule(budget.schedule).at(0))
    marks = mark_steps()
    marks = marks[marks <= budget.steps]
    spread = rate * np.sqrt(marks * budget.noise**2 / (2 * budget.samples))[:, None]
    found = []
    for trial in range(budget.trials):
        start = trial_seeds(seed, cell, trial).data
        apart = np.maximum(initial_latent(problem.n, start) * problem.draw(start, threads=1).teacher, 0.0)
        away = apart / spread
        pushes = spread * (math.sqrt(2 / math.pi) * np.exp(-(away**2) / 2) - away * erfc(away / math.sqrt(2)))
        found.append(growth(marks, pushes.sum(axis=1) / (rate * signal(problem))))
    known = [one for one in found if one is not None]
    return [float(np.mean(known))] if known else []


def predicted_wrong(budget: FreshDataBudget) -> float:
    """Return the share of weights that are wrong on fresh data with constant steps η.

    A latent is a random walk of variance V = η²·T·v, reflected at zero, where v = σ²/(2N) is the variance of
    a gradient entry of ReLU at w*. It moves away by √(2V/π) on average. Only the pull S on a wrong weight
    moves its mean, so S·(mass wrong) = √(2V/π).
    """
    variance = budget.noise**2 / (2 * budget.samples)
    problem = Problem(budget.n, budget.samples, noise=budget.noise)
    return math.sqrt(2 * variance / (math.pi * budget.steps)) / signal(problem)


def draw_visits(ax: Axes, marks: pl.DataFrame) -> str:
    """Draw the number of visits against T for every run on fixed and on fresh data."""
    visits_over_steps(ax, {words: marks.filter(arm=arm) for arm, words in _ARMS.items()})
    slope_triangles(ax, {"½": 0.5, "1": 1.0})
    return (
        "Each line is one run. With one data set visits keep coming at the same pace (slope one). With fresh "
        "samples the pace falls, and the slope comes near one half."
    )


CLAIM = Claim(
    "online",
    "Recurrence needs fixed data",
    "On one data set with label noise the run visits w* at a constant pace. With fresh samples at each step "
    "the pace falls, like 1/√T as T grows, and the share of time at w* tends to one.",
    "mean-field",
    f"{SCIENCE}, 7 and 13; a random walk reflected at zero",
    measure,
    {
        "quick": FreshDataBudget(n=8, samples=100, trials=8, steps=30_000),
        "default": FreshDataBudget(n=8, samples=100, trials=16, steps=100_000),
    },
)
