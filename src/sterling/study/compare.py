"""Surrogates side by side: each on the same data sets from the same starts, with the prediction beside it."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.errors import InputError
from sterling.model.problem import Problem, part_seed
from sterling.schedules import Power, Schedule
from sterling.study.kinds import Cancelled
from sterling.surrogates import SURROGATES, Surrogate, get_surrogate

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

    from sterling.model.instance import Instance

#: What to keep in mind when one surrogate does better than another here.
NOTE = (
    "The identity looks better here than it is in deep nets. In this model teacher and student share a "
    "known, fixed readout, and the only weights that learn are those of the one hidden layer. For Gaussian "
    "inputs the expected gradient of the identity then lies exactly along w − w* with twice the slope of "
    "ReLU, while the variance from label noise only doubles: hence half of ReLU's samples (mean-field). Two "
    "things that cost the identity dearly elsewhere cannot happen here. In a deep net the surrogate's "
    "derivative enters once a layer, so its mismatch with the forward pass is compounded on the way down. "
    "And a readout that is learned does not supply the right residuals from the start. Even here the "
    "identity need not be the best: near w* the signal comes from rows next to the threshold, and noise from "
    "all rows where the derivative is not zero, so windows about zero such as hard tanh can do with fewer "
    "samples still. The order found here holds for this model and is no advice for deep nets."
)

BASELINE = "relu"  # the paper's surrogate, to which the others are compared
BURN_IN = 0.25  # share of the steps that occupancy and wrong weights leave out
LEVEL = 0.95  # of all intervals
_RESAMPLES = 4000  # of the bootstrap
_TRIALS, _BOOTSTRAP = 0, 1  # extend the user's seed
_CACHE_BYTES = 1 << 28  # a run
_COLOURS = ("#0072B2", "#D55E00", "#00815E", "#A66A00", "#A8487E", "#6B6B6B", "#222222")
_MARKERS = "osD^vPX"

_COLUMNS = {
    "trial": "Int64",
    "seed": "Int64",
    "surrogate": "String",
    "occupancy": "Float64",
    "wrong": "Float64",
    "ergodic_errors": "Int64",
    "errors": "Int64",
    "verdict": "String",
    "certified": "Boolean",
    "seconds": "Float64",
    "predicted_occupancy": "Float64",
    "predicted_wrong": "Float64",
}


@dataclass(frozen=True, repr=False)
class Comparison:
    """What `compare_surrogates` measured.

    Attributes
    ----------
    rows : Polars frame
        One row a trial and surrogate: ``trial``, ``seed`` (of the draw and of the start), ``surrogate``,
        ``occupancy`` (share of the iterates at w*) and ``wrong`` (mean number of wrong weights), both after
        the burn-in; ``ergodic_errors`` and ``errors`` of the whole run; ``verdict``, ``certified``;
        ``predicted_occupancy``, ``predicted_wrong`` (`theory.balance` of that data set; mean-field; null
        where w* does not hold its weights); ``seconds``.
    problem, schedule, steps, seed
        What was run.
    note : str
        What to keep in mind, `NOTE`.
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

        ``occupancy`` and ``wrong``: means over the data sets, with percentile bootstrap intervals
        (``…_low``, ``…_high``). ``difference``: mean paired difference of the occupancy to the baseline
        (ReLU, or the first surrogate). ``ergodic``: share of the data sets whose time average has the signs
        of w*, with the Jeffreys interval. ``samples_ratio``: (wrong/wrong of the baseline)², the share of the
        baseline's samples that would do as well where the mean number of wrong weights falls as 1/√N.
        ``predicted_occupancy``, ``predicted_wrong``: means of the mean-field predictions for these data sets.
        ``predicted_samples_ratio``: ratio of `theory.samples_for_occupancy` at 1/2, from the numbers of the
        problem alone; null without label noise. All bootstrap intervals use the same resampled data sets.
        """
        import polars as pl

        from sterling.stats import jeffreys

        names = self.surrogates
        base = BASELINE if BASELINE in names else names[0]
        picks = self._resamples()
        values = {name: self._values(name) for name in names}
        out = []
        for name in names:
            mine = values[name]
            won = int(np.count_nonzero(mine["ergodic_errors"] == 0))
            low, high = jeffreys(won, self.trials, LEVEL)
            gap = mine["occupancy"] - values[base]["occupancy"]
            out.append(
                {
                    "surrogate": name,
                    "trials": self.trials,
                    **_interval("occupancy", mine["occupancy"][picks].mean(axis=1), mine["occupancy"].mean()),
                    **_interval("difference", gap[picks].mean(axis=1), gap.mean()),
                    "ergodic": won / self.trials,
                    "ergodic_low": float(low),
                    "ergodic_high": float(high),
                    **_interval("wrong", mine["wrong"][picks].mean(axis=1), mine["wrong"].mean()),
                    **self._ratio(mine["wrong"], values[base]["wrong"], picks),
                    "predicted_occupancy": _mean(mine["predicted_occupancy"]),
                    "predicted_wrong": _mean(mine["predicted_wrong"]),
                    "predicted_samples_ratio": self._predicted_ratio(name, base),
                }
            )
        return pl.DataFrame(out)

    def draw(self, ax: Axes) -> str:
        """Draw measured against predicted occupancy, a point a data set and the mean of each surrogate.

        Returns a sentence that says what to see.
        """
        from sterling.plot.style import GREY, INK, PALE

        ax.plot([0, 1], [0, 1], color=PALE, lw=1, zorder=0)
        for place, name in enumerate(self.surrogates):
            mine = self._values(name)
            colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)]
            known = np.isfinite(mine["predicted_occupancy"])
            x, y = mine["predicted_occupancy"][known], mine["occupancy"][known]
            ax.plot(x, y, marker, ms=3.5, color=colour, alpha=0.35, lw=0)
            if known.any():
                ax.plot(x.mean(), y.mean(), marker, ms=8, color=colour, mec=INK, mew=0.8, lw=0, label=name)
        ax.set_xlim(-0.02, 1.02)
        ax.set_ylim(-0.02, 1.02)
        ax.set_xlabel("predicted occupancy of the teacher (mean-field)")
        ax.set_ylabel("measured occupancy")
        ax.legend(frameon=False, fontsize=8.5, loc="upper left")
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=8.5, color=GREY)
        return self._reading()

    def _reading(self) -> str:
        table = self.summary().sort("occupancy", descending=True)
        first, last = table.row(0, named=True), table.row(-1, named=True)
        if len(table) == 1:
            return f"With {first['surrogate']} the iterates are at the teacher for {_share(first)}."
        return (
            f"On the same {self.trials} data sets the iterates are at the teacher for {_share(first)} with "
            f"{first['surrogate']} and for {_share(last)} with {last['surrogate']}; small marks are data "
            "sets, large ones means, and on the line the prediction is right."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return what was run, the summary and the note as plain values."""
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

    def _resamples(self) -> np.ndarray:
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(_BOOTSTRAP,)))
        return rng.integers(0, self.trials, (_RESAMPLES, self.trials))

    @staticmethod
    def _ratio(mine: np.ndarray, base: np.ndarray, picks: np.ndarray) -> dict[str, float | None]:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (mine.mean() / base.mean()) ** 2
            again = (mine[picks].mean(axis=1) / base[picks].mean(axis=1)) ** 2
        if not np.isfinite(again).all():
            return dict.fromkeys(("samples_ratio", "samples_ratio_low", "samples_ratio_high"))
        return _interval("samples_ratio", again, ratio)

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
    surrogates: Iterable[str | Surrogate] | None = None,
    steps: int = 100_000,
    schedule: Schedule | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> Comparison:
    """Run every surrogate on the same data sets from the same starts, and set the prediction beside it.

    Smooth surrogates take every step on the dense engine, at some 10 microseconds a step and a gradient for
    every flip, so they decide how long this takes: `steps` is the same for all.

    Parameters
    ----------
    problem : Problem
        The distribution of the data sets.
    trials : int
        Data sets. The first ones do not depend on how many there are.
    surrogates : collection of str or Surrogate, optional
        Which ones; all by default.
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
        With ``rows``, ``summary()``, ``draw(ax)`` and ``note``: read the note before drawing conclusions for
        deep nets.

    Raises
    ------
    InputError
        For an argument that cannot be used.
    """
    import polars as pl

    from sterling.base.resources import usable_cores

    if not isinstance(problem, Problem):
        raise InputError(f"the first argument is a {type(problem).__name__}; give a Problem")
    trials, steps = _count(trials, "trials", 1), _count(steps, "steps", 4)
    workers = usable_cores() if threads is None else _count(threads, "threads", 1)
    schedule = Power(0.5, 0.5) if schedule is None else schedule
    if not isinstance(schedule, Schedule):
        raise InputError(f"schedule is {schedule!r}; give Constant(rate) or Power(rate, exponent)")
    part_seed(seed)  # refuses a bad one
    if isinstance(seed, np.random.SeedSequence):
        raise InputError("seed must be a non-negative integer, so that the rows can name it")
    names = _choose(surrogates)
    halt = threading.Event()
    with ThreadPoolExecutor(min(workers, trials), thread_name_prefix="sterling-compare") as pool:
        work = partial(_run_trial, problem, names, steps, schedule, seed, halt)
        jobs = [pool.submit(work, trial) for trial in range(trials)]
        try:
            rows = [row for job in jobs for row in job.result()]
        finally:
            halt.set()
            pool.shutdown(cancel_futures=True)
    columns = {name: getattr(pl, kind) for name, kind in _COLUMNS.items()}
    return Comparison(pl.DataFrame(rows, columns, orient="row"), problem, schedule, steps, seed)


