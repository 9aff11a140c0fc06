"""What P1 and P2 share: an adaptive study of N₅₀ against n, and its fits as numbers, notes and pictures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sterling.claims.context import Context
from sterling.claims.efforts import Scaling
from sterling.claims.finding import Measured, Picture
from sterling.claims.judge import POOR, stretched
from sterling.dynamics.orbit import Verdict
from sterling.plot import PURPLE
from sterling.study.fit import ExponentFit
from sterling.study.grid import Study
from sterling.study.plots import phase_map, success_curves, threshold_law
from sterling.study.report import SeriesFit, fit_store
from sterling.study.store import Store

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

NOISELESS_CRITERIA = ("ergodic", "optimal")
NOISY_CRITERIA = ("occupancy>=0.5", "ergodic")


def run_scaling(context: Context, name: str, plan: Scaling, criteria: tuple[str, ...]) -> Store:
    """Run the adaptive study of a plan; both claims that read the noiseless one share its store."""
    study = Study(
        n=list(plan.n),
        noise=plan.noise,
        steps=list(plan.steps),
        criteria=list(criteria),
        seed=context.seed,
        target="exponent",
        width=plan.width,
        max_trials=plan.max_trials,
        name=name,
    )
    return context.study(name, study, plan.limit)


def fits_by_budget(store: Store, criterion: str) -> list[SeriesFit]:
    """Return the fits of a criterion, one for each step budget, the largest budget last."""
    return sorted(fit_store(store, criterion), key=lambda one: one.series["steps"])


def exponent(series: SeriesFit, name: str) -> Measured:
    """Return the exponent of a fit as a measured number; the interval is stretched where the fit is poor."""
    fit = series.fit
    if fit is None:
        nan = float("nan")
        return Measured(name, nan, nan, nan, how=f"refused: {series.refusal}")
    low, high = stretched(fit)
    how = "profile likelihood"
    if is_poor(fit):
        how += f", stretched for the poor fit (p = {fit.p_value:.1g})"
    return Measured(name, fit.exponent, low, high, fit.level, how=how)


def local_exponent(law: dict[int, float]) -> float:
    """Return the exponent of the power law nearest to a law N(n) over its dimensions."""
    return float(np.polyfit(np.log(list(law)), np.log(list(law.values())), 1)[0])


def is_poor(fit: ExponentFit) -> bool:
    """Whether the curve does not describe the counts."""
    return fit.p_value < POOR


def rival_sentence(fit: ExponentFit) -> str:
    """Say how the n log n law does against the power law."""
    rival = next((one for one in fit.rivals if one.law == "C n log n"), None)
    if rival is None:
        return ""
    if abs(rival.delta) < 2:
        verdict = "do about equally well"
    else:
        verdict = "n log n does better" if rival.delta < 0 else "the power law does better"
    return (
        f"Rival law {rival.constant:.3g}·n·ln n: AIC {rival.delta:+.1f} against the power law, so {verdict} "
        "(mean-field theory predicts n log n up to slower factors)."
    )


def notes_on(series: list[SeriesFit], label: str) -> list[str]:
    """Return what a reader must know of the fits of one criterion over all budgets."""
    notes = []
    main = series[-1]
    if main.fit is None:
        return [f"{label}: no exponent was fitted: {main.refusal}."]
    fit = main.fit
    if is_poor(fit):
        notes.append(
            f"{label}: the power law fits poorly (p = {fit.p_value:.1g}); the interval is stretched by "
            f"√(deviance/expected deviance) = √({fit.deviance:.0f}/{fit.expected_deviance:.0f}). A "
            "curved law "
            "has a local exponent that changes with n."
        )
    if fit.undecided:
        notes.append(_undecided(main, label))
    if len(series) > 1:
        parts = [
            f"{one.fit.exponent:.2f} [{one.fit.exponent_low:.2f}, {one.fit.exponent_high:.2f}] with "
            f"{one.series['steps']:,} steps"
            for one in series
            if one.fit is not None
        ]
        notes.append(f"{label}: the exponent at each step budget is {'; '.join(parts)}.")
    if sentence := rival_sentence(fit):
        notes.append(f"{label}: {sentence}")
    return notes


def _undecided(series: SeriesFit, label: str) -> str:
    fit, left = series.fit, series.left_out
    assert fit is not None
    text = (
        f"{label}: {fit.undecided:,} of {fit.trials:,} trials spent {series.series['steps']:,} steps "
        "without a "
        "certificate and count as failures"
    )
    if left is None:
        return f"{text}; without them there is no fit."
    return (
        f"{text}; without them the exponent is {left.exponent:.2f} "
        f"[{left.exponent_low:.2f}, {left.exponent_high:.2f}]."
    )


def law_picture(
    name: str, title: str, series: SeriesFit, predicted: dict[int, float] | None = None
) -> Picture:
    """Return the picture of N₅₀ against n, with a predicted N₅₀ of each n where there is one."""
    return Picture(
        name, title, partial(draw_law, series=series, predicted=predicted), _law_alt(series, predicted)
    )


def draw_law(ax: Axes, series: SeriesFit, predicted: dict[int, float] | None = None) -> str:
    """Draw `threshold_law` and, where there is one, the mean-field prediction made without any run."""
    reading = threshold_law(ax, series)
    if predicted is None or series.fit is None:
        return reading
    ax.plot(list(predicted), list(predicted.values()), color=PURPLE, lw=1.4, ls=(0, (4, 1.5, 1, 1.5)),
            marker="D", ms=4, label="predicted (mean-field)")  # fmt: skip
    ax.legend(frameon=False, fontsize=8)
    return f"{reading} The purple line is the mean-field prediction, made without any run."


def _law_alt(series: SeriesFit, predicted: dict[int, float] | None) -> str:
    fit = series.fit
    if fit is None:
        return f"No fit: {series.refusal}."
    points = "; ".join(f"n = {one.n}: {one.samples:,.0f}" for one in fit.thresholds)
    text = (
        f"N₅₀ for {series.criterion} against n on logarithmic axes: {points}. The fitted line has slope "
        f"{fit.exponent:.2f}; grey guides show the slopes 2 and 4 of the proved bounds."
    )
    if predicted:
        text += f" Predicted: {'; '.join(f'n = {n}: {size:,.0f}' for n, size in predicted.items())}."
    return text


def curves_picture(name: str, title: str, series: SeriesFit) -> Picture:
    """Return the picture of success against N."""
    cells = series.cells
    alt = (
        f"Share of trials with {series.criterion} against the sample size N, one curve for each of n = "
        f"{', '.join(str(n) for n in sorted(cells['n'].unique().to_list()))}; each rises from near "
        f"{cells['share'].min():.0%} to near {cells['share'].max():.0%}."  # type: ignore[str-format]
    )
    return Picture(name, title, partial(success_curves, series=series), alt)


def regimes_picture(name: str, title: str, counts: pl.DataFrame) -> Picture:
    """Return the phase map of one series of `Store.counts`."""
    totals = {verdict.name: counts[verdict.name].sum() for verdict in Verdict}
    shares = ", ".join(f"{name.lower()} {total:,}" for name, total in totals.items() if total > 0)
    alt = f"Bars over n and N, coloured by how trials ended. Trials in all: {shares}."
    return Picture(name, title, partial(phase_map, counts=counts), alt)
