"""Step sizes η_t and their mass H(t) = Σ_{s<t} η_s, the clock of the dynamics.

`Constant`, `Power` and `Table` are for users. The numbers come from the scalar functions of `mass.py`.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from sterling.base.checks import integer, is_number, real, shown
from sterling.base.text import Described
from sterling.errors import InputError, InputTypeError
from sterling.exact.mass import (
    KIND_POWER,
    KIND_TABLE,
    STEP_LIMIT,
    first_reach,
    guess_reach,
    mass_between,
    pow_neg,
)

#: Steps of a run, at most; the accuracy of the mass was tested up to here.
MAX_STEPS = 10**12
MAX_EXPONENT = 8.0  # the accuracy of the mass was tested up to here

_SHOWN = 32  # rates of a table that its repr holds

KernelArguments = tuple[int, float, float, np.ndarray]


class Schedule(Described):
    """Base class of `Constant`, `Power` and `Table`. η_t is in units where the readout has norm one.

    Steps t are integers from 0 to 2**60; others raise `InputError`.
    """

    kind: ClassVar[str]

    def at(self, t: Any) -> Any:
        """Return the step size η_t.

        Parameters
        ----------
        t : int or array of int
            The step.

        Returns
        -------
        float, or float64 array of the same shape
            The step size, in units where the readout has norm one.
        """
        if isinstance(t, np.ndarray):
            return np.array([self._rate(_step(s, "t")) for s in t.ravel()], dtype=np.float64).reshape(t.shape)
        return self._rate(_step(t, "t"))

    def mass(self, t0: int, t1: int | None = None) -> float:
        """Return Σ η_t over t0 ≤ t < t1; with one argument, H(t0), the sum over t < t0.

        `sterling.exact.mass.MassFunctions` states its accuracy.
        """
        t0, t1 = (0, t0) if t1 is None else (t0, t1)
        t0, t1 = _step(t0, "t0"), _step(t1, "t1")
        if t1 < t0:
            raise InputError(f"mass(t0, t1) needs t0 <= t1; got t0 = {t0}, t1 = {t1}.")
        return float(mass_between(*self._arguments, t0, t1))

    def first_reach(self, t0: int, mass: float) -> int | None:
        """Return the smallest t ≥ t0 with mass(t0, t) ≥ `mass`, or None if it is above 2**60.

        It is the inverse of `mass` as computed, so mass(t0, t − 1) is below `mass`.
        """
        t0 = _step(t0, "t0")
        if not is_number(mass) or math.isnan(mass):
            raise InputTypeError(f"mass is {shown(mass)}; it must be a number")
        if mass <= 0.0:
            return t0
        kind, rate, exponent, sums = self._arguments
        start = guess_reach(kind, rate, exponent, t0, mass)
        t = first_reach(kind, rate, exponent, sums, t0, mass, start, STEP_LIMIT)
        return None if t > STEP_LIMIT else t

    def remaining_mass(self, t0: int) -> float:
        """Return Σ η_t over all t ≥ t0.

        Parameters
        ----------
        t0 : int
            The first step of the sum.

        Returns
        -------
        float
            math.inf unless the schedule is summable.
        """
        raise NotImplementedError

    def conditions(self) -> tuple[str, ...]:
        """Check the conditions of Jeong, Xin & Yin, arXiv 2505.18113: bounded, Σ η_t = ∞, η_{t+1}/η_t → 1.

        Returns
        -------
        tuple of str
            A sentence for each condition that does not hold; empty if all hold.
        """
        raise NotImplementedError

    def _kernel_arguments(self, scale: float = 1.0) -> KernelArguments:
        """Return (kind, rate, exponent, sums) for `mass.build`, with rates times ``scale``, 1/‖v‖².

        For a table, ``sums`` has the high parts of the prefix sums, then the low parts. It is never changed.
        """
        raise NotImplementedError

    @property
    def formula(self) -> str:
        """The size of step t in signs, such as "0.5/√(t+1)"."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, **asdict(self)}  # type: ignore[call-overload]

    def _rate(self, t: int) -> float:
        raise NotImplementedError

    @cached_property
    def _arguments(self) -> tuple[Any, ...]:
        # A list for the array, because pure Python reads it much faster.
        kind, rate, exponent, sums = self._kernel_arguments()
        return kind, rate, exponent, sums.tolist()


