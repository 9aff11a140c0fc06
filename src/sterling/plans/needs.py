"""What a plan says: a row for each goal, and what trials measured of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from sterling.base.text import RAISED, Described, Result, number
from sterling.dynamics.restart import Restart
from sterling.model.problem import Problem
from sterling.theory.laws import MOST_SAMPLES

#: Label of a row that was not compared with runs in its range.
UNCHECKED = "not checked here"


@dataclass(frozen=True)
class Check(Described):
    """How often trials with the proposed samples reached the goal of a row.

    ``low`` and ``high`` are the 95 % Jeffreys interval of the share of successes. Undecided trials count as
    failures at its lower end and as successes at its upper end.
    """

    samples: int  # of each trial
    steps: int
    trials: int
    successes: int
    undecided: int  # trials that took all their steps without a verdict for all time
    low: float
    high: float

    @property
    def share(self) -> float:
        """Share of successes within the steps."""
        return self.successes / self.trials

    @property
    def most(self) -> float:
        """Share of successes if all undecided trials were successes."""
        return (self.successes + self.undecided) / self.trials


@dataclass(frozen=True)
class Need(Described):
    """One row of a plan: a goal, and the samples that it takes.

    For a theorem ``samples`` is only an order, a power of n without its constant. It is `MOST_SAMPLES` if
    more are needed; then no trial measures the row.
    """

    goal: str  # in words
    samples: float
    kind: str  # one of `sterling.theory.KINDS`
    criterion: str  # of the studies that measure the row; empty where no trial can
    promise: float | None  # share of the data sets that reach the goal; None for a theorem
    noise: float  # standard deviation of the label noise
    steps: int | None  # of a run, and of the trials; None for a theorem
    checked: bool  # whether the law was compared with runs in this range; true for a theorem
    source: str
    restart: Restart | None = None  # None if the runs are plain
    optimizer: str | None = None  # in the words of studies, with its own rate; None if the runs are plain
    check: Check | None = None  # results of trials with these samples, if any were run

    @property
    def amount(self) -> str:
        """The samples in words."""
        if self.kind == "theorem":
            return f"of order {number(self.samples)}"
        if self.samples >= MOST_SAMPLES:
            return f"more than 10{str(round(math.log10(MOST_SAMPLES))).translate(RAISED)}"
        return f"about {self.proposed:,}"

    @property
    def label(self) -> str:
        """The kind, the steps, and "not checked here" where no runs were compared with the row."""
        steps = [] if self.steps is None else [f"{self.steps:,} steps"]
        return ", ".join([self.kind, *steps, *([] if self.checked else [UNCHECKED])])

    @property
    def proposed(self) -> int:
        """The sample size at which trials check the row.

        A measured law gives three significant digits, a mean-field law two.
        """
        if self.samples < 100:
            return max(1, math.ceil(self.samples))
        figures = 3 if self.kind == "measured" else 2
        unit = 10 ** (math.floor(math.log10(self.samples)) - figures + 1)
        return math.ceil(self.samples / unit) * unit


@dataclass(frozen=True)
class Plan(Result):
    """How many samples are needed; `plan` makes one.

    Parameters
    ----------
    problem : Problem
        The problem; its sample size plays no part.
    surrogate : str
        Name of the surrogate.
    needs : tuple of Need
        One row for each goal.

    Examples
    --------
    >>> import sterling as st
    >>> found = st.plan(st.Problem(n=64, samples=4096, noise=0.5))
    >>> len(found.needs)
    4
    """

    problem: Problem
    surrogate: str
    needs: tuple[Need, ...]

    def to_dict(self) -> dict[str, Any]:
        about = self.problem
        return {
            "n": about.n,
            "m": about.m,
            "noise": about.noise,
            "readout_norm2": about.readout_norm2,
            "surrogate": self.surrogate,
            "needs": [need.to_dict() for need in self.needs],
        }

    def __repr__(self) -> str:
        rows = "; ".join(f"{need.goal}: {need.amount} ({need.label})" for need in self.needs)
        about = self.problem
        return f"Plan(n={about.n}, m={about.m}, noise={about.noise:g}, {self.surrogate}: {rows})"

    def _rows(self) -> list[tuple[str, str]]:
        return [(need.goal, f"{need.amount} ({need.label})") for need in self.needs]
