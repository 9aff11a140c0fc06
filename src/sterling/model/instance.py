"""An instance: one finite data set with everything that the dynamics need, exactly.

Inputs, labels and readout are integers on dyadic grids. Losses and gradient sums therefore do not depend on
the order of the terms, the number of threads or the machine.
"""

from __future__ import annotations

import hashlib
from copy import deepcopy
from fractions import Fraction
from functools import cached_property
from operator import mul

import numpy as np

from sterling.base.arrays import check_labels, check_signs, real_array, real_inputs, refuse_constant
from sterling.base.checks import choice, integer
from sterling.base.resources import require_memory
from sterling.base.text import Described, counted
from sterling.errors import InputError
from sterling.exact.grid import (
    InputGrid,
    Rounding,
    condense,
    finest,
    largest_error,
    quantise_inputs,
    rounded,
    transpose,
    vector_codes,
)
from sterling.exact.ranges import EXACT, WHOLE, limbs, too_large
from sterling.model.columns import from_frame, is_frame
from sterling.model.levels import MAX_LEVELS, level_values
from sterling.model.normalise import Normalizer, check_normalize, normalise
from sterling.surrogates import Surrogate, get_surrogate

_BLOCK_ROWS = 16384  # rows converted to float64 at a time
_KEEP_FLOATS = 1 << 29  # float64 copies up to this size are kept between calls
_PEAK_BYTES = 16  # memory of an input while an instance is made
_ROWS = 32  # rows in an exact sum of floats, at least
_DERIVATIVE_BITS = 20  # grid of the derivative of smooth surrogates


