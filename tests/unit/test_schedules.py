"""Step sizes: the mass against exact sums, its inverse, the compiled twin, conditions and messages."""

import math
import random
from decimal import Decimal, localcontext
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sterling.errors import InputError
from sterling.exact import mass as masses
from sterling.schedules import Constant, Power, Table, parse_schedule

EXPONENTS = [0.0, 0.3, 0.5, 0.7, 0.75, 0.999, 1.0, 1.5, 2.0, 3.0, -0.25, -1.0, -2.5, 6.0]
TABLE = Table([0.5, 0.25, 0.0, 0.0, 1e-9, 3.0, 0.1])


def exact(exponent, t0, t1):
    """Σ (s+1)^−exponent by 40 digits: directly up to 40 terms, else by Euler–Maclaurin from step 400 on."""
    with localcontext() as context:
        context.prec = 40
        p = Decimal(exponent)
        start = t1 if t1 - t0 <= 40 else min(max(t0, 400), t1)
        total = sum((Decimal(s + 1) ** -p for s in range(t0, start)), Decimal(0))
        if start < t1:
            a, b = Decimal(start) + Decimal("0.5"), Decimal(t1) + Decimal("0.5")
            total += (b / a).ln() if p == 1 else (b ** (1 - p) - a ** (1 - p)) / (1 - p)
            slope = -p
            for order, factor in ((1, Fraction(-1, 24)), (3, Fraction(7, 5760)), (5, Fraction(-31, 967680))):
                change = slope * (b ** (-p - order) - a ** (-p - order))
                total += change * factor.numerator / factor.denominator
                slope *= (p + order) * (p + order + 1)
        return total


def relative_error(value, truth):
    return abs(float(Decimal(value) / truth - 1))


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_pow_neg_against_decimals(exponent):
    with localcontext() as context:
        context.prec = 40
        for x in [1.0, 1.5, 2.0, math.sqrt(0.5) * 8, 64.5, 1e6 + 0.5, 123456789.0, 1e12 + 1, 1e13]:
            truth = Decimal(x) ** -Decimal(exponent)
            assert relative_error(masses.pow_neg(x, exponent), truth) < 1.2e-15
        assert masses.pow_neg(1.0, exponent) == 1.0


