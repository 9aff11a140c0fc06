"""Normalisers of inputs, which centre and scale each feature, or whiten all of them together.

The results do not depend on the machine: moments are exact integer sums, and matrix products run over
integers below 2^53, where float64 is exact in any order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from sterling.base.arrays import read_only, real_array, real_inputs
from sterling.base.checks import choice, shown
from sterling.base.text import Described, counted
from sterling.errors import InputError, InputTypeError, RangeError
from sterling.exact.grid import InputGrid, aligned_zeros, quantise_inputs

_ROWS = 8192  # rows converted to floats at a time
_WEIGHT_BITS = 20  # grid of the whitening matrix, relative to its largest entry
_LIMIT = 32767
_SHOWN = 16  # numbers of a fitted normaliser that its repr holds


@dataclass(frozen=True, eq=False, repr=False)
class Normalizer(Described):
    """A map of the inputs that is fitted to data and can be applied to other data: standardise or whiten.

    Each row, that is each unit of each sample, counts as a draw of the features. A fitted normaliser cannot
    be changed.

    Parameters
    ----------
    mean : array (n,) or None
        Mean of each feature; None before `fit`.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=3, samples=500, normalize="standard").draw(seed=0)
    >>> isinstance(instance.normalizer, st.Normalizer), instance.normalizer.fitted
    (True, True)
    """

    mean: Any = None
    name: ClassVar[str] = ""
    _axes: ClassVar[tuple[int, ...]] = ()

    def __post_init__(self) -> None:
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        if all(value is None for value in given.values()):
            return
        n = np.size(self.mean)
        if not n:
            raise InputError(f"mean of {type(self).__name__} is empty: give a number for each feature")
        for (name, value), axes in zip(given.items(), self._axes, strict=True):
            named, shape = ("feature", "feature")[:axes], (n,) * axes
            array = real_array(value, f"{name} of {type(self).__name__}", named, shape, f"n={n}")
            object.__setattr__(self, name, read_only(array))

    @property
    def fitted(self) -> bool:
        """Whether it can be applied."""
        return self.mean is not None

    def fit(self, inputs: Any) -> Normalizer:
        """Return a normaliser that is fitted to inputs.

        Parameters
        ----------
        inputs : array (N, n) or (N, m, n)
            The inputs, not normalised.

        Returns
        -------
        Normalizer
            A new, fitted one.

        Raises
        ------
        InputError
            If a feature has no variance, if there are too few rows, or, for whitening, if features are
            linearly dependent.
        """
        values = real_inputs(inputs)
        if not values.size:
            raise InputError(f"inputs have shape {values.shape}: there is nothing to fit to")
        grid = quantise_inputs(values.reshape(-1, values.shape[-1]), "int32", together=False)
        return self._fit(_Codes(grid))

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
            If it is not fitted, or was fitted to another number of features.
        """
        if not self.fitted:
            raise InputError(f"{self!r} is not fitted: take what its fit(inputs) returns")
        values = real_array(inputs, "inputs")
        self._check_width(values.shape[-1] if values.ndim else 0)
        return self._scaled(values - self.mean)

    def _on_grid(self, grid: InputGrid) -> tuple[InputGrid, Normalizer]:
        codes = _Codes(grid)
        ready = self if self.fitted else self._fit(codes)
        ready._check_width(grid.features)
        return ready._move(codes), ready

    def to_dict(self) -> dict[str, Any]:
        numbers = {one.name: getattr(self, one.name) for one in fields(self)} if self.fitted else {}
        return {"name": self.name, **{name: array.tolist() for name, array in numbers.items()}}

    def __repr__(self) -> str:
        numbers = ", ".join(
            f"{one.name}={array.tolist() if array.size <= _SHOWN else '…'}"
            for one in fields(self)
            if (array := getattr(self, one.name)) is not None
        )
        return f"{type(self).__name__}({numbers})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._key() == other._key()  # pyright: ignore

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple:
        return self.name, *(np.asarray(getattr(self, one.name)).tobytes() for one in fields(self))

    def _again(self, values: np.ndarray) -> np.ndarray:
        """Return normalised inputs (rows, n) as `_on_grid` has them before rounding."""
        return self.apply(values)

    def _check_width(self, features: int) -> None:
        if features != len(self.mean):
            raise InputError(
                f"inputs have {features} features; the normaliser was fitted to {len(self.mean)}"
            )

    def _fit(self, codes: _Codes) -> Normalizer:
        raise NotImplementedError

    def _scaled(self, centred: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _move(self, codes: _Codes) -> InputGrid:
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class Standardize(Normalizer):
    """Subtract each feature's mean and divide by its standard deviation: z = factor·(x − mean).

    Parameters
    ----------
    mean, factor : float64 (n,), optional
        The fitted means, and the inverse standard deviations.

    Examples
    --------
    >>> import sterling as st
    >>> fitted = st.Standardize().fit([[1.0], [3.0]])
    >>> fitted
    Standardize(mean=[2.0], factor=[1.0])
    >>> fitted.apply([[5.0]])
    array([[3.]])
    """

    factor: Any = None
    name: ClassVar[str] = "standard"
    _axes: ClassVar[tuple[int, ...]] = (1, 1)

    def _scaled(self, centred: np.ndarray) -> np.ndarray:
        return centred * self.factor

    def _fit(self, codes: _Codes) -> Standardize:
        means, variances = codes.moments(2, "standardise", full=False)
        return Standardize(codes.mean_values(means), 1 / np.sqrt(variances) / codes.unit)

    def _move(self, codes: _Codes) -> InputGrid:
        means, scales = codes.mean_codes(self.mean), self.factor * codes.unit
        low, high = codes.rows.min(axis=0), codes.rows.max(axis=0)
        bits = _bits_for((np.maximum(means - low, high - means) * np.abs(scales)).max())
        rows = aligned_zeros(codes.shape, np.int16)
        for first, last in _blocks(len(rows)):
            block = (codes.rows[first:last] - means) * scales
            rows[first:last, : codes.features] = np.rint(np.ldexp(block, bits))
        return InputGrid.plain(
            rows, codes.features, bits, codes.rounding * np.abs(scales) + 0.5 ** (bits + 1)
        )


@dataclass(frozen=True, eq=False, repr=False)
class Whiten(Normalizer):
    """Remove the means and all correlations: z = matrix (x − mean), with covariance one.

    The matrix is the inverse Cholesky factor of the covariance, so feature 0 is only scaled, feature 1 loses
    what feature 0 explains, and so on.

    Parameters
    ----------
    mean : float64 (n,), optional
        The fitted means.
    matrix : float64 (n, n), optional
        The inverse factor, rounded to 2^-20 of the largest entry of each row.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=3, samples=500, inputs="ar1:0.8", normalize="whiten").draw(seed=0)
    >>> instance.normalizer.apply([[0.0, 0.0, 0.0]]).shape
    (1, 3)
    """

    matrix: Any = None
    name: ClassVar[str] = "whiten"
    _axes: ClassVar[tuple[int, ...]] = (1, 2)

    def _scaled(self, centred: np.ndarray) -> np.ndarray:
        return centred @ self.matrix.T

    def _again(self, values: np.ndarray) -> np.ndarray:
        return self.apply(values).astype(np.float32).astype(np.float64)  # as `_move` stores them

    def _fit(self, codes: _Codes) -> Whiten:
        means, covariance = codes.moments(codes.features + 1, "whiten", full=True)
        weights, exponent = _whole(_inverse_factor(covariance))
        return Whiten(codes.mean_values(means), np.ldexp(weights, -exponent[:, None]) / codes.unit)

    def _move(self, codes: _Codes) -> InputGrid:
        """Apply the matrix with its entries as integers, so that the product is exact."""
        size, means, matrix = codes.features, codes.mean_codes(self.mean), self.matrix * codes.unit
        weights, exponent = _whole(matrix)
        if float(np.abs(weights).sum(axis=1).max()) * 2.0**16 >= 2.0**53:
            raise RangeError(f"{size} features are too many to whiten exactly")
        fine = 52 - _WEIGHT_BITS - int(np.ceil(np.log2(size * (np.abs(means).max() + 1))))
        shift = np.ldexp(np.rint(np.ldexp(means, fine)) @ weights.T, -fine)  # integers times integers again
        values = np.empty((len(codes.rows), size), np.float32)
        for first, last in _blocks(len(values)):
            block = codes.rows[first:last].astype(np.float64) @ weights.T - shift
            values[first:last] = np.ldexp(block, -exponent)
        bits = _bits_for(float(np.abs(values).max()))
        rows = aligned_zeros(codes.shape, np.int16)
        for first, last in _blocks(len(values)):
            rows[first:last, :size] = np.rint(np.ldexp(values[first:last].astype(np.float64), bits))
        return InputGrid.plain(rows, size, bits, np.abs(matrix) @ codes.rounding + 0.5 ** (bits + 1))


#: The normalisers of sterling by their names in texts, unfitted.
NORMALIZERS: dict[str, Normalizer] = {one.name: one for one in (Standardize(), Whiten())}


def check_normalize(given: Any) -> str | Normalizer | None:
    """Return None, the name of a built-in normaliser to be fitted, or another normaliser."""
    if given is None or isinstance(given, str):
        known = "none" if given is None else choice(given, "normalize", ("none", *NORMALIZERS))
        return None if known == "none" else known
    if isinstance(given, Mapping):
        numbers = dict(given)
        kind = NORMALIZERS[choice(numbers.pop("name", None), "the name of a normaliser", tuple(NORMALIZERS))]
        if set(numbers) - {one.name for one in fields(kind)}:
            raise InputError(f"{shown(given)} is not a normaliser {kind.name!r}")
        given = type(kind)(**numbers)
    if isinstance(given, Normalizer):
        return given.name if given in NORMALIZERS.values() else given
    raise InputTypeError(f"normalize is {shown(given)}; give one of {', '.join(NORMALIZERS)} or a Normalizer")


def normalize_values(given: str | Normalizer | None) -> str | dict[str, Any] | None:
    """Return a normalisation as plain values."""
    return given.to_dict() if isinstance(given, Normalizer) else given


def normalise(grid: InputGrid, given: str | Normalizer) -> tuple[InputGrid, Normalizer]:
    """Return the normalised inputs and the fitted normaliser; ``given`` comes from `check_normalize`."""
    return (NORMALIZERS[given] if isinstance(given, str) else given)._on_grid(grid)


class _Codes:
    """The codes of a grid in 16 bits; x = unit·code + base, feature by feature."""

    def __init__(self, grid: InputGrid):
        self.shape, self.features = grid.rows.shape, grid.features
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

    def mean_values(self, means: np.ndarray) -> np.ndarray:
        return means * self.unit + self.base

    def mean_codes(self, means: np.ndarray) -> np.ndarray:
        return (means - self.base) / self.unit

    def moments(self, need: int, verb: str, full: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return means and covariance (the diagonal, unless full) from exact sums."""
        count, features = self.rows.shape
        if count < need:
            have = "one row of inputs is" if count == 1 else f"{count} rows of inputs are"
            raise InputError(
                f"{have} too few to {verb} {counted(features, 'feature')}: "
                f"give {need} or more (samples × hidden units)"
            )
        sums = self.rows.sum(axis=0, dtype=np.int64)
        second = np.zeros((features, features) if full else features, np.int64)
        for first, last in _blocks(count):
            block = self.rows[first:last].astype(np.float64)  # 2^13 rows · 2^30 stay below 2^53
            moment = block.T @ block if full else (block * block).sum(axis=0)
            second += moment.astype(np.int64)
        means = sums / count
        covariance = second / count - (np.multiply.outer(means, means) if full else means * means)
        flat = np.flatnonzero((covariance.diagonal() if full else covariance) <= 0)
        if flat.size:
            raise InputError(
                f"feature {flat[0]} has the same value in every sample, so it cannot be normalised: drop it",
                about=(int(flat[0]),),
            )
        return means, covariance


def _blocks(count: int):
    return ((first, min(first + _ROWS, count)) for first in range(0, count, _ROWS))


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


def _bits_for(reach: float) -> int:
    return min(12, int(np.floor(np.log2(_LIMIT / max(float(reach), 1e-300)))))
