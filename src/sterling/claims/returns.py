"""P3: the iterates leave w* under label noise and come back; how often, and how well that is predicted."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context, Parameters
from sterling.claims.draw import MARKERS, SERIES_COLOURS
from sterling.claims.finding import Finding, Judgement, Measured, Picture, Reference
from sterling.claims.judge import above, all_of
from sterling.claims.statistics import measured, quantile_interval, share_interval, t_interval
from sterling.plot import GREY, PALE

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

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
    correlation = (
        float(np.corrcoef(both["wrong_share"].to_numpy(), both["predicted_share"].to_numpy())[0, 1])
        if len(both) > 2
        else math.nan
    )
    return claim.found(
        experiment=(
            f"{len(runs)} runs of {plan.steps:,} steps of 0.5/√(t+1) with σ = {plan.noise:g}, m = 1, at "
            + ", ".join(f"n = {n}, N = {samples:,}" for n, samples in plan.places)
            + f" ({plan.instances} data sets each)."
        ),
        judgement=judge_recurrence(exponent.low, exponent.high, exact),
        reason=(
            f"Visits grow like T^{exponent.value:.3f} ({exponent.low:.3f} to {exponent.high:.3f}); "
            f"{len(lasting)} of {len(free)} runs that w* does not hold returned, each between "
            f"{lasting['visits'].min() or 0:,} and {lasting['visits'].max() or 0:,} times."
            + (
                f" Half of the predicted occupancies are within {half[0]:.1%} of the measured ones."
                if error.size
                else ""
            )
        ),
        measured=(
            exponent,
            recurs,
            measured("median relative error of the predicted occupancy", half, "order statistics"),
            measured("90th percentile of that error", most, "order statistics"),
            Measured("correlation of predicted and measured wrong shares", correlation),
            *_by_place(lasting, plan.places),
        ),
        references=(
            Reference(
                "exponent of visits in a stationary run", 1.0, "exact", "ergodic theorem for stationary runs"
            ),
            Reference(
                "occupancy and wrong shares, predicted: relative error",
                0.0,
                "mean-field",
                "sterling.theory.balance",
            ),
        ),
        pictures=_pictures(lasting, marks, weights, times),
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
    from sterling.problem import Problem
    from sterling.recurrence import recurrence
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
    found = recurrence(orbit)
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
    ]
    missing = len(free) - len(lasting)
    if missing:
        notes.append(f"{missing} runs did not return to w* within their steps; they have no exponent.")
    decoded = int((runs["ergodic_errors"] == 0).sum())
    notes.append(f"The sign of the time average was w* in {decoded} of {len(runs)} runs.")
    drifting = int((lasting["drift_p_value"].fill_null(1.0) < 0.01).sum())
    if drifting:
        notes.append(
            f"In {drifting} of {len(lasting)} runs the occupancy still drifted after the first quarter "
            "(Geweke's test at 1 %): their averages are not yet those of a stationary run."
        )
    return notes


def _pictures(lasting, marks, weights, times) -> tuple[Picture, ...]:
    if lasting.is_empty():
        return ()
    low, high = lasting["visits"].min(), lasting["visits"].max()
    occupied = lasting.drop_nulls("predicted_occupancy")
    return (
        Picture(
            "p3-visits",
            "Visits to w* grow with the steps",
            partial(draw_visits, marks=marks),
            f"Visits to w* against steps on logarithmic axes, a line for each of {len(lasting)} runs, ending "
            f"between {low:,} and {high:,} visits; all run along a line of slope one.",
        ),
        Picture(
            "p3-occupancy",
            "Occupancy, predicted and measured",
            partial(draw_occupancy, runs=occupied),
            "Measured against predicted occupancy for each data set: "
            + "; ".join(
                f"{p:.2f} predicted, {m:.2f} measured"
                for p, m in occupied.select("predicted_occupancy", "occupancy").head(12).iter_rows()
            )
            + ".",
        ),
        Picture(
            "p3-weights",
            "Wrong share of each weight, predicted and measured",
            partial(draw_weights, weights=weights),
            f"Measured against predicted share of the time that each of {len(weights):,} weights is "
            "wrong; points "
            "lie along the diagonal.",
        ),
        Picture(
            "p3-returns",
            "How long absences from w* last",
            partial(draw_times, times=times),
            "Share of absences that last t steps or longer, on logarithmic axes, one curve for each n "
            "and N; the "
            f"median absence lies between {lasting['median_return'].min():.0f} and "
            f"{lasting['median_return'].max():.0f} steps.",
        ),
    )


def _places(frame: pl.DataFrame) -> list[tuple[int, int]]:
    return sorted(set(frame.select("n", "samples").iter_rows()))


def _at(frame: pl.DataFrame, place: tuple[int, int]) -> pl.DataFrame:
    return frame.filter((frame["n"] == place[0]) & (frame["samples"] == place[1]))


def draw_visits(ax: Axes, marks: pl.DataFrame) -> str:
    """Draw the number of visits against T for every run."""
    most = 1.0
    for number, place in enumerate(_places(marks)):
        label = f"n = {place[0]}, N = {place[1]:,}"
        for _, one in _at(marks, place).group_by("instance", maintain_order=True):
            one = one.filter(one["mark_visits"] > 0).sort("mark_steps")
            steps, visits = one["mark_steps"].to_numpy(), one["mark_visits"].to_numpy()
            ax.plot(
                steps,
                visits,
                lw=1,
                alpha=0.75,
                color=SERIES_COLOURS[number % len(SERIES_COLOURS)],
                label=label,
            )
            label = None
            most = max(most, float(steps.max(initial=1)))
    line = np.array([10.0, most])
    ax.plot(line, 0.02 * line, color=GREY, lw=1, ls="--", label="slope one")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.8)
    ax.set_xlabel("steps T")
    ax.set_ylabel("visits to w* (number)")
    ax.legend(frameon=False, fontsize=8)
    return "A line of slope one means that visits keep coming at the same pace, however long the run."


def _diagonal(ax: Axes, end: float) -> None:
    ax.plot([0, end], [0, end], color=PALE, lw=1.4, zorder=0)
    ax.set_xlim(-0.02 * end, 1.02 * end)
    ax.set_ylim(-0.02 * end, 1.02 * end)


def draw_occupancy(ax: Axes, runs: pl.DataFrame) -> str:
    """Draw measured against predicted occupancy."""
    _diagonal(ax, 1.0)
    for number, place in enumerate(_places(runs)):
        one = _at(runs, place)
        ax.plot(
            one["predicted_occupancy"].to_numpy(),
            one["occupancy"].to_numpy(),
            ls="",
            ms=6,
            alpha=0.85,
            marker=MARKERS[number % len(MARKERS)],
            color=SERIES_COLOURS[number % len(SERIES_COLOURS)],
            label=f"n = {place[0]}, N = {place[1]:,}",
        )
    ax.set_xlabel("predicted occupancy (mean-field)")
    ax.set_ylabel("measured occupancy")
    ax.legend(frameon=False, fontsize=8)
    return "Each point is one data set; on the line the prediction, made from the data alone, is right."


def draw_weights(ax: Axes, weights: pl.DataFrame) -> str:
    """Draw measured against predicted wrong share of every weight."""
    known = weights.drop_nulls()
    end = max(0.05, float(known["wrong_share"].max() or 0), float(known["predicted_share"].max() or 0))  # pyright: ignore[reportArgumentType]
    _diagonal(ax, end)
    for number, place in enumerate(_places(known)):
        one = _at(known, place)
        ax.plot(
            one["predicted_share"].to_numpy(),
            one["wrong_share"].to_numpy(),
            ls="",
            ms=3.5,
            alpha=0.6,
            marker=MARKERS[number % len(MARKERS)],
            color=SERIES_COLOURS[number % len(SERIES_COLOURS)],
            label=f"n = {place[0]}, N = {place[1]:,}",
        )
    ax.set_xlabel("predicted wrong share (mean-field)")
    ax.set_ylabel("measured wrong share")
    ax.legend(frameon=False, fontsize=8)
    return (
        "Each point is one weight; those that the gradient at w* pushes outwards are wrong part of the time."
    )


def draw_times(ax: Axes, times: pl.DataFrame) -> str:
    """Draw the share of absences that last so long or longer, all data sets of a place together."""
    for number, place in enumerate(_places(times)):
        one = _at(times, place).drop_nulls().group_by("return_times").sum().sort("return_times")
        counts = one["return_counts"].to_numpy()
        if counts.size:
            ax.step(
                one["return_times"].to_numpy(),
                counts[::-1].cumsum()[::-1] / counts.sum(),
                where="post",
                lw=1.4,
                color=SERIES_COLOURS[number % len(SERIES_COLOURS)],
                label=f"n = {place[0]}, N = {place[1]:,}",
            )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("absence from w*, steps")
    ax.set_ylabel("share that lasts so long or longer")
    ax.legend(frameon=False, fontsize=8)
    return "Most absences are short; long ones become rare fast, so the iterates keep coming back."
