"""P3: the iterates leave w* under label noise and come back; how often, and how well that is predicted."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from sterling.base.text import percent
from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context, Parameters
from sterling.claims.finding import Finding, Judgement, Measured, Reference
from sterling.claims.judge import above, all_of
from sterling.claims.returns_plots import pictures
from sterling.claims.statistics import (
    clustered_correlation,
    measured,
    quantile_interval,
    share_interval,
    t_interval,
)
from sterling.claims.words import said
from sterling.visits.batch_means import DRIFT_LEVEL

if TYPE_CHECKING:
    import polars as pl

#: Visits that go on must grow faster than T to this power.
GROWTH = 0.5
_KEYS = ["n", "samples", "instance"]


def judge_recurrence(low: float, high: float, exact: bool) -> Judgement:
    """Judge by the interval of the exponent with which visits grow with T, and by the exact check.

    Consistent: the exponent lies above 1/2, so visits go on as T grows, and w* was held for ever by exactly
    the data sets whose gradient at w* pushes no weight outwards. Contradicted: the exponent lies below 1/2,
    or that check failed. Not decided: otherwise.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        growing = Judgement.NOT_DECIDED
    else:
        growing = above(low, high, GROWTH)
    return all_of(growing, Judgement.CONSISTENT if exact else Judgement.CONTRADICTED)


def recurrence_rule() -> str:
    """Say `judge_recurrence` in words."""
    return (
        "Consistent where the whole 95 % interval of the exponent with which visits grow over the last two "
        f"decades of T lies above {GROWTH:g}, so that visits go on, and w* held for ever exactly the runs "
        "whose data push no weight out of it; contradicted where the interval lies below or that check "
        "fails; not decided otherwise."
    )


def measure(context: Context) -> Finding:
    """Count visits to w* in long runs, and compare occupancy and wrong shares with their predictions.

    Rule: `judge_recurrence` on the mean, over data sets, of the exponent of visits in the last two decades of
    steps. Runs that never reached w* have no exponent; they are counted in a note.
    """
    claim, plan = CLAIMS["P3"], context.effort.recurrence
    cells = [
        {"n": n, "samples": samples, "instance": number, "noise": plan.noise, "steps": plan.steps}
        for n, samples in plan.places
        for number in range(plan.instances)
    ]
    raw = context.rows("recurrence", cells, partial(long_run, context))
    import polars as pl

    runs = raw.select(pl.exclude(pl.List))
    weights = raw.select(*_KEYS, "wrong_share", "predicted_share").explode("wrong_share", "predicted_share")
    marks = raw.select(*_KEYS, "mark_steps", "mark_visits").explode("mark_steps", "mark_visits")
    times = raw.select(*_KEYS, "return_times", "return_counts").explode("return_times", "return_counts")
    free = runs.filter(~pl.col("holds"))
    lasting = free.filter(pl.col("visits") >= 2)
    growth = lasting["growth"].drop_nulls().to_numpy()
    exponent = measured("exponent of visits to w* over T", t_interval(growth), "t over data sets")
    recurs = measured(
        "share of the runs that returned to w*, where w* does not hold them",
        share_interval(len(lasting), len(free)),
        "Jeffreys",
    )
    came = runs.filter(pl.col("visits") >= 1)
    exact = bool((came["holds"] == (came["verdict"] == "OPTIMAL")).all())
    known = lasting.filter(pl.col("predicted_occupancy").is_not_null() & (pl.col("occupancy") > 0))
    error = (known["predicted_occupancy"] / known["occupancy"] - 1).abs().to_numpy()
    half, most = (quantile_interval(error, share) for share in (0.5, 0.9))
    both = weights.drop_nulls()
    correlation = measured(
        "correlation of predicted and measured wrong shares of weights",
        clustered_correlation(
            both["predicted_share"].to_numpy(),
            both["wrong_share"].to_numpy(),
            both.select(pl.struct(_KEYS).rank("dense")).to_series().to_numpy(),
        ),
        "bootstrap over data sets",
    )
    pace = measured(
        "visits per step, later half over earlier half",
        t_interval(lasting["halves"].drop_nulls().to_numpy()),
        "t over data sets; the first quarter of each run left out",
    )
    return claim.found(
        experiment=(
            f"{len(runs)} runs of {plan.steps:,} steps of 0.5/√(t+1) with σ = {plan.noise:g}, m = 1, at "
            + "; ".join(f"n = {n}, N = {samples:,}" for n, samples in plan.places)
            + f" ({plan.instances} data sets each)."
        ),
        judgement=judge_recurrence(exponent.low, exponent.high, exact),
        reason=(
            f"Visits grow like T^{said(exponent)}; {len(lasting)} of {len(free)} runs that w* does not hold "
            f"returned, each between {lasting['visits'].min() or 0:,} and {lasting['visits'].max() or 0:,} "
            f"times."
            + (
                f" Half of the predicted occupancies are within {percent(half[0], 1)} of the measured ones."
                if error.size
                else ""
            )
        ),
        rule=recurrence_rule(),
        measured=(
            exponent,
            pace,
            recurs,
            measured("median relative error of the predicted occupancy", half, "order statistics"),
            measured("90th percentile of that error", most, "order statistics"),
            correlation,
            *_by_place(lasting, plan.places),
        ),
        references=(
            Reference(
                "visits per step of a stationary run, later half over earlier half",
                1.0,
                "exact",
                "stationarity",
            ),
        ),
        pictures=pictures(lasting, marks, weights, times),
        tables={
            "recurrence-runs": runs,
            "recurrence-weights": weights,
            "recurrence-visits": marks,
            "recurrence-returns": times,
        },
        notes=tuple(_notes(runs, free, lasting, exact)),
    )