def _run_trial(
    problem: Problem,
    names: list[str],
    steps: int,
    schedule: Schedule,
    root: int,
    halt: threading.Event,
    trial: int,
) -> list[tuple]:
    """Run one data set with every surrogate; return their rows."""
    sequence = np.random.SeedSequence(root, spawn_key=(_TRIALS, trial))
    seed = int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))
    instance = problem.draw(seed)
    return [
        (trial, seed, name, *_run(instance, name, steps, schedule, seed, halt), *_predict(instance, name))
        for name in names
    ]


def _run(
    instance: Instance, name: str, steps: int, schedule: Schedule, seed: int, halt: threading.Event
) -> tuple:
    from sterling.dynamics.train import resume, train

    def look(_progress) -> None:
        if halt.is_set():
            raise Cancelled

    early = max(1, int(BURN_IN * steps))
    common = {"progress": look, "threads": 1, "cache_bytes": _CACHE_BYTES}
    start = train(instance, early, schedule, name, init=seed, record=(), **common)
    whole = resume(start, instance, steps - early, **common)
    late = steps - early
    occupancy = (whole.occupancy * steps - start.occupancy * early) / late
    wrong = float((whole.wrong_share * steps - start.wrong_share * early).sum()) / late
    seconds = whole.stats.seconds
    return (
        min(1.0, max(0.0, occupancy)),
        max(0.0, wrong),
        whole.ergodic_errors,
        whole.errors,
        whole.verdict.name,
        whole.certified,
        seconds,
    )


