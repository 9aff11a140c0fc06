"""Surrogates side by side: each on the same data sets from the same starts, with the prediction beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.base import checks
from sterling.base.text import Described
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.schedules import Power, Schedule
from sterling.stats import bootstrap_counts, percentiles, share_interval
from sterling.study.columns import COUNT, FLAG, REAL, SHARE, Column
from sterling.study.kind import Cell, Kind, Look, Seeds
from sterling.surrogates import SURROGATES, Surrogate, get_surrogate

if TYPE_CHECKING:
    import polars as pl

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

BASELINE = "relu"  # the paper's surrogate, to which the others are compared
BURN_IN = 0.25  # share of the steps that occupancy and wrong weights leave out
LEVEL = 0.95  # of all intervals
_BOOTSTRAP = 1  # extends the user's seed
_CACHE_BYTES = 1 << 28  # a run


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    """Run one data set with one surrogate, and predict what comes out."""
    from sterling.dynamics.train import resume, train
    from sterling.schedules import parse_schedule
    from sterling.theory import balance

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
    except InputError:  # w* does not hold its weights, or no prediction settles: far too few samples
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
        "occupancy": SHARE,
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


@dataclass(frozen=True, repr=False)
class Comparison(Described):
    """What `compare_surrogates` measured, on what, and what to keep in mind.

    ``rows`` has one row a trial and surrogate: ``trial``, ``seed`` (of the draw and of the start),
    ``surrogate``; ``occupancy`` (share of the iterates at w*) and ``wrong`` (mean number of wrong weights)
    after the burn-in; ``ergodic_errors``, ``errors``, ``verdict`` and ``certified`` of the whole run;
    ``predicted_occupancy`` and ``predicted_wrong`` by `theory.balance` of that data set (mean-field; null
    where w* does not hold its weights or no prediction settles); ``seconds``.
    """

    rows: pl.DataFrame
    problem: Problem
    schedule: Schedule
    steps: int
    seed: int
    note: str = NOTE

    @property
    def surrogates(self) -> list[str]:
        """The names of the surrogates, in the order asked for."""
        return self.rows["surrogate"].unique(maintain_order=True).to_list()

    @property
    def trials(self) -> int:
        """Data sets for each surrogate."""
        return self.rows["trial"].n_unique()

    def summary(self) -> pl.DataFrame:
        """Return one row a surrogate, with 95 % intervals.

        ``occupancy``, ``wrong``: means over the data sets, with percentile bootstrap intervals.
        ``difference``: mean paired difference of the occupancy to the baseline (ReLU, or the first
        surrogate). ``ergodic``: share of the data sets whose time average is w*, with the Jeffreys interval.
        ``samples_ratio``: (wrong/wrong of the baseline)², the share of the baseline's samples that would do
        as well where the wrong weights fall as 1/√N. ``predicted_…``: means of the predictions for these data
        sets, and the ratio of `theory.samples_for_occupancy` at 1/2, null without label noise. All bootstrap
        intervals use the same resampled data sets.
        """
        import polars as pl

        names, count = self.surrogates, self.trials
        base = BASELINE if BASELINE in names else names[0]
        picks = bootstrap_counts(count, np.random.SeedSequence(self.seed, spawn_key=(_BOOTSTRAP,))) / count
        theirs, out = self._values(base), []
        for name in names:
            mine = self._values(name)
            gap = mine["occupancy"] - theirs["occupancy"]
            won = int(np.count_nonzero(mine["ergodic_errors"] == 0))
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = (mine["wrong"].mean() / theirs["wrong"].mean()) ** 2
                ratios = ((picks @ mine["wrong"]) / (picks @ theirs["wrong"])) ** 2
            known = bool(np.isfinite(ratios).all())
            intervals = {
                "occupancy": percentiles(picks @ mine["occupancy"], mine["occupancy"].mean(), LEVEL),
                "difference": percentiles(picks @ gap, gap.mean(), LEVEL),
                "ergodic": share_interval(won, count, LEVEL),
                "wrong": percentiles(picks @ mine["wrong"], mine["wrong"].mean(), LEVEL),
                "samples_ratio": percentiles(ratios, ratio, LEVEL) if known else (None, None, None),
            }
            out.append(
                {
                    "surrogate": name,
                    "trials": count,
                    **{
                        f"{what}{end}": value
                        for what, interval in intervals.items()
                        for end, value in zip(("", "_low", "_high"), interval, strict=True)
                    },
                    "predicted_occupancy": _mean(mine["predicted_occupancy"]),
                    "predicted_wrong": _mean(mine["predicted_wrong"]),
                    "predicted_samples_ratio": self._predicted_ratio(name, base),
                }
            )
        return pl.DataFrame(out)

    def to_dict(self) -> dict[str, Any]:
        return {
            "problem": self.problem.to_dict(),
            "schedule": self.schedule.to_dict(),
            "steps": self.steps,
            "seed": self.seed,
            "burn_in": BURN_IN,
            "level": LEVEL,
            "summary": self.summary().to_dicts(),
            "note": self.note,
        }

    def _repr_html_(self) -> str:
        return self.summary()._repr_html_()

    def __repr__(self) -> str:
        return (
            f"Comparison({', '.join(self.surrogates)}; n={self.problem.n}, samples={self.problem.samples}, "
            f"trials={self.trials}, steps={self.steps:,})"
        )

    def _values(self, name: str) -> dict[str, np.ndarray]:
        """Return the numeric columns of one surrogate in the order of the trials; null is NaN."""
        rows = self.rows.filter(self.rows["surrogate"] == name).sort("trial")
        return {
            column: rows[column].cast(float).to_numpy()
            for column in ("occupancy", "wrong", "ergodic_errors", "predicted_occupancy", "predicted_wrong")
        }

    def _predicted_ratio(self, name: str, base: str) -> float | None:
        from sterling.theory import samples_for_occupancy

        if self.problem.noise == 0:
            return None
        try:
            mine, other = (samples_for_occupancy(self.problem, surrogate=one) for one in (name, base))
        except InputError:  # the law is for Gaussian inputs
            return None
        return mine / other


def compare_surrogates(
    problem: Problem,
    *,
    trials: int = 20,
    surrogates: Iterable[str | Surrogate] | str | Surrogate | None = None,
    steps: int = 100_000,
    schedule: Schedule | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Comparison:
    """Run every surrogate on the same data sets from the same starts, and set the prediction beside it.

    Parameters
    ----------
    problem : Problem
        The distribution of the data sets.
    trials : int
        Data sets. The first ones do not depend on how many there are.
    surrogates : collection of str or Surrogate, optional
        Which ones; all by default. Smooth ones take every step, so they decide how long this takes.
    steps : int
        T of each run, at least 4. Occupancy leaves out the first quarter, ergodic success does not. The
        sigmoid's derivative is at most 1/4, so its run gets to where others are after 16 times the steps
        with the default schedule; in a short run more of it is transient, which predictions leave out.
    schedule : Schedule, optional
        As in `train`.
    seed : int
        Names the data sets and starts.
    threads : int, optional
        Trials at a time, all cores by default. The result does not depend on it.

    Returns
    -------
    Comparison
        With ``rows``, ``summary()`` and ``note``: read the note before drawing conclusions for deep nets.
        `sterling.plot.curves.predictions` draws it.

    Notes
    -----
    It is a study of the kind "occupancy" (`sterling.study`) whose store is thrown away: for many trials, or
    for trials that shall survive a break, make that study. Prediction: `sterling.theory.balance`, mean-field.

    Examples
    --------
    >>> import sterling as st
    >>> problem = st.Problem(n=8, samples=200, noise=0.5)
    >>> found = st.compare_surrogates(problem, trials=3, surrogates=["relu", "identity"], steps=1000)
    >>> table = found.summary()
    >>> table["surrogate"].to_list(), table["trials"].to_list()
    (['relu', 'identity'], [3, 3])
    """
    from sterling.study.collect import passing_store
    from sterling.study.spec import Study

    schedule = Power(0.5, 0.5) if schedule is None else schedule
    checks.instance_of(schedule, Schedule, "schedule", "one such as Power(0.5, 0.5)")
    checks.instance_of(problem, Problem, "the first argument", "a Problem")
    checks.integer(steps, "steps", 4)
    names = _names(surrogates)
    study = Study(
        **problem.to_dict(),
        kind=KIND.name,
        schedule=schedule,
        surrogate=names,
        steps=steps,
        trials=trials,
        seed=seed,
    )
    with passing_store(study, threads) as store:
        rows = in_order(store.trials(), names)
    return Comparison(rows, problem, schedule, steps, seed)


def in_order(rows: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """Return the rows and columns of a `Comparison`, by trial and the order of the surrogates."""
    import polars as pl

    order = pl.col("surrogate").replace_strict({name: place for place, name in enumerate(names)})
    return rows.sort("trial", order).select("trial", "surrogate", *KIND.columns, "seconds")


def _names(surrogates: Iterable[str | Surrogate] | str | Surrogate | None) -> list[str]:
    if surrogates is None:
        return list(SURROGATES)
    if isinstance(surrogates, str | Surrogate):
        surrogates = (surrogates,)
    names = list(dict.fromkeys(get_surrogate(one).name for one in surrogates))
    if not names:
        raise InputError("surrogates is empty; name at least one, or leave it out for all of them")
    return names


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) == len(values) else None