class _PowerLaw(Schedule):
    rate: float
    exponent: float

    @property
    def formula(self) -> str:
        power = {0.5: "√(t+1)", 1.0: "(t+1)"}.get(self.exponent, f"(t+1)^{self.exponent:g}")
        return f"{self.rate:g}/{power}" if self.exponent else f"{self.rate:g}"

    def _rate(self, t: int) -> float:
        return self.rate * pow_neg(float(t + 1), self.exponent)

    def remaining_mass(self, t0: int) -> float:
        t0, p = _step(t0, "t0"), self.exponent
        if p <= 1.0:
            return math.inf
        # Far out the integral is exact enough: the next term is smaller by p(p−1)/24 · 2**−60.
        far = max(t0, 2**30)
        return self.mass(t0, far) + self.rate * pow_neg(float(far) + 0.5, p - 1.0) / (p - 1.0)

    def conditions(self) -> tuple[str, ...]:
        p = self.exponent
        if p < 0.0:
            return (f"The steps are not bounded: with exponent {p} the rate grows without limit.",)
        if p > 1.0:
            return (f"The steps are summable: with exponent {p} > 1 the total mass is finite.",)
        return ()

    def _kernel_arguments(self, scale: float = 1.0) -> KernelArguments:
        return KIND_POWER, _scaled(self.rate, scale), self.exponent, np.zeros(2)


@dataclass(frozen=True)
class Power(_PowerLaw):
    """Step sizes that decay as a power: η_t = rate · (t+1)**−exponent.

    Parameters
    ----------
    rate : float
        η_0, positive, in units where the readout has norm one.
    exponent : float
        Between −8 and 8. The paper's conditions are met from 0 to 1.

    Examples
    --------
    >>> import dataclasses
    >>> import sterling as st
    >>> schedule = st.Power(rate=0.5, exponent=0.5)
    >>> schedule.at(3)
    0.25
    >>> dataclasses.replace(schedule, exponent=1)
    Power(rate=0.5, exponent=1.0)
    """

    kind: ClassVar[str] = "power"
    rate: float
    exponent: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", real(self.rate, "rate", above=0))
        exponent = real(self.exponent, "exponent", -MAX_EXPONENT, MAX_EXPONENT) + 0.0  # −0.0 is 0
        object.__setattr__(self, "exponent", exponent)


@dataclass(frozen=True)
class Constant(_PowerLaw):
    """Constant step sizes: η_t = rate.

    Parameters
    ----------
    rate : float
        Positive, in units where the readout has norm one.

    Examples
    --------
    >>> import sterling as st
    >>> st.Constant(0.1).mass(100)
    10.0
    """

    kind: ClassVar[str] = "constant"
    rate: float
    exponent: ClassVar[float] = 0.0  # pyright: ignore[reportIncompatibleVariableOverride]

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", real(self.rate, "rate", above=0))