def _predict(instance: Instance, name: str) -> tuple[float | None, float | None]:
    from sterling.theory import balance

    try:
        predicted = balance(instance, surrogate=name)
    except InputError:  # w* does not hold its weights: the sample is far too small
        return None, None
    return predicted.occupancy, float(predicted.wrong_share.sum())


def _choose(surrogates: Iterable[str | Surrogate] | None) -> list[str]:
    if surrogates is None:
        return list(SURROGATES)
    if isinstance(surrogates, str | Surrogate):
        surrogates = (surrogates,)
    names = [get_surrogate(one).name for one in surrogates]
    if not names:
        raise InputError("surrogates is empty; name at least one, or leave it out for all of them")
    return list(dict.fromkeys(names))


def _count(value, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} is {value!r}; it must be an integer, at least {least}")
    return int(value)


def _interval(name: str, resampled: np.ndarray, value: float) -> dict[str, float | None]:
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(resampled, (tail, 1 - tail))
    return {name: float(value), f"{name}_low": float(low), f"{name}_high": float(high)}


def _mean(values: np.ndarray) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) == len(values) else None


def _share(row: dict) -> str:
    return f"{row['occupancy']:.1%} of the steps [{row['occupancy_low']:.1%}, {row['occupancy_high']:.1%}]"
