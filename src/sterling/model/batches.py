"""Gradients of some samples of an instance, and the extremes over single ones, in exact integer sums."""

from __future__ import annotations

import numpy as np

from sterling.model.instance import Instance
from sterling.surrogates import Surrogate

_ROWS = 2048  # samples taken at a time


def batch_gradient(
    instance: Instance, signs: np.ndarray, surrogate: Surrogate, batch: np.ndarray
) -> np.ndarray:
    """Return the gradient of some samples, which may repeat, float64 (n,); signs are not checked."""
    codes, coefficients, slopes, bits = _terms(instance, signs, surrogate, batch)
    sums = ((coefficients * slopes)[:, None] * codes).sum(axis=0)
    return _gradients(instance, sums, bits, float(len(batch)))


def extreme_gradients(
    instance: Instance, signs: np.ndarray, surrogate: Surrogate
) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest G_k over the gradients of single samples, each float64 (n,)."""
    least, largest = np.full(instance.n, np.inf), np.full(instance.n, -np.inf)
    for first in range(0, instance.samples, _ROWS):
        batch = np.arange(first, min(first + _ROWS, instance.samples))
        codes, coefficients, slopes, bits = _terms(instance, signs, surrogate, batch)
        terms = (coefficients * slopes)[:, None] * codes
        sums = terms.reshape(len(batch), instance.m, instance.n).sum(axis=1)
        gradients = _gradients(instance, sums, bits, 1.0)
        least = np.minimum(least, gradients.min(axis=0))
        largest = np.maximum(largest, gradients.max(axis=0))
    return least, largest


def _gradients(instance: Instance, sums: np.ndarray, bits: int, samples: float) -> np.ndarray:
    """Return float64 gradients from integer sums over a number of samples."""
    shifted = sums << instance.grid.shifts.astype(sums.dtype)
    unit = np.ldexp(samples, instance.grid.bits + instance.label_bits + instance.readout_bits + bits)
    return shifted.astype(np.float64) / unit


def _terms(
    instance: Instance, signs: np.ndarray, surrogate: Surrogate, batch: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Return codes of the inputs, coefficients, and slopes with their bits, for each row of a batch."""
    grid, m = instance.grid, instance.m
    rows = (batch.astype(np.int64)[:, None] * m + np.arange(m)).ravel()
    codes = grid.rows[rows, : instance.n].astype(np.int64) + grid.offsets
    before = (codes @ (signs.astype(np.int64) << grid.shifts)).reshape(len(batch), m)
    residuals = (before > 0) @ instance.residual_codes - instance.label_codes[batch]
    slopes, bits = instance._slopes(before, surrogate)
    coefficients = (residuals[:, None] * instance.readout_codes).ravel()
    if bits:  # wider than 64 bits
        return codes.astype(object), coefficients.astype(object), slopes.ravel(), bits
    return codes, coefficients, slopes.ravel(), bits
