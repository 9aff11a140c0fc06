"""How many samples are needed in dimension n, and what to expect of so many: theory first, trials on demand.

Numbers come from `sterling.theory` and carry its labels. `check.py` measures what the advice is worth, and
`cost.py` what a run costs on this machine.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sterling import theory
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.plans.check import Check, check_need
from sterling.plans.cost import Cost, measure_cost
from sterling.schedules import Schedule
from sterling.study.criteria import Criterion
from sterling.surrogates import get_surrogate
from sterling.theory.laws import MOST_SAMPLES, BeyondError

#: Steps of a trial that measures, and of the run whose cost is told.
STEPS = 100_000

_HALF = 0.5  # the share of data sets that typical means


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
    source : str
    criterion : str
        The criterion of studies that measures it, empty where no trial can.
    promise : float or None
        Share of the data sets in which it is said to be so; None for a theorem.
    noise : float
        Standard deviation of the label noise that the row is about.
    check : Check or None
        What trials with so many samples did.
    """

    goal: str
    samples: float
    kind: str
    source: str
    criterion: str
    promise: float | None
    noise: float
    check: Check | None = None

    @property
    def amount(self) -> str:
        """The samples in words."""
        if self.kind == "theorem":
            return f"of order {self.samples:,.0f}"
        if self.samples >= MOST_SAMPLES:
            return f"more than 10{_raised(round(math.log10(MOST_SAMPLES)))}"
        return f"about {_rounded(self.samples):,}"


@dataclass(frozen=True)
class Expectation:
    """What to expect of a long run with a given number of samples (mean-field).

    Attributes
    ----------
    samples : int
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
class Plan:
    """How many samples are needed, and what to expect of so many.

    Attributes
    ----------
    n, m : int
    noise, readout_norm2 : float
        σ and ‖v‖².
    surrogate : str
    needs : tuple of Need
    expected : Expectation or None
        If samples were given.
    cost : Cost or None
        Of a run with these samples.
    """

    n: int
    m: int
    noise: float
    readout_norm2: float
    surrogate: str
    needs: tuple[Need, ...]
    expected: Expectation | None
    cost: Cost | None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        values = asdict(self)
        values["needs"] = list(values["needs"])
        return values

    def __repr__(self) -> str:
        rows = "; ".join(f"{need.goal}: {need.amount} ({need.kind})" for need in self.needs)
        return f"Plan(n={self.n}, m={self.m}, noise={self.noise:g}, {self.surrogate}: {rows})"


def plan(
    n: int,
    *,
    m: int = 1,
    noise: float = 0.0,
    readout: str | Sequence[float] = "ones",
    surrogate: str = "relu",
    occupancy: float = 0.5,
    confidence: float = 0.5,
    samples: int | None = None,
    check: int = 0,
    steps: int = STEPS,
    schedule: Schedule | None = None,
    seed: int = 0,
    threads: int | None = None,
    cost: bool = False,
    progress=None,
) -> Plan:
    """Say how many samples it takes in dimension n, for Gaussian inputs.

    Parameters
    ----------
    n, m, noise, readout, surrogate
        As in `Problem` and `train`.
    occupancy : float
        Share of the steps that the last iterate shall be w*.
    confidence : float
        Share of the data sets in which the time average shall decode to w*.
    samples : int, optional
        Sample size of which to say what to expect.
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
        Measure what a run with ``samples`` takes on this machine.
    progress : callable, optional
        Gets a `Progress`, in trials, several times a second.

    Raises
    ------
    InputError
        For an argument that cannot be used.
    CapacityError
        If trials would not fit into memory.
    KeyboardInterrupt
        Within half a second of Ctrl-C.
    """
    size = 1 if samples is None else samples
    problem = Problem(n, size, m, noise, readout if isinstance(readout, str) else tuple(readout))
    chosen = get_surrogate(surrogate).name
    if isinstance(check, bool) or not isinstance(check, int) or check < 0:
        raise InputError(f"check is {check!r}; it must be a number of trials, or 0 for none")
    for name, share in (("occupancy", occupancy), ("confidence", confidence)):
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
            raise InputError(f"{name} is {share!r}; it must lie strictly between 0 and 1")
    if cost and samples is None:
        raise InputError("the cost of a run depends on the samples: give samples")
    law = (problem.noise, problem.readout_norm2, chosen, problem.m)
    needs = _needs(problem.n, law, occupancy, confidence)
    if check:
        needs = check_need(needs, problem, chosen, check, steps, schedule, seed, threads, progress)
    return Plan(
        problem.n,
        problem.m,
        problem.noise,
        law[1],
        chosen,
        tuple(needs),
        None if samples is None else _expected(problem, law),
        measure_cost(problem, chosen, schedule, steps, seed, threads) if cost else None,
    )


def _needs(n: int, law: tuple, occupancy: float, confidence: float) -> list[Need]:
    noise, norm2, surrogate, m = law

    def need(goal, function, arguments, criterion, promise, sigma=noise) -> Need:
        try:
            samples = function(*arguments)
        except BeyondError:
            samples, criterion = MOST_SAMPLES, ""
        return Need(goal, samples, function.kind, function.source, criterion, promise, sigma)

    rows = []
    if noise > 0:
        rows += [
            need(
                f"the time average decodes to w* in {confidence:.0%} of the data sets",
                theory.samples_for_ergodic,
                (n, noise, norm2, surrogate, m, confidence),
                "ergodic",
                confidence,
            ),
            need(
                f"the iterates are w* for {occupancy:.0%} of the steps, in half of the data sets",
                theory.samples_for_occupancy,
                (occupancy, n, noise, norm2, surrogate, m),
                str(Criterion("occupancy", occupancy)),
                _HALF,
            ),
        ]
    if n > 1:  # the law for one weight is not known
        half = "without label noise, half of the runs end at w*"
        law_of_half = theory.samples_noiseless
        rows.append(need(half, law_of_half, (n, norm2, surrogate, m), "optimal", _HALF, 0.0))
    for claim, goal, sigma in (
        ("ergodic", "proved: the time average converges to w*, no label noise", 0.0),
        ("recurrent", "proved: the iterates visit w* again and again", noise),
    ):
        rows.append(need(goal, theory.samples_proved, (n, claim), "", None, sigma))
    return rows


def _expected(problem: Problem, law: tuple) -> Expectation:
    noise, norm2, surrogate, m = law
    given = (problem.n, problem.samples, noise, norm2, surrogate, m)
    return Expectation(
        problem.samples,
        theory.expected_occupancy(*given),
        theory.expected_wrong(*given) / problem.n,
        problem.n == 1 or problem.samples >= theory.samples_noiseless(problem.n, norm2, surrogate, m),
    )


def _rounded(samples: float) -> int:
    """Return a sample size, up to two figures where it is large: theory gives no more."""
    if samples < 100:
        return math.ceil(samples)
    unit = 10 ** (math.floor(math.log10(samples)) - 1)
    return math.ceil(samples / unit) * unit


def _raised(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


def proposed(need: Need) -> int:
    """Return the sample size at which trials check a row."""
    return max(1, _rounded(need.samples))
