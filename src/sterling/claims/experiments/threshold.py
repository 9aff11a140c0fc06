"""A threshold on the mean gradient: decay with a band ends chatter, damping ends recurrence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from sterling.base.text import number
from sterling.claims.claim import SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Measured, Reference, evidence, picture, share
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.scaling import exponent, growth_words, notes_on
from sterling.claims.words import listed, said
from sterling.model.problem import Problem
from sterling.optimizers.base import as_optimizer
from sterling.plot.curves import dots, over_dimensions
from sterling.study.columns import Criterion
from sterling.study.report import fit_store, slope
from sterling.theory import samples_for_last, samples_for_occupancy

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

#: Evidence: the shares of runs that end at w* in each setting, as (decay and band, decay alone, band alone),
#: the exponent of damped runs as (value, low, high), that of the law, and that of plain runs as the first.
RULE = Rule(
    (
        consistent(
            f"with decay and band at least {100 * BOTH:g} % of the runs of each setting end at w*",
            lambda shares, damped, law, plain: all(both >= BOTH for both, *_ in shares),
            f"with decay alone, or with the band alone, at most {100 * ALONE:g} % of the runs end at w*",
            lambda shares, damped, law, plain: all(max(alone) <= ALONE for _, *alone in shares),
            f"the exponent of N₅₀ of damped runs is within {TOLERANCE:g} of the law’s",
            lambda shares, damped, law, plain: abs(damped[0] - law) <= TOLERANCE,
            "the whole 95 % interval of that exponent lies below that of plain runs",
            lambda shares, damped, law, plain: damped[2] < plain[1],
        ),
        contradicted(
            "in one setting no more runs end at w* with decay and band than with one of the two, or the 95 % "
            f"interval of the damped exponent lies wholly farther than {TOLERANCE:g} from the law’s, or "
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


#: The settings of the factorial.
SETTINGS = {
    "relu, N = 4n, full batch": {"surrogate": "relu", "samples": {"c": [4], "a": 1}, "steps": 6_000},
    "identity, N = 2.5n, batch 16": {
        "surrogate": "identity",
        "samples": {"c": [2.5], "a": 1},
        "batch": "16",
        "steps": 20_000,
    },
}


@dataclass(frozen=True)
class ThresholdBudget:
    """The factorial on ``instances`` data sets, and studies of N₅₀ of the last iterate under noise.

    ``damped`` and ``plain`` have the settings of the two studies, each with dimensions ``n``.

    Power: the intervals of the exponents were 2.24 to 3.10 from 60 trials of plain runs, and 1.23 to 1.27
    from 200 of damped ones, so they are far apart.
    """

    n: int
    instances: int
    damped: dict[str, Any]
    plain: dict[str, Any]
    noise: float = 0.5
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: SETTINGS)


def measure(context: Context, budget: ThresholdBudget) -> Finding:
    """Count runs that end at w* in the factorial, and fit N₅₀ = C·n^α of the last iterate under noise."""
    found, cells = factorial(context, budget)
    laws: dict[str, dict[int, float]] = {}
    stores, series, growth = {}, {}, {}
    for name, method, law in (
        (
            "damped",
            {"optimizer": f"sgd:damping={DAMPING:g}", "schedule": "auto"},
            partial(samples_for_last, damping=DAMPING),
        ),
        ("plain", {"optimizer": "sgd", "schedule": "power:0.5,0.5"}, samples_for_occupancy),
    ):
        asked = getattr(budget, name)
        stores[name] = context.run(f"threshold-{name}", noise=budget.noise, **method, **asked)
        series[name] = fit_store(stores[name], LAST)[0]
        growth[name] = exponent(series[name], f"exponent α of N₅₀ of the last iterate, {name}")
        ends = asked["n"][0], asked["n"][-1]  # a law takes some seconds
        laws[name] = {n: law(Problem(n, 1, noise=budget.noise)) for n in ends}
    slopes = {name: slope(law) for name, law in laws.items()}
    judged = [
        tuple(found[one, name].value for name in ("decay and band", "decay alone", "band alone"))
        for one in budget.settings
    ]
    ended = {
        name: " and ".join(found[one, name].count.replace(",", "") for one in budget.settings)
        for name in FACTORS
    }
    steps = [f"{one}, {asked['steps']:,} steps" for one, asked in budget.settings.items()]
    return CLAIM.found(
        RULE,
        [(judged, *evidence(growth["damped"]), slopes["damped"], *evidence(growth["plain"]))],
        experiment=(
            f"Without label noise, n = {budget.n}, constant rate 1, {budget.instances} data sets each: "
            f"{'; '.join(steps)}. With σ = {budget.noise:g}, ReLU, full batch: "
            f"{len(stores['damped'].trials(['trial'])):,} runs with "
            f"damping {DAMPING:g}, n = {listed(budget.damped['n'])}, {budget.damped['steps']:,} steps, and "
            f"{len(stores['plain'].trials(['trial'])):,} of plain STE, n = {listed(budget.plain['n'])}, "
            f"{budget.plain['steps']:,} steps of 0.5/√(t+1)."
        ),
        reason=(
            f"Runs that end at w* ({' and '.join(one['surrogate'] for one in budget.settings.values())}): "
            f"{'; '.join(f'{name} {text}' for name, text in ended.items())}; with label noise the exponent "
            f"of N₅₀ is {said(growth['damped'])} with damping, {said(growth['plain'])} without. "
            f"{growth_words('of the last iterate with damping', series['damped'])}. "
            f"{growth_words('of the last iterate of plain STE', series['plain'])}. The law of damped runs "
            f"has the exponent {number(slopes['damped'], 2)}."
        ),
        measured=(*growth.values(), *found.values()),
        references=(
            Reference(
                f"exponent of the law of damped runs from n = {' to '.join(map(str, laws['damped']))}",
                slopes["damped"],
                "mean-field",
                "sterling.theory.samples_for_last",
                beside=True,
            ),
            Reference(
                "half of the steps of plain STE at w*, over its dimensions: exponent",
                slopes["plain"],
                "mean-field",
                "sterling.theory.samples_for_occupancy",
            ),
        ),
        pictures=(
            picture(
                "Decay and band, alone and together",
                dots,
                list(FACTORS),
                {one: np.array(evidence(*(found[one, name] for name in FACTORS))) for one in budget.settings},
                "share of the runs that end at w*",
                xlim=(-0.03, 1.03),
                caption="Share of the runs without label noise that end at w*; bars are 95 % Jeffreys "
                "intervals.",
            ),
            picture(
                "Samples for the last iterate under noise",
                over_dimensions,
                {
                    name: [(at.n, at.samples, at.low, at.high) for at in one.fit.thresholds]
                    for name, one in series.items()
                    if one.fit is not None
                },
                {f"{name}, law": law for name, law in laws.items()},
                "samples N₅₀",
                {"n³": 3.0, "n": 1.0},
                yscale="log",
                caption="Samples with which half of the runs end at w* under label noise. A dashed line "
                "joins the law at the smallest and the largest n; the triangles show slopes 3 and 1.",
            ),
        ),
        tables={
            "threshold-factorial": cells,
            **{f"threshold-{name}": store.trials() for name, store in stores.items()},
        },
        notes=(
            "S is the mean pull on one wrong weight. Decay 0.01 multiplies a latent by 0.99 in a step, so "
            "the latent is about a sum of the last 100 gradients. A band of 25 lets a weight turn only "
            "beyond 25 S on the other side, which is a threshold of S/4 on their mean.",
            f"Damping {DAMPING:g} moves latents towards their own weights. A state absorbs if and only if "
            f"every push is at most {DAMPING:g}·S (exact). How often a run ends at w* is "
            "measured, and the law is mean-field.",
            "The law of plain STE is about half of the steps at w*: the mean, over the steps of a stationary "
            "run, of whether it is there.",
            *notes_on([series["damped"]], "Damped last iterate"),
            *notes_on([series["plain"]], "Plain last iterate"),
        ),
    )


def factorial(
    context: Context, budget: ThresholdBudget
) -> tuple[dict[tuple[str, str], Measured], pl.DataFrame]:
    """Return the share of the runs that end at w* by setting and factor, and the counts of all cells."""
    found, cells = {}, []
    for index, (setting, asked) in enumerate(budget.settings.items()):
        store = context.run(
            f"threshold-factorial-{index}",
            n=budget.n,
            optimizer=list(FACTORS.values()),
            schedule="constant:1",
            trials=budget.instances,
            **asked,
        )
        cells.append(store.counts(LAST))
        for name, text in FACTORS.items():
            cell = cells[-1].filter(optimizer=str(as_optimizer(text)))
            runs = cell.select("successes", "trials").row(0)
            found[setting, name] = share(f"runs that end at w*, {name}: {setting}", *runs)
    return found, pl.concat(cells)


_NEAR = (0.65, 0.8, 1.0, 1.25, 1.55)
_NEAR_DAMPED = {"c": [round(6.6 * one, 2) for one in _NEAR], "a": 1.28}
_NEAR_PLAIN = {"c": [round(0.26 * one, 3) for one in _NEAR], "a": 3}

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
            damped={"n": (32, 64, 128), "samples": _NEAR_DAMPED, "steps": 3_000, "trials": 60},
            plain={"n": (8, 16, 32), "samples": _NEAR_PLAIN, "steps": 10_000, "trials": 60},
        ),
        "default": ThresholdBudget(
            n=128,
            instances=16,
            damped={"n": (32, 64, 128, 256), "samples": _NEAR_DAMPED, "steps": 5_000, "trials": 200},
            plain={"n": (8, 16, 32, 48), "samples": _NEAR_PLAIN, "steps": 30_000, "trials": 60},
        ),
    },
)
