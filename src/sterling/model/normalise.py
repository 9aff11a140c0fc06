"""Normalisation of inputs: it centres and scales each feature, or whitens all of them together.

The results do not depend on the machine: moments are exact integer sums, and matrix products run over
integers below 2^53, where float64 is exact in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling.base.arrays import real_array
from sterling.base.checks import choice
from sterling.base.text import Described, counted
from sterling.errors import InputError, RangeError
from sterling.exact.grid import InputGrid, aligned_zeros

NAMES = ("standard", "whiten")

_ROWS = 8192  # rows converted to floats at a time
_WEIGHT_BITS = 20  # grid of the whitening matrix, relative to its largest entry
_LIMIT = 32767


@dataclass(frozen=True, eq=False, repr=False)
class Normalizer(Described):
    """A fitted map of the inputs to z = scale·(x − mean); ``instance.normalizer`` has that of the data.

    "standard" gives each feature mean 0 and variance 1. "whiten" also removes all correlations, by the
    inverse Cholesky factor of the covariance: so feature 0 is only scaled, feature 1 loses what feature 0
    explains, and so on. In the fit each row, that is each unit of each sample, counts as a draw of the
    features.

    Parameters
    ----------
    name : "standard" or "whiten"
        Kind of the map.
    mean : array (n,)
        Mean of each feature.
    scale : array (n,) or, for "whiten", (n, n)
        Inverse standard deviations, or the inverse factor.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Instance([[1.0], [3.0]], [0, 1], normalize="standard")
    >>> instance.normalizer
    <Normalizer: standard, 1 feature>
    >>> instance.normalizer.apply([[5.0]])
    array([[3.]])
    """

    name: str
    mean: np.ndarray
    scale: np.ndarray

    def apply(self, inputs: Any) -> np.ndarray:
        """Return normalised inputs.

        Parameters
        ----------
        inputs : array (…, n)
            The inputs, not normalised.

        Returns
        -------
        float64 array (…, n)
            The normalised inputs, not rounded to a grid.

        Raises
        ------
        InputError
            If it was fitted to another number of features.
        """
        values, n = real_array(inputs, "inputs"), len(self.mean)
        if values.shape[-1:] != (n,):
            raise InputError(f"inputs have the shape {values.shape}; the normaliser takes {n} features")
        centred = values - self.mean
        return centred @ self.scale.T if self.name == "whiten" else centred * self.scale

    def _again(self, values: np.ndarray) -> np.ndarray:
        """Return normalised inputs (rows, n) as `normalise` has them before rounding."""
        moved = self.apply(values)
        return moved.astype(np.float32).astype(np.float64) if self.name == "whiten" else moved

    def __repr__(self) -> str:
        return f"<Normalizer: {self.name}, {counted(len(self.mean), 'feature')}>"


def check_normalize(given: str | None) -> str | None:
    """Return the name of a normalisation, or None."""
    known = "none" if given is None else choice(given, "normalize", ("none", *NAMES))
    return None if known == "none" else known


def normalise(grid: InputGrid, name: str) -> tuple[InputGrid, Normalizer]:
    """Return the normalised inputs and the fitted normaliser."""
    codes = _Codes(grid)
    fitted = _fitted(codes, name)
    move, rounding = _map(codes, fitted)
    reach = max(float(np.abs(move(block)).max()) for _, block in codes.blocks())
    bits = min(12, int(np.floor(np.log2(_LIMIT / max(reach, 1e-300)))))
    rows = aligned_zeros(grid.rows.shape, np.int16)
    for first, block in codes.blocks():
        rows[first : first + len(block), : grid.features] = np.rint(np.ldexp(move(block), bits))
    return InputGrid.plain(rows, grid.features, bits, rounding + 0.5 ** (bits + 1)), fitted


class _Codes:
    """The codes of a grid in 16 bits; x = unit·code + base, feature by feature."""

    def __init__(self, grid: InputGrid):
        spent: Any = 0
        self.rows = grid.rows[:, : grid.features]
        if self.rows.dtype != np.int16:  # shorten codes by whole bits, feature by feature
            codes = self.rows.astype(np.float64)
            spent = np.maximum(0, np.ceil(np.log2(np.maximum(np.abs(codes).max(axis=0), 1))).astype(int) - 15)
            short = np.rint(np.ldexp(codes, -spent))  # cutting off would shift the mean
            self.rows = short.clip(-_LIMIT, _LIMIT).astype(np.int16)
        scale = np.ldexp(1.0, (grid.shifts - grid.bits).astype(np.int32))
        self.unit = np.ldexp(scale, spent)
        self.base = grid.offsets * scale
        self.rounding = grid.rounding / self.unit + 0.5 * (np.asarray(spent) > 0)  # error so far, in codes

    def blocks(self):
        """Yield (first row, float64 codes) of blocks of rows."""
        for first in range(0, len(self.rows), _ROWS):
            yield first, self.rows[first : first + _ROWS].astype(np.float64)


def _fitted(codes: _Codes, name: str) -> Normalizer:
    """Return the normaliser of these data, from exact sums."""
    count, features = codes.rows.shape
    full = name == "whiten"
    need = features + 1 if full else 2
    if count < need:
        have = "one row of inputs is" if count == 1 else f"{count} rows of inputs are"
        raise InputError(
            f"{have} too few to normalise {counted(features, 'feature')} by {name!r}: "
            f"give {need} or more (samples × hidden units)"
        )
    second = np.zeros((features, features) if full else features, np.int64)
    for _, block in codes.blocks():  # 2^13 rows · 2^30 stay below 2^53
        second += (block.T @ block if full else (block * block).sum(axis=0)).astype(np.int64)
    means = codes.rows.sum(axis=0, dtype=np.int64) / count
    covariance = second / count - (np.multiply.outer(means, means) if full else means * means)
    flat = np.flatnonzero((covariance.diagonal() if full else covariance) <= 0)
    if flat.size:
        raise InputError(
            f"feature {flat[0]} has the same value in every sample, so it cannot be normalised: drop it",
            about=(int(flat[0]),),
        )
    mean = means * codes.unit + codes.base
    if not full:
        return Normalizer(name, mean, 1 / np.sqrt(covariance) / codes.unit)
    weights, exponent = _whole(_inverse_factor(covariance))
    return Normalizer(name, mean, np.ldexp(weights, -exponent[:, None]) / codes.unit)


def _map(codes: _Codes, fitted: Normalizer) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Return the map of codes to normalised values, and the errors of these, (n,), before their rounding."""
    means, scale = (fitted.mean - codes.base) / codes.unit, fitted.scale * codes.unit
    if fitted.name == "standard":
        return lambda block: (block - means) * scale, codes.rounding * np.abs(scale)
    weights, exponent = _whole(scale)  # integers, so that the product is exact
    if float(np.abs(weights).sum(axis=1).max()) * 2.0**16 >= 2.0**53:
        raise RangeError(f"{len(means)} features are too many to whiten exactly")
    fine = 52 - _WEIGHT_BITS - int(np.ceil(np.log2(len(means) * (np.abs(means).max() + 1))))
    shift = np.ldexp(np.rint(np.ldexp(means, fine)) @ weights.T, -fine)  # integers times integers again

    def whiten(block: np.ndarray) -> np.ndarray:
        return np.ldexp(block @ weights.T - shift, -exponent).astype(np.float32).astype(np.float64)

    return whiten, np.abs(scale) @ codes.rounding


