"""Normalisations of inputs: centre and scale each feature, or whiten them together.

The results do not depend on the machine: moments are exact integer sums, and matrix products run over
integers below 2^53, where float64 is exact in any order.
"""

from __future__ import annotations

import numpy as np

from sterling.errors import InputError, RangeError
from sterling.exact.grid import InputGrid, aligned_zeros

NORMALISATIONS = (None, "standard", "whiten")

_ROWS = 8192  # rows handled at a time, which bounds the memory of the float copies
_WEIGHT_BITS = 20  # grid of the whitening matrix, relative to its largest entry
_LIMIT = 32767


def check_normalisation(name: str | None) -> str | None:
    """Return the name if it is known, else raise InputError."""
    if not (name is None or (isinstance(name, str) and name in NORMALISATIONS)):
        known = ", ".join(repr(known) for known in NORMALISATIONS)
        raise InputError(f"unknown normalisation {name!r}; known are {known}")
    return name


def normalise(grid: InputGrid, name: str | None) -> InputGrid:
    """Return the inputs normalised; all rows (samples and units alike) count as draws of the features.

    "standard" subtracts each feature's mean and divides by its standard deviation; "whiten" removes the
    mean and all correlations with the inverse Cholesky factor of the covariance, so feature 0 is only
    scaled, feature 1 loses what feature 0 explains, and so on. The result lies on the finest common grid
    on which its codes fit 16 bits, at best 2^-12.

    Raises
    ------
    InputError
        For a feature without variance, for too few rows, or, when whitening, features that are linearly
        dependent.
    """
    check_normalisation(name)
    if name is None:
        return grid
    _check_rows(len(grid.rows), grid.features, name)
    codes, spent = (grid.rows, 0) if grid.rows.dtype == np.int16 else _recode(grid)  # scales drop out
    own = grid.rounding / np.ldexp(1.0, grid.shifts - grid.bits + spent)  # error so far, in codes
    means, covariance = _moments(codes, grid.features, full=name == "whiten")
    variances = covariance if covariance.ndim == 1 else covariance.diagonal()
    flat = np.flatnonzero(variances <= 0)
    if flat.size:
        raise InputError(
            f"feature {flat[0]} has the same value in every sample, so it cannot be normalised: drop it"
        )
    if name == "standard":
        return _apply_scales(codes, grid, means, 1 / np.sqrt(variances), own)
    return _apply_matrix(codes, grid, means, _inverse_factor(covariance), own)


def _check_rows(rows: int, features: int, name: str) -> None:
    """Refuse so few rows that no scale, or no covariance of full rank, can come from them."""
    need = 2 if name == "standard" else features + 1
    if rows < need:
        verb = "standardise" if name == "standard" else "whiten"
        have = "one row of inputs is" if rows == 1 else f"{rows} rows of inputs are"
        raise InputError(
            f"{have} too few to {verb} {features} feature{'s' if features > 1 else ''}: "
            f"give {need} or more (samples × hidden units)"
        )


def _recode(grid: InputGrid) -> tuple[np.ndarray, np.ndarray]:
    """Return 32-bit codes shortened to 16 bits, feature by feature, and by how many bits."""
    codes = grid.rows[:, : grid.features].astype(np.int64)
    span = np.maximum(np.abs(codes).max(axis=0), 1)
    spent = np.maximum(0, np.ceil(np.log2(span)).astype(np.int64) - 15)
    codes >>= spent
    return codes.clip(-_LIMIT, _LIMIT).astype(np.int16), spent


def _blocks(count: int):
    return ((first, min(first + _ROWS, count)) for first in range(0, count, _ROWS))


def _moments(codes: np.ndarray, features: int, full: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return means and covariance (only its diagonal unless full); the sums behind them are exact."""
    count = len(codes)
    sums = codes[:, :features].sum(axis=0, dtype=np.int64)
    second = np.zeros((features, features) if full else features, np.int64)
    for first, last in _blocks(count):
        block = codes[first:last, :features].astype(np.float64)  # 2^13 rows · 2^30 stay below 2^53
        moment = block.T @ block if full else (block * block).sum(axis=0)
        second += moment.astype(np.int64)
    means = sums / count
    outer = np.multiply.outer(means, means) if full else means * means
    return means, second / count - outer


def _inverse_factor(covariance: np.ndarray) -> np.ndarray:
    """Return the inverse of the Cholesky factor, by element-wise steps that every machine rounds alike."""
    size = len(covariance)
    rest, factor = covariance.copy(), np.zeros_like(covariance)
    for k in range(size):
        pivot = rest[k, k]
        if pivot <= 1e-9 * covariance[k, k]:
            raise InputError(
                f"feature {k} is a linear combination of the features before it, so the inputs cannot be "
                "whitened: drop it"
            )
        factor[k:, k] = rest[k:, k] / np.sqrt(pivot)
        rest[k + 1 :, k + 1 :] -= np.multiply.outer(factor[k + 1 :, k], factor[k + 1 :, k])
    inverse = np.eye(size)
    for k in range(size):  # forward substitution, one column of the factor at a time
        inverse[k] /= factor[k, k]
        inverse[k + 1 :] -= np.multiply.outer(factor[k + 1 :, k], inverse[k])
    return inverse


def _apply_scales(codes, grid, means, scales, own) -> InputGrid:
    own_codes = codes[:, : grid.features]
    low, high = own_codes.min(axis=0), own_codes.max(axis=0)
    reach = (np.maximum(means - low, high - means) * scales).max()
    bits = _bits_for(reach)
    rows = aligned_zeros(grid.rows.shape, np.int16)
    for first, last in _blocks(len(codes)):
        block = (codes[first:last, : grid.features] - means) * scales
        rows[first:last, : grid.features] = np.rint(np.ldexp(block, bits))
    return InputGrid.plain(rows, grid.features, bits, own * scales + 0.5 ** (bits + 1))


def _apply_matrix(codes, grid, means, matrix, own) -> InputGrid:
    """Apply z = W(x − mean) with W rounded to integers, so that the product is exact."""
    size = grid.features
    exponent = _WEIGHT_BITS - np.ceil(np.log2(np.abs(matrix).max(axis=1))).astype(int)
    weights = np.rint(np.ldexp(matrix, exponent[:, None]))
    if float(np.abs(weights).sum(axis=1).max()) * 2.0**16 >= 2.0**53:
        raise RangeError(f"{size} features are too many to whiten exactly")
    fine = 52 - _WEIGHT_BITS - int(np.ceil(np.log2(size * (np.abs(means).max() + 1))))
    shift = np.ldexp(np.rint(np.ldexp(means, fine)) @ weights.T, -fine)  # integers times integers again
    values = np.empty((len(codes), size), np.float32)
    for first, last in _blocks(len(codes)):
        block = codes[first:last, :size].astype(np.float64) @ weights.T - shift
        values[first:last] = np.ldexp(block, -exponent)
    bits = _bits_for(float(np.abs(values).max()))
    rows = aligned_zeros(grid.rows.shape, np.int16)
    for first, last in _blocks(len(codes)):
        rows[first:last, :size] = np.rint(np.ldexp(values[first:last].astype(np.float64), bits))
    return InputGrid.plain(rows, size, bits, np.abs(matrix) @ own + 0.5 ** (bits + 1))


def _bits_for(reach: float) -> int:
    return min(12, int(np.floor(np.log2(_LIMIT / max(float(reach), 1e-300)))))
