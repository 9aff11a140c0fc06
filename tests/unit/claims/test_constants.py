"""The bound p ≤ ε/S: it holds on data sets and short runs, and one that broke it would be seen."""

import math

import numpy as np
import polars as pl
import pytest

import sterling as st
from sterling.claims.context import Context
from sterling.claims.experiments import constants
from sterling.study import Cell
from sterling.study.trial import trial_seeds


@pytest.fixture(scope="module")
def checked(tmp_path_factory):
    budget = constants.ConstantsBudget({4: 2}, ((4, 60), (5, 3000)), checked=6, steps=300, factor=50)
    return constants.check(Context(tmp_path_factory.mktemp("constants"), threads=1), budget)


def test_no_certificate_and_no_run_breaks_the_bound(checked):
    assert constants.broken_bounds(checked) == 0
    assert len(checked) == 12
    # Where data are many the bound says something, and more than zero of it is used.
    many = checked.filter(pl.col("samples") == 3000)
    assert (many["bound"] < 0.5).all()
    assert (many["certified"] > 0).any()


@pytest.mark.parametrize("column, value", [("certified", 0.9), ("excess", 0.01), ("occupancy", 0.0)])
def test_what_breaks_the_bound_is_counted(checked, column, value):
    worst = checked.sort("bound").head(1).with_columns(pl.lit(value).alias(column), bound=pl.lit(0.1))
    assert constants.broken_bounds(worst) == 1


def test_the_bound_is_that_of_the_data(checked):
    """From the definition: the gradient at all states, and E G = S·√n·(w − w*)/2 for ReLU."""
    row = checked.filter((pl.col("n") == 4) & (pl.col("trial") == 2)).row(0, named=True)
    problem = st.Problem(4, 60, noise=0.5)
    instance = problem.draw(trial_seeds(2026, Cell("landscape", problem), 2).data)
    pull = 1 / math.sqrt(2 * math.pi * 4)
    farthest = 0.0
    for number in range(16):
        signs = np.where((number >> np.arange(4)) & 1, 1, -1).astype(np.int8)
        mean = pull * (signs - instance.teacher) / 2
        farthest = max(farthest, np.abs(instance.gradient(signs) - mean).max())
    assert row["bound"] == pytest.approx(farthest / pull, rel=1e-9)


def test_exponents_and_constants_are_read_off_the_deviations():
    rng = np.random.default_rng(0)
    n = np.repeat([6, 8, 12], 30)
    spread = np.exp(0.01 * rng.standard_normal(90))
    raw = pl.DataFrame(
        {
            "n": n,
            "surrogate": "identity",
            "noise": 0.0,
            "constant": 0.5 * n**0.2 * spread,
        }
    )
    ((label, rows),) = constants.series(raw).items()
    slope = constants.growth(label, rows)
    assert slope.low < 0.2 < slope.high < 0.22
    size, average, visits = constants.at_largest(label, rows)
    c = 0.5 * 12**0.2
    assert size.value == pytest.approx(c, rel=0.01)
    assert average.value == pytest.approx(2 * math.pi * c * c, rel=0.02)
    assert visits.value == pytest.approx(math.pi / 2 * c * c, rel=0.02)
    assert visits.low < visits.value < visits.high
