"""How many samples are needed in dimension n, and what to expect of so many: theory first, trials on demand.

Numbers come from `sterling.theory` and carry its labels. `check.py` measures what the advice is worth, and
`cost.py` what a run costs on this machine.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import Any

from sterling import theory
from sterling.base.checks import flag, instance_of, integer, real
from sterling.base.progress import Show
from sterling.base.text import html_table
from sterling.model.problem import Problem
from sterling.plans.check import Check, check_needs
from sterling.plans.cost import Cost, measure_cost
from sterling.schedules import Schedule
from sterling.study.kinds import get_kind
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.laws import MOST_SAMPLES, BeyondError

#: Steps of a trial that measures, and of the run whose cost is told.
STEPS = 100_000

_HALF = 0.5  # the share of data sets that typical means
_NOISELESS_STEPS = 100_000  # of the runs that the constant of the law without noise was measured by


@dataclass(frozen=True)
class Need:
    """One row of a plan: a goal, and the samples that it takes.

    Attributes
    ----------
    goal : str
        In words.
    samples : float
        For a theorem the order alone, its constant left at one. `MOST_SAMPLES` where that many do not
        suffice; then no trial measures it.
    kind : str
        "theorem", "exact" or "mean-field", see `sterling.theory.KINDS`.
    criterion : str
        The criterion of studies that measures it, empty where no trial can.
    promise : float or None
        Share of the data sets in which it is said to be so; None for a theorem.
    noise : float
        Standard deviation of the label noise that the row is about.
    steps : int or None
        The budget that it holds for, in steps; None: any run that is long enough.
    checked : bool
        Whether the law was compared with runs in this range of n, m, noise and surrogates.
    source : str
        Where it comes from.
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
    check: Check | None = None

    @property
    def amount(self) -> str:
        """The samples in words."""
        if self.kind == "theorem":
            return f"of order {self.samples:,.0f}"
        if self.samples >= MOST_SAMPLES:
            return f"more than 10{_raised(round(math.log10(MOST_SAMPLES)))}"
        return f"about {_rounded(self.samples):,}"

    @property
    def proposed(self) -> int:
        """The sample size at which trials check the row."""
        return max(1, _rounded(self.samples))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Expectation:
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

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
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
        """Return everything as plain values."""
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
        }

    def __repr__(self) -> str:
        rows = "; ".join(f"{need.goal}: {need.amount} ({need.kind})" for need in self.needs)
        about = self.problem
        return f"Plan(n={about.n}, m={about.m}, noise={about.noise:g}, {self.surrogate}: {rows})"

    def _repr_html_(self) -> str:
        return html_table((need.goal, f"{need.amount} ({need.kind})") for need in self.needs)


def plan(
    problem: Problem,
    *,
    surrogate: str | Surrogate = "relu",
    occupancy: float = 0.5,
    confidence: float = 0.5,
    check: int = 0,
    steps: int = STEPS,
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
        Measure every mean-field row by so many trials with its number of samples; rows alone are advice.
    steps : int
        Steps of these trials, and of the run whose cost is told.
    schedule : Schedule, optional
        Of these trials, as in `train`.
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
    ...     print(f"{need.goal}: {need.amount} ({need.kind})")
    the time average decodes to w* in 50% of the data sets: about 1,200 (mean-field)
    the iterates are w* for 50% of the steps, in half of the data sets: about 67,000 (mean-field)
    without label noise, half of the runs end at w*: about 220 (mean-field)
    proved: the time average converges to w*, no label noise: of order 4,096 (theorem)
    proved: the iterates visit w* again and again: of order 16,777,216 (theorem)
    """
    instance_of(problem, Problem, "the first argument", "a Problem, such as Problem(n=64, samples=4096)")
    chosen = get_surrogate(surrogate)
    trials = integer(check, "check", 0)
    needs = _needs(
        problem,
        chosen,
        real(occupancy, "occupancy", above=0, below=1),
        real(confidence, "confidence", above=0, below=1),
    )
    given = {"steps": steps} if schedule is None else {"steps": steps, "schedule": schedule}
    settings = get_kind("train").plain(given)
    settings["surrogate"] = chosen.name
    root = integer(seed, "seed", 0)
    if trials:
        needs = check_needs(needs, problem, settings, trials, root, threads, progress)
    measured = measure_cost(problem, settings, root, threads) if flag(cost, "cost") else None
    return Plan(problem, chosen.name, tuple(needs), _expected(problem, chosen), measured)


def _needs(problem: Problem, surrogate: Surrogate, occupancy: float, confidence: float) -> list[Need]:
    rows = []

    def add(goal, law, criterion="", promise=None, of=problem, steps=None, checked=False, **asked) -> None:
        try:
            samples = law(of, **asked)
        except BeyondError:
            samples, criterion = MOST_SAMPLES, ""
        rows.append(Need(goal, samples, law.kind, criterion, promise, of.noise, steps, checked, law.source))

    n, m, quiet = problem.n, problem.m, replace(problem, noise=0.0)
    if problem.noise > 0:
        add(
            f"the time average decodes to w* in {confidence:.0%} of the data sets",
            theory.samples_for_ergodic,
            "ergodic",
            confidence,
            # the runs of the claim P1 of `sterling reproduce`
            checked=8 <= n <= 64 and m == 1 and problem.noise == 0.5 and surrogate.name == "relu",
            confidence=confidence,
            surrogate=surrogate,
        )
        add(
            f"the iterates are w* for {occupancy:.0%} of the steps, in half of the data sets",
            theory.samples_for_occupancy,
            f"occupancy>={occupancy!r}",
            _HALF,
            # the runs of `benchmarks/prediction.py`
            checked=16 <= n <= 128 and m <= 8 and 0.1 <= problem.noise <= 2 and 0.05 <= occupancy <= 0.95,
            occupancy=occupancy,
            surrogate=surrogate,
        )
    if n > 1:  # the law for one weight is not known
        add(
            "without label noise, half of the runs end at w*",
            theory.samples_noiseless,
            "optimal",
            _HALF,
            quiet,
            _NOISELESS_STEPS,
            # the runs that its docstring tells of
            checked=16 <= n <= 64 and m <= 4 and surrogate.name in ("relu", "identity", "hard_tanh"),
            surrogate=surrogate,
        )
    proved = theory.samples_proved
    add("proved: the time average converges to w*, no label noise", proved, of=quiet, claim="ergodic")
    add("proved: the iterates visit w* again and again", proved, claim="recurrent")
    return rows


def _expected(problem: Problem, surrogate: Surrogate) -> Expectation:
    enough = problem.n == 1 or problem.samples >= theory.samples_noiseless(problem, surrogate=surrogate)
    return Expectation(
        problem.samples,
        theory.expected_occupancy(problem, surrogate=surrogate),
        theory.expected_wrong(problem, surrogate=surrogate) / problem.n,
        enough,
    )


def _rounded(samples: float) -> int:
    """Return a sample size, up to two figures where it is large: theory gives no more."""
    if samples < 100:
        return math.ceil(samples)
    unit = 10 ** (math.floor(math.log10(samples)) - 1)
    return math.ceil(samples / unit) * unit


def _raised(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
