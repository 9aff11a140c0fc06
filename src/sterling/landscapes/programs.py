"""Linear programs over the polytope of the balance, with n rows and 2ⁿ columns, by column generation."""

from __future__ import annotations

from typing import Any

import numpy as np

from sterling.base.progress import Progress
from sterling.errors import SterlingError
from sterling.landscapes.numbering import members

#: States priced at a time.
PRICED = 1 << 14
#: Tolerance of a price. It affects only the sharpness of the bound, because the proof is evaluated again.
SLACK = 1e-7

_NEW = 8  # states that one program may bring in at a time
_ROUNDS = 200  # of column generation, at most


def minimum(goal: np.ndarray, rows: np.ndarray, equal: np.ndarray) -> Any:
    """Return SciPy's solution of the least goal·π for π ≥ 0, Σ π = 1, rows·π ≥ 0 and equal·π = 0."""
    from scipy.optimize import linprog

    found = linprog(
        goal,
        A_ub=-rows if len(rows) else None,
        b_ub=np.zeros(len(rows)) if len(rows) else None,
        A_eq=np.vstack((np.ones(len(goal)), equal)),
        b_eq=np.append(1.0, np.zeros(len(equal))),
        method="highs",
    )
    if found.status != 0:
        raise SterlingError(f"a linear program of the certificate failed: {found.message}")
    return found


def bounds(table: np.ndarray, show) -> np.ndarray:
    """Return the optimal dual vectors, (n + 1, n), of the minima of π(∅) and of −Σ_{D∋k} π(D) over P."""
    n = table.shape[1]
    scale = max(float(table.max()), -float(table.min()), np.finfo(float).tiny)
    columns = np.unique(np.concatenate([[0], 1 << np.arange(n), [(1 << n) - 1]]))
    duals, levels = np.zeros((n + 1, n)), np.zeros(n + 1)
    open_programs = np.arange(n + 1)
    for _ in range(_ROUNDS):
        rows = table[columns] / scale
        goals = _goals(columns, n)
        for program in open_programs:
            found = minimum(goals[:, program], rows.T, np.zeros((0, len(columns))))
            duals[program] = np.maximum(-found.ineqlin.marginals, 0.0) / scale
            levels[program] = float(found.eqlin.marginals[0])
        new, open_programs = _price(table, duals, levels, open_programs)
        if not open_programs.size:
            break
        columns = np.union1d(columns, new)
        if show is not None:
            show(Progress(n + 1 - open_programs.size, n + 1, f"{len(columns)} states in the programs"))
    return duals


def _goals(sets: np.ndarray, n: int) -> np.ndarray:
    """Return the objectives of all programs at the sets, float64 (sets, n + 1)."""
    return np.column_stack([sets == 0, -members(sets, n).astype(np.float64)]).astype(np.float64)


def _price(
    table: np.ndarray, duals: np.ndarray, levels: np.ndarray, programs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return a few sets per program that the duals price too low, and the programs with such sets."""
    n = table.shape[1]
    found: list[np.ndarray] = []
    costs: list[np.ndarray] = []
    for first in range(0, len(table), PRICED):
        block = table[first : first + PRICED]
        sets = first + np.arange(len(block))
        reduced = _goals(sets, n)[:, programs] - block @ duals[programs].T - levels[programs]
        few = min(_NEW, len(block))
        best = np.argpartition(reduced, few - 1, axis=0)[:few]
        found.append(first + best)
        costs.append(np.take_along_axis(reduced, best, axis=0))
    sets, reduced = np.concatenate(found), np.concatenate(costs)
    order = np.argsort(reduced, axis=0, kind="stable")[:_NEW]
    sets, reduced = (np.take_along_axis(one, order, axis=0) for one in (sets, reduced))
    cheap = reduced < -SLACK
    return np.unique(sets[cheap]), programs[cheap.any(axis=0)]
