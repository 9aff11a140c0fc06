"""Trials of the kind "gradients": gradients of data of their own at random states, beside E G."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from sterling.base import checks
from sterling.errors import InputError
from sterling.study.columns import COUNT, REAL, Column
from sterling.study.kind import Cell, Kind, Look, Seeds

_STATES = 5  # extends the seed of the data, beside the parts of a draw (`sterling.model.problem`)
_TRIAL, _ENTRY = 2e-3, 1e-8  # seconds of one machine; only ratios matter


def _run(cell: Cell, seeds: Seeds, look: Look) -> dict[str, Any]:
    from sterling.theory.population import population_gradient

    problem, surrogate = cell.problem, cell.settings["surrogate"]
    instance = problem.draw(seeds.data)
    teacher = instance.teacher
    assert teacher is not None  # it was drawn
    found: dict[str, list] = {name: [] for name in _LISTS}
    distances = np.unique(np.linspace(1, problem.n, cell.settings["distances"]).round().astype(int))
    for place, distance in enumerate(distances):
        look()
        signs = teacher.copy()
        # From the data's seed: every surrogate is asked at the same states.
        state = np.random.SeedSequence(seeds.data, spawn_key=(_STATES, place))
        signs[np.random.default_rng(state).permutation(problem.n)[:distance]] *= -1
        measured = instance.gradient(signs, surrogate)
        expected = population_gradient(instance, signs, surrogate=surrogate)
        for group, mask in (("wrong", signs != teacher), ("right", signs == teacher)):
            if mask.any():
                one, two = measured[mask], expected[mask]
                values = (
                    int(distance),
                    group,
                    int(mask.sum()),
                    float(np.mean((expected * signs)[mask])),
                    float(np.mean((measured * signs)[mask])),
                    float(np.sum(one * two)),
                    float(np.sum(two * two)),
                    float(np.sum(one * one)),
                )
                for name, value in zip(_LISTS, values, strict=True):
                    found[name].append(value)
    return {"norm2": float(instance.readout_norm2), **found}


#: Of each state and kind of weight: how many there are, the mean entry along the weight of E G and of G, and
#: the sums from which slopes and what lies across can be computed.
_LISTS = {
    "distance": COUNT.list(),
    "weights": Column("List(String)", words=("wrong", "right")),
    "count": COUNT.list(),
    "expected": REAL.list(),
    "measured": REAL.list(),
    "product": REAL.list(),
    "square_expected": REAL.list(),
    "square_measured": REAL.list(),
}


def _check(cell: Cell) -> None:
    checks.integer(cell.settings["distances"], "distances", 1, 10_000)
    problem = cell.problem
    if str(problem.inputs) != "gaussian" or problem.normalize is not None:
        raise InputError(
            f"trials of the kind 'gradients' need Gaussian inputs as they are, not {problem.inputs} with "
            f"normalize={problem.normalize!r}: E G is known for those alone"
        )


KIND = Kind(
    "gradients",
    _run,
    {"norm2": replace(REAL, low=0), **_LISTS},
    settings={"surrogate": "relu", "distances": 8},
    check=_check,
    small=Cell.small,
)
