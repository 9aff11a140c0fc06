"""Numbers on dyadic grids: floats in, integers out, with the size of the rounding.

An `InputGrid` holds the inputs of an instance as small integers; value = (code + offset)·2^(shift − bits),
with one offset and one shift for each feature. Sums over such codes are exact and the same in any order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sterling.base.checks import choice
from sterling.base.resources import for_each
from sterling.base.text import Described
from sterling.errors import RangeError

#: Finest grid, in bits, that is tried to represent values without rounding.
_EXACT_BITS = 40
FINENESS = (20, 16, 12, 10, 8)  # bits of the codes of labels and readout, tried in this order
_ENOUGH = 12  # fewer bits are used only if sums would not fit otherwise
#: Features must have absolute values below this, and above its inverse.
_USUAL = 1e31
#: Number of rows of codes that are joined to one when extremes are searched.
_TOGETHER = 16
#: Codes that NumPy transposes faster than a kernel compiles or loads.
_SMALL = 1 << 16
#: Bound on the absolute value of a code.
_LARGEST_CODE = {"int16": (1 << 15) - 1, "int32": (1 << 23) - 1}


def padded_width(features: int) -> int:
    """Return the row length, in codes, that keeps rows aligned with vectors and cache lines."""
    return -(-features // 32) * 32


def aligned_zeros(shape: tuple[int, int], dtype) -> np.ndarray:
    """Return a zeroed C-contiguous matrix whose first element starts a 64-byte cache line."""
    dtype = np.dtype(dtype)
    need = shape[0] * shape[1] * dtype.itemsize
    raw = np.zeros(need + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + need].view(dtype).reshape(shape)


@dataclass(frozen=True, eq=False)
class Rounding(Described):
    """Largest rounding errors of the data on their grids; zero if nothing was rounded.

    Parameters
    ----------
    inputs : float64 array (n,)
        The largest error of each feature, in units of the normalised inputs.
    labels : float
        The largest error of a label.
    readout : float
        The largest error of a readout weight.

    Examples
    --------
    >>> import sterling as st
    >>> st.Instance([[0.1], [0.25]], [0, 1]).rounding
    <Rounding: inputs by at most 1.5e-06>
    """

    inputs: np.ndarray
    labels: float
    readout: float

    def to_dict(self) -> dict[str, float]:
        return {"inputs": float(self.inputs.max()), "labels": self.labels, "readout": self.readout}

    def __str__(self) -> str:
        return ", ".join(f"{name} by at most {size:.2g}" for name, size in self.to_dict().items() if size)

    def __repr__(self) -> str:
        return f"<Rounding: {str(self) or 'none'}>"


@dataclass(frozen=True, eq=False)
class InputGrid:
    """The inputs of an instance as integers: value = (code + offset)·2^(shift − bits), feature by feature."""

    rows: np.ndarray  # int16 or int32 (N·m, width), codes by sample and unit; zero beyond the features
    features: int
    bits: int  # the unit of a pre-activation is 2^-bits
    shifts: np.ndarray  # int64 (n,), and so are the offsets
    offsets: np.ndarray
    rounding: np.ndarray = field(repr=False)  # float64 (n,), largest errors of each feature

    def __post_init__(self):
        for array in (self.rows, self.shifts, self.offsets, self.rounding):  # they are shared
            array.setflags(write=False)

    @classmethod
    def plain(
        cls, rows: np.ndarray, features: int, bits: int, rounding: np.ndarray | None = None
    ) -> InputGrid:
        """Return the grid of padded codes whose features share scale and offset, as in drawn data."""
        zeros = np.zeros(features, np.int64)
        return cls(rows, features, bits, zeros, zeros, np.zeros(features) if rounding is None else rounding)

    def values(self, first: int = 0, last: int | None = None) -> np.ndarray:
        """Return rows first … last as float64 values, exactly."""
        codes = self.rows[first:last, : self.features].astype(np.float64)
        codes += self.offsets
        codes *= np.ldexp(1.0, (self.shifts - self.bits).astype(np.int32))
        return codes

    @cached_property
    def reach(self) -> tuple[int, int]:
        """Bounds on |code + offset| and, in units of 2^-bits, on |Σ_k ± value_k|."""
        # NumPy is slow on short rows, so several are searched as one.
        rows, limits = self.rows, np.iinfo(self.rows.dtype)
        width, whole = rows.shape[1], len(rows) // _TOGETHER * _TOGETHER
        long, rest = rows[:whole].reshape(-1, _TOGETHER * width), rows[whole:]
        reach = np.zeros(self.features, np.int64)
        for extreme, none in ((np.min, limits.max), (np.max, limits.min)):
            ends = extreme(long, axis=0, initial=none).reshape(_TOGETHER, width)
            codes = extreme(np.vstack([ends, rest]), axis=0).astype(np.int64)[: self.features]
            reach = np.maximum(reach, np.abs(codes + self.offsets))
        total = 0
        for largest, shift in zip(reach.tolist(), self.shifts.tolist(), strict=True):
            total += largest << shift
        return int((reach + np.abs(self.offsets)).max()), total


def exact_bits(values: np.ndarray) -> int | None:
    """Return the coarsest grid 2^-bits, 0 ≤ bits ≤ 40, that holds every value exactly, or None."""
    if values.size == 0 or np.abs(values).max() >= 2.0**52:
        return None
    bits = 0
    while bits <= _EXACT_BITS:
        scaled = values * 2.0**bits
        if np.abs(scaled).max() >= 2.0**52:
            return None
        odd = scaled != np.rint(scaled)
        if not odd.any():
            return bits
        values = values[odd]  # only values that did not fit can need a finer grid
        bits += 1
    return None


def finest(make: Callable[[int], Any], aim: float = math.inf) -> Any:
    """Return ``make(bits)``, an instance, for the finest grid of labels and readout on which sums fit.

    A grid finer than 12 bits is used only if gradient sums stay below ``aim``.
    """
    for bits in FINENESS:
        try:
            instance = make(bits)
        except RangeError:
            if bits == FINENESS[-1]:
                raise
            continue
        if bits <= _ENOUGH or instance.gradient_bound < aim:
            return instance
    raise AssertionError("unreachable")


def vector_codes(values: np.ndarray, fineness: int, what: str) -> tuple[np.ndarray, int]:
    """Round labels or a readout to the finest grid on which codes have ``fineness`` bits, or an exact one.

    Returns the int64 codes and the bits of the grid.
    """
    values = np.asarray(values, np.float64)
    bits = exact_bits(values)
    top = float(np.abs(values).max(initial=0.0))
    if bits is None or (top > 0 and bits + np.log2(top) > fineness):
        bits = fineness - int(np.ceil(np.log2(top)))
    if not -30 <= bits <= 60:
        raise RangeError(
            f"the {what} reach {np.abs(values).max():g}, too far from one: rescale them to values near one",
            about=(what,),
        )
    return np.rint(np.ldexp(values, bits)).astype(np.int64), bits


def quantise_inputs(values: np.ndarray, precision: str = "int16", together: bool = True) -> InputGrid:
    """Round a float matrix (rows, n) to a grid, feature by feature.

    A feature is not rounded if some dyadic grid holds it exactly and its codes fit. Otherwise its grid is the
    finest power of two for which the codes fit: with int16 the rounding error is at most 2^-15 of the
    feature's range. "int32" keeps 24 bits of each feature, an error of at most 2^-23: sums of wider codes
    would soon exceed 62 bits. ``together`` says that features are added without being normalised first. Their
    scales must then be close enough for an exact sum in 62 bits.
    """
    dtype = np.dtype(choice(precision, "precision", tuple(_LARGEST_CODE)))
    count, features = values.shape
    limit = _LARGEST_CODE[precision]
    span = 2 * limit
    exponents = np.zeros(features, np.int64)
    centres = np.zeros(features, np.int64)
    for k in range(features):
        column = values[:, k]
        low, high = float(column.min()), float(column.max())
        bits = exact_bits(column)
        if max(abs(low), abs(high)) > _USUAL or 0 < max(high - low, abs(high)) < 1 / _USUAL:
            text = f"feature {k} has the range {low:g} to {high:g}: rescale it to values near one"
            raise RangeError(text, about=(k,))
        if bits is None or np.ldexp(high - low, bits) > span:
            width = high - low if high > low else 2 * abs(high)
            bits = int(np.floor(np.log2(span / width)))
            if np.ldexp(width, bits) + 1 > span:  # rounding both ends outwards must still fit
                bits -= 1
        exponents[k] = -bits
        first, last = int(np.rint(np.ldexp(low, bits))), int(np.rint(np.ldexp(high, bits)))
        centres[k] = 0 if -limit <= first and last <= limit else (first + last) // 2
    bits = int(-exponents.min())
    shifts = exponents + bits
    if together and int(shifts.max()) > 46:
        wide, fine = int(shifts.argmax()), int(shifts.argmin())
        raise RangeError(
            f"features {wide} and {fine} differ too much in scale for exact sums: standardise the inputs "
            "(normalize: standard)",
            about=(wide, fine),
        )
    rows = aligned_zeros((count, padded_width(features)), dtype)
    rounding = np.zeros(features)
    for k in range(features):
        scaled = np.rint(np.ldexp(values[:, k], int(-exponents[k])))
        rows[:, k] = scaled - centres[k]
        rounding[k] = np.abs(np.ldexp(scaled, int(exponents[k])) - values[:, k]).max()
    return InputGrid(rows, features, bits, shifts, centres, rounding)


def rounded(values: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Return values (rows, n) rounded to multiples of 2^-bits, feature by feature."""
    return np.ldexp(np.rint(np.ldexp(values, bits)), -bits)


