"""Results of a store: fits of every series next to the exponents of theory, and the work done so far."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from sterling import theory
from sterling.base.drawn import Drawn
from sterling.base.files import printable
from sterling.base.text import Result, counted, number
from sterling.errors import InputError
from sterling.model.families import Gaussian
from sterling.model.problem import Problem
from sterling.optimizers.batch import as_batch
from sterling.schedules import parse_schedule
from sterling.stats import jeffreys
from sterling.study.columns import Criterion
from sterling.study.fit import DOUBTFUL, ExponentFit, FitError, fit_exponent
from sterling.study.kind import Cell, parse_criterion
from sterling.study.spec import Study
from sterling.study.store import Store

_PAPER = "Jeong, Xin & Yin, arXiv 2505.18113"
_NOISELESS = "without label noise"
#: Settings of the method that the paper and the laws are about.
_PLAIN = {"optimizer": "sgd", "batch": "none"}
_USUAL = {"m": 1, "noise": 0.0, "readout": "ones", "inputs": "gaussian", "normalize": "none", "levels": 2}
_USUAL |= {"restart": "none", "damping": 0.0, **_PLAIN}
#: Which of the paper's claims is about a criterion: `theory.samples_proved`.
_PROVED = {"ergodic": "ergodic", "optimal": "recurrent", "visit": "recurrent", "occupancy": "recurrent"}

#: Simulated, 95.4 % ± 0.5 of the intervals at 95 % held after adaptive placement.
PLACED = (
    "the study chose sample sizes and its end by what it saw; its 95 % intervals held in 95 % of simulated "
    "studies"
)


@dataclass(frozen=True)
class Expected:
    """An exponent that theory gives for a series."""

    exponent: float  # of a bound; of a law, the slope of its nearest line over the dimensions of the study
    kind: str
    source: str
    samples: dict[int, float]  # N₅₀ by dimension; empty for a bound, whose constant is unknown


def expected(cell: Cell, criterion: str | Criterion, dimensions: Iterable[int]) -> tuple[Expected, ...]:
    """Return the exponents that theory gives for N₅₀ in the series of a cell.

    The paper and the laws assume independent Gaussian inputs and plain SGD at full batch; other inputs and
    optimisers have no expected exponent.
    """
    known = sorted(int(n) for n in dimensions if n > 1)
    one = parse_criterion(criterion)
    problem = cell.problem
    plain = all(cell.settings.get(name, usual) == usual for name, usual in _PLAIN.items())
    gaussian = isinstance(problem.inputs, Gaussian) and problem.normalize is None
    if len(known) < 2 or "steps" not in cell.settings or not plain or not gaussian:  # theory is about runs
        return ()
    found = []
    claim = _PROVED.get(one.column) if problem.levels == 2 else None  # the paper's weights
    if claim:
        order = {n: theory.samples_proved(replace(problem, n=n), claim=claim) for n in known}
        source = f"{_PAPER}; {_NOISELESS}" if claim == "ergodic" else _PAPER
        found.append(Expected(slope(order), "theorem", source, {}))
    with contextlib.suppress(InputError):  # outside the range of the law
        samples = {n: _law(one, replace(problem, n=n), cell.settings) for n in known}
        if None not in samples.values():
            found.append(Expected(slope(samples), "mean-field", "sterling.theory", samples))
    return tuple(found)


def _law(criterion: Criterion, problem: Problem, settings: Mapping[str, Any]) -> Any:
    """Return N₅₀ by the mean-field law for a criterion, None if there is no law."""
    given: Any = {"schedule": parse_schedule(settings["schedule"]), "steps": settings["steps"]}
    surrogate, share = settings["surrogate"], criterion.threshold
    if settings.get("restart", "none") != "none":
        return None
    if criterion.column == "optimal" and not problem.noise:
        return theory.samples_for_iterate(problem, surrogate=surrogate, **given)
    if criterion.column == "ergodic":
        return theory.samples_for_average(problem, surrogate=surrogate, **given)
    if criterion.column == "occupancy" and problem.noise and share is not None and share < 1:
        return theory.samples_for_occupancy(problem, occupancy=share, surrogate=surrogate)
    return None


def slope(samples: dict[int, float]) -> float:
    return float(np.polyfit(np.log(list(samples)), np.log(list(samples.values())), 1)[0])


@dataclass(frozen=True)
class SeriesFit(Result, Drawn):
    """The exponent of one series of cells, which differ only in n and samples, under one criterion.

    Parameters
    ----------
    series : dict
        The values that its cells have in common.
    criterion, meaning : str
        The definition of success: its name, and its meaning in words.
    fit : ExponentFit or None
        The fit in which undecided trials count as failures; None where no fit is possible.
    refusal : str
        Why no fit is possible; empty if there is a fit.
    cells : Polars frame
        n, samples, trials, successes, undecided, and the share with its Jeffreys interval.
    expected : tuple of Expected
        The exponents that theory gives for such a series.
    placed : bool
        Whether the study used its results to choose sample sizes and when to stop.
    unfinished : str
        What the study lacks, and the command that continues it; empty if it is finished.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.study import Study, fit_store, run
    >>> folder = tempfile.mkdtemp()
    >>> _ = run(Study(n=6, samples=8, trials=2, steps=100), folder)
    >>> fit_store(folder)[0].refusal
    'all trials have n = 6: an exponent needs at least two dimensions'
    """

    _pictures = "sterling.plot.study", ("success_curves", "threshold_law")

    series: dict[str, Any]
    criterion: str
    meaning: str
    fit: ExponentFit | None
    refusal: str
    cells: pl.DataFrame
    expected: tuple[Expected, ...]
    placed: bool = False
    unfinished: str = ""

    @property
    def budget(self) -> str:
        """The step budget of the trials, in words; empty for trials that are not runs."""
        steps = self.series.get("steps")
        return "" if steps is None else f"within {steps:,} steps"

    @property
    def notes(self) -> tuple[str, ...]:
        """Caveats about the fit."""
        if self.fit is None:
            return ()
        notes = [*self.fit.notes]
        ends = self.cells.group_by("n").agg(least=pl.col("share").min(), most=pl.col("share").max())
        beyond = ends.filter((pl.col("most") < 0.5) | (pl.col("least") > 0.5))["n"].sort()
        if len(beyond):
            where = ", ".join(map(str, beyond))
            notes.append(f"at n = {where} N₅₀ lies beyond the samples that were tried: it is extrapolated")
        if self.budget:
            notes.append(f"the fit holds {self.budget}: longer runs may need fewer samples")
        if self.placed:
            notes.append(PLACED)
        return tuple(notes)

    @property
    def title(self) -> str:
        """The series in a few words: the values that differ from the defaults."""
        return ", ".join(
            _words(name, value) for name, value in self.series.items() if _USUAL.get(name) != value
        )

    def to_dict(self) -> dict[str, Any]:
        return {
            "series": self.series,
            "criterion": self.criterion,
            "meaning": self.meaning,
            "refusal": self.refusal,
            "unfinished": self.unfinished,
            "fit": None if self.fit is None else self.fit.to_dict(),
            "expected": [asdict(one) for one in self.expected],
            "notes": list(self.notes),
            "cells": self.cells.to_dicts(),
        }

    def __repr__(self) -> str:
        return f"SeriesFit({self.criterion}, {self.title}: {self.fit or self.refusal})"

    def _rows(self) -> list[tuple[str, str]]:
        about = [("unfinished", self.unfinished)] if self.unfinished else []
        about += [("success", f"{self.criterion}: {self.meaning}"), ("series", self.title)]
        if self.fit is None:
            return [("no fit", self.refusal), *about]
        constant = f"{self.fit.constant:.4g} [{self.fit.constant_low:.4g}, {self.fit.constant_high:.4g}]"
        rows = [("N₅₀ = C n^α", f"α = {self.fit._interval}, C = {constant}, {self.fit.trials:,} trials")]
        rows += about
        for at in self.fit.thresholds:
            rows.append((f"N₅₀ at n = {at.n}", f"{number(at.samples)} [{number(at.low)}, {number(at.high)}]"))
        for law in self.expected:
            sizes = ", ".join(f"n = {n}: {number(size)}" for n, size in law.samples.items())
            proved = f" suffices {_NOISELESS}" if law.source.endswith(_NOISELESS) else " suffices"
            rows.append((law.kind, f"α = {law.exponent:.3g}" + (f"; N₅₀ at {sizes}" if sizes else proved)))
        if not math.isnan(self.fit.p_value):
            seen = "doubtful" if self.fit.p_value < DOUBTFUL else "no bend is seen"
            seen = "no power law fits" if self.fit.curved else seen
            rows.append(("test of curvature", f"{seen} (p = {self.fit.p_value:.2g})"))
        return [*rows, *(("note", note) for note in self.notes)]


def _words(name: str, value: Any) -> str:
    """Return one value of a series in words."""
    if name == "steps":
        return counted(value, "step")
    if name == "schedule" and value != "auto":
        return f"step size {parse_schedule(value).formula}"
    return f"{name} {value}"


def fit_store(store: Store | str | os.PathLike, criterion: str | Criterion | None = None) -> list[SeriesFit]:
    """Fit the exponent in every series of a store.

    Parameters
    ----------
    store : Store or folder
        The store of the study, or its folder.
    criterion : str, optional
        Any criterion of the kind; by default each criterion of the study.

    Returns
    -------
    list of SeriesFit
        One for each series and criterion.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.study import Study, fit_store, run
    >>> folder = tempfile.mkdtemp()
    >>> _ = run(Study(n=[6, 12], samples=[8, 16, 32, 64], trials=25, steps=800), folder)
    >>> (series,) = fit_store(folder)
    >>> series.budget
    'within 800 steps'
    >>> series.fit.trials
    200
    """
    store = store if isinstance(store, Store) else Store(store)
    study = store.study
    criteria = study.criteria if criterion is None else (parse_criterion(criterion, study.kind),)
    missing = status(store).missing
    if missing:
        missing = f"{missing}: continue the study with sterling study run {printable(store.folder)}"
    found = [fit for one in criteria for fit in _fits(store, one, store.counts(one))]
    return [replace(fit, unfinished=missing) for fit in found]


def _fits(store: Store, criterion: Criterion, counts: pl.DataFrame, laws: bool = True) -> list[SeriesFit]:
    names = [name for name in store._content if name not in ("n", "samples")]
    found = []
    for _, cells in counts.group_by(names, maintain_order=True):
        cell = store.cells[cells["cell"][0]]
        series = {name: cell.content[name] for name in names}
        table = cells.select("n", "samples", "trials", "successes", "undecided")
        columns = table.to_numpy().T.astype(np.float64)
        fit, refusal = None, ""
        try:
            fit = fit_exponent(*columns)
        except FitError as problem:
            refusal = str(problem)
        found.append(
            SeriesFit(
                series,
                criterion=str(criterion),
                meaning=criterion.meaning,
                fit=fit,
                refusal=refusal,
                cells=with_shares(cells),
                expected=expected(cell, criterion, cells["n"].unique().to_list()) if laws else (),
                placed=store.study.adaptive,
            )
        )
    return found


def with_shares(cells: pl.DataFrame) -> pl.DataFrame:
    """Return rows of `Store.counts` with the share of successes and its Jeffreys interval."""
    low, high = jeffreys(cells["successes"].to_numpy(), cells["trials"].to_numpy())
    return cells.select("n", "samples", "trials", "successes", "undecided").with_columns(
        (pl.col("successes") / pl.col("trials")).alias("share"),
        pl.Series("share_low", low),
        pl.Series("share_high", high),
    )


@dataclass(frozen=True)
class Status(Result):
    """How much of a study its store holds.

    Parameters
    ----------
    study : Study
        The study.
    done, planned : int
        Finished and planned trials of the grid. If the study chooses its trials, ``planned`` is 0 and
        ``done`` counts all.
    cells : Polars frame
        As in `SeriesFit`, for the first criterion.
    fits : list of SeriesFit
        Fits of all series if the target is an exponent, without the exponents of theory; otherwise empty.
    widest : float or None
        The width of the widest interval so far: of an exponent if that is the target, otherwise of the share
        of successes in a cell; None if it is not known.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.study import Study, run, status
    >>> folder = tempfile.mkdtemp()
    >>> _ = run(Study(n=6, samples=8, trials=2, steps=100), folder)
    >>> status(folder).done
    2
    """

    study: Study
    done: int
    planned: int
    cells: pl.DataFrame
    fits: list[SeriesFit]
    widest: float | None

    @property
    def reached(self) -> bool:
        """Whether there is nothing left to do."""
        return not self.missing

    @property
    def full_batches(self) -> int:
        """The number of cells whose batch, without replacement, holds all samples: the full batch."""
        given = ((cell.settings.get("batch", "none"), cell.problem.samples) for cell in self.study.cells)
        return sum(batch != "none" and as_batch(batch, samples) is None for batch, samples in given)

    @property
    def missing(self) -> str:
        """What is not done yet, in words; empty if there is nothing left to do."""
        if self.study.target and self.widest is not None and self.widest <= (self.study.width or 0):
            return ""
        if self.study.adaptive:
            return f"the interval of the exponent is still wider than {self.study.width:g}"
        return f"only {self.done:,} of {self.planned:,} trials are done" if self.done < self.planned else ""

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.study.name,
            "seed": self.study.seed,
            "done": self.done,
            "planned": self.planned,
            "target": self.study.target,
            "target_width": self.study.width,
            "widest": self.widest,
            "reached": self.reached,
            "full_batches": self.full_batches,
            "cells": self.cells.to_dicts(),
            "fits": [fit.to_dict() for fit in self.fits],
        }

    def _rows(self) -> list[tuple[str, str]]:
        most, what = f"{self.planned:,}", "the share of successes in a cell"
        if self.study.adaptive:
            most, what = f"at most {self.study.max_trials * len(self.study.series):,}", "the exponent"
        rows = [("study", printable(self.study.name)), ("trials done", f"{self.done:,} of {most}")]
        if self.study.criteria:
            known = self.widest is not None and math.isfinite(self.widest)
            wide = f"{self.widest:.3g} from end to end" if known else "not known yet"
            rows.append(("widest interval", f"{wide}, for {what}"))
        if self.full_batches:
            cells = f"{self.full_batches:,} of {counted(len(self.study.cells), 'cell')}"
            rows.append(("full batch", f"{cells}, as the data have no more samples than the batch"))
        if self.study.target is not None:
            rows.append(("target", f"no interval wider than {self.study.width:g}"))
        for one in self.fits:
            found = f"α = {one.fit._interval}" if one.fit else f"no fit: {one.refusal}"
            rows.append((f"{one.criterion} ({one.title})", found))
        return [*rows, ("unfinished", self.missing) if self.missing else ("left", "nothing")]


def status(store: Store | str | os.PathLike) -> Status:
    """Return how much of a study is done, and the interval widths so far.

    Parameters
    ----------
    store : Store or folder
        The store of the study, or its folder.

    Returns
    -------
    Status
        The status of the study.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.study import Study, status, run
    >>> folder = tempfile.mkdtemp()
    >>> _ = run(Study(n=[6, 12], samples=[8, 16, 32, 64], trials=25, steps=800), folder)
    >>> status(folder).done, status(folder).reached
    (200, True)
    """
    store = store if isinstance(store, Store) else Store(store)
    study = store.study
    tables = [store.counts(criterion) for criterion in study.criteria] or [store.counts()]
    size = dict(tables[0].select("cell", "trials").rows())
    fits: list[SeriesFit] = []
    widest = None
    planned = study.trials * len(study.cells)
    done = sum(min(study.trials, size.get(cell.key, 0)) for cell in study.cells)
    if study.adaptive:
        planned = 0
        done = sum(size.values())
        for criterion, table in zip(study.criteria, tables, strict=True):
            fits += _fits(store, criterion, table, laws=False)
        if len(fits) >= len(study.series) * len(study.criteria):
            widest = max(math.inf if one.fit is None else one.fit.width for one in fits)
    elif study.criteria:
        missing = any(cell.key not in size for cell in study.cells)
        grid = pl.col("cell").is_in([cell.key for cell in study.cells])
        shares = pl.concat(with_shares(table.filter(grid)) for table in tables)
        widest = None if missing else float((shares["share_high"] - shares["share_low"]).max())  # type: ignore[arg-type]
    return Status(study, done, planned, with_shares(tables[0]), fits, widest)
