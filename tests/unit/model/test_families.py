"""Input families: distributions as tables of codes, their reach, their names, and exact alias tables."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from scipy import stats

import sterling as st
from sterling.base.registry import register
from sterling.errors import InputError
from sterling.exact.sampling import CODES, LOWEST, TOTAL, alias_table
from sterling.model.families import FAMILIES, TAIL, Family, get_family
from sterling.model.families import family_table as table_of

SPECS = (
    "gaussian",
    "rademacher",
    "uniform",
    "student_t",
    "student_t:3",
    "student_t:12",
    "exponential",
    "shifted",
    "shifted:-1.5",
    "rectified",
    "ar1",
    "ar1:-0.9",
)

DEVIATION = math.sqrt(0.5 - 0.5 / math.pi)  # of max(0, z), z standard normal

# The same distributions by scipy's own formulas, each of unit variance.
LAWS = {
    "gaussian": stats.norm(),
    "uniform": stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
    "student_t": stats.t(5, scale=math.sqrt(3 / 5)),
    "student_t:3": stats.t(3, scale=math.sqrt(1 / 3)),
    "student_t:12": stats.t(12, scale=math.sqrt(10 / 12)),
    "exponential": stats.expon(-1),
    "shifted": stats.norm(0.5),
    "shifted:-1.5": stats.norm(-1.5),
    "rectified": SimpleNamespace(cdf=lambda x: (x >= 0) * stats.norm.cdf(x * DEVIATION)),
    "ar1": stats.norm(),
    "ar1:-0.9": stats.norm(),
}


def weights_of(table):
    """Return how often each code occurs among the 2^32 patterns of bits, from `keep` and `alias`."""
    share = TOTAL // CODES
    weights = table.keep.astype(np.int64)
    given = share - weights
    np.add.at(weights, table.alias.astype(np.int64) - LOWEST, given)
    return weights


def values_of(family):
    return (np.arange(CODES) + LOWEST) * 2.0**-family.bits


def test_alias_tables_of_odd_distributions():
    """One code alone, two codes, all codes alike, and a single rare code."""
    for points in ({5: 1.0}, {-32768: 0.25, 32767: 0.75}, {0: 1 - 2.0**-32, 7: 2.0**-32}):
        weights = np.zeros(CODES)
        for code, share in points.items():
            weights[code - LOWEST] = share
        table = alias_table(np.concatenate([[0], np.cumsum(weights)]))
        np.testing.assert_array_equal(weights_of(table), weights * TOTAL)
    table = alias_table(np.linspace(0, 1, CODES + 1))
    assert np.all(weights_of(table) == TOTAL // CODES)


@pytest.mark.parametrize("spec", LAWS)
def test_the_distribution_is_the_one_that_its_name_says(spec):
    """Against scipy: the distribution function at the middle between any two codes, off by rounding only."""
    family = get_family(spec)
    found = np.cumsum(weights_of(table_of(family)))[:-1] / TOTAL
    middles = values_of(family)[:-1] + 0.5 * 2.0**-family.bits
    np.testing.assert_allclose(found, LAWS[spec].cdf(middles), rtol=0, atol=2.0**-32)


@pytest.mark.parametrize("spec", SPECS)
def test_the_grid_reaches_far_enough(spec):
    """All but a share `TAIL` of the entries lie on the grid, which is 2^-12 where 16 bits allow it."""
    family = get_family(spec)
    assert family.reach <= 2.0 ** (15 - family.bits)
    assert family.bits == 12 or family.reach > 2.0 ** (15 - family.bits - 1)
    share, x = weights_of(table_of(family)) / TOTAL, values_of(family)
    assert share[np.abs(x) > family.reach].sum() <= 2.5 * TAIL
    assert share[[0, -1]].sum() <= 2.5 * TAIL


@pytest.mark.parametrize("rho", (-0.9, 0.0, 0.6, 0.99))
def test_correlated_features(rho):
    """AR(1): unit variance in every feature and correlation ρ^|k−l|; 4·10⁵ rows put 5σ at 0.008."""
    family = get_family(f"ar1:{rho}")
    rng = np.random.default_rng(0)
    codes = np.rint(rng.normal(size=(400_000, 5)) * 4096).astype(np.int16)
    out = family._correlate(codes) / 4096
    lag = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    np.testing.assert_allclose(out.T @ out / len(out), rho**lag, atol=0.012)


@pytest.mark.parametrize("spec", SPECS)
def test_names_round_trip(spec):
    family = get_family(spec)
    assert get_family(str(family)) == family
    assert get_family(family) is family
    described = family.to_dict()
    assert FAMILIES[described.pop("family")](**described) == family


@pytest.mark.parametrize(
    "spec, cause",
    [
        ("gausian", "'gaussian'"),
        ("gaussian:2", "no parameter"),
        ("student_t:x", "student_t:x"),
        *((f"student_t:{df}", "degrees of freedom") for df in ("2", "nan", "-3", "inf")),
        *((f"ar1:{rho}", "correlation") for rho in ("1", "-1.5", "nan")),
        *((f"shifted:{mean}", "mean") for mean in ("inf", "1000")),
        (None, "inputs is None"),
        (["gaussian"], "inputs is"),
    ],
)
def test_bad_names(spec, cause):
    """The message has the cause, and the nearest name where there is one."""
    with pytest.raises(InputError, match=cause):
        get_family(spec)


@pytest.mark.parametrize(
    "reach, cumulative, about",
    [
        (3.0, lambda x: x, "`cumulative` of the input family 'own'"),
        (3.0, lambda x: np.full_like(x, np.nan), "`cumulative` of the input family 'own'"),
        (3.0, lambda x: 0.5, "`cumulative` of the input family 'own'"),
        (3.0, lambda x: np.clip((x + 3) / 6, 0, 1), "'own' has the variance 3; it must be 1"),
        (-1.0, lambda x: np.clip((x + 3) / 6, 0, 1), "the reach of the input family 'own' is -1"),
    ],
)
def test_a_users_distribution_is_checked(reach, cumulative, about, registries):
    kind = type(
        "Own", (Family,), {"name": "own", "reach": reach, "cumulative": lambda self, x: cumulative(x)}
    )
    register(dataclass(frozen=True)(kind))
    with pytest.raises(InputError, match=about):
        st.Problem(n=3, samples=9, inputs="own").draw(seed=3)


def test_a_family_of_ones_own(registries):
    """Registered, it is drawn by its text, with its own law."""

    @register
    @dataclass(frozen=True)
    class Laplace(Family):
        name: ClassVar[str] = "laplace"
        scale: float = 1.0
        reach = 14.0

        def cumulative(self, x):
            return 0.5 + 0.5 * np.sign(x) * -np.expm1(-np.abs(x) * math.sqrt(2) / self.scale)

    assert get_family("laplace:0.5") == Laplace(0.5)
    problem = st.Problem(n=3, samples=9000, inputs="laplace")
    assert problem.to_dict()["inputs"] == "laplace:1.0"
    assert abs((problem.draw(seed=3).inputs ** 4).mean() - 6) < 1  # its kurtosis
