"""Averages of weights of several levels: the runs of train, the law, and the rule."""

import numpy as np
import pytest

import sterling as st
from sterling.claims.context import Context
from sterling.claims.experiments import levels

BUDGET = levels.LevelsBudget(n=16, samples=64, instances=2, steps=300)


def test_each_average_is_that_of_train_and_stands_beside_the_law(tmp_path):
    found = levels.measure(Context(tmp_path, threads=1), BUDGET)
    rows = found.tables["levels-averages"].to_dicts()
    assert [row["levels"] for row in rows] == [3, 3, 4, 4]
    for row in rows:
        instance = st.Problem(n=16, samples=64, levels=row["levels"]).draw(row["seed"])
        orbit = st.train(instance, 300, st.Constant(0.5), "identity", init=row["seed"])
        assert row["average"] == pytest.approx(orbit.ergodic_mean * 4)
        assert row["predicted"] == pytest.approx(st.theory.chatter_mean(instance, "identity"))
    # Levels of ternary weights are 1 apart.
    apart = [np.abs(np.subtract(row["average"], row["predicted"])).mean() for row in rows[:2]]
    assert found.measured[0].value == pytest.approx(np.mean(apart))
    assert max(one.high for one in found.measured if "correlation" in one.name) == 1  # and no higher
