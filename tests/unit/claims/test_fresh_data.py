"""Runs on fresh samples: the same as a loop that takes one step at a time; the law of the random walk."""

from dataclasses import replace

import numpy as np
import pytest

import sterling as st
from sterling.claims.experiments import fresh_data
from sterling.schedules import parse_schedule
from sterling.study import Cell
from sterling.study.trial import run_trial, trial_seeds

PROBLEM = st.Problem(n=5, samples=12, noise=0.5)


def naive(cell, seeds, steps):
    """Return the signs of all iterates; every step has an instance of its own."""
    problem, schedule = cell.problem, parse_schedule(cell.settings["schedule"])
    teacher = problem.draw(seeds.data).teacher
    latent = st.train(problem.draw(seeds.data), steps=1, init=seeds.data).start_latent.copy()
    block = fresh_data._BLOCK
    many = replace(problem, samples=problem.samples * block)
    found = []
    for step in range(steps):
        if step % block == 0:
            drawn = many.draw(np.random.SeedSequence(seeds.rest, spawn_key=(step // block,)))
        part = slice(step % block * problem.samples, (step % block + 1) * problem.samples)
        inputs = drawn.inputs[part] * (teacher * drawn.teacher)
        signs = np.where(latent >= 0, 1, -1).astype(np.int8)
        found.append(signs)
        gradient = st.Instance(inputs, drawn.labels[part]).gradient(signs, cell.settings["surrogate"])
        latent -= schedule.at(step) * gradient
    return np.array(found), teacher


@pytest.mark.parametrize("settings", [{}, {"surrogate": "identity", "schedule": "power:1,0.5"}])
def test_a_run_on_fresh_data_is_the_loop_step_by_step(settings):
    steps = 500
    cell = Cell("fresh", PROBLEM, {"steps": steps, **settings})
    seeds = trial_seeds(3, cell, 0)
    signs, teacher = naive(cell, seeds, steps)
    there = (signs == teacher).all(axis=1)
    arrivals = there & ~np.concatenate([[False], there[:-1]])
    row = run_trial(cell, 0, 3)
    assert row["visits"] == arrivals.sum() > 10
    assert row["occupancy"] == there.mean()
    assert (row["away_first"], row["away_last"]) == ((~there)[:250].sum(), (~there)[250:].sum())
    assert row["mark_visits"] == [arrivals[:mark].sum() for mark in row["mark_steps"]]


def test_the_exponent_of_visits_falls_to_one_half():
    budgets = (fresh_data.FreshDataBudget(8, 100, 2, steps) for steps in (10_000, 10**6, 10**8))
    found = [fresh_data.predicted_growth(one, 1) for one in budgets]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.6 > 0.53 > found[1] > 0.5
    assert found[-1] == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("problem", [{"m": 2}, {"inputs": "uniform"}, {"normalize": "standard"}])
def test_what_has_no_fresh_data_is_refused(problem):
    with pytest.raises(st.InputError, match="fresh data"):
        Cell("fresh", replace(PROBLEM, **problem))