@pytest.mark.parametrize("exponent", EXPONENTS)
def test_mass_against_forty_digits_far_out(exponent):
    schedule = Power(rate=1.0, exponent=exponent)
    bound = 2e-15 if abs(exponent) <= 3 else 1e-14
    rnd = random.Random(5)
    spans = [(0, 10**12), (63, 10**9), (64, 10**6), (10**12 - 1, 10**12), (10**11, 10**12)]
    for _ in range(12):
        t0 = int(10 ** rnd.uniform(0, 11.9))
        t1 = t0 + rnd.choice([1, 2, 9, t0 // 300, t0 // 200, 3 * t0]) + 1
        spans.append((t0, min(t1, 10**12)))
    for t0, t1 in spans:
        assert t1 > t0 + 1 or schedule.mass(t0, t1) == schedule.at(t0)
        assert relative_error(schedule.mass(t0, t1), exact(exponent, t0, t1)) < bound, (t0, t1)


def test_table_mass_against_fractions():
    rnd = random.Random(3)
    rates = [rnd.choice([0.0, 1e-12, 1.0, 1e4]) * rnd.random() for _ in range(300)] + [0.25]
    table = Table(rates)
    for t0 in range(0, 320, 13):
        for t1 in range(t0, 330, 11):
            truth = sum((Fraction(rates[min(t, 300)]) for t in range(t0, t1)), Fraction(0))
            assert abs(Fraction(table.mass(t0, t1)) - truth) <= truth * Fraction(1, 10**15)
    assert table.mass(0, 10**9) == pytest.approx(math.fsum(rates) + 0.25 * (10**9 - 301), rel=1e-15)
    assert [TABLE.at(t) for t in (0, 1, 6, 7, 10**9)] == [0.5, 0.25, 0.1, 0.1, 0.1]


power_laws = st.builds(
    Power,
    rate=st.sampled_from([1e-6, 0.05, 0.5, 3.0]),
    exponent=st.floats(-1, 1) | st.sampled_from(EXPONENTS),
)
tables = st.builds(Table, st.lists(st.floats(0, 10) | st.just(0.0), min_size=1, max_size=40))
starts = st.integers(0, 200) | st.integers(0, 10**9)


@settings(max_examples=80, deadline=None)
@given(power_laws | tables, starts, st.floats(1e-9, 1e5))
def test_first_reach_is_the_inverse_of_mass(schedule, t0, target):
    t = schedule.first_reach(t0, target)
    if t is None:
        assert schedule.mass(t0, masses.STEP_LIMIT) < target
    else:
        assert t > t0
        assert schedule.mass(t0, t - 1) < target <= schedule.mass(t0, t)


@settings(max_examples=40, deadline=None)
@given(
    power_laws | tables,
    st.integers(0, 1000),
    st.floats(-1, 100),
    st.integers(-(10**6), 10**6),
    st.integers(-5, 2000),
)
def test_no_guess_changes_the_answer(schedule, t0, target, off, room):
    arguments = schedule._kernel_arguments()
    limit = t0 + room
    t = masses.first_reach(*arguments, t0, target, t0 + off, limit)
    reached = [s for s in range(t0 + 1, limit + 1) if masses.mass_between(*arguments, t0, s) >= target]
    assert t == (reached[0] if reached else limit + 1)


def test_remaining_mass():
    assert Power(0.5, 2.0).remaining_mass(0) == pytest.approx(math.pi**2 / 12, rel=1e-14)
    assert Power(1.0, 4.0).remaining_mass(0) == pytest.approx(math.pi**4 / 90, rel=1e-14)
    assert Power(1.0, 1.5).remaining_mass(0) == pytest.approx(2.6123753486854883, rel=1e-14)
    assert Power(1.0, 2.0).remaining_mass(10**12) == pytest.approx(1 / (1e12 + 0.5), rel=1e-14)
    whole = Power(1.0, 1.5)
    assert whole.mass(0, 500) + whole.remaining_mass(500) == pytest.approx(whole.remaining_mass(0), rel=1e-14)
    assert Power(1.0, 1.0).remaining_mass(10**9) == math.inf
    assert Power(1.0, -0.5).remaining_mass(0) == math.inf
    assert Constant(0.1).remaining_mass(5) == math.inf
    assert TABLE.remaining_mass(0) == math.inf
    assert Table([1.0, 0.5, 0.0]).remaining_mass(0) == 1.5
    assert Table([1.0, 0.5, 0.0]).remaining_mass(7) == 0.0


def test_conditions():
    for met in (Constant(0.1), Power(0.5, 0.0), Power(0.5, 1.0), TABLE):
        assert not met.conditions()
    assert ["bounded" in text for text in Power(0.5, -0.25).conditions()] == [True]
    assert ["summable" in text for text in Power(0.5, 1.5).conditions()] == [True]
    assert ["step 2" in text for text in Table([0.5, 0.5, 0.0, 0.0]).conditions()] == [True, True]
    assert len(Table([0.0]).conditions()) == 2


def test_parse():
    assert parse_schedule("constant:0.5") == Constant(0.5)
    assert parse_schedule(" Power: 0.5, 0.75 ") == Power(0.5, 0.75)
    assert parse_schedule("table:0.5,0.25,1e-3") == Table([0.5, 0.25, 1e-3])


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: parse_schedule("power:0,0.5"), r"rate is 0\.0; it must be above 0"),
        (lambda: parse_schedule("table:1,-1"), r"rates\[1\] is -1.0"),
        *((lambda rate=rate: Constant(rate), "rate is") for rate in (0, math.nan, True, "0.5", 10**400)),
        *((lambda p=p: Power(0.5, p), "exponent is") for p in (math.inf, math.nan, 8.5, False, "1")),
        (lambda: Table([]), "rates is empty"),
        (lambda: Table([-1e-9]), r"rates\[0\] is -1e-09"),
        (lambda: Table(np.array([True])), r"rates\[0\] is"),
        (lambda: Table(np.ones((2, 2))), "one-dimensional"),
        (lambda: Table([1.7e308, 1.7e308]), "overflows"),
    ],
)  # fmt: skip
def test_bad_numbers(make, text):
    with pytest.raises(InputError, match=text):
        make()


def test_compiled_masses_equal_those_of_python_bit_for_bit():
    compiled = masses.build(numba.njit(error_model="numpy")).mass
    rng = np.random.default_rng(0)
    for schedule in (
        Constant(0.3),
        Power(0.5, 0.5),
        Power(0.1, 0.37),
        Power(0.2, -1.5),
        Table(rng.random(40).tolist()),
    ):
        arguments = schedule._kernel_arguments(1 / 3)
        for _ in range(300):
            t0, span = (int(10.0 ** rng.uniform(0, size)) - 1 for size in (9, 12))
            assert compiled(*arguments, t0, t0 + span) == masses.mass_between(*arguments, t0, t0 + span)
