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


def absence(table: np.ndarray) -> np.ndarray:
    """Return λ and p, (2, n), that prove the shortest absences; zeros where no vectors prove any.

    They minimise Σ λ_k B′_k(∅) + Σ p_k subject to Σ_k max(λ_k B′_k(D), −p_k) ≤ −1 for all D ≠ ∅. Each cut
    fixes a state and the weights for which −p_k counts: docs/science, 13.
    """
    from scipy.optimize import linprog

    n = table.shape[1]
    scale = max(float(table.max()), -float(table.min()), np.finfo(float).tiny)
    cost = np.append(table[0] / scale, np.ones(n))
    columns = np.append(1 << np.arange(n), len(table) - 1)
    cuts = np.hstack((table[columns] / scale, np.zeros((n + 1, n))))
    for _ in range(_ROUNDS):
        found = linprog(cost, A_ub=cuts, b_ub=-np.ones(len(cuts)), method="highs")
        if found.status != 0:  # 2: no vectors satisfy all cuts
            break
        dual, caps = found.x[:n] / scale, found.x[n:]
        rows = _broken(table, dual, caps)
        if not len(rows):
            return np.array([dual, caps])
        capped = rows * dual < -caps
        new = np.hstack((np.where(capped, 0.0, rows / scale), -capped.astype(np.float64)))
        cuts = np.vstack((cuts, new))
    return np.zeros((2, n))


def _broken(table: np.ndarray, dual: np.ndarray, caps: np.ndarray) -> np.ndarray:
    """Return B′ of the few states that break the constraint on absences most, (states, n)."""
    rows, excess = [], []
    for first in range(0, len(table), PRICED):
        block = table[first : first + PRICED]
        found = 1 + np.maximum(block * dual, -caps).sum(axis=1)
        found[: first == 0] = 0.0  # the empty set has no constraint
        best = np.argsort(-found, kind="stable")[:_NEW]
        rows.append(block[best])
        excess.append(found[best])
    worst = np.concatenate(excess)
    best = np.argsort(-worst, kind="stable")[:_NEW]
    return np.concatenate(rows)[best[worst[best] > SLACK]]


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
