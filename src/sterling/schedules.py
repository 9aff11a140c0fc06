"""Step sizes η_t and their mass H(t) = Σ_{s<t} η_s, the clock of the dynamics.

`Constant`, `Power` and `Table` are what users meet. The scalar functions above them do the numbers. They use
only + − * /, sqrt, frexp, ldexp and floor, so pure Python and a compiler give the same bits on every machine.
`build` makes them for either; compiling is left to the dynamics.
"""

import math
import numbers
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from sterling.errors import InputError

__all__ = [
    "Conditions",
    "Constant",
    "Power",
    "Schedule",
    "ScheduleFunctions",
    "Table",
    "build",
    "parse_schedule",
    "pow_neg",
    "schedule_from_dict",
]

KIND_POWER = 0
KIND_TABLE = 1
KernelArguments = tuple[int, float, float, np.ndarray]

STEP_LIMIT = 2**60  # Sums of two steps stay inside int64.
MAX_EXPONENT = 8.0  # The error figures below are measured up to here; steeper schedules hardly move at all.

_DIRECT = 64  # Below this step terms are added one by one: the expansions need a large argument.
_NARROW = 1.0 / 256.0  # Spans narrower than this share of their centre take two moments and one power.
_RATIO = 9.0 / 7.0  # Pieces [x, 9x/7] have half width over centre = 1/8.
_PIECE_TERMS = 12  # (1/8)^24 C_12/25 < 1e-16 for every exponent allowed.
_ROOT_HALF = 0.7071067811865476
_ATANH = tuple(2.8853900817779268 / (2 * k + 1) for k in range(12))  # (2/ln 2)/(2k+1)
_EXP2 = (  # (ln 2)^k/k!
    1.0,
    0.6931471805599453,
    0.24022650695910072,
    0.05550410866482158,
    0.009618129107628477,
    0.0013333558146428443,
    0.0001540353039338161,
    1.5252733804059841e-05,
    1.321548679014431e-06,
    1.01780860092397e-07,
    7.054911620801123e-09,
    4.4455382718708116e-10,
    2.5678435993488206e-11,
    1.3691488853904128e-12,
)


def pow_neg(x, p):
    """x**−p for floats 0.5 ≤ x ≤ 2**61 and |p| ≤ 8. Relative error < 1.2e-15; < 6e-16 for |p| ≤ 3."""
    if p == 0.0:
        return 1.0
    if p == 0.5:
        return 1.0 / math.sqrt(x)
    if p == 1.0:
        return 1.0 / x
    f, e = math.frexp(x)
    if f < _ROOT_HALF:
        f *= 2.0
        e -= 1
    # log2 f = (2/ln 2) atanh s. Sums in pairs: a chain of twelve would wait for each product in turn.
    s = (f - 1.0) / (f + 1.0)
    z = s * s
    z2 = z * z
    z4 = z2 * z2
    a = (_ATANH[0] + _ATANH[1] * z) + (_ATANH[2] + _ATANH[3] * z) * z2
    b = (_ATANH[4] + _ATANH[5] * z) + (_ATANH[6] + _ATANH[7] * z) * z2
    c = (_ATANH[8] + _ATANH[9] * z) + (_ATANH[10] + _ATANH[11] * z) * z2
    log2_f = s * ((a + b * z4) + c * (z4 * z4))
    # The upper half of p times e is exact, so that large exponents of two cost no digits.
    upper = 134217729.0 * p
    upper = upper - (upper - p)
    exact = upper * float(e)
    rest = (p - upper) * float(e) + p * log2_f
    k = math.floor(0.5 - (exact + rest))
    r = (-exact - float(k)) - rest
    r2 = r * r
    r4 = r2 * r2
    a = (_EXP2[0] + _EXP2[1] * r) + (_EXP2[2] + _EXP2[3] * r) * r2
    b = (_EXP2[4] + _EXP2[5] * r) + (_EXP2[6] + _EXP2[7] * r) * r2
    c = (_EXP2[8] + _EXP2[9] * r) + (_EXP2[10] + _EXP2[11] * r) * r2
    d = _EXP2[12] + _EXP2[13] * r
    value = (a + b * r4) + (c + d * r4) * (r4 * r4)
    if -62 <= k <= 0:
        return value / float(1 << -k)  # exact, and quicker than ldexp
    return math.ldexp(value, k)


