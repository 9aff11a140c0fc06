"""Mass of the step sizes, Σ η_t over a span of steps, and its inverse, as plain scalar functions.

They use only + − * /, sqrt, frexp, ldexp and floor, so pure Python and a compiler give the same bits on every
machine. `build` makes them for either; `schedules.py` defines the schedules.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

KIND_POWER = 0
KIND_TABLE = 1
STEP_LIMIT = 2**60  # Sums of two steps stay inside int64.

_DIRECT = 64  # Terms of earlier steps are added one by one: the expansions need a large argument.
_NARROW = 1.0 / 256.0  # Spans narrower than this share of their centre take two moments and one power.
NARROW_FROM, NARROW_SPAN = 4096, 16  # Spans up to 16 from step 4096 on are always narrow.
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
    # log2 f = (2/ln 2) atanh s, summed in pairs: in a chain of twelve each product would wait for the last.
    s = (f - 1.0) / (f + 1.0)
    z = s * s
    z2 = z * z
    z4 = z2 * z2
    a = (_ATANH[0] + _ATANH[1] * z) + (_ATANH[2] + _ATANH[3] * z) * z2
    b = (_ATANH[4] + _ATANH[5] * z) + (_ATANH[6] + _ATANH[7] * z) * z2
    c = (_ATANH[8] + _ATANH[9] * z) + (_ATANH[10] + _ATANH[11] * z) * z2
    log2_f = s * ((a + b * z4) + c * (z4 * z4))
    # The upper half of p times e is exact, so no digit is lost to a large exponent e.
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
        return value / float(1 << -k)  # exact, and faster than ldexp
    return math.ldexp(value, k)


def make_narrow(pow_neg: Callable) -> Callable:
    def narrow(exponent, d, centre):
        # d times the mean of x^-p over d points at distance one, by their second and fourth moments.
        p = exponent
        scale = 1.0 / math.sqrt(centre) if p == 0.5 else pow_neg(centre, p)
        inverse = 1.0 / (centre * centre)
        second = p * (p + 1.0) * (1.0 / 24.0) * ((d * d - 1.0) * inverse)
        fourth = (p + 2.0) * (p + 3.0) * (1.0 / 240.0) * ((3.0 * d * d - 7.0) * inverse)
        return d * scale * (1.0 + second * (1.0 + fourth))

    return narrow


def make_power_mass(pow_neg: Callable, narrow: Callable) -> Callable:
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
            total += narrow(p, d, centre)
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


def table_mass_of(rate, sums, t0, t1):
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


def _make_reach(mass: Callable) -> Callable:
    def reach(args, t0, t):
        first, second, target = args
        total = mass(first, second, t0, t)
        return total >= target, total

    return reach


def make_search(reach: Callable) -> Callable:
    """Return the search for the first step in (t0, limit] that ``reach`` accepts, or limit + 1.

    reach(args, t0, t) returns whether it accepts t, and the mass up to t; the search returns the step and its
    mass. The guess is usually right or next to it. It may be far off, so strides double.
    """

    def search(args, t0, guess, limit):
        if limit <= t0:
            return limit + 1, 0.0
        above, stride = min(max(guess, t0 + 1), limit), 1
        there, mass = reach(args, t0, above)
        if there:
            below = above - 1
            while below > t0:
                there, less = reach(args, t0, below)
                if not there:
                    break
                above, mass = below, less
                stride *= 2
                below = max(above - stride, t0)
        else:
            below = above
            while not there:
                if below >= limit:
                    return limit + 1, mass
                above = min(below + stride, limit)
                there, mass = reach(args, t0, above)
                if not there:
                    below = above
                    stride *= 2
        while above - below > 1:
            middle = below + (above - below) // 2
            there, less = reach(args, t0, middle)
            if there:
                above, mass = middle, less
            else:
                below = middle
        return above, mass

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
        if not d < float(STEP_LIMIT - t0):  # also if d is NaN
            return max(STEP_LIMIT, t0 + 1)
        steps = int(d)
        if float(steps) < d or steps < 1:
            steps += 1
        return t0 + steps

    return guess


class MassFunctions(NamedTuple):
    """Functions of (kind, rate, exponent, sums) = `Schedule._kernel_arguments` and of steps up to 2**60.

    mass(kind, rate, exponent, sums, t0, t1) = Σ η_t over t0 ≤ t < t1. For 0 ≤ t0 ≤ t1 ≤ 1e12 its relative
    error is below 2e-15 for |exponent| ≤ 3 and below 1e-14 for |exponent| ≤ 8 (measured against 40 digits).
    For a span of one step of a power law it is the rate of that step. A constant rate costs one product. The
    result grows with t1 wherever η_{t1} exceeds the rounding of the sum.

    guess(kind, rate, exponent, t0, target) is a step t > t0 near which mass(t0, t) reaches `target`. For a
    power law it is usually off by at most one step; for other schedules it may be far off. It costs one or
    two powers.

    first_reach(kind, rate, exponent, sums, t0, target, guess, limit) is the smallest t in (t0, limit] with
    mass(t0, t) ≥ target, or limit + 1 if mass(t0, limit) < target. It is exact with respect to the computed
    mass for any guess. With a good guess it costs two masses.

    narrow(exponent, d, centre), times the rate, is the mass of a power law over d steps whose numbers t + 1
    have the mean `centre`, for hot loops. It agrees bit for bit for t0 ≥ `NARROW_FROM` and d ≤ `NARROW_SPAN`.
    """

    mass: Callable[..., Any]
    guess: Callable[..., Any]
    first_reach: Callable[..., Any]
    narrow: Callable[..., Any]


def build(compiler: Callable[[Callable], Callable]) -> MassFunctions:
    """Make the four functions, with all their parts passed through `compiler`, such as numba.njit.

    Compiled code can call only compiled functions, so one call makes them all. They are closures over one
    another, which Numba's disk cache cannot recognise again: cache the kernels that call them instead.
    """
    power = compiler(pow_neg)
    narrow = compiler(make_narrow(power))
    power_mass = compiler(make_power_mass(power, narrow))
    table_mass = compiler(table_mass_of)
    power_search = compiler(make_search(compiler(_make_reach(power_mass))))
    table_search = compiler(make_search(compiler(_make_reach(table_mass))))

    def mass(kind, rate, exponent, sums, t0, t1):
        if kind == KIND_TABLE:
            return table_mass(rate, sums, t0, t1)
        return power_mass(rate, exponent, t0, t1)

    # In compiled code every array argument costs time, so a power law is searched without one.
    def first_reach(kind, rate, exponent, sums, t0, target, guess, limit):
        if kind == KIND_TABLE:
            return table_search((rate, sums, target), t0, guess, limit)[0]
        return power_search((rate, exponent, target), t0, guess, limit)[0]

    return MassFunctions(compiler(mass), compiler(_make_guess(power)), compiler(first_reach), narrow)


mass_between, guess_reach, first_reach, _ = build(lambda function: function)
