"""How often the teacher absorbs under damping: the bound of docs/science, 17, statement 6.

Seeds are fixed. With other seeds a correct program would fail each check with probability below 1e-6.
"""

from __future__ import annotations

import math

import pytest
from scipy import stats

import sterling as st


@pytest.mark.parametrize("surrogate, doubled", [("relu", 2), ("identity", 1)])
def test_the_teacher_absorbs_with_the_proved_probability(surrogate, doubled):
    n, noise, damping, missed, draws = 16, 0.5, 0.5, 0.1, 120
    factor = doubled * math.pi * noise**2 * n / damping**2 + 2 * doubled
    problem = st.Problem(n=n, samples=math.ceil(factor * math.log(n / missed)), noise=noise)
    threshold = damping * st.theory.signal(problem, surrogate=surrogate)
    absorbing = 0
    for seed in range(draws):
        data = problem.draw(seed=seed)
        absorbing += bool((data.teacher * data.gradient(data.teacher, surrogate)).max() <= threshold)
    assert absorbing >= stats.binom.ppf(1e-6, draws, 1 - missed)
