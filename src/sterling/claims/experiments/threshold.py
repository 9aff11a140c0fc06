"""A threshold on the mean gradient: decay with a band ends chatter, damping ends recurrence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sterling.base.text import number
from sterling.claims.claim import SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, measured, picture, share
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.scaling import exponent, growth_words, notes_on
from sterling.claims.words import listed, said
from sterling.model.problem import Problem
from sterling.optimizers.base import as_optimizer
from sterling.plot.curves import dots, slope_triangles, style
from sterling.plot.style import dimensions_axis, note, tidy
from sterling.study.columns import Criterion
from sterling.study.report import SeriesFit, fit_store, slope
from sterling.study.store import Store
from sterling.theory import samples_for_last, samples_for_occupancy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Share of the runs that must end at w* with decay and band, and the most that may with one of the two.
BOTH, ALONE = 14 / 16, 3 / 16
#: Tolerance of the exponent of damped runs around that of the law.
TOLERANCE = 0.15
DAMPING = 0.5
FACTORS = {  # one step multiplies a latent by 0.99; a weight turns beyond 25 S on the other side
    "plain": "sgd",
    "decay alone": "sgd:decay=0.01",
    "band alone": "sgd:band=25",
    "decay and band": "sgd:decay=0.01,band=25",
}
LAST = Criterion("last", "the last iterate is the teacher", ("errors",), pl.col("errors") == 0)
_DAMPED, _PLAIN = "damped", "plain"

#: Evidence: the shares of runs that end at w* in each setting, as (decay and band, decay alone, band alone),
#: the exponent of damped runs as (value, low, high), that of the law, and that of plain runs as the first.
RULE = Rule(
    (
        consistent(
            f"with decay and band at least {BOTH:g} of the runs of each setting end at w*",
            lambda shares, damped, law, plain: all(both >= BOTH for both, *_ in shares),
            f"with decay alone, or with the band alone, at most {ALONE:g} of the runs end at w*",
            lambda shares, damped, law, plain: all(max(alone) <= ALONE for _, *alone in shares),
            f"the exponent of N₅₀ of damped runs is within {TOLERANCE:g} of the law's",
            lambda shares, damped, law, plain: abs(damped[0] - law) <= TOLERANCE,
            "the whole 95 % interval of that exponent lies below that of plain runs",
            lambda shares, damped, law, plain: damped[2] < plain[1],
        ),
        contradicted(
            "in one setting no more runs end at w* with decay and band than with one of the two, or the 95 % "
            f"interval of the damped exponent lies wholly farther than {TOLERANCE:g} from the law's, or "
            "wholly above that of plain runs",
            lambda shares, damped, law, plain: (
                any(both <= max(alone) for both, *alone in shares)
                or damped[1] > law + TOLERANCE
                or damped[2] < law - TOLERANCE
                or damped[1] > plain[2]
            ),
        ),
    )
)


@dataclass(frozen=True)
class Setting:
    """One setting of the factorial: surrogate, samples in units of n, batch and steps."""

    surrogate: str
    ratio: float
    batch: str
    steps: int

    def __str__(self) -> str:
        batch = "full batch" if self.batch == "none" else f"batch {self.batch}"
        return f"{self.surrogate}, N = {self.ratio:g}n, {batch}"


@dataclass(frozen=True)
class Growth:
    """Runs under label noise at N = c·n^power for each c.

    Power: the intervals of the exponents were 2.24 to 3.10 from 60 trials of plain runs, and 1.23 to 1.27
    from 200 of damped ones, so they are far apart.
    """

    n: tuple[int, ...]
    factors: tuple[float, ...]
    power: float
    steps: int
    trials: int


@dataclass(frozen=True)
class ThresholdBudget:
    """The factorial on ``instances`` data sets, and N₅₀ of the last iterate under noise, damped and plain."""

    n: int
    instances: int
    damped: Growth
    plain: Growth
    noise: float = 0.5
    settings: tuple[Setting, ...] = (
        Setting("relu", 4, "none", 6_000),
        Setting("identity", 2.5, "16", 20_000),
    )


def measure(context: Context, budget: ThresholdBudget) -> Finding:
    """Count runs that end at w* in the factorial, and fit N₅₀ = C·n^α of the last iterate under noise."""
    table = pl.concat([_factorial(context, budget, index, one) for index, one in enumerate(budget.settings)])
    stores = {
        _DAMPED: _grow(context, budget, budget.damped, f"sgd:damping={DAMPING:g}", "auto", _DAMPED),
        _PLAIN: _grow(context, budget, budget.plain, "sgd", "power:0.5,0.5", _PLAIN),
    }
    series = {name: fit_store(store, LAST)[0] for name, store in stores.items()}
    damped, plain = (
        exponent(series[name], f"exponent α of N₅₀ of the last iterate, {name}") for name in (_DAMPED, _PLAIN)
    )
    laws = {
        _DAMPED: _law(budget, budget.damped, lambda problem: samples_for_last(problem, damping=DAMPING)),
        _PLAIN: _law(budget, budget.plain, samples_for_occupancy),
    }
    found = {
        (row["setting"], row["factor"]): share(
            f"runs that end at w*, {row['factor']}: {row['setting']}", row["ends"], row["trials"]
        )
        for row in table.to_dicts()
    }
    judged = [
        tuple(found[str(one), name].value for name in ("decay and band", "decay alone", "band alone"))
        for one in budget.settings
    ]
    ends = {name: _counts(table, name) for name in FACTORS}
    largest = max(set(budget.damped.n))
    return CLAIM.found(
        RULE,
        [(judged, (damped.value, *damped.ends), slope(laws[_DAMPED]), (plain.value, *plain.ends))],
        experiment=(
            f"Without label noise, n = {budget.n}, constant rate 1, {budget.instances} data sets each: "
            f"{'; '.join(f'{one}, {one.steps:,} steps' for one in budget.settings)}. With σ = "
            f"{budget.noise:g}, ReLU, full batch: {len(stores[_DAMPED].trials(['trial'])):,} runs with "
            f"damping {DAMPING:g}, n = {listed(budget.damped.n)}, {budget.damped.steps:,} steps, and "
            f"{len(stores[_PLAIN].trials(['trial'])):,} of plain STE, n = {listed(budget.plain.n)}, "
            f"{budget.plain.steps:,} steps of 0.5/√(t+1)."
        ),
        reason=(
            f"Runs that end at w*: {'; '.join(f'{name} {text}' for name, text in ends.items())}. "
            f"{growth_words('of the last iterate with damping', series[_DAMPED])}. "
            f"{growth_words('of the last iterate of plain STE', series[_PLAIN])}. The damped exponent is "
            f"{said(damped)}, the law's {number(slope(laws[_DAMPED]), 2)}."
        ),
        measured=(damped, plain, *found.values(), *_thresholds(series)),
        references=(
            Reference(
                f"exponent of the law of damped runs from n = {budget.damped.n[0]} to {largest}",
                slope(laws[_DAMPED]),
                "mean-field",
                "sterling.theory.samples_for_last",
                beside=True,
            ),
            Reference(
                "half of the steps of plain STE at w*, over its dimensions: exponent",
                slope(laws[_PLAIN]),
                "mean-field",
                "sterling.theory.samples_for_occupancy",
            ),
            *(
                Reference(
                    f"N₅₀ of the damped last iterate, n = {n}",
                    size,
                    "mean-field",
                    "sterling.theory.samples_for_last",
                )
                for n, size in laws[_DAMPED].items()
            ),
        ),
        pictures=(
            picture("Decay and band, alone and together", draw_factorial, found, budget.settings),
            picture("Samples for the last iterate under noise", draw_growth, series, laws),
        ),
        tables={
            "threshold-factorial": table,
            **{f"threshold-{name}": store.trials() for name, store in stores.items()},
        },
        notes=(
            "S is the mean pull on one wrong weight. Decay 0.01 multiplies a latent by 0.99 in a step, so "
            "the latent is about a sum of the last 100 gradients. A band of 25 lets a weight turn only "
            "beyond 25 S on the other side, which is a threshold of S/4 on their mean.",
            f"Damping {DAMPING:g} moves latents towards their own weights. A state absorbs if and only if "
            f"every push is at most {DAMPING:g}·S (exact). How often a run ends at w* is "
            "measured, and the law is mean-field.",
            "Both counts are of runs whose last iterate is w*. The law of plain STE is about half of the "
            "steps at w*, which is the mean of this count over the steps of a stationary run.",
            *notes_on([series[_DAMPED]], "Damped last iterate"),
            *notes_on([series[_PLAIN]], "Plain last iterate"),
        ),
    )


def _factorial(context: Context, budget: ThresholdBudget, index: int, setting: Setting) -> pl.DataFrame:
    """Return how many runs of each factor end at w*."""
    store = context.run(
        f"threshold-factorial-{index}",
        n=budget.n,
        samples={"c": [setting.ratio], "a": 1},
        surrogate=setting.surrogate,
        optimizer=list(FACTORS.values()),
        batch=setting.batch,
        schedule="constant:1",
        steps=setting.steps,
        trials=budget.instances,
    )
    names = {str(as_optimizer(text)): name for name, text in FACTORS.items()}
    order = {name: place for place, name in enumerate(FACTORS)}
    return (
        store.counts(LAST)
        .select(
            pl.lit(str(setting)).alias("setting"),
            pl.col("optimizer").replace_strict(names).alias("factor"),
            pl.col("successes").alias("ends"),
            "trials",
        )
        .sort(pl.col("factor").replace_strict(order))
    )


def _grow(
    context: Context, budget: ThresholdBudget, growth: Growth, optimizer: str, schedule: str, name: str
) -> Store:
    return context.run(
        f"threshold-{name}",
        n=growth.n,
        samples={"c": list(growth.factors), "a": growth.power},
        noise=budget.noise,
        optimizer=optimizer,
        schedule=schedule,
        steps=growth.steps,
        trials=growth.trials,
    )


def _law(budget: ThresholdBudget, growth: Growth, law) -> dict[int, float]:
    """Return N₅₀ of a law at the smallest and the largest dimension."""
    return {n: law(Problem(n, 1, noise=budget.noise)) for n in (growth.n[0], growth.n[-1])}


def _counts(table: pl.DataFrame, factor: str) -> str:
    rows = table.filter(factor=factor).to_dicts()
    return " and ".join(f"{row['ends']} of {row['trials']}" for row in rows)


def _thresholds(series: dict[str, SeriesFit]):
    return [
        measured(
            f"N₅₀ of the last iterate, {name}, n = {point.n}",
            (point.samples, point.low, point.high),
            "profile likelihood",
        )
        for name, one in series.items()
        if one.fit is not None
        for point in one.fit.thresholds
    ]


def draw_factorial(ax: Axes, found: dict, settings: tuple[Setting, ...]) -> str:
    """Draw the share of runs that end at w* for each factor, one series for each setting."""
    groups = {
        str(one): np.array([(found[str(one), name].value, *found[str(one), name].ends) for name in FACTORS])
        for one in settings
    }
    dots(ax, list(FACTORS), groups, "share of the runs that end at w*")
    ax.set_xlim(-0.03, 1.03)
    return "Share of the runs without label noise that end at w*; bars are 95 % Jeffreys intervals."


def draw_growth(ax: Axes, series: dict[str, SeriesFit], laws: dict[str, dict[int, float]]) -> str:
    """Draw N₅₀ of the last iterate against n, damped and plain, with the laws."""
    if any(one.fit is None for one in series.values()):
        note(ax, "One of the two has no fit.")
        return "There is nothing to compare: one of the two has too few successes or failures for a fit."
    dimensions = sorted({n for one in series.values() for n in one.cells["n"].unique()})
    for index, (name, one) in enumerate(series.items()):
        assert one.fit is not None
        points = [(p.n, p.samples, p.samples - p.low, p.high - p.samples) for p in one.fit.thresholds]
        n, middle, below, above = np.array(points, float).reshape(-1, 4).T
        bars = np.where(np.isfinite([below, above]), [below, above], 0)
        ax.errorbar(n, middle, bars, ls="", ms=5.5, lw=1.4, label=f"{name}, 95 %", **style(index))
        law = laws[name]
        ax.plot(
            list(law), list(law.values()), ls="--", lw=1.2, color=style(index)["color"], label=f"{name}, law"
        )
    dimensions_axis(ax, np.array(dimensions, float))
    tidy(ax, yscale="log", xlabel="dimension n", ylabel="samples N₅₀")
    slope_triangles(ax, {"n³": 3.0, "n": 1.0})
    return (
        "Samples with which half of the runs end at w* under label noise. A dashed line joins the mean-field "
        "law at the smallest and the largest n; the triangles show slopes 3 and 1."
    )


_NEAR = (0.65, 0.8, 1.0, 1.25, 1.55)
_DAMPED_FACTORS = tuple(round(6.6 * one, 2) for one in _NEAR)
_PLAIN_FACTORS = tuple(round(0.26 * one, 3) for one in _NEAR)

CLAIM = Claim(
    "threshold",
    "A threshold on the mean gradient ends chatter and recurrence",
    "Without label noise, decay and a band together bring nearly all runs to w*; each alone brings few. With "
    "label noise and damping, half of the runs end at w* with samples of the order n ln n instead of n³.",
    "mean-field",
    f"sterling.theory.samples_for_last; {SCIENCE}, 17",
    measure,
    {
        "quick": ThresholdBudget(
            n=128,
            instances=8,
            damped=Growth((32, 64, 128), _DAMPED_FACTORS, 1.28, steps=3_000, trials=60),
            plain=Growth((8, 16, 32), _PLAIN_FACTORS, 3, steps=10_000, trials=60),
        ),
        "default": ThresholdBudget(
            n=128,
            instances=16,
            damped=Growth((32, 64, 128, 256), _DAMPED_FACTORS, 1.28, steps=5_000, trials=200),
            plain=Growth((8, 16, 32, 48), _PLAIN_FACTORS, 3, steps=30_000, trials=60),
        ),
    },
)
