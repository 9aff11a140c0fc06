"""Wrong shares of several optimisers: the same data sets, the runs of train, and the rule."""

import numpy as np
import pytest

import sterling as st
from sterling.claims.context import Context
from sterling.claims.experiments import optimisers

STEPS = 3000
PROBLEM = st.Problem(n=8, samples=200, noise=0.5)
BUDGET = optimisers.OptimisersBudget(
    n=8,
    samples=200,
    instances=3,
    steps=STEPS,
    methods=("SGD, full batch", "momentum 0.9, full batch", "Lion, full batch", "sign, full batch"),
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return optimisers.measure(Context(tmp_path_factory.mktemp("optimisers"), threads=1), BUDGET)


def test_optimisers_share_their_data_sets_and_each_run_is_the_one_of_train(found):
    rows = found.tables["optimiser-shares"]
    assert len(rows) == 12
    assert rows["seed"].n_unique() == 3
    for row in rows.to_dicts():
        method = optimisers.METHODS[row["method"]]
        schedule = st.Constant(float(method.schedule.partition(":")[2]))
        seed = row["seed"]
        orbit = st.train(PROBLEM.draw(seed), STEPS, schedule, optimizer=method.optimizer, init=seed)
        assert np.array_equal(row["wrong"], orbit.wrong_share)


def test_measured_numbers_are_distances_from_the_balance(found):
    rows = found.tables["optimiser-shares"].filter(method="SGD, full batch").to_dicts()
    apart = [
        np.abs(st.theory.balance(PROBLEM.draw(row["seed"])).wrong_share - row["wrong"]).mean() for row in rows
    ]
    assert found.measured[0].value == pytest.approx(np.mean(apart))
