"""Surrogates under noise: occupancy and ergodic success on the same data sets, beside predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sterling.base.registry import register
from sterling.base.text import number, percent
from sterling.claims.claim import SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Measured, Reference, measured, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import listed, said
from sterling.dynamics.train import resume, train
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.plot.curves import dots, style
from sterling.plot.style import INK, PALE, tidy
from sterling.schedules import parse_schedule
from sterling.stats import Interval, bootstrap_counts, mean_interval, percentiles, share_interval
from sterling.study.columns import COUNT, FLAG, REAL, SHARE, Column
from sterling.study.kind import Cell, Kind, Look, Seeds
from sterling.theory import balance, samples_for_occupancy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HALF = 0.5
#: A measured share this far from the predicted one contradicts it.
TOLERANCE = 0.15
LEVEL = 0.95
BURN_IN = 0.25  # share of the steps that occupancy and wrong weights leave out
_BOOTSTRAP = 1  # extends the seed
_CACHE_BYTES = 1 << 28  # of each run

#: What to keep in mind when one surrogate does better than another here.
NOTE = (
    "The identity looks better here than it is in deep nets. In this model teacher and student share a "
    "known, fixed readout, and the only weights that learn are those of the one hidden layer. For Gaussian "
    "inputs the expected gradient of the identity then lies exactly along w − w* with twice the slope of "
    "ReLU, while the variance from label noise only doubles: hence half of ReLU's samples (mean-field). What "
    "costs the identity dearly in a deep net cannot happen here: the surrogate's derivative enters once a "
    "layer, so its mismatch with the forward pass is compounded on the way down, and a readout that is "
    "learned does not supply the right residuals from the start. Even here the identity need not be the "
    "best: near w* the signal comes from rows next to the threshold, and noise from all rows where the "
    "derivative is not zero, so windows about zero such as hard tanh can do with fewer samples still."
)


@dataclass(frozen=True)
class SurrogateBudget:
    """Surrogates on the same noisy data sets, ``instances`` for each sample size.

    Smooth surrogates take every step and so cost most: they run on the first ``smooth_instances`` only.
    """

    n: int
    samples: tuple[int, ...]
    instances: int
    smooth_instances: int
    steps: int
    noise: float = 0.5
    surrogates: tuple[str, ...] = ("relu", "identity", "clipped_relu", "hard_tanh")
    smooth: tuple[str, ...] = ("sigmoid", "approx_sign", "swish_sign")


# -- one run and its prediction ------------------------------------------------------------------------------


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    """Run one data set with one surrogate, and predict its occupancy."""
    instance = cell.problem.draw(seeds.data)
    steps, surrogate = cell.settings["steps"], cell.settings["surrogate"]
    schedule = parse_schedule(cell.settings["schedule"])
    early = max(1, int(BURN_IN * steps))
    late = steps - early
    common: dict[str, Any] = {"progress": look, "threads": 1, "cache_bytes": _CACHE_BYTES}
    start = train(instance, early, schedule, surrogate, init=seeds.data, record=(), **common)
    whole = resume(start, instance, late, **common)
    occupancy = (whole.occupancy * steps - start.occupancy * early) / late
    wrong = float((whole.wrong_share * steps - start.wrong_share * early).sum()) / late
    try:
        predicted = balance(instance, surrogate=surrogate)
    except InputError:  # with far too few samples there is no prediction
        predicted = None
    return {
        "seed": seeds.data,
        "occupancy": min(1.0, max(0.0, occupancy)),
        "wrong": max(0.0, wrong),
        "ergodic_errors": whole.ergodic_errors,
        "errors": whole.errors,
        "verdict": whole.verdict.name,
        "certified": whole.certified,
        "predicted_occupancy": None if predicted is None else predicted.occupancy,
        "predicted_wrong": None if predicted is None else float(predicted.wrong_share.sum()),
    }


KIND = Kind(
    "occupancy",
    _run,
    {
        "seed": COUNT,
        "occupancy": SHARE,  # after the burn-in, as is "wrong", the mean number of wrong weights
        "wrong": replace(REAL, low=0),
        "ergodic_errors": COUNT,
        "errors": COUNT,
        "verdict": Column("String"),
        "certified": FLAG,
        "predicted_occupancy": REAL.maybe(),
        "predicted_wrong": REAL.maybe(),
    },
    settings={"schedule": "power:0.5,0.5", "surrogate": "relu", "steps": 100_000},
)
register(KIND)


def run_all(context: Context, budget: SurrogateBudget) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows of the piecewise surrogates on all data sets, and of all surrogates on the first."""

    def rows(name: str, surrogates: Sequence[str], trials: int) -> pl.DataFrame:
        found = context.trials(
            name,
            kind=KIND.name,
            n=budget.n,
            samples=budget.samples,
            noise=budget.noise,
            surrogate=surrogates,
            steps=budget.steps,
            trials=trials,
        )
        return found.select("samples", "trial", "surrogate", *KIND.columns)

    def in_order(found: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
        order = pl.col("surrogate").replace_strict({name: index for index, name in enumerate(names)})
        return found.sort("samples", "trial", order)

    many = rows("surrogates", budget.surrogates, budget.instances)
    few = many.filter(many["trial"] < budget.smooth_instances)
    if budget.smooth:
        few = pl.concat([few, rows("surrogates-smooth", budget.smooth, budget.smooth_instances)])
    return in_order(many, budget.surrogates), in_order(few, (*budget.surrogates, *budget.smooth))


# -- what the rows say ---------------------------------------------------------------------------------------


def by_surrogate(rows: pl.DataFrame, column: str) -> dict[str, np.ndarray]:
    """Return a column of each surrogate in the order of the data sets; missing values are NaN."""
    groups = rows.sort("trial", maintain_order=True).group_by("surrogate", maintain_order=True)
    return {name: one[column].cast(float).to_numpy() for (name,), one in groups}


def summary(rows: pl.DataFrame, seed: int) -> dict[str, dict[str, Interval]]:
    """Return intervals of each surrogate by surrogate and quantity, from the rows at one sample size.

    ``difference`` is the mean paired difference of the occupancy to ReLU's, ``ergodic`` the share of data
    sets whose time average is w*. ``samples_ratio``, the squared ratio of wrong weights, is the share of
    ReLU's samples that would do as well. All bootstrap intervals use the same resampled data sets.
    """
    count = rows["trial"].n_unique()
    picks = bootstrap_counts(count, np.random.SeedSequence(seed, spawn_key=(_BOOTSTRAP,))) / count
    occupancy, wrong, ergodic = (
        by_surrogate(rows, name) for name in ("occupancy", "wrong", "ergodic_errors")
    )

    def mean(values: np.ndarray) -> Interval:
        return percentiles(picks @ values, values.mean(), LEVEL)

    def ratio(name: str) -> Interval:
        with np.errstate(divide="ignore", invalid="ignore"):
            whole = (wrong[name].mean() / wrong["relu"].mean()) ** 2
            resampled = ((picks @ wrong[name]) / (picks @ wrong["relu"])) ** 2
        known = np.isfinite(resampled).all()
        return percentiles(resampled, whole, LEVEL) if known else (math.nan, math.nan, math.nan)

    return {
        name: {
            "occupancy": mean(occupancy[name]),
            "difference": mean(occupancy[name] - occupancy["relu"]),
            "ergodic": share_interval(int(np.count_nonzero(ergodic[name] == 0)), count, LEVEL),
            "samples_ratio": ratio(name),
        }
        for name in occupancy
    }


def lead_over_identity(rows: pl.DataFrame, samples: int) -> Measured | None:
    """Return the largest mean paired difference of an occupancy to the identity's; None if none is positive.

    The surrogate is chosen by these data, so its interval is one of all candidates' that hold together
    (Bonferroni): if no surrogate is better than the identity, a lead is found in 2.5 % of the cases at most.
    """
    occupancy = by_surrogate(rows, "occupancy")
    identity = occupancy.pop("identity")
    leads = {name: values - identity for name, values in occupancy.items()}
    best = max(leads, key=lambda name: float(leads[name].mean()))
    if leads[best].mean() <= 0:
        return None
    level = 1 - (1 - LEVEL) / len(leads)
    return measured(
        f"occupancy less the identity's, paired, at N = {samples:,}, {best}",
        mean_interval(leads[best], level),
        f"t over data sets, {percent(LEVEL)} for the leads of all {len(leads)} together (Bonferroni)",
    )


# -- the measurement -----------------------------------------------------------------------------------------


def rule(predicted: float) -> Rule:
    """Return the rule for the interval of the share of ReLU's samples that the identity needs."""
    return Rule(
        (
            consistent(
                "the 95 % interval of the share of ReLU's samples that the identity needs holds the "
                f"predicted {number(predicted)} and lies below 1",
                lambda low, high: low <= predicted <= high < 1,
            ),
            contradicted(
                f"it lies at 1 or above, or wholly further than {TOLERANCE:g} from the predicted share",
                lambda low, high: low >= 1 or high < predicted - TOLERANCE or low > predicted + TOLERANCE,
            ),
        )
    )


def measure(context: Context, budget: SurrogateBudget) -> Finding:
    """Compare the surrogates on the same noisy data sets, the smooth ones on the first few of them.

    What is judged is the identity's share of ReLU's samples at the largest sample size.
    """
    many, few = run_all(context, budget)
    first, last = budget.samples[0], budget.samples[-1]
    many_last, few_last = many.filter(samples=last), few.filter(samples=last)
    found, small = summary(many_last, context.seed), summary(few_last, context.seed)
    problem = Problem(budget.n, last, noise=budget.noise)
    needed = {name: samples_for_occupancy(problem, surrogate=name) for name in budget.surrogates}
    predicted = needed["identity"] / needed["relu"]
    size, bootstrap = f"N = {last:,}", "bootstrap over data sets"
    ratio = measured(
        "share of ReLU's samples that identity needs",
        found["identity"]["samples_ratio"],
        f"{bootstrap}, from the squared ratio of wrong weights",
    )
    lead = lead_over_identity(many_last, last)
    differences = {**found, **{name: small[name] for name in budget.smooth}}
    differences.pop("relu")
    numbers = [
        measured(f"{words}, {name}", one[quantity], how)
        for quantity, words, how, rows in (
            ("occupancy", f"occupancy of w* at {size}", bootstrap, found),
            ("difference", f"occupancy less ReLU's, paired, at {size}", bootstrap, differences),
            (
                "ergodic",
                f"ergodic success at N = {first:,}",
                "Jeffreys",
                summary(many.filter(samples=first), context.seed),
            ),
        )
        for name, one in rows.items()
    ]
    predictions = []
    for name, occupancy in by_surrogate(many_last, "predicted_occupancy").items():
        if name != "relu":
            what = f"predicted share of ReLU's samples, {name}"
            share = needed[name] / needed["relu"]
            predictions.append(Reference(what, share, "mean-field", "sterling.theory.laws"))
        if np.isfinite(occupancy).all():
            what = f"predicted occupancy at {size}, {name}"
            predictions.append(
                Reference(what, float(occupancy.mean()), "mean-field", "sterling.theory.balance")
            )
    return CLAIM.found(
        rule(predicted),
        [ratio.ends],
        experiment=(
            f"{budget.instances} data sets with n = {budget.n}, m = 1, σ = {budget.noise:g} for each of N = "
            f"{listed(budget.samples)}; on every one {', '.join(budget.surrogates)} "
            f"from the same start, {budget.steps:,} steps of 0.5/√(t+1), and on the first "
            f"{budget.smooth_instances} of them also {', '.join(budget.smooth) or 'no other'}."
        ),
        reason=(
            f"At {size} the identity does with {said(ratio)} of ReLU's samples; predicted are "
            f"{number(predicted)} at this size and {HALF} to leading order. "
            f"{best_in_words(found, lead)}"
        ),
        measured=(ratio, *([lead] if lead else []), *numbers),
        references=(
            Reference(
                "identity's share of ReLU's samples, leading order", HALF, "mean-field", f"{SCIENCE}, 7"
            ),
            *predictions,
        ),
        pictures=(
            *(
                picture(
                    f"Occupancy of w* at N = {samples:,}",
                    draw_occupancy,
                    many.filter(samples=samples),
                    context.seed,
                )
                for samples in budget.samples
            ),
            picture(
                f"Measured against predicted occupancy at {size}, all surrogates",
                draw_predictions,
                few_last,
                context.seed,
            ),
        ),
        tables={"surrogates-runs": many, "surrogates-smooth-runs": few},
        notes=(
            NOTE,
            "The share of samples is the squared ratio of mean numbers of wrong weights, which fall as "
            "1/√N; the predicted one holds occupancy at one half for a typical data set of this n.",
        ),
    )


def best_in_words(found: dict[str, dict[str, Interval]], lead: Measured | None) -> str:
    """Say with which surrogate the mean occupancy is largest, and by how much it leads the identity's."""
    occupancy = {name: one["occupancy"][0] for name, one in found.items()}
    best = max(occupancy, key=lambda name: occupancy[name])
    text = (
        f"Of {', '.join(occupancy)}, the mean occupancy of w* is largest with {best}: "
        f"{percent(occupancy[best])}, against {percent(occupancy['relu'])} with ReLU"
    )
    if lead is None:
        return f"{text}."
    verb = "is" if lead.low > 0 else "may be chance:"
    return f"{text}; on the same data sets its lead over the identity {verb} {said(lead)}."


def draw_occupancy(ax: Axes, rows: pl.DataFrame, seed: int) -> str:
    """Draw the mean occupancy of each surrogate beside its prediction."""
    found, predicted = summary(rows, seed), by_surrogate(rows, "predicted_occupancy")
    names = sorted(found, key=lambda name: -found[name]["occupancy"][0])
    groups = {
        "measured": np.array([found[name]["occupancy"] for name in names]),
        "predicted (mean-field)": np.array([(predicted[name].mean(), math.nan, math.nan) for name in names]),
    }
    dots(ax, names, groups, "occupancy of w*")
    ax.set_xlim(-0.03, 1.03)
    return "Share of the steps at w*, mean over the same data sets; bars are 95 % bootstrap intervals."


def draw_predictions(ax: Axes, rows: pl.DataFrame, seed: int) -> str:
    """Draw measured against predicted occupancy, a point a data set and the mean of each surrogate."""
    ax.plot([0, 1], [0, 1], color=PALE, lw=1, zorder=0)
    measured, predicted = (by_surrogate(rows, name) for name in ("occupancy", "predicted_occupancy"))
    for index, name in enumerate(measured):
        known = np.isfinite(predicted[name])
        x, y = predicted[name][known], measured[name][known]
        ax.plot(x, y, ms=3.5, alpha=0.35, lw=0, **style(index))
        if len(x):
            ax.plot(x.mean(), y.mean(), ms=8, mec=INK, mew=0.8, lw=0, label=name, **style(index))
    ax.set(xlabel="predicted occupancy of w* (mean-field)", ylabel="measured occupancy")
    tidy(ax, xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    found = sorted(summary(rows, seed).items(), key=lambda item: -item[1]["occupancy"][0])
    best, worst = (
        "{} of the steps ({} to {}) with {}".format(*(percent(x, 1) for x in one["occupancy"]), name)
        for name, one in (found[0], found[-1])
    )
    return (
        f"On the same {rows['trial'].n_unique()} data sets the iterates are at w* for {best} and for "
        f"{worst}; small marks are data sets, large ones means, and on the line the prediction is right."
    )


CLAIM = Claim(
    "surrogates",
    "Which surrogate needs fewer samples under noise",
    "With a known readout the identity should be at w* as often as ReLU is, with about half of its samples.",
    "mean-field",
    f"sterling.theory.balance; {SCIENCE}, 7",
    measure,
    {
        "quick": SurrogateBudget(n=16, samples=(1000,), instances=24, smooth_instances=3, steps=8_000),
        "default": SurrogateBudget(
            n=32, samples=(1600, 6400), instances=80, smooth_instances=10, steps=20_000
        ),
        "full": SurrogateBudget(
            n=64, samples=(6400, 12_800, 25_600), instances=200, smooth_instances=24, steps=200_000
        ),
    },
)