@dataclass(frozen=True, repr=False)
class Table(Schedule):
    """Listed step sizes: η_t = rates[t]; after the end of the list the last rate stays.

    Parameters
    ----------
    rates : one-dimensional sequence of float
        At least one, each finite and not negative, in units where the readout has norm one. Kept as a tuple.

    Examples
    --------
    >>> import sterling as st
    >>> schedule = st.Table([0.5, 0.25])
    >>> schedule
    Table(rates=[0.5, 0.25])
    >>> schedule.at(100)
    0.25
    """

    kind: ClassVar[str] = "table"
    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        if isinstance(self.rates, str) or np.ndim(self.rates) != 1:
            raise InputTypeError(f"rates is {shown(self.rates)}; it must be a one-dimensional sequence")
        rates = tuple(real(value, f"rates[{i}]", 0) for i, value in enumerate(self.rates))
        if not rates:
            raise InputError("rates is empty; give at least one.")
        if math.isinf(sum(rates)):
            raise InputError("the sum of the rates overflows; give smaller ones.")
        object.__setattr__(self, "rates", rates)

    @property
    def formula(self) -> str:
        return f"from a table of {len(self.rates)}"

    def _rate(self, t: int) -> float:
        return self.rates[min(t, len(self.rates) - 1)]

    def remaining_mass(self, t0: int) -> float:
        t0 = _step(t0, "t0")
        return math.inf if self.rates[-1] > 0.0 else self.mass(t0, max(t0, len(self.rates)))

    def conditions(self) -> tuple[str, ...]:
        if self.rates[-1] > 0.0:
            return ()
        end = int(np.flatnonzero(self.rates).max(initial=-1)) + 1
        text = f"the rate is zero from step {end} on"
        return (
            f"The steps are summable: {text}.",
            f"The steps do not decay slowly: {text}, so the ratio of neighbouring rates does not go to one.",
        )

    @cached_property
    def _summed(self) -> dict[float, KernelArguments]:
        return {}  # by the last scale, for to sum a million rates takes half a second

    def _kernel_arguments(self, scale: float = 1.0) -> KernelArguments:
        found = self._summed.get(scale)
        if found is not None:
            return found
        rates = [_scaled(value, scale) for value in self.rates]
        sums = np.zeros((2, len(rates) + 1))
        total = carry = 0.0
        for i, value in enumerate(rates):
            # TwoSum: the sum and its exact rounding error, kept normalised.
            new = total + value
            part = new - total
            carry += (total - (new - part)) + (value - part)
            total = new + carry
            carry -= total - new
            sums[:, i + 1] = total, carry
        if not math.isfinite(total):
            raise InputError(f"the sum of the rates times {scale} overflows; give smaller ones.")
        found = KIND_TABLE, rates[-1], 0.0, sums.ravel()
        self._summed.clear()
        self._summed[scale] = found
        return found

    def __repr__(self) -> str:
        if len(self.rates) <= _SHOWN:
            return f"Table(rates={list(self.rates)})"
        first, second, *_, last = self.rates
        return f"Table(rates=[{first}, {second}, …, {last}], {len(self.rates)} rates)"

    def to_dict(self) -> dict[str, Any]:
        return {"kind": self.kind, "rates": list(self.rates)}


_KINDS: dict[str, type[Schedule]] = {kind.kind: kind for kind in (Constant, Power, Table)}


def schedule_from_dict(values: Mapping[str, Any]) -> Schedule:
    """Return the schedule that `to_dict` wrote."""
    return _KINDS[values["kind"]](**{key: value for key, value in values.items() if key != "kind"})


def parse_schedule(text: str) -> Schedule:
    """Read "constant:RATE", "power:RATE,EXPONENT" or "table:RATE,RATE,…". Else `InputError`, one sentence."""
    if not isinstance(text, str):
        raise InputTypeError(f"the schedule is {shown(text)}; give a string such as 'power:0.5,0.5'")
    kind, _, rest = text.strip().partition(":")
    try:
        numbers = list(map(float, rest.split(",")))
    except ValueError:
        numbers = []
    try:
        match kind.strip().lower(), numbers:
            case "constant", [rate]:
                return Constant(rate)
            case "power", [rate, exponent]:
                return Power(rate, exponent)
            case "table", [_, *_]:
                return Table(tuple(numbers))
    except InputError as problem:
        raise InputError(f"schedule is {shown(text)}, where {problem}", argument="schedule") from None
    raise InputError(
        f"a schedule reads 'constant:RATE', 'power:RATE,EXPONENT' or 'table:RATE,RATE,...', "
        f"such as 'power:0.5,0.5', with commas only between numbers; got {shown(text)}."
    )


def _scaled(rate: float, scale: float) -> float:
    scaled = rate * scale
    if not (0.0 < scaled < math.inf or (rate == 0.0 and 0.0 < scale < math.inf)):
        raise InputError(
            f"the rate {rate} times {scale} is outside the range of floats; change the rate or the readout."
        )
    return scaled


def _step(value: Any, name: str) -> int:
    """Return a step number as an int64-safe Python integer."""
    return integer(value, name, 0, STEP_LIMIT)
