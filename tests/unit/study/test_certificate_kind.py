"""Studies of proofs and of runs from other starts, on the data that plain runs get."""

import numpy as np
import pytest

import sterling as st
from sterling.claims.starts import OPPOSITE
from sterling.schedules import parse_schedule
from sterling.study import Cell
from sterling.study.trial import run_trial, trial_seeds
from tests.statistical.test_certificates import steepest

PROBLEM = st.Problem(n=6, samples=300, noise=0.5)


def test_a_row_is_the_certificate_of_the_data_of_runs():
    cell = Cell("certificate", PROBLEM)
    data = trial_seeds(3, cell, 5).data
    assert data == trial_seeds(3, Cell("train", PROBLEM), 5).data
    instance = PROBLEM.draw(data)
    row, proof = run_trial(cell, 5, 3), st.certify(instance)
    assert (row["proved"], row["occupancy"], row["decodes"]) == (
        proof.recurrent,
        proof.occupancy,
        proof.decodes,
    )
    assert row["wrong_share"] == proof.wrong_share.max()
    assert row["duals"] == proof.duals[0].tolist()
    assert row["verified"] is True
    assert row["steepest"] == pytest.approx(steepest(instance), rel=1e-12)


@pytest.mark.parametrize("schedule", ["constant:0.5", "power:0.5,0.5"])
def test_the_mass_at_the_teacher_is_that_of_the_steps_there(schedule):
    cell = Cell("starts", PROBLEM, {"steps": 500, "schedule": schedule})
    row = run_trial(cell, 0, 0)
    sizes = parse_schedule(schedule).at(np.arange(500))
    instance = PROBLEM.draw(trial_seeds(0, cell, 0).data)
    latent = st.train(instance, steps=1, init=trial_seeds(0, cell, 0).data).start_latent.copy()
    there, wrong = 0.0, np.zeros(6)
    for size in sizes:
        signs = np.where(latent >= 0, 1, -1).astype(np.int8)
        there += size * (signs == instance.teacher).all()
        wrong += size * (signs != instance.teacher)
        latent -= size * instance.gradient(signs)
    assert row["mass_occupancy"] == pytest.approx(there / sizes.sum(), rel=1e-9)
    assert row["mass_wrong"] == pytest.approx(wrong / sizes.sum(), abs=1e-9)
    assert row["mass"] == pytest.approx(sizes.sum(), rel=1e-12)
    assert row["largest_step"] == 0.5


def test_the_first_start_is_that_of_plain_runs_and_others_are_not():
    def row(kind, **settings):
        return run_trial(Cell(kind, PROBLEM, {"steps": 300, **settings}), 2, 0)

    plain, first = row("train"), row("starts")
    assert {name: first[name] for name in plain if name != "seconds"} == {
        name: value for name, value in plain.items() if name != "seconds"
    }
    starts = [row("starts", start=start)["start_latent"] for start in (0, 1, 2)]
    assert len({tuple(one) for one in starts}) == 3
    teacher = PROBLEM.draw(trial_seeds(0, Cell("train", PROBLEM), 2).data).teacher
    assert teacher is not None
    assert (np.sign(row("starts", start=OPPOSITE)["start_latent"]) == -teacher).all()