class Instance(Described):
    """A finite data set (Z_i, y_i), i = 1 … N, with readout v and, if known, the teacher's signs.

    Create one from your own data, or draw one with `Problem.draw`.

    Parameters
    ----------
    inputs : array (N, n) or (N, m, n), or a frame of Polars or pandas
        The columns of a frame are the features, and their names are kept.
    labels : array (N,)
        The target outputs y.
    readout : array (m,), optional
        The second-layer weights v; ones by default.
    teacher : array (n,) of levels, optional
        √n·w*, −1 and +1 for two levels; not all zero. Verdicts then use it as reference.
    normalize : None, "standard" or "whiten"
        Transformation of the inputs, which is fitted to them.
    precision : "int16" or "int32"
        Width of the stored codes. Rounding errors are at most 2^-15 of each feature's range (int16) or 2^-23
        (int32); `rounding` has their sizes. Labels without an exact grid are rounded to 2^-20 of the largest;
        if sums would not fit, to coarser grids down to 2^-8.
    constant : "refuse" or "keep"
        Whether to refuse or keep a constant feature, such as a bias column.
    origin : dict, optional
        Source of the data, for tables and files.
    levels : int
        Number of values k that a weight can take, 2 to 16: −(k−1), −(k−3), …, k−1 for even k, and half of
        these for odd k, divided by √n. So two levels are ±1 and three are −1, 0, 1.

    Attributes
    ----------
    n, m, samples, levels : int
        Inputs, hidden units, sample size N, number of levels.
    teacher : int8 (n,) or None
        √n·w*.
    rounding : Rounding
        Rounding errors of inputs, labels and readout.
    normalizer : Normalizer or None
        The fitted normaliser, for new data.

    Raises
    ------
    InputError
        If data are empty, not finite or of the wrong shape, or if the network cannot output a label.
    CapacityError
        When exact sums would not fit.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Instance([[0.5, -1.0], [2.0, 0.25], [-1.0, 1.5]], [1, 1, 0], teacher=[1, -1])
    >>> instance
    Instance(n=2, samples=3, m=1, teacher known)
    >>> instance.loss([1, -1])
    0.0
    """

    def __init__(
        self,
        inputs,
        labels,
        readout=None,
        teacher=None,
        *,
        normalize: str | None = None,
        precision: str = "int16",
        constant: str = "refuse",
        origin: dict | None = None,
        levels: int = 2,
    ):
        names = None
        if is_frame(inputs):
            inputs, names = from_frame(inputs)
        if isinstance(inputs, np.ndarray):  # before the copy in float64
            require_memory(_PEAK_BYTES * inputs.size, f"inputs of shape {inputs.shape}")
        values = real_inputs(inputs)
        samples, m, n = values.shape
        for name, size in (("samples", samples), ("hidden units", m), ("features", n)):
            if size == 0:
                raise InputError(f"inputs have shape {np.shape(inputs)}: there are no {name}")
        targets = real_array(labels, "labels", ("sample",), (samples,), counted(samples, "sample"))
        given = np.ones(m) if readout is None else readout
        weights = real_array(given, "readout", ("unit",), (m,), counted(m, "hidden unit"))
        if not weights.any():
            raise InputError("readout is all zero, so the inputs would not reach the output")
        check_labels(targets, weights)
        normalize = check_normalize(normalize)
        flat = values.reshape(samples * m, n)
        if choice(constant, "constant", ("refuse", "keep")) == "refuse" and len(flat) > 1:
            refuse_constant(flat)
        require_memory(flat.size * 8 + len(flat) * 24, f"{samples} samples with n={n}, m={m}")
        raw = quantise_inputs(flat, precision, together=normalize is None)
        grid, normalizer = (raw, None) if normalize is None else normalise(raw, normalize)
        levels = integer(levels, "levels", 2, MAX_LEVELS)
        known = None if teacher is None else check_signs(teacher, n, "teacher", level_values(levels))
        if known is not None and not known.any():
            raise InputError("teacher is all zero, so its outputs are constant", argument="teacher")
        if origin is None:
            origin = {"data": f"arrays of shape {tuple(np.shape(inputs))}", "normalize": normalize}
        if names is not None:
            origin = {**origin, "columns": list(names)}
        self._describe(grid, raw, m, known, normalizer, origin, levels)

        def fill(fineness: int) -> Instance:
            readout_codes = vector_codes(weights, fineness, "readout weights")
            label_codes = vector_codes(targets, fineness, "labels")
            errors = [largest_error(*label_codes, targets), largest_error(*readout_codes, weights)]
            self._fill(label_codes, readout_codes, Rounding(grid.rounding, *errors))
            return self

        finest(fill, EXACT)

    def _describe(
        self,
        grid: InputGrid,
        raw: InputGrid,
        m: int,
        teacher: np.ndarray | None,
        normalizer: Normalizer | None,
        origin: dict,
        levels: int,
    ) -> None:
        """Store the inputs on their grid and what is known about them; ``raw`` is not normalised."""
        self.grid: InputGrid = grid
        self._raw_bits: np.ndarray = raw.bits - raw.shifts
        self.n: int = grid.features
        self.m: int = m
        self.samples: int = len(grid.rows) // m
        self.levels: int = levels
        self.teacher: np.ndarray | None = teacher
        if teacher is not None:
            teacher.setflags(write=False)
        self.normalizer: Normalizer | None = normalizer
        self._origin: dict = origin

    def _fill(
        self, labels: tuple[np.ndarray, int], readout: tuple[np.ndarray, int], rounding: Rounding
    ) -> None:
        """Store labels and readout as codes, and bound all sums; RangeError if one could overflow."""
        grid = self.grid
        label_codes, label_bits = labels
        readout_codes, readout_bits = readout
        self.rounding: Rounding = rounding
        self.readout_codes: np.ndarray = readout_codes
        self.readout_bits: int = readout_bits
        readout_codes.setflags(write=False)
        self.label_bits: int = max(label_bits, readout_bits)
        for codes, bits in (labels, readout):
            if int(np.abs(codes).max(initial=0)) << (self.label_bits - bits) >= 1 << 31:
                raise too_large(grid)
        self.label_codes: np.ndarray = label_codes << (self.label_bits - label_bits)
        self.label_codes.setflags(write=False)
        codes, reach = grid.reach
        self.preactivation_bound: int = reach * level_values(self.levels)[-1]
        if self.preactivation_bound >= EXACT:
            raise too_large(grid)
        scaled = self.residual_codes
        high, low = int(scaled[scaled > 0].sum()), int(scaled[scaled < 0].sum())
        top = np.maximum(np.abs(high - self.label_codes), np.abs(low - self.label_codes))
        largest = int(top.max())
        self.code_bound: int = max(codes, 1)
        self.coefficient_bound: int = largest * int(np.abs(readout_codes).max())
        mass = int(top.astype(np.float64).sum() * 1.001) + 1  # a bound, so the rounding of floats is covered
        total = mass * int(np.abs(readout_codes).sum()) * self.code_bound << int(grid.shifts.max())
        one_fits = self.coefficient_bound * self.code_bound < EXACT and largest < 1 << 31
        if max(total, largest**2 * self.samples) >= WHOLE or not one_fits:
            raise too_large(grid)
        self.gradient_bound: int = max(total, 1)

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """The columns of the frame or file, or None."""
        names = self._origin.get("columns")
        return None if names is None else tuple(names)

    @property
    def origin(self) -> dict:
        """Source of the data: a new dictionary of plain values."""
        return deepcopy(self._origin)

    @cached_property
    def inputs(self) -> np.ndarray:
        """The inputs, float64 (N, m, n), exactly as the engines see them; read-only.

        They are computed from the codes at the first access and kept, 8·N·m·n bytes.
        ``instance.grid.values(first, last)`` returns some rows and keeps nothing.
        """
        require_memory(8 * self.samples * self.m * self.n, "the inputs as float64")
        values = self.grid.values().reshape(self.samples, self.m, self.n)
        values.setflags(write=False)
        return values

    @property
    def labels(self) -> np.ndarray:
        """The labels, float64 (N,)."""
        return np.ldexp(self.label_codes.astype(np.float64), -self.label_bits)

    @property
    def readout(self) -> np.ndarray:
        """The readout v, float64 (m,)."""
        return np.ldexp(self.readout_codes.astype(np.float64), -self.readout_bits)

    @property
    def readout_norm2(self) -> float:
        """‖v‖², the divisor of step sizes."""
        codes = self.readout_codes.tolist()
        return float(sum(map(mul, codes, codes))) / 4.0**self.readout_bits

    @property
    def residual_codes(self) -> np.ndarray:
        """The readout on the grid of the labels, int64 (m,)."""
        return self.readout_codes << (self.label_bits - self.readout_bits)

    @property
    def unit(self) -> float:
        """Divisor that turns integer gradient sums into G."""
        bits = self.grid.bits + self.label_bits + self.readout_bits
        return float(np.ldexp(float(self.samples), bits))

    @property
    def largest_batch(self) -> int:
        """How many samples, which may repeat, any gradient sum can hold."""
        sizes = np.abs(self.readout_codes)
        one = self.coefficient_bound // int(sizes.max()) * int(sizes.sum()) * self.code_bound
        return (WHOLE - 1) // max(one << int(self.grid.shifts.max()), 1)

    @property
    def unit_squared(self) -> Fraction:
        """n·4^bits: a pre-activation code a stands for z·w = a/√unit_squared."""
        return self.n * Fraction(4) ** self.grid.bits

    @cached_property
    def columns(self) -> np.ndarray:
        """The input codes column by column, (n, N·m)."""
        return transpose(self.grid)

    @cached_property
    def fingerprint(self) -> str:
        """A digest of the data: instances with equal digests have the same orbits."""
        digest = hashlib.blake2b(digest_size=16)
        grid = self.grid
        for array in (condense(grid.rows), grid.shifts, grid.offsets, self.label_codes, self.readout_codes):
            digest.update(np.ascontiguousarray(array).tobytes())
        shape = (grid.rows.shape, grid.rows.dtype.str, grid.bits, self.m, self.n)
        digest.update(repr((*shape, self.label_bits, self.readout_bits)).encode())
        if self.teacher is not None:
            digest.update(self.teacher.tobytes())
        if self.levels != 2:
            digest.update(f"levels {self.levels}".encode())
        return digest.hexdigest()

    def loss(self, signs) -> float:
        """Return the empirical risk L(w) = 1/(2N) Σ (vᵀH(Z_i w) − y_i)² at w = signs/√n.

        Parameters
        ----------
        signs : array (n,) of levels
            The state, −1 and +1 for two levels.

        Returns
        -------
        float
            The exact value, rounded once.
        """
        return self._square(signs) / (2.0 * self.samples * 4.0**self.label_bits)

    def _checked(self, signs) -> np.ndarray:
        return check_signs(signs, self.n, "signs", level_values(self.levels))

    def _square(self, signs) -> int:
        """Return 2N·L(w)·4^label_bits, the exact integer behind the loss."""
        active = self._preactivations(self._checked(signs)) > 0
        residuals = active @ self.residual_codes - self.label_codes
        return int((residuals * residuals).sum())

    def predict(self, signs, inputs=None) -> np.ndarray:
        """Return the outputs vᵀH(Z_i w) of the network at w = signs/√n.

        Parameters
        ----------
        signs : array (n,) of levels
            The state, −1 and +1 for two levels.
        inputs : array (N, n) or (N, m, n), optional
            New inputs, not normalised: they are rounded and normalised like those of the instance. By default
            the inputs of the instance.

        Returns
        -------
        float64 array (N,)
            One output for each sample.
        """
        signs = self._checked(signs)
        if inputs is None:
            return (self._preactivations(signs) > 0) @ self.readout
        values = real_inputs(inputs)
        if values.shape[1:] != (self.m, self.n):
            raise InputError(f"inputs have shape {np.shape(inputs)}; n={self.n} and m={self.m} need others")
        flat = rounded(values.reshape(-1, self.n), self._raw_bits)
        if self.normalizer is not None:
            flat = rounded(self.normalizer._again(flat), self.grid.bits - self.grid.shifts)
        before = flat @ signs.astype(np.float64)  # exact, as multiples of one power of two
        return (before.reshape(-1, self.m) > 0) @ self.readout

    def gradient(self, signs, surrogate: str | Surrogate = "relu") -> np.ndarray:
        """Return the STE gradient G(w) at w = signs/√n, float64 (n,).

        G = 1/N Σ_i r_i Σ_j v_j μ′(z_ij·w) z_ij with r_i = vᵀH(Z_i w) − y_i (docs/science, 2). The sum is an
        exact integer, and the division rounds once. Sums above 2^53 are rare, and rounded once more. Smooth
        derivatives are rounded to the grid 2^-20.

        Parameters
        ----------
        signs : array (n,) of levels
            The state, −1 and +1 for two levels.
        surrogate : str or Surrogate
            Its μ′ replaces H′.

        Returns
        -------
        float64 array (n,)
            The gradient.
        """
        signs = self._checked(signs)
        chosen = get_surrogate(surrogate)
        before = self._preactivations(signs)
        residuals = (before > 0) @ self.residual_codes - self.label_codes
        slopes, bits = self._slopes(before, chosen)
        sums = self._weigh((residuals[:, None] * self.readout_codes).ravel(), slopes.ravel())
        shifted = sums << self.grid.shifts.astype(sums.dtype)
        return shifted.astype(np.float64) / np.ldexp(self.unit, bits)

    def _slopes(self, before: np.ndarray, surrogate: Surrogate) -> tuple[np.ndarray, int]:
        """Return μ′ at these pre-activations, as integers in units of 2^-bits."""
        if surrogate.piecewise_constant:
            low, high = surrogate._thresholds(self.unit_squared)
            return ((before >= low) & (before <= high)).astype(np.int64), 0
        slopes = surrogate.derivative(np.ldexp(before, -self.grid.bits) / np.sqrt(self.n))
        return np.rint(np.ldexp(slopes, _DERIVATIVE_BITS)).astype(np.int64), _DERIVATIVE_BITS

    def _weigh(self, coefficients: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Return Σ_r c_r·slope_r·(codes_r + offsets) exactly, (n,): int64, or Python's integers if wide."""
        # Slopes are split into limbs so short that each sum of products is exact.
        most = max(int(np.abs(coefficients).max(initial=0)), 1) * self.code_bound
        room = min(EXACT // (_ROWS * most), WHOLE // self.gradient_bound)
        sums: np.ndarray = np.zeros(self.n, np.int64)
        for shift, limb in limbs(slopes, max(1, room.bit_length() - 1)):
            part = coefficients * limb
            total = self._weigh_rows(part) + self.grid.offsets * int(part.sum())
            sums = total if shift == 0 else sums.astype(object) + (total.astype(object) << shift)
        return sums

    def _preactivations(self, signs: np.ndarray) -> np.ndarray:
        """Return √n Z_i w in units of 2^-bits, int64 (N, m), exact; the signs are not checked."""
        weights = signs.astype(np.int64) << self.grid.shifts
        out = np.empty(len(self.grid.rows), np.int64)
        for first, block in self._float_blocks():
            out[first : first + len(block)] = block @ weights.astype(np.float64)
        out += int(weights @ self.grid.offsets)
        return out.reshape(self.samples, self.m)

    def _weigh_rows(self, coefficients: np.ndarray) -> np.ndarray:
        """Return Σ_r c_r·codes_r exactly, int64 (n,): float64 products of integers, cut below 2^53."""
        top = max(int(np.abs(coefficients).max(initial=0)), 1)
        safe = max(1, EXACT // (top * self.code_bound))
        sums = np.zeros(self.n, np.int64)
        for first, block in self._float_blocks():
            for start in range(0, len(block), safe):
                part = block[start : start + safe]
                weights = coefficients[first + start : first + start + len(part)].astype(np.float64)
                sums += (weights @ part).astype(np.int64)
        return sums

    def _float_blocks(self):
        small = len(self.grid.rows) * self.n * 8 <= _KEEP_FLOATS
        return self._kept_blocks if small else self._make_blocks()

    @cached_property
    def _kept_blocks(self) -> list[tuple[int, np.ndarray]]:
        return list(self._make_blocks())

    def _make_blocks(self):
        for first in range(0, len(self.grid.rows), _BLOCK_ROWS):
            yield first, self.grid.rows[first : first + _BLOCK_ROWS, : self.n].astype(np.float64)

    def to_dict(self) -> dict:
        return {
            "n": self.n,
            "m": self.m,
            "samples": self.samples,
            "readout": self.readout.tolist(),
            "teacher": self.teacher is not None,
            "rounding": self.rounding.to_dict(),
            "normalizer": None if self.normalizer is None else self.normalizer.to_dict(),
            "origin": self.origin,
            "fingerprint": self.fingerprint,
            **({} if self.levels == 2 else {"levels": self.levels}),
        }

    def __repr__(self) -> str:
        known = "teacher known" if self.teacher is not None else "no teacher"
        exact = f", rounded: {self.rounding}" if str(self.rounding) else ""
        levels = "" if self.levels == 2 else f"levels={self.levels}, "
        return f"Instance(n={self.n}, samples={self.samples}, m={self.m}, {levels}{known}{exact})"
