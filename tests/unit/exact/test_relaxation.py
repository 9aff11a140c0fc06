"""The clock of damped latents against decimals of forty digits."""

from __future__ import annotations

from decimal import Decimal, getcontext, localcontext

import numpy as np
import pytest

from sterling.exact.relaxation import clock_arguments, clock_between, decay, spent
from sterling.schedules import Constant, Power, Table

getcontext().prec = 40


def test_scalar_functions():
    rng = np.random.default_rng(0)
    for x in (*(0.5 * 10.0 ** -rng.uniform(0, 12, 300)), 1e-300, 0.5):
        exact = -(1 - Decimal(float(x))).ln() if x > 1e-25 else Decimal(float(x))
        assert abs(Decimal(decay(float(x))) / exact - 1) < Decimal("1e-15")
    for x in 1 - 10.0 ** -rng.uniform(0.3, 12, 100):
        assert decay(float(x)) == pytest.approx(float(-(1 - Decimal(float(x))).ln()), rel=1e-14)
    for clock in (*(10.0 ** rng.uniform(-12, 1.7, 300)), 0.0, 0.34657, 0.34658, 39.9, 41.0, 1e9):
        with localcontext(prec=60):
            exact = 1 - (-Decimal(float(clock))).exp()
        assert abs(Decimal(spent(float(clock))) - exact) <= Decimal("1e-15") * exact


@pytest.mark.parametrize("exponent", [0.1, 0.5, 1.0, 1.5, 3.0])
@pytest.mark.parametrize(("start", "span"), [(0, 1), (0, 300), (50, 40), (700, 3), (900, 1), (2000, 900)])
def test_clock_of_a_power_law(exponent, start, span):
    for rate in (0.49, 0.01):
        steps = range(start, start + span)
        terms = (1 - Decimal(rate) * Decimal(t + 1) ** -Decimal(exponent) for t in steps)
        exact = -sum(term.ln() for term in terms)
        clock = clock_arguments(Power(rate, exponent)._kernel_arguments(), 1.0)
        assert abs(Decimal(clock_between(*clock, start, start + span)) / exact - 1) < Decimal("4e-15")


def test_clock_far_out_joins_its_parts():
    clock = clock_arguments(Power(0.3, 0.5)._kernel_arguments(), 1.0)
    parts = sum(
        clock_between(*clock, start, start + 12_345) for start in range(10**6, 10**6 + 123_450, 12_345)
    )
    assert clock_between(*clock, 10**6, 10**6 + 123_450) == pytest.approx(parts, rel=1e-14)


def test_clock_of_listed_and_constant_rates():
    rates = [0.2, 0.0, 0.45, 0.1]
    listed = clock_arguments(Table(rates)._kernel_arguments(), 1.0)
    constant = clock_arguments(Constant(0.1)._kernel_arguments(), 1.0)
    for stop in range(9):
        exact = -sum((1 - Decimal(rates[min(t, 3)])).ln() for t in range(stop))
        assert clock_between(*listed, 0, stop) == pytest.approx(float(exact), rel=1e-14)
        assert clock_between(*constant, 3, 3 + stop) == pytest.approx(stop * decay(0.1), rel=1e-15)
