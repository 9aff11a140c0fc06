"""Step sizes η_t and their mass H(t) = Σ_{s<t} η_s, the clock of the dynamics.

`Constant`, `Power` and `Table` are what users meet. The numbers come from the scalar functions of `mass.py`.
"""

import math
import numbers
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sterling.errors import InputError
from sterling.exact.mass import (
    KIND_POWER,
    KIND_TABLE,
    STEP_LIMIT,
    first_reach,
    guess_reach,
    mass_between,
    pow_neg,
)

__all__ = [
    "Conditions",
    "Constant",
    "Power",
    "Schedule",
    "Table",
    "parse_schedule",
    "schedule_from_dict",
]

#: Largest number of steps of a run; the error figures below are measured up to here.
MAX_STEPS = 10**12
MAX_EXPONENT = 8.0  # The error figures below are measured up to here; steeper schedules hardly move at all.

KernelArguments = tuple[int, float, float, np.ndarray]


@dataclass(frozen=True)
class Conditions:
    """The terms that the paper puts on the step sizes, each met (True) or not, and `failed`: why not.

    Source: Jeong, Xin & Yin, arXiv 2505.18113. They are checked on the formula, not on samples of it:
    `bounded`, sup η_t < ∞: the exponent is not negative (a table is always bounded);
    `non_summable`, Σ η_t = ∞: the exponent is at most 1, or the table's last rate is positive;
    `slow_decay`, η_{t+1}/η_t → 1: true of every power law, and of a table whose last rate is positive.
    """

    bounded: bool
    non_summable: bool
    slow_decay: bool
    failed: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the terms by their names, and the reasons as a list."""
        return {**asdict(self), "failed": list(self.failed)}


class Schedule:
    """What `Constant`, `Power` and `Table` have in common. η_t is in units where the readout has norm one.

    Steps t are integers from 0 to 2**60. A step that is none of these raises `InputError`.
    """

    def rate(self, t: Any) -> Any:
        """η_t: a float for an integer t, a float64 array of the same shape for an array of integers."""
        if isinstance(t, np.ndarray):
            return np.array([self._rate(_step(s, "t")) for s in t.ravel()], dtype=np.float64).reshape(t.shape)
        return self._rate(_step(t, "t"))

    def mass(self, t0: int, t1: int | None = None) -> float:
        """Return Σ η_t over t0 ≤ t < t1; with one argument, H(t0), the sum over t < t0.

        For its accuracy see `MassFunctions`.
        """
        t0, t1 = (0, t0) if t1 is None else (t0, t1)
        t0, t1 = _step(t0, "t0"), _step(t1, "t1")
        if t1 < t0:
            raise InputError(f"mass(t0, t1) needs t0 <= t1; got t0 = {t0}, t1 = {t1}.")
        return float(mass_between(*self._arguments, t0, t1))

    def first_reach(self, t0: int, mass: float) -> int | None:
        """Return the smallest t ≥ t0 with mass(t0, t) ≥ `mass`; None if there is none up to 2**60.

        It is the inverse of the computed `mass`, not of the ideal one: self.mass(t0, t − 1) < mass holds too.
        """
        t0, mass = _step(t0, "t0"), _real(mass, "mass")
        if mass <= 0.0:
            return t0
        kind, rate, exponent, *_ = arguments = self._arguments
        start = guess_reach(kind, rate, exponent, t0, mass)
        t = first_reach(*arguments, t0, mass, start, STEP_LIMIT)
        return None if t > STEP_LIMIT else t

    def remaining_mass(self, t0: int) -> float:
        """Σ η_t over all t ≥ t0: math.inf unless the schedule is summable."""
        raise NotImplementedError

    def conditions(self) -> Conditions:
        """Check the paper's terms on the step sizes; see `Conditions`."""
        raise NotImplementedError

    def kernel_arguments(self, scale: float = 1.0) -> KernelArguments:
        """Return (kind, rate, exponent, sums) for the functions of `build`, the rates multiplied by `scale`.

        `scale` is 1/‖v‖². `sums` is a new contiguous float64 array: for a table of K rates the upper parts
        and then the lower parts of its K + 1 prefix sums. A scaled rate that overflows or vanishes raises
        `InputError`.
        """
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-ready dictionary that `schedule_from_dict` turns back into an equal schedule."""
        raise NotImplementedError

    def _rate(self, t: int) -> float:
        raise NotImplementedError

    @cached_property
    def _arguments(self) -> tuple[Any, ...]:
        # A list for the array, because pure Python reads it much faster.
        kind, rate, exponent, sums = self.kernel_arguments()
        return kind, rate, exponent, sums.tolist()


class _PowerLaw(Schedule):
    base: float
    exponent: float

    def _rate(self, t: int) -> float:
        return self.base * pow_neg(float(t + 1), self.exponent)

    def remaining_mass(self, t0: int) -> float:
        t0, p = _step(t0, "t0"), self.exponent
        if p <= 1.0:
            return math.inf
        # Far out the integral is all there is: the next term is smaller by p(p−1)/24 · 2**−60.
        far = max(t0, 2**30)
        return self.mass(t0, far) + self.base * pow_neg(float(far) + 0.5, p - 1.0) / (p - 1.0)

    def conditions(self) -> Conditions:
        p, failed = self.exponent, []
        if p < 0.0:
            failed.append(f"The steps are not bounded: with exponent {p} the rate grows without end.")
        if p > 1.0:
            failed.append(f"The steps are summable: with exponent {p} > 1 the total mass is finite.")
        return Conditions(p >= 0.0, p <= 1.0, True, tuple(failed))

    def kernel_arguments(self, scale: float = 1.0) -> KernelArguments:
        return KIND_POWER, _scaled(self.base, scale), self.exponent, np.zeros(2)


@dataclass(frozen=True, init=False, repr=False)
class Power(_PowerLaw):
    """η_t = rate · (t+1)**−exponent.

    Parameters
    ----------
    rate : float
        η_0, positive, in units where the readout has norm one. Kept as `base`.
    exponent : float
        Between −8 and 8. The paper's terms hold from 0 to 1.

    Raises
    ------
    InputError
        If an argument is not such a number.
    """

    base: float
    exponent: float

    def __init__(self, rate: float, exponent: float) -> None:
        object.__setattr__(self, "base", _positive(rate))
        exponent = _real(exponent, "exponent")
        if not abs(exponent) <= MAX_EXPONENT:
            raise InputError(f"exponent must lie between -8 and 8; got {exponent}.")
        object.__setattr__(self, "exponent", exponent)

    def __repr__(self) -> str:
        return f"Power(rate={self.base}, exponent={self.exponent})"

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "power", "rate": self.base, "exponent": self.exponent}


@dataclass(frozen=True, init=False, repr=False)
class Constant(_PowerLaw):
    """η_t = rate, positive, in units where the readout has norm one. Kept as `base`. Else `InputError`."""

    base: float
    exponent = 0.0

    def __init__(self, rate: float) -> None:
        object.__setattr__(self, "base", _positive(rate))

    def __repr__(self) -> str:
        return f"Constant(rate={self.base})"

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "constant", "rate": self.base}


@dataclass(frozen=True, init=False, repr=False)
class Table(Schedule):
    """η_t = rates[t]; the last rate holds on for ever.

    Parameters
    ----------
    rates : one-dimensional sequence of float
        At least one, each finite and not negative, in units where the readout has norm one. Kept as `base`, a
        tuple.

    Raises
    ------
    InputError
        If the rates are not like that; the message names the position.
    """

    base: tuple[float, ...]

    def __init__(self, rates: Any) -> None:
        try:
            base = tuple(_real(value, f"rates[{i}]") for i, value in enumerate(rates))
        except TypeError:
            raise InputError(
                f"rates must be a one-dimensional sequence of numbers; got {rates!r:.60}."
            ) from None
        if not base:
            raise InputError("rates is empty; give at least one.")
        for i, value in enumerate(base):
            if not 0.0 <= value < math.inf:
                raise InputError(f"rates[{i}] must be finite and not negative; got {value}.")
        if math.isinf(sum(base)):
            raise InputError("the sum of the rates overflows; give smaller ones.")
        object.__setattr__(self, "base", base)

    def _rate(self, t: int) -> float:
        return self.base[min(t, len(self.base) - 1)]

    def remaining_mass(self, t0: int) -> float:
        t0 = _step(t0, "t0")
        return math.inf if self.base[-1] > 0.0 else self.mass(t0, max(t0, len(self.base)))

    def conditions(self) -> Conditions:
        if self.base[-1] > 0.0:
            return Conditions(True, True, True)
        end = len(self.base)
        while end > 0 and self.base[end - 1] == 0.0:
            end -= 1
        text = f"the rate is zero from step {end} on"
        failed = (
            f"The steps are summable: {text}.",
            f"The steps do not decay slowly: {text}, so the ratio of neighbouring rates does not go to one.",
        )
        return Conditions(True, False, False, failed)

    def kernel_arguments(self, scale: float = 1.0) -> KernelArguments:
        rates = [_scaled(value, scale) for value in self.base]
        sums = np.zeros((2, len(rates) + 1))
        total = carry = 0.0
        for i, value in enumerate(rates):
            # TwoSum: the sum and its exact rounding error; the second line keeps the pair normalised.
            new = total + value
            part = new - total
            carry += (total - (new - part)) + (value - part)
            total = new + carry
            carry -= total - new
            sums[:, i + 1] = total, carry
        if not math.isfinite(total):
            raise InputError(f"the sum of the rates times {scale} overflows; give smaller ones.")
        return KIND_TABLE, rates[-1], 0.0, sums.ravel()

    def __repr__(self) -> str:
        if len(self.base) <= 6:
            return f"Table(rates={list(self.base)})"
        first, second, *_, last = self.base
        return f"Table(rates=[{first}, {second}, …, {last}], {len(self.base)} rates)"

    def to_dict(self) -> dict[str, Any]:
        return {"kind": "table", "rates": list(self.base)}


_KINDS: dict[str, tuple[type[Schedule], set[str]]] = {
    "constant": (Constant, {"rate"}),
    "power": (Power, {"rate", "exponent"}),
    "table": (Table, {"rates"}),
}


def schedule_from_dict(d: Mapping[str, Any]) -> Schedule:
    """Return the schedule that `to_dict` wrote. Anything else raises `InputError`."""
    kind = d.get("kind") if isinstance(d, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise InputError(f"a schedule needs a 'kind' out of {', '.join(_KINDS)}; got {d!r:.80}.")
    make, names = _KINDS[kind]
    given = {key: value for key, value in d.items() if key != "kind"}
    if set(given) != names:
        expected = " and ".join(sorted(names, reverse=True))
        raise InputError(f"a {kind} schedule needs {expected}, no more; got {', '.join(given) or 'nothing'}.")
    return make(**given)


def parse_schedule(text: str) -> Schedule:
    """Read "constant:RATE", "power:RATE,EXPONENT" or "table:RATE,RATE,…". Else `InputError`, one sentence."""
    kind, _, rest = text.strip().partition(":")
    try:
        numbers = [float(word) for word in rest.split(",")]
    except ValueError:
        numbers = []
    match kind.strip().lower(), numbers:
        case "constant", [rate]:
            return Constant(rate)
        case "power", [rate, exponent]:
            return Power(rate, exponent)
        case "table", [_, *_]:
            return Table(numbers)
    raise InputError(
        f"a schedule reads 'constant:RATE', 'power:RATE,EXPONENT' or 'table:RATE,RATE,...', "
        f"such as 'power:0.5,0.5'; got {text!r}."
    )


def _real(value: Any, name: str) -> float:
    """Return a finite or infinite float; refuse NaN, booleans and what is not a number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"{name} must be a number; got {value!r:.60}.")
    try:
        number = float(value)
    except OverflowError:
        raise InputError(f"{name} is beyond the range of floats.") from None
    if math.isnan(number):
        raise InputError(f"{name} is nan; give a number.")
    return number


def _positive(value: Any) -> float:
    number = _real(value, "rate")
    if number == 0.0:
        raise InputError("rate is 0.0, so no step is ever taken; give a positive one.")
    if not 0.0 < number < math.inf:
        raise InputError(f"rate must be finite and positive; got {number}.")
    return number


def _scaled(rate: float, scale: float) -> float:
    scaled = rate * scale
    if not (0.0 < scaled < math.inf or (rate == 0.0 and 0.0 < scale < math.inf)):
        raise InputError(
            f"the rate {rate} times {scale} leaves the range of floats; change the rate or the readout."
        )
    return scaled


def _step(value: Any, name: str) -> int:
    """Return a step number as an int64-safe Python integer."""
    try:
        step = operator.index(value)
    except TypeError:
        step = -1
    if isinstance(value, bool | np.bool_) or not 0 <= step <= STEP_LIMIT:
        raise InputError(f"{name} must be a whole number of steps from 0 to 2**60; got {value!r:.60}.")
    return step
