"""Surrogates under noise: the occupancy of w* on the same data sets, beside predictions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sterling.base.registry import register
from sterling.base.text import number, percent
from sterling.claims.claim import SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, measured, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import said
from sterling.dynamics.train import resume, train
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.plot.curves import dots
from sterling.schedules import parse_schedule
from sterling.stats import Interval, bootstrap_counts, percentiles
from sterling.study.columns import COUNT, REAL, SHARE
from sterling.study.kind import Cell, Kind, Look, Seeds
from sterling.theory import balance, samples_for_occupancy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HALF = 0.5
#: A measured share this far from the predicted one contradicts it.
TOLERANCE = 0.15
BURN_IN = 0.25  # share of the steps that occupancy and wrong weights leave out
_BOOTSTRAP = 1  # extends the seed
_CACHE_BYTES = 1 << 28  # for each run


@dataclass(frozen=True)
class SurrogateBudget:
    """Runs of each surrogate on the same ``instances`` noisy data sets."""

    n: int
    samples: int
    instances: int
    steps: int
    noise: float = 0.5
    surrogates: tuple[str, ...] = ("relu", "identity", "clipped_relu", "hard_tanh")


# -- one run and its prediction ------------------------------------------------------------------------------


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
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
        "predicted_occupancy": None if predicted is None else predicted.occupancy,
    }


KIND = Kind(
    "occupancy",
    _run,
    {
        "seed": COUNT,
        "occupancy": SHARE,  # after the burn-in, as is "wrong", the mean number of wrong weights
        "wrong": replace(REAL, low=0),
        "predicted_occupancy": REAL.maybe(),
    },
    settings={"schedule": "power:0.5,0.5", "surrogate": "relu", "steps": 100_000},
)
register(KIND)


# -- what the rows say ---------------------------------------------------------------------------------------


def by_surrogate(rows: pl.DataFrame, column: str) -> dict[str, np.ndarray]:
    """Return a column of each surrogate in the order of the data sets; missing values are NaN."""
    groups = rows.sort("trial", maintain_order=True).group_by("surrogate", maintain_order=True)
    return {name: one[column].cast(float).to_numpy() for (name,), one in groups}


def summary(rows: pl.DataFrame, seed: int) -> tuple[dict[str, Interval], Interval]:
    """Return the occupancy with each surrogate, and the share of ReLU's samples that the identity needs.

    This share is the squared ratio of mean numbers of wrong weights. All bootstrap intervals use the same
    resampled data sets.
    """
    count = rows["trial"].n_unique()
    picks = bootstrap_counts(count, np.random.SeedSequence(seed, spawn_key=(_BOOTSTRAP,))) / count
    occupancy = {
        name: percentiles(picks @ values, values.mean())
        for name, values in by_surrogate(rows, "occupancy").items()
    }
    wrong = by_surrogate(rows, "wrong")
    with np.errstate(divide="ignore", invalid="ignore"):
        whole = (wrong["identity"].mean() / wrong["relu"].mean()) ** 2
        resampled = ((picks @ wrong["identity"]) / (picks @ wrong["relu"])) ** 2
    known = np.isfinite(resampled).all()
    return occupancy, percentiles(resampled, whole) if known else (math.nan, math.nan, math.nan)


# -- the measurement -----------------------------------------------------------------------------------------


def rule(predicted: float) -> Rule:
    """Return the rule for the interval of the share of ReLU's samples that the identity needs."""
    return Rule(
        (
            consistent(
                "the 95 % interval of the share of ReLU's samples that the identity needs contains the "
                f"predicted {number(predicted)}",
                lambda low, high: low <= predicted <= high,
                "that interval lies below 1",
                lambda low, high: high < 1,
            ),
            contradicted(
                f"it lies at 1 or above, or wholly farther than {TOLERANCE:g} from the predicted share",
                lambda low, high: low >= 1 or high < predicted - TOLERANCE or low > predicted + TOLERANCE,
            ),
        )
    )