def _make_power_mass(pow_neg: Callable) -> Callable:
    def power_mass(rate, exponent, t0, t1):
        if t1 <= t0:
            return 0.0
        p = exponent
        if p == 0.0:
            return rate * float(t1 - t0)
        total = 0.0
        start = t0
        while start < t1 and start < _DIRECT:
            start += 1
            total += pow_neg(float(start), p)
        if start == t1:
            return rate * total
        d = float(t1 - start)
        centre = 0.5 * float(start + t1 + 1)
        if d < _NARROW * centre or d == 1.0:
            # Mean of x^-p over d equidistant points, by their second and fourth moments.
            inverse = 1.0 / (centre * centre)
            second = p * (p + 1.0) * (1.0 / 24.0) * ((d * d - 1.0) * inverse)
            fourth = (p + 2.0) * (p + 3.0) * (1.0 / 240.0) * ((3.0 * d * d - 7.0) * inverse)
            total += d * pow_neg(centre, p) * (1.0 + second * (1.0 + fourth))
            return rate * total
        # Euler–Maclaurin at midpoints: the integral from t0 + 1/2 to t1 + 1/2, in pieces [x, 9x/7], each a
        # series in h = half width / centre …
        first = float(start) + 0.5
        last = float(t1) + 0.5
        h2 = 0.0
        series = 1.0
        x = first
        while x < last:
            y = x * _RATIO
            piece_h2 = 1.0 / 64.0
            if y > last:
                y = last
                h = (y - x) / (y + x)
                piece_h2 = h * h
            if piece_h2 != h2:
                h2 = piece_h2
                term = 1.0
                series = 1.0
                for k in range(1, _PIECE_TERMS):
                    even = float(2 * k)
                    term *= h2 * (p + even - 2.0) * (p + even - 1.0) / ((even - 1.0) * even)
                    series += term / (even + 1.0)
            total += (y - x) * pow_neg(0.5 * (x + y), p) * series
            x = y
        # … and −f′/24 + 7f‴/5760 − 31f⁽⁵⁾/967680 + 127f⁽⁷⁾/154828800 between its two ends.
        c3 = (p + 1.0) * (p + 2.0)
        c5 = c3 * (p + 3.0) * (p + 4.0)
        c7 = c5 * (p + 5.0) * (p + 6.0)
        c3 *= 7.0 / 5760.0
        c5 *= 31.0 / 967680.0
        c7 *= 127.0 / 154828800.0
        u = 1.0 / (first * first)
        at_first = pow_neg(first, p) / first * (1.0 / 24.0 - u * (c3 - u * (c5 - u * c7)))
        u = 1.0 / (last * last)
        at_last = pow_neg(last, p) / last * (1.0 / 24.0 - u * (c3 - u * (c5 - u * c7)))
        return rate * (total + p * (at_last - at_first))

    return power_mass


def _table_mass(rate, sums, t0, t1):
    if t1 <= t0:
        return 0.0
    size = len(sums) // 2
    end = size - 1
    i = min(t0, end)
    j = min(t1, end)
    total = (sums[j] - sums[i]) + (sums[size + j] - sums[size + i])
    if t1 > end:
        total += rate * float(t1 - max(t0, end))
    return total


def _make_search(mass: Callable) -> Callable:
    def search(args, t0, target, guess, limit):
        if limit <= t0:
            return limit + 1
        above = min(max(guess, t0 + 1), limit)
        stride = 1
        if mass(*args, t0, above) >= target:
            below = above - 1
            while below > t0 and mass(*args, t0, below) >= target:
                above = below
                stride *= 2
                below = max(above - stride, t0)
        else:
            below = above
            while True:
                if below >= limit:
                    return limit + 1
                above = min(below + stride, limit)
                if mass(*args, t0, above) >= target:
                    break
                below = above
                stride *= 2
        while above - below > 1:
            middle = below + (above - below) // 2
            if mass(*args, t0, middle) >= target:
                above = middle
            else:
                below = middle
        return above

    return search


