"""How many samples are needed in dimension n, and what to expect of so many: theory first, trials on demand.

Numbers come from `sterling.theory` and carry its labels. `check.py` measures what the advice is worth, and
`cost.py` what a run costs on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sterling import theory
from sterling.base.checks import flag, instance_of, integer, real
from sterling.base.progress import Show
from sterling.base.text import RAISED, Described, Result, number, percent
from sterling.dynamics.restart import Restart
from sterling.landscapes.landscape import MAX_DIMENSION
from sterling.model.problem import Problem
from sterling.plans.check import Check, check_needs
from sterling.plans.cost import Cost, measure_cost
from sterling.schedules import Power, Schedule
from sterling.study.kind import get_kind
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.chatter import PATHS
from sterling.theory.laws import MOST_SAMPLES, BeyondError

#: Steps of the run whose cost is told, unless they are given.
STEPS = 100_000
#: Budgets of the rows, unless steps are given: those at which they were checked (`benchmarks/plan.py`).
LAW_STEPS, OCCUPANCY_STEPS, RESTART_STEPS = 10_000, 1_000_000, 12_600
#: What is said of a row beyond the range of its check.
UNCHECKED = "not checked here"

_HALF = 0.5  # the share of data sets that typical means
# N₅₀/n with restarts of ReLU at these n (docs/science, 12: `benchmarks/papers/restart.py`, parts `small` and
# `scaling`). The identity, whose pull is twice as large and so the scale, takes half of it: 1.56, 1.62, 1.56
# at n = 64, 128, 256.
_RESTART_N = (16, 32, 64, 128, 256, 512, 1024)
_RESTART = (2.72, 2.83, 3.08, 3.18, 3.16, 3.15, 3.13)
_RESTARTS = {"relu": (1.0, Restart(), 16, 1024), "identity": (0.5, Restart(scale=0.1), 64, 256)}
_FEWEST_OCCUPIED = 8  # samples, in units of n, from which on the law of the occupancy was compared with runs


@dataclass(frozen=True)
class Need(Described):
    """One row of a plan: a goal, and the samples that it takes.

    Attributes
    ----------
    goal : str
        In words.
    samples : float
        For a theorem the order alone, its constant left at one. `MOST_SAMPLES` where that many do not
        suffice; then no trial measures it.
    kind : str
        One of `sterling.theory.KINDS`.
    criterion : str
        The criterion of studies that measures it, empty where no trial can.
    promise : float or None
        Share of the data sets in which it is said to be so; None for a theorem.
    noise : float
        Standard deviation of the label noise that the row is about.
    steps : int or None
        The budget that it holds for, in steps, which is that of its trials; None for a theorem.
    checked : bool
        Whether it was compared with runs in this range of n, m, noise, surrogates and step sizes; true for a
        theorem.
    source : str
        Where it comes from.
    restart : Restart or None
        With which restarts the runs are meant.
    check : Check or None
        What trials with so many samples did.
    """

    goal: str
    samples: float
    kind: str
    criterion: str
    promise: float | None
    noise: float
    steps: int | None
    checked: bool
    source: str
    restart: Restart | None = None
    check: Check | None = None

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
        """How sure it is: the kind, the budget, and "not checked" where no runs were compared with it."""
        parts = [self.kind]
        if self.steps is not None:
            parts.append(f"{self.steps:,} steps")
        if not self.checked:
            parts.append(UNCHECKED)
        return ", ".join(parts)

    @property
    def proposed(self) -> int:
        """The sample size at which trials check the row."""
        return max(1, _rounded(self.samples, 3 if self.kind == "measured" else 2))


@dataclass(frozen=True)
class Expectation(Described):
    """What to expect of a long run with a given number of samples (mean-field).

    Attributes
    ----------
    samples : int
        The sample size.
    occupancy : float
        Share of the steps at w* in a typical data set.
    wrong_share : float
        Share of the weights that are wrong at a time, on average over runs.
    reaches : bool
        Whether there are enough samples to find w* at all, noise aside; else the two numbers above speak of
        a state that runs do not come to.
    """

    samples: int
    occupancy: float
    wrong_share: float
    reaches: bool


@dataclass(frozen=True)
class Plan(Result):
    """How many samples are needed, and what to expect of so many.

    Attributes
    ----------
    problem : Problem
        What is planned; its samples are those of ``expected`` and ``cost``.
    surrogate : str
        What replaces the derivative of the step function.
    needs : tuple of Need
        One row a goal.
    expected : Expectation
        Of a long run with the problem's samples.
    cost : Cost or None
        Of a run with them on this machine, if it was asked for.
    """

    problem: Problem
    surrogate: str
    needs: tuple[Need, ...]
    expected: Expectation
    cost: Cost | None

    def to_dict(self) -> dict[str, Any]:
        about = self.problem
        return {
            "n": about.n,
            "m": about.m,
            "noise": about.noise,
            "readout_norm2": about.readout_norm2,
            "surrogate": self.surrogate,
            "needs": [need.to_dict() for need in self.needs],
            "expected": self.expected.to_dict(),
            "cost": None if self.cost is None else self.cost.to_dict(),
            "advice": self.advice,
        }

    @property
    def advice(self) -> str:
        """What to do, or not to do, besides, in a sentence; empty where there is nothing to say."""
        if self.problem.noise > 0 and self.problem.n <= MAX_DIMENSION:
            return (
                "For so few weights recurrence can be proved for the data set at hand: `sterling certify`, "
                "`st.certify(instance)`."
            )
        ends = [need for need in self.needs if need.criterion == "optimal"]  # plain, with restart
        if len(ends) == 2 and ends[0].samples <= ends[1].samples:
            return (
                "By these rows ergodic restart needs no fewer samples here than the plain run; it gains with "
                "more weights, where noiseless runs chatter."
            )
        return ""

    def __repr__(self) -> str:
        rows = "; ".join(f"{need.goal}: {need.amount} ({need.label})" for need in self.needs)
        about = self.problem
        return f"Plan(n={about.n}, m={about.m}, noise={about.noise:g}, {self.surrogate}: {rows})"

    def _rows(self) -> list[tuple[str, str]]:
        return [(need.goal, f"{need.amount} ({need.label})") for need in self.needs]


def plan(
    problem: Problem,
    *,
    surrogate: str | Surrogate = "relu",
    occupancy: float = 0.5,
    confidence: float = 0.5,
    check: int = 0,
    steps: int | None = None,
    schedule: Schedule | None = None,
    seed: int = 0,
    threads: int | None = None,
    cost: bool = False,
    progress: bool | Show = False,
) -> Plan:
    """Say how many samples a problem takes, and what to expect of those that it has.

    Parameters
    ----------
    problem : Problem
        With Gaussian inputs, which the laws are about.
    surrogate : str or Surrogate
        What replaces the derivative of the step function.
    occupancy : float
        Share of the steps that the last iterate shall be w*.
    confidence : float
        Share of the data sets in which the time average shall decode to w*.
    check : int
        Measure every row that is no theorem by so many trials with its number of samples, and as many steps
        as it names; rows alone are advice.
    steps : int, optional
        The budget that all rows are to hold for, and that of the run whose cost is told. By default each row
        has that at which it was checked.
    schedule : Schedule, optional
        Step sizes, as in `train`.
    seed : int
        Root of their seeds.
    threads : int, optional
        Trials at a time; all cores by default. No result but ``cost`` depends on it.
    cost : bool
        Measure what a run with the problem's samples takes on this machine.
    progress : bool or callable
        Whether to show how many trials are done; or what gets a `Progress` several times a second.

    Returns
    -------
    Plan
        Its ``needs`` are the rows, one a goal.

    Raises
    ------
    InputError
        For an argument that cannot be used.
    CapacityError
        If trials would not fit into memory.
    KeyboardInterrupt
        Within half a second of Ctrl-C.

    Examples
    --------
    >>> import sterling as st
    >>> made = st.plan(st.Problem(n=64, samples=4096, noise=0.5))
    >>> for need in made.needs:
    ...     print(f"{need.goal}: {need.amount}")
    in half of the data sets the time average decodes to w*: about 1,300
    in half of the data sets the iterates are w* for 50 % of the steps: about 67,000
    proved: the time average converges to w*, no label noise: of order 4,096
    proved: the iterates visit w* again and again: of order 16,777,216
    >>> made.needs[0].label
    'mean-field, 10,000 steps'
    """
    instance_of(problem, Problem, "the first argument", "a Problem, such as Problem(n=64, samples=4096)")
    chosen = get_surrogate(surrogate)
    trials = integer(check, "check", 0)
    schedule = Power(0.5, 0.5) if schedule is None else schedule
    settings = get_kind("train")._plain({"steps": STEPS if steps is None else steps, "schedule": schedule})
    settings["surrogate"] = chosen.name
    rows = _Rows(problem, chosen, None if steps is None else settings["steps"], schedule)
    occupancy = real(occupancy, "occupancy", above=0, below=1)
    confidence = real(confidence, "confidence", above=0, below=1)
    needs = list(rows.made(occupancy, confidence))
    root = integer(seed, "seed", 0)
    if trials:
        needs = check_needs(needs, problem, settings, trials, root, threads, progress)
    measured = measure_cost(problem, settings, root, threads) if flag(cost, "cost") else None
    return Plan(problem, chosen.name, tuple(needs), rows.expected(), measured)


class _Rows:
    """Makes the rows of a plan."""

    def __init__(self, problem: Problem, surrogate: Surrogate, steps: int | None, schedule: Schedule):
        self.problem, self.surrogate, self.steps, self.schedule = problem, surrogate, steps, schedule
        self.quiet = replace(problem, noise=0.0)
        # whether step sizes and readout are those of the runs that the laws were compared with
        self.usual = self.schedule == Power(0.5, 0.5) and problem.readout in ("ones", "signs")
        self.known_path = surrogate.name in PATHS

    def made(self, occupancy: float, confidence: float) -> Iterator[Need]:
        yield self.average(confidence)
        if self.problem.noise > 0:
            yield self.occupied(occupancy)
        elif self.problem.n > 1:
            if self.known_path:
                yield self.iterate()
            if self.problem.m == 1 and self.surrogate.name in _RESTARTS:
                yield self.restarted()
        yield self.proved("proved: the time average converges to w*, no label noise", self.quiet, "ergodic")
        yield self.proved("proved: the iterates visit w* again and again", self.problem, "recurrent")

    def row(
        self,
        goal: str,
        law: Callable[[int], float],
        labels: Any,
        criterion: str,
        promise: float,
        own_steps: int,
        checked: bool,
        restart: Restart | None = None,
        least_steps: int | None = None,
    ) -> Need:
        """Return a row whose law takes the budget; a budget below the least of its check is not checked."""
        steps = own_steps if self.steps is None else self.steps
        checked = checked and self.usual and steps >= (own_steps if least_steps is None else least_steps)
        kind, source = labels
        try:
            samples = law(steps)
        except BeyondError:
            samples, criterion, checked = MOST_SAMPLES, "", False
        goal = f"{'in half' if promise == _HALF else f'in {percent(promise)}'} of the data sets {goal}"
        noise = self.problem.noise
        return Need(goal, samples, kind, criterion, promise, noise, steps, checked, source, restart)

    def proved(self, goal: str, problem: Problem, claim: str) -> Need:
        """Return an order that is proved: there is nothing to check, and no budget."""
        law: Any = theory.samples_proved
        samples = law(problem, claim=claim)
        return Need(goal, samples, law.kind, "", None, problem.noise, None, True, law.source)

    def average(self, confidence: float) -> Need:
        problem, surrogate = self.problem, self.surrogate
        n, m, noise = problem.n, problem.m, problem.noise

        def law(steps: int) -> float:
            given: Any = {"steps": steps, "schedule": self.schedule, "surrogate": surrogate}
            return theory.samples_for_average(problem, confidence=confidence, **given)

        if noise > 0.5:  # the largest n of runs that it was compared with (`benchmarks/plan.py`)
            largest = 256
        else:
            largest = 512 if m == 1 or noise == 0.5 else 128
        return self.row(
            "the time average decodes to w*",
            law,
            _labels(theory.samples_for_average),
            "ergodic",
            confidence,
            LAW_STEPS,
            confidence == _HALF
            and m <= 4
            and (noise == 0 or 0.1 <= noise <= 1)
            and 16 <= n <= largest
            and self.known_path,
        )

    def occupied(self, occupancy: float) -> Need:
        law, n, noise = theory.samples_for_occupancy, self.problem.n, self.problem.noise
        need = self.row(
            f"the iterates are w* for {percent(occupancy)} of the steps",
            lambda steps: law(self.problem, occupancy=occupancy, surrogate=self.surrogate),
            _labels(law),
            f"occupancy>={occupancy!r}",
            _HALF,
            OCCUPANCY_STEPS,
            (16 if noise >= 0.5 else 32) <= n <= (64 if self.problem.m == 1 and noise <= 0.5 else 32)
            and self.problem.m <= 4
            and 0.1 <= noise <= 1
            and 0.05 <= occupancy <= 0.95,
        )
        return replace(need, checked=need.checked and need.samples >= _FEWEST_OCCUPIED * n)

    def iterate(self) -> Need:
        n, steps = self.problem.n, self.steps or LAW_STEPS
        return self.row(
            "the run ends at w*",
            self.ends,
            _labels(theory.samples_for_iterate),
            "optimal",
            _HALF,
            LAW_STEPS,
            16 <= n <= 128 and self.problem.m <= 4 and steps <= STEPS,
            least_steps=LAW_STEPS if n < 64 else 400,
        )

    def restarted(self) -> Need:
        n = self.problem.n
        part, restart, least, most = _RESTARTS[self.surrogate.name]
        return self.row(
            "the run with ergodic restart ends at w*",
            lambda steps: n * part * float(np.interp(n, _RESTART_N, _RESTART)),
            ("measured", "docs/science, 12"),
            "optimal",
            _HALF,
            RESTART_STEPS,
            least <= n <= most,
            restart,
        )

    def ends(self, steps: int) -> float:
        return theory.samples_for_iterate(
            self.quiet, steps=steps, schedule=self.schedule, surrogate=self.surrogate
        )

    def expected(self) -> Expectation:
        problem, surrogate = self.problem, self.surrogate
        if problem.n == 1:
            least = 1.0
        elif problem.noise == 0 and self.known_path:
            try:
                least = self.ends(self.steps or LAW_STEPS)
            except BeyondError:
                least = MOST_SAMPLES
        else:
            least = theory.samples_for_average(self.quiet, surrogate=surrogate)
        return Expectation(
            problem.samples,
            theory.expected_occupancy(problem, surrogate=surrogate),
            theory.expected_wrong(problem, surrogate=surrogate) / problem.n,
            problem.samples >= least,
        )


def _labels(law: Any) -> tuple[str, str]:
    return law.kind, law.source


def _rounded(samples: float, figures: int) -> int:
    """Return a sample size, up to so many figures where it is large: a mean-field law gives but two."""
    if samples < 100:
        return math.ceil(samples)
    unit = 10 ** (math.floor(math.log10(samples)) - figures + 1)
    return math.ceil(samples / unit) * unit