def measure(context: Context, budget: SurrogateBudget) -> Finding:
    """Run each surrogate on the same noisy data sets; the identity's share of ReLU's samples is judged."""
    asked = {"n": budget.n, "samples": budget.samples, "noise": budget.noise, "steps": budget.steps}
    order = {name: index for index, name in enumerate(budget.surrogates)}
    rows = context.trials(
        "surrogates", kind=KIND.name, surrogate=budget.surrogates, trials=budget.instances, **asked
    ).sort("trial", pl.col("surrogate").replace_strict(order))
    occupancy, needed = summary(rows, context.seed)
    predicted = {name: float(one.mean()) for name, one in by_surrogate(rows, "predicted_occupancy").items()}
    problem = Problem(budget.n, budget.samples, noise=budget.noise)
    identity, relu = (samples_for_occupancy(problem, surrogate=name) for name in ("identity", "relu"))
    size = f"N = {budget.samples:,}"
    ratio = measured(
        "share of ReLU's samples that identity needs",
        needed,
        "bootstrap over data sets, from the squared ratio of wrong weights",
    )
    best = max(occupancy, key=lambda name: occupancy[name][0])
    return CLAIM.found(
        rule(identity / relu),
        [ratio.ends],
        experiment=(
            f"{budget.instances} data sets with n = {budget.n}, m = 1, σ = {budget.noise:g} and {size}; on "
            f"each of them {', '.join(budget.surrogates)} from the same start, {budget.steps:,} steps of "
            "0.5/√(t+1)."
        ),
        reason=(
            f"At {size} the identity needs {said(ratio)} times ReLU's samples; the predictions are "
            f"{number(identity / relu)} at this size and {HALF} to leading order. Of "
            f"{', '.join(occupancy)}, the mean occupancy of w* is largest with {best}: "
            f"{percent(occupancy[best][0])}, against {percent(occupancy['relu'][0])} with ReLU."
        ),
        measured=(
            ratio,
            *(
                measured(f"occupancy of w* at {size}, {name}", one, "bootstrap over data sets")
                for name, one in occupancy.items()
            ),
        ),
        references=(
            *(
                Reference(
                    f"identity's share of ReLU's samples{order}", one, "mean-field", source, beside=True
                )
                for order, one, source in (
                    (", leading order", HALF, f"{SCIENCE}, 7"),
                    ("", identity / relu, "sterling.theory.laws"),
                )
            ),
            *(
                Reference(
                    f"predicted occupancy at {size}, {name}", one, "mean-field", "sterling.theory.balance"
                )
                for name, one in predicted.items()
                if math.isfinite(one)
            ),
        ),
        pictures=(picture(f"Occupancy of w* at {size}", draw_occupancy, occupancy, predicted),),
        tables={"surrogates-runs": rows},
        notes=(
            "The identity looks better here than it is in deep nets. Here the readout is known and one layer "
            "learns, so the mean gradient of the identity lies exactly along w − w*. Its slope is twice that "
            "of ReLU, and the variance from label noise only doubles: so half of the samples (mean-field). "
            "In a deep net the mismatch of surrogate and forward pass is compounded layer by layer.",
            "The share of samples is the squared ratio of mean numbers of wrong weights, which fall like "
            "1/√N. The predicted share is for an occupancy of one half on a typical data set of this n.",
        ),
    )


def draw_occupancy(ax: Axes, occupancy: dict[str, Interval], predicted: dict[str, float]) -> str:
    """Draw the mean occupancy with each surrogate beside its prediction."""
    names = sorted(occupancy, key=lambda name: -occupancy[name][0])
    groups = {
        "measured": np.array([occupancy[name] for name in names]),
        "predicted (mean-field)": np.array([(predicted[name], math.nan, math.nan) for name in names]),
    }
    dots(ax, names, groups, "occupancy of w*")
    ax.set_xlim(-0.03, 1.03)
    return "Share of the steps at w*, mean over the same data sets; bars are 95 % bootstrap intervals."


CLAIM = Claim(
    "surrogates",
    "Which surrogate needs fewer samples under noise",
    "With a known readout the identity should need about half of ReLU's samples to be at w* as often.",
    "mean-field",
    f"sterling.theory.balance; {SCIENCE}, 7",
    measure,
    {
        "quick": SurrogateBudget(n=16, samples=1000, instances=24, steps=8_000),
        "default": SurrogateBudget(n=32, samples=6400, instances=80, steps=20_000),
        "full": SurrogateBudget(n=64, samples=25_600, instances=200, steps=200_000),
    },
)
