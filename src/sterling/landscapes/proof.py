"""The bounds that dual vectors prove, evaluated over all states with a bound on every rounding error.

This file uses no part of the search for them. `certificate.py` and `cases.py` state the proofs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from sterling.errors import InputError
from sterling.landscapes.numbering import members
from sterling.model.instance import Instance
from sterling.surrogates import Surrogate, get_surrogate

_BLOCK_BYTES = 1 << 21  # of a block of pre-activations, so that it stays in the cache
_UNIT = 2.0**-53  # the largest relative error of one rounding


class Proved(NamedTuple):
    """The bounds that dual vectors prove."""

    balance_occupancy: float
    occupancy: float
    wrong_share: np.ndarray  # float64 (n,)
    absence: np.ndarray  # float64 (2,), see `Certificate.absence`
    absorbs: bool


def check(
    instance: Instance,
    surrogate: str | Surrogate,
    reference: np.ndarray,
    *proofs: np.ndarray,
) -> Proved:
    """Return what the dual vectors prove.

    The gradient of each state comes from its definition: no Gray code, no table, no linear program.
    """
    blocks = _by_definition(instance, get_surrogate(surrogate), reference)
    return judge(blocks, instance, reference, surrogate, *proofs)


def _by_definition(
    instance: Instance, surrogate: Surrogate, reference: np.ndarray
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first, B of the sets of wrong weights first, first + 1, …) in blocks, float64 (block, n)."""
    n, m = instance.n, instance.m
    grid = instance.grid
    codes = (grid.rows[:, :n].astype(np.float64) + grid.offsets) * np.ldexp(1.0, grid.shifts)
    low, high = (float(end) for end in surrogate._thresholds(instance.unit_squared))
    labels = instance.label_codes.astype(np.float64)
    residual, readout = instance.residual_codes.astype(np.float64), instance.readout_codes.astype(np.float64)
    block = max(1, min(1 << n, _BLOCK_BYTES // (8 * len(codes))))
    for first in range(0, 1 << n, block):
        wrong = members(np.arange(first, min(first + block, 1 << n)), n)
        signs = np.where(wrong, -reference, reference).astype(np.float64)
        before = signs @ codes.T
        outputs = (before > 0).reshape(len(wrong), -1, m) @ residual
        slopes = (before >= low) & (before <= high)
        weights = ((outputs - labels)[:, :, None] * readout).reshape(len(wrong), -1) * slopes
        yield first, (weights @ codes) * (reference / instance.unit)


def clipped(pushes: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Return B′: B of the weights that are wrong, its positive part of the others."""
    return np.where(wrong, pushes, np.maximum(pushes, 0.0))


def judge(
    blocks: Iterable[tuple[int, np.ndarray]],
    instance: Instance,
    reference: np.ndarray,
    surrogate: str | Surrogate,
    duals: np.ndarray,
    cases: np.ndarray,
    case_duals: np.ndarray,
    absence_dual: np.ndarray,
    *,
    margin: float = 1.0,
) -> Proved:
    """Return the bounds that the dual vectors prove, less a bound on the rounding errors times ``margin``.

    With u = 2⁻⁵³: an entry of B′ has the relative error 2u; a product adds u, a sum of n terms (n − 1) u of
    the sum of sizes, the last addition u of the result.
    """
    n = instance.n
    vectors = np.vstack((duals, absence_dual))
    if vectors.shape != (n + 3, n) or not (np.isfinite(vectors).all() and (vectors >= 0).all()):
        raise InputError(f"dual vectors must be {n + 3} by {n} finite numbers that are not negative")
    vectors, caps = vectors[:-1], vectors[-1]
    inexact = 0.0
    if instance.gradient_bound >= 1 << 53:  # sums of floats are rounded too
        inexact = instance.samples * instance.m * _UNIT * instance.gradient_bound / instance.unit
    if not complete(cases):  # they prove nothing
        cases, case_duals = cases[:0], case_duals[:0]
    if not (np.isfinite(case_duals).all() and (case_duals[cases == 0] >= 0).all()):
        raise InputError("dual vectors of cases must be finite, and negative for balanced weights only")
    parted = len(cases) > 0
    occupancy, worst, least = math.inf, np.full(n, -math.inf), np.full(len(cases), math.inf)
    outward, pull = 0.0, math.inf  # of the bound on absences
    for first, pushes in blocks:
        wrong = members(np.arange(first, first + len(pushes)), n)
        block = clipped(pushes, wrong)
        totals = block @ vectors.T
        capped = np.maximum(block * vectors[-1], -caps).sum(axis=1)
        sizes = np.abs(block) + inexact / _UNIT / (n + 4)
        errors = margin * (n + 4) * _UNIT * (1 + sizes @ vectors.T * (1 + 1e-10))
        empty = first + np.arange(len(block)) == 0
        occupancy = min(occupancy, float((empty - totals[:, 0] - errors[:, 0]).min()))
        worst = np.maximum(worst, (wrong + totals[:, 1:-1] + errors[:, 1:-1]).max(axis=0))
        if first == 0:
            outward = float(totals[0, -1] + errors[0, -1])
        pull = min(pull, float((-capped - errors[:, -1])[~empty].min(initial=math.inf)))
        if parted:
            parted = homewards(pushes, wrong, inexact)
            totals, absent = proved(pushes, block, wrong, cases, case_duals)
            sizes = np.abs(pushes) + inexact / _UNIT / (n + 4)
            errors = margin * (2 * n + 4) * _UNIT * (1 + sizes @ np.abs(case_duals).T * (1 + 1e-10))
            least = np.minimum(least, np.where(absent, np.inf, empty[:, None] - totals - errors).min(axis=0))
    sharper = max(occupancy, float(least.min())) if parted else occupancy
    absorbs = bool((reference * instance.gradient(reference, surrogate) <= 0).all())
    alone, best = (min(1.0, max(0.0, bound)) for bound in (occupancy, sharper))
    absence = np.full(2, math.inf)
    if pull > 0:
        rounded = 1 + margin * (n + 4) * _UNIT
        absence = np.array([outward, caps.sum()]) / pull * rounded
    return Proved(alone, best, np.minimum(1.0, worst), absence, absorbs)


def homewards(block: np.ndarray, wrong: np.ndarray, inexact: float = 0.0) -> bool:
    """Whether B_k ≤ 0 for every wrong weight of these states; ``inexact`` bounds the error of B_k."""
    return bool((block[wrong] <= -inexact).all())


def complete(cases: np.ndarray) -> bool:
    """Whether cases exclude each other and cover everything: their volumes then add up to one."""
    clash = [(one * cases[k + 1 :] == -1).any(axis=1).all() for k, one in enumerate(cases)]
    return all(clash) and float(np.exp2(-np.count_nonzero(cases, axis=1).astype(float)).sum()) == 1.0


def proved(
    block: np.ndarray, kept: np.ndarray, wrong: np.ndarray, cases: np.ndarray, duals: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return Σ λ_k B′_k or B_k at states, (states, cases), and which states a case excludes."""
    free, even = np.where(cases == 0, duals, 0.0), np.where(cases == 1, duals, 0.0)
    return kept @ free.T + block @ even.T, (wrong @ (cases == -1).T.astype(np.float64)) > 0