def _inverse_factor(covariance: np.ndarray) -> np.ndarray:
    """Return the inverse Cholesky factor, by element-wise steps with the same bits on every machine."""
    size = len(covariance)
    rest, factor = covariance.copy(), np.zeros_like(covariance)
    for k in range(size):
        pivot = rest[k, k]
        if pivot <= 1e-9 * covariance[k, k]:
            raise InputError(
                f"feature {k} is a linear combination of the features before it, so the inputs cannot be "
                "whitened: drop it",
                about=(k,),
            )
        factor[k:, k] = rest[k:, k] / np.sqrt(pivot)
        rest[k + 1 :, k + 1 :] -= np.multiply.outer(factor[k + 1 :, k], factor[k + 1 :, k])
    inverse = np.eye(size)
    for k in range(size):  # forward substitution, one column of the factor at a time
        inverse[k] /= factor[k, k]
        inverse[k + 1 :] -= np.multiply.outer(factor[k + 1 :, k], inverse[k])
    return inverse


def _whole(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a matrix as integers times 2^-exponent, row by row, rounded to 2^-20 of the largest entry."""
    exponent = _WEIGHT_BITS - np.ceil(np.log2(np.abs(matrix).max(axis=1))).astype(int)
    return np.rint(np.ldexp(matrix, exponent[:, None])), exponent
