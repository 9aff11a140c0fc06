"""The clock of damped latents, as plain scalar functions with the same bits on every machine.

Where latents relax at rate κ, u_{t+1} − u* = (1 − η_t κ)(u_t − u*) while no weight turns. With the clock
L = −Σ log(1 − η_s κ) and M = (1 − e^{−L})/κ, which tends to H for κ → 0,

    u_t = u_a − M·F,   F = κ(u_a − u*),                                            (docs/science, 17)

so a latent moves on a straight line in M, as it moves in the mass H where nothing is damped.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from sterling.exact.mass import KIND_POWER, KIND_TABLE, make_narrow, make_power_mass, pow_neg, table_mass_of

#: A power law whose rates enter the clock through log(1 − η κ); kinds below are those of `mass.py`.
KIND_DAMPED = 2

_DIRECT = 64  # terms below this step are added one by one
_HIGHEST = 16.0  # exponents of the series beyond which terms are below rounding
_CLOSE = 1.0 / 4096.0  # spans narrower than this share of their centre take two moments
_SMALL = 2.0**-57
_FULL = 40.0  # e^-40 is below the rounding of 1
_ROOT_HALF = 0.7071067811865476
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # the first has 21 trailing zero bits
_INVERSE_LN2 = 1.4426950408889634
_ODD = tuple(2.0 / (2 * k + 1) for k in range(17))
_EXPONENTIAL = tuple(1.0 / math.factorial(k + 1) for k in range(14))


def _make_odd_series() -> Callable:
    c = _ODD

    def odd_series(s):
        # log((1 + s)/(1 − s)) for |s| ≤ 1/3. Sums in pairs: a chain would wait for each product in turn.
        z = s * s
        z2 = z * z
        z4 = z2 * z2
        first = (c[0] + c[1] * z) + (c[2] + c[3] * z) * z2
        second = (c[4] + c[5] * z) + (c[6] + c[7] * z) * z2
        third = (c[8] + c[9] * z) + (c[10] + c[11] * z) * z2
        fourth = (c[12] + c[13] * z) + (c[14] + c[15] * z) * z2
        return s * ((first + second * z4) + ((third + fourth * z4) + c[16] * (z4 * z4)) * (z4 * z4))

    return odd_series


def _make_decay(odd_series: Callable) -> Callable:
    def decay(x):
        # −log(1 − x) for 0 ≤ x < 1; relative error < 1e-15 for x ≤ 1/2
        if x <= 0.5:
            return odd_series(x / (2.0 - x))
        f, e = math.frexp(1.0 - x)
        if f < _ROOT_HALF:
            f *= 2.0
            e -= 1
        return -(float(e) * _LN2_HIGH + (float(e) * _LN2_LOW + odd_series((f - 1.0) / (f + 1.0))))

    return decay


def spent(clock):
    """Return 1 − e^−clock for clock ≥ 0; relative error < 1e-15."""
    if clock > _FULL:
        return 1.0
    k = math.floor(clock * _INVERSE_LN2 + 0.5)
    r = (clock - float(k) * _LN2_HIGH) - float(k) * _LN2_LOW
    c = _EXPONENTIAL
    r2 = r * r
    r4 = r2 * r2
    first = (c[0] - c[1] * r) + (c[2] - c[3] * r) * r2
    second = (c[4] - c[5] * r) + (c[6] - c[7] * r) * r2
    third = (c[8] - c[9] * r) + (c[10] - c[11] * r) * r2
    gone = r * ((first + second * r4) + (third + (c[12] - c[13] * r) * r4) * (r4 * r4))  # 1 − e^−r
    if k == 0:
        return gone
    part = 1.0 / float(1 << k)
    return (1.0 - part) + part * gone


def _make_damped_clock(power_mass: Callable, pow_neg: Callable, decay: Callable) -> Callable:
    def damped_clock(rate, exponent, t0, t1):
        # Σ −log(1 − x_t) with x_t = rate·(t+1)^−p < 1/2, the rate being η κ.
        total = 0.0
        start = t0
        while start < t1 and start < _DIRECT:
            start += 1
            total += decay(rate * pow_neg(float(start), exponent))
        if start >= t1:
            return total
        d = float(t1 - start)
        centre = 0.5 * float(start + t1 + 1)
        p = exponent
        if d < _CLOSE * centre or d == 1.0:
            x = rate * pow_neg(centre, p)
            free = 1.0 / (1.0 - x)
            bend = p * x * free * (p + 1.0 + p * x * free)  # the second derivative times centre²
            return total + d * (decay(x) + bend * (d * d - 1.0) / (24.0 * (centre * centre)))
        factor = 1.0
        j = 0
        while (j + 1) * p <= _HIGHEST:
            j += 1
            factor *= rate
            term = factor / j * power_mass(1.0, j * p, start, t1)
            total += term
            if term < _SMALL * total:
                break
        return total

    return damped_clock


def build_clock(compiler: Callable[[Callable], Callable]) -> tuple[Callable, Callable, Callable]:
    """Make the functions clock, decay and spent, each passed through ``compiler``.

    clock(kind, rate, exponent, sums, t0, t1) = L over t0 ≤ t < t1, of the arguments of `clock_arguments`;
    its relative error is below 4e-15 for exponents up to 3 (measured against 40 digits).
    """
    power = compiler(pow_neg)
    power_mass = compiler(make_power_mass(power, compiler(make_narrow(power))))
    decayed = compiler(_make_decay(compiler(_make_odd_series())))
    saturated, table_mass = compiler(spent), compiler(table_mass_of)
    damped = compiler(_make_damped_clock(power_mass, power, decayed))

    def clock(kind, rate, exponent, sums, t0, t1):
        if kind == KIND_TABLE:
            return table_mass(rate, sums, t0, t1)
        if kind == KIND_DAMPED:
            return damped(rate, exponent, t0, t1)
        return rate * float(t1 - t0)

    return compiler(clock), decayed, saturated


clock_between, decay, _ = build_clock(lambda function: function)


def clock_arguments(arguments: tuple, kappa: float) -> tuple:
    """Return (kind, rate, exponent, sums) of the clock, from those of a schedule for `mass.build`.

    κ > 0, and every rate times κ is below one half.
    """
    import numpy as np

    kind, rate, exponent, sums = arguments
    if kind == KIND_TABLE:
        size = len(sums) // 2
        high, low = sums[:size], sums[size:]
        rates = (np.diff(high) + np.diff(low)).tolist()
        totals, total, carry = np.zeros((2, size)), 0.0, 0.0
        for i, value in enumerate(rates):
            part = decay(value * kappa) + carry
            new = total + part
            carry = part - (new - total)
            total = new
            totals[:, i + 1] = total, carry
        return KIND_TABLE, decay(rate * kappa), 0.0, totals.ravel()
    if exponent == 0.0:
        return KIND_POWER, decay(rate * kappa), 0.0, sums
    return KIND_DAMPED, rate * kappa, exponent, sums