def largest_error(codes: np.ndarray, bits: int, values: ArrayLike) -> float:
    """Return the largest difference between values and their codes on the grid 2^-bits."""
    return float(np.abs(np.ldexp(codes.astype(np.float64), -bits) - values).max())


def transpose(grid: InputGrid, threads: int | None = None) -> np.ndarray:
    """Return the codes column by column, (n, rows), for the event engine."""
    rows = grid.rows
    columns = aligned_zeros((grid.features, len(rows)), rows.dtype)
    if rows.size <= _SMALL:
        columns[:] = rows[:, : grid.features].T
    else:
        from sterling.exact.sampling import transpose_block

        for_each(
            lambda first: transpose_block(rows, columns, first, min(first + 4096, len(rows))),
            range(0, len(rows), 4096),
            threads,
        )
    columns.setflags(write=False)
    return columns


def condense(rows: np.ndarray) -> np.ndarray:
    """Return a 64-bit word for each 4096 words of the rows: sums weighted by random odd words, modulo 2^64.

    A digest of these words detects any accidental change of the data, ten times faster than one of the rows.
    """
    words = rows.reshape(-1).view(np.uint64)
    weights = np.random.PCG64(0).random_raw(4096) | np.uint64(1)
    whole = len(words) - len(words) % 4096
    rest = (words[whole:] * weights[: len(words) - whole]).sum(dtype=np.uint64)
    return np.append(words[:whole].reshape(-1, 4096) @ weights, rest)
