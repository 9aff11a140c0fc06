"""How growth of N₅₀ is judged: by the exponent, and by the top of the range where no power law holds."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling.claims.finding import Judgement
from sterling.claims.scaling import ends, growth_rule
from sterling.study.fit import fit_exponent
from sterling.study.kind import Cell
from sterling.study.report import SeriesFit, expected

DIMENSIONS = np.array([8, 16, 32, 64])
RATIOS = np.array([0.4, 0.65, 1.0, 1.5, 2.4])


def cell(**other):
    """Return a cell of the series, or of one that differs."""
    problem = {name: other.pop(name) for name in ("noise", "inputs", "levels") if name in other}
    return Cell("train", st.Problem(n=8, samples=20, **problem), {"steps": 1000, **other})


def series(exponent, bend=0.0, trials=1000):
    """Return the fit of counts, as they are expected, from thresholds 2·n^exponent that bend."""
    n = np.repeat(DIMENSIONS, len(RATIOS))
    middle = 2 * n**exponent * np.exp(bend * np.log(n / 16) ** 2)
    samples = np.round(middle * np.tile(RATIOS, len(DIMENSIONS)))
    won = np.round(trials / (1 + (middle / samples) ** 3))
    fit = fit_exponent(n, samples, np.full(len(n), trials), won)
    return SeriesFit({"steps": 1000}, "ergodic", "ergodic", fit, "", None, ())


@pytest.mark.parametrize(
    "growth, bend, judgement",
    [
        (1.2, 0.0, Judgement.FAR_INSIDE),
        (1.8, 0.0, Judgement.CONSISTENT),
        (2.3, 0.0, Judgement.CONTRADICTED),
        (1.2, 0.15, Judgement.CONSISTENT),  # far inside on average, but not at the top
        (1.2, 0.5, Judgement.CONTRADICTED),  # less than n² on average, but steeper at the top
    ],
)
def test_growth_is_judged_at_the_top_too(growth, bend, judgement):
    one = series(growth, bend)
    assert len(ends(one)) == 1 + (bend > 0)
    assert growth_rule("the exponent", 2.0).judge(ends(one)) is judgement


def test_theory_stands_beside_the_series_it_speaks_of():
    dimensions = [16, 32]
    proved, law = expected(cell(), "optimal", dimensions)
    assert (proved.kind, proved.exponent, proved.samples) == ("theorem", pytest.approx(4), {})
    assert law.samples[32] == pytest.approx(2.88 * 32, rel=0.02)
    assert expected(cell(restart="300,0.05"), "optimal", dimensions) == (proved,)
    (proved, law) = expected(cell(noise=0.5), "ergodic", dimensions)
    assert proved.exponent == pytest.approx(2)
    assert "without label noise" in proved.source
    assert 1 < law.exponent < 2
    (_, law) = expected(cell(noise=0.5), "occupancy>=0.5", dimensions)
    assert 2.5 < law.exponent < 3
    assert expected(cell(inputs="uniform"), "optimal", dimensions) == ()
    assert expected(cell(levels=3), "visit", dimensions) == ()
    assert expected(cell(), "optimal", [8]) == ()
    assert [one.kind for one in expected(cell(), "visit", dimensions)] == ["theorem"]
    assert expected(cell(), "certified", dimensions) == ()