def long_run(context: Context, cell: Parameters, seed: int):
    """Give one row for one long run: its recurrence statistics and what theory predicts for its data."""
    from sterling.dynamics.train import train
    from sterling.errors import InputError
    from sterling.model.problem import Problem
    from sterling.theory import balance, drift

    instance = Problem(n=cell["n"], samples=cell["samples"], noise=cell["noise"]).draw(seed)
    assert instance.teacher is not None
    push = instance.teacher * drift(instance)
    try:
        predicted = balance(instance)
    except InputError:  # w* does not hold its weights
        predicted = None
    orbit = train(
        instance, steps=cell["steps"], init=seed, record=("recurrence",), threads=1, progress=context.look
    )
    found = orbit.recurrence()
    estimate = found.long_run
    return [
        {
            "verdict": orbit.verdict.name,
            "certified": orbit.certified,
            "holds": bool((push <= 0).all()),
            "pushed_outwards": int((push > 0).sum()),
            "visits": found.visits,
            "occupancy": found.occupancy,
            "long_run": None if estimate is None else estimate.value,
            "long_run_low": None if estimate is None else estimate.low,
            "long_run_high": None if estimate is None else estimate.high,
            "predicted_occupancy": None if predicted is None else predicted.occupancy,
            "drift_p_value": found.drift,
            "growth": found.growth,
            "halves": None if found.halves is None else found.halves.value,
            "mean_return": found.returns.mean,
            "median_return": found.returns.quantile(0.5),
            "longest_return": found.returns.longest,
            "mean_stay": found.sojourns.mean,
            "ergodic_errors": orbit.ergodic_errors,
            "events": orbit.stats.events,
            "wrong_share": orbit.wrong_share.tolist(),
            "predicted_share": [None] * instance.n if predicted is None else predicted.wrong_share.tolist(),
            "mark_steps": found.mark_steps.tolist(),
            "mark_visits": found.mark_visits.tolist(),
            "return_times": found.returns.starts.tolist(),
            "return_counts": found.returns.counts.tolist(),
        }
    ]


def _by_place(lasting: pl.DataFrame, places) -> list[Measured]:
    out = []
    for n, samples in places:
        one = lasting.filter((lasting["n"] == n) & (lasting["samples"] == samples))
        if len(one):
            where = f"at n = {n}, N = {samples:,}"
            out += [
                measured(
                    f"occupancy of w* {where}", t_interval(one["occupancy"].to_numpy()), "t over data sets"
                ),
                measured(
                    f"mean absence from w* {where}",
                    t_interval(one["mean_return"].to_numpy()),
                    "t over data sets",
                    "steps",
                ),
            ]
    return out


def _notes(runs: pl.DataFrame, free: pl.DataFrame, lasting: pl.DataFrame, exact: bool) -> list[str]:
    held = len(runs) - len(free)
    notes = [
        "w* is left if and only if some weight has b*_k G_k(w*) > 0 (exact); "
        f"{held} of {len(runs)} data sets hold w* for ever, and the runs "
        + ("agree." if exact else "do NOT agree."),
        "No finite run proves infinitely many visits; steady growth with T is evidence for them.",
        "The exponent tends to 1 for ever longer runs. One of this length need not show that: the first "
        "visits come late, and a weight that is pushed outwards weakly begins to flip late, after which w* "
        "is visited less often. Visits per step in the two halves of a run compare its pace after that.",
        "The relative error of the predicted occupancy is |predicted/measured − 1|, one number a data set; "
        "the prediction (mean-field, sterling.theory.balance) knows the data and no run.",
    ]
    missing = len(free) - len(lasting)
    if missing:
        notes.append(f"{missing} runs did not return to w* within their steps; they have no exponent.")
    decoded = int((runs["ergodic_errors"] == 0).sum())
    notes.append(f"The sign of the time average was w* in {decoded} of {len(runs)} runs.")
    drifting = int((lasting["drift_p_value"].fill_null(1.0) < DRIFT_LEVEL).sum())
    if drifting:
        notes.append(
            f"In {drifting} of {len(lasting)} runs the occupancy still drifted after the part that is left "
            f"out (Geweke's test at {percent(DRIFT_LEVEL)}): their averages are not yet those of a "
            "stationary run."
        )
    return notes