def _make_guess(pow_neg: Callable) -> Callable:
    def guess(kind, rate, exponent, t0, target):
        if kind == KIND_TABLE or not target > 0.0:
            return t0 + 1
        # The inverse of the integral of η from t0 + 1/2: a power of 1 + (1−p)q, for small q its series.
        p = exponent
        centre = float(t0) + 0.5
        eta = rate * pow_neg(centre, p)
        d = target / eta if eta > 0.0 else math.inf
        q = d / centre
        if 0.0 < p <= 0.875 and 0.1 < q < 1e18:
            d = centre * (pow_neg(1.0 + (1.0 - p) * q, 1.0 / (p - 1.0)) - 1.0)
        elif p != 0.0 and q < 1.0:
            fourth = 1.0 + (0.8 * p - 0.6) * q
            third = 1.0 + (0.75 * p - 0.5) * q * fourth
            second = 1.0 + (2.0 * p - 1.0) * (1.0 / 3.0) * q * third
            d *= 1.0 + 0.5 * p * q * second
        if not d < float(STEP_LIMIT - t0):  # also where d is no number
            return max(STEP_LIMIT, t0 + 1)
        steps = int(d)
        if float(steps) < d or steps < 1:
            steps += 1
        return t0 + steps

    return guess


class ScheduleFunctions(NamedTuple):
    """Functions of (kind, rate, exponent, sums) = `Schedule.kernel_arguments` and of steps up to 2**60.

    mass(kind, rate, exponent, sums, t0, t1) = Σ η_t over t0 ≤ t < t1. For 0 ≤ t0 ≤ t1 ≤ 1e12 its relative
    error is below 2e-15 for |exponent| ≤ 3 and below 1e-14 for |exponent| ≤ 8 (measured against 40 digits). A
    span of one step gives the rate of a power law itself; a constant rate costs one product. The result grows
    with t1 wherever η_{t1} exceeds the rounding of the sum.

    guess(kind, rate, exponent, t0, target) is a step t > t0 near which mass(t0, t) reaches `target`. For a
    power law it is as a rule the first such step or one off, elsewhere it may be far. It costs one or two
    powers.

    first_reach(kind, rate, exponent, sums, t0, target, guess, limit) is the smallest t in (t0, limit] with
    mass(t0, t) ≥ target, or limit + 1 where mass(t0, limit) < target. It is exact with respect to the
    computed mass, whatever the guess. A good guess makes it cost two masses.
    """

    mass: Callable[..., Any]
    guess: Callable[..., Any]
    first_reach: Callable[..., Any]


def build(compiler: Callable[[Callable], Callable]) -> ScheduleFunctions:
    """Make the three functions, each part of them passed through `compiler`, such as numba.njit.

    Compiled code can call compiled functions only, hence one call that makes them all. They are closures over
    one another, which Numba's disk cache cannot recognise again: cache the kernels that call them instead.
    """
    power = compiler(pow_neg)
    power_mass = compiler(_make_power_mass(power))
    table_mass = compiler(_table_mass)
    power_search = compiler(_make_search(power_mass))
    table_search = compiler(_make_search(table_mass))

    def mass(kind, rate, exponent, sums, t0, t1):
        if kind == KIND_TABLE:
            return table_mass(rate, sums, t0, t1)
        return power_mass(rate, exponent, t0, t1)

    # Compiled code pays for every array that it hands on, so a power law is searched without one.
    def first_reach(kind, rate, exponent, sums, t0, target, guess, limit):
        if kind == KIND_TABLE:
            return table_search((rate, sums), t0, target, guess, limit)
        return power_search((rate, exponent), t0, target, guess, limit)

    return ScheduleFunctions(compiler(mass), compiler(_make_guess(power)), compiler(first_reach))


_mass, _guess, _first_reach = build(lambda function: function)


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

        For its accuracy see `ScheduleFunctions`.
        """
        t0, t1 = (0, t0) if t1 is None else (t0, t1)
        t0, t1 = _step(t0, "t0"), _step(t1, "t1")
        if t1 < t0:
            raise InputError(f"mass(t0, t1) needs t0 <= t1; got t0 = {t0}, t1 = {t1}.")
        return float(_mass(*self._arguments, t0, t1))

    def first_reach(self, t0: int, mass: float) -> int | None:
        """Return the smallest t ≥ t0 with mass(t0, t) ≥ `mass`; None if there is none up to 2**60.

        It is the inverse of the computed `mass`, not of the ideal one: self.mass(t0, t − 1) < mass holds too.
        """
        t0, mass = _step(t0, "t0"), _real(mass, "mass")
        if mass <= 0.0:
            return t0
        kind, rate, exponent, *_ = arguments = self._arguments
        start = _guess(kind, rate, exponent, t0, mass)
        t = _first_reach(*arguments, t0, mass, start, STEP_LIMIT)
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
