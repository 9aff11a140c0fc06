"""A problem: the distribution from which finite samples are drawn, each an `Instance`.

The parts of a draw (teacher, readout, noise, inputs) have seeds of their own, and inputs and noise are
drawn in blocks of samples, so a larger sample begins with the smaller one of the same seed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sterling.base.arrays import refuse_masked
from sterling.base.pool import for_each
from sterling.base.resources import require_memory, thread_count
from sterling.base.text import html_table, shortened
from sterling.errors import InputError
from sterling.exact.grid import InputGrid, aligned_zeros, padded_width, vector_codes
from sterling.exact.ranges import finest
from sterling.model.families import Family, family_table, get_family, normal_table
from sterling.model.instance import Instance, transpose
from sterling.model.normalise import check_normalisation, normalise

# Which part of a draw a seed is for. Latents of a run use LATENT, see dynamics/train.py.
TEACHER, READOUT, NOISE, INPUTS, LATENT = range(5)

_BLOCK = 4096  # samples that share one stream of random bits
_IN_FLOATS = 2048  # samples turned to float64 at a time
# What a draw takes at most, in bytes: for each code (rows and columns; whitened, float32 values as well),
# each row, each code of the blocks that threads draw, and normalise, in floats; and for the sampling tables.
_CODE_BYTES = {None: 4, "standard": 4, "whiten": 8}
_ROW_BYTES, _BLOCK_BYTES, _MOMENT_BYTES, _TABLE_BYTES = 40, 10, 20, 1 << 20
_NOISE_CODES = 64  # codes to one standard deviation of the label noise, at least
_FINE = 4096  # codes to one standard deviation before noise is scaled
_READOUT_BITS = 6  # grid of a gaussian readout

READOUTS = ("ones", "signs", "gaussian")


def part_seed(seed: int | np.random.SeedSequence, *part: int) -> np.random.SeedSequence:
    """Return the seed of one part of a draw: the user's seed, extended by numbers that name the part.

    Raises
    ------
    InputError
        If the seed is not a non-negative integer or a SeedSequence.
    """
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *part))
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed is {seed!r}; it must be a non-negative integer or a SeedSequence")
    return np.random.SeedSequence(int(seed), spawn_key=part)


def _count(value, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{name} is {value!r}; it must be an integer")
    if value < 1:
        raise InputError(f"{name} is {value}; it must be at least 1")
    return int(value)


@dataclass(frozen=True)
class Problem:
    """Two-layer network y = vᵀH(Z w*) + ξ with binary weights, as a distribution of data sets.

    Parameters
    ----------
    n : int
        Input dimension, the number of binary weights.
    samples : int
        Sample size N.
    m : int
        Hidden units that share the weights.
    noise : float
        Standard deviation σ of the label noise. It is drawn on a grid of at least 64 steps to σ.
    readout : "ones", "signs", "gaussian" or m numbers
        Second-layer weights v; random ones belong to the draw. Gaussian ones lie on the grid 2^-6; given
        numbers are rounded to 2^-20 of the largest, or coarser, to 2^-8 at most, where exact sums would not
        fit otherwise. `Instance.readout` tells what they have become.
    inputs : str or Family
        Law of the inputs, see `sterling.model.families`.
    normalize : None, "standard" or "whiten"
        What is done to the inputs before the teacher labels them.

    Raises
    ------
    InputError
        For a parameter out of its range, with its name and value.

    References
    ----------
    Jeong, Xin and Yin, arXiv 2505.18113, section on the problem set-up.
    """

    n: int
    samples: int
    m: int = 1
    noise: float = 0.0
    readout: str | tuple[float, ...] = "ones"
    inputs: str | Family = "gaussian"
    normalize: str | None = None

    def __post_init__(self):
        for name in ("n", "samples", "m"):
            object.__setattr__(self, name, _count(getattr(self, name), name))
        noise = self.noise
        if isinstance(noise, bool) or not isinstance(noise, int | float | np.number):
            raise InputError(f"noise is {noise!r}; it must be a number")
        if not 0 <= noise <= 1e6:  # false for a NaN as well
            raise InputError(f"noise is {noise}; it must be finite, at least 0 and at most 10⁶")
        if 0 < noise < 1e-6:
            raise InputError(f"noise is {noise}; below 10⁻⁶ take 0, the difference cannot be seen")
        object.__setattr__(self, "noise", float(noise))
        object.__setattr__(self, "readout", _check_readout(self.readout, self.m))
        object.__setattr__(self, "inputs", get_family(self.inputs))
        check_normalisation(self.normalize)

    def draw(self, seed: int | np.random.SeedSequence = 0) -> Instance:
        """Draw a finite sample: the same bits on every machine and for any number of threads.

        Parameters
        ----------
        seed : int or SeedSequence
            Names the draw.

        Returns
        -------
        Instance
            With the teacher that made its labels.

        Raises
        ------
        CapacityError
            If it would not fit into memory, or noise and readout are too far apart for exact sums.
        """
        part_seed(seed)  # refuse a bad seed before any work
        self._require_memory()
        grid = normalise(self._draw_inputs(seed), self.normalize)
        grid.rounding[:] = 0  # the teacher labels what is on the grid, so nothing was rounded
        teacher = _draw_signs(part_seed(seed, TEACHER), self.n)
        active = self._activations(grid, teacher)

        def make(fineness: int) -> Instance:
            readout, readout_bits = self._draw_readout(seed, fineness)
            labels, label_bits = self._label(seed, active, readout, readout_bits)
            return Instance._from_codes(
                grid, self.m, labels, label_bits, readout, readout_bits, teacher, self._origin(seed)
            )

        instance = finest(make)
        instance.columns = transpose(grid)
        return instance

    def _origin(self, seed) -> dict:
        if isinstance(seed, np.random.SeedSequence):
            return {**self.to_dict(), "seed": seed.entropy, "spawn_key": list(seed.spawn_key)}
        return {**self.to_dict(), "seed": int(seed)}

    @property
    def readout_norm2(self) -> float:
        """‖v‖², its mean over draws where the readout is random."""
        if isinstance(self.readout, str):
            return float(self.m)  # ones and signs exactly, standard Gaussian weights on average
        return math.fsum(weight * weight for weight in self.readout)

    def memory(self) -> int:
        """Return the bytes that a draw takes at its peak, estimated from above."""
        rows, width = self.samples * self.m, padded_width(self.n)
        block = min(rows, _BLOCK * self.m)
        whole = (_CODE_BYTES[self.normalize] * width + _ROW_BYTES) * rows
        if self.normalize is not None:
            whole += _MOMENT_BYTES * width * min(rows, 2 * _BLOCK)
        return whole + _BLOCK_BYTES * width * block * thread_count(None) + _TABLE_BYTES

    def _require_memory(self) -> None:
        require_memory(self.memory(), f"an instance with n={self.n}, m={self.m}, {self.samples} samples")

    def _draw_inputs(self, seed) -> InputGrid:
        family = get_family(self.inputs)
        table = family_table(family)
        rows = aligned_zeros((self.samples * self.m, padded_width(self.n)), np.int16)

        def fill(block: int) -> None:
            from sterling.exact.sampling import draw_codes

            first = block * _BLOCK * self.m
            part = rows[first : first + _BLOCK * self.m, : self.n]
            part[:] = family.correlate(draw_codes(table, part_seed(seed, INPUTS, block), part.shape))

        for_each(fill, range(-(-self.samples // _BLOCK)))
        return InputGrid.plain(rows, self.n, family.bits)

    def _draw_readout(self, seed, fineness: int) -> tuple[np.ndarray, int]:
        if self.readout == "ones":
            return np.ones(self.m, np.int64), 0
        if self.readout == "signs":
            return _draw_signs(part_seed(seed, READOUT), self.m).astype(np.int64), 0
        if self.readout == "gaussian":
            from sterling.exact.sampling import draw_codes

            table = normal_table(1 << _READOUT_BITS)
            codes = draw_codes(table, part_seed(seed, READOUT), (self.m,)).astype(np.int64)
            if not codes.any():
                codes[0] = 1  # probability below 0.007^m; a readout of zeros would teach nothing
            return codes, _READOUT_BITS
        return vector_codes(np.array(self.readout), fineness, "readout weights")

    def _activations(self, grid: InputGrid, teacher: np.ndarray) -> np.ndarray:
        """Return which units the teacher activates, bool (samples, m)."""
        active = np.empty((self.samples, self.m), bool)
        weights = teacher.astype(np.float64)

        def fill(first: int) -> None:
            last = min(first + _IN_FLOATS, self.samples)
            codes = grid.rows[first * self.m : last * self.m, : self.n].astype(np.float64)
            active[first:last] = (codes @ weights > 0).reshape(-1, self.m)  # sums of integers: exact

        for_each(fill, range(0, self.samples, _IN_FLOATS))
        return active

    def _label(self, seed, active: np.ndarray, readout: np.ndarray, readout_bits: int):
        """Return the labels, noise included, as int64 codes, and the bits of their grid."""
        noise_bits = 0
        if self.noise > 0:
            noise_bits = max(0, math.ceil(math.log2(_NOISE_CODES / self.noise)))
        bits = max(readout_bits, noise_bits)
        labels = np.empty(self.samples, np.int64)

        def fill(block: int) -> None:
            first, last = block * _BLOCK, min((block + 1) * _BLOCK, self.samples)
            labels[first:last] = (active[first:last] @ readout) << (bits - readout_bits)
            if self.noise > 0:
                noise = self._draw_noise(part_seed(seed, NOISE, block), noise_bits)
                labels[first:last] += noise[: last - first] << (bits - noise_bits)

        for_each(fill, range(-(-self.samples // _BLOCK)))
        return labels, bits

    def _draw_noise(self, seed, bits: int) -> np.ndarray:
        """Return one block of noise: fine normal codes, scaled by σ and rounded to the grid 2^-bits."""
        from sterling.exact.sampling import draw_codes

        fine = draw_codes(normal_table(_FINE), seed, (_BLOCK,)).astype(np.float64)
        return np.rint(fine * (math.ldexp(self.noise, bits) / _FINE)).astype(np.int64)

    def to_dict(self) -> dict:
        """Return the parameters as plain values."""
        readout = self.readout if isinstance(self.readout, str) else list(self.readout)
        return {
            "n": self.n,
            "samples": self.samples,
            "m": self.m,
            "noise": self.noise,
            "readout": readout,
            "inputs": str(self.inputs),
            "normalize": self.normalize,
        }

    def _repr_html_(self) -> str:
        return html_table((name, shortened(value)) for name, value in self.to_dict().items())


def _draw_signs(seed: np.random.SeedSequence, count: int) -> np.ndarray:
    from sterling.exact.sampling import words

    bits = words(seed, count) >> np.uint64(63)
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8)


def _check_readout(readout, m: int) -> str | tuple[float, ...]:
    if isinstance(readout, str):
        if readout not in READOUTS:
            raise InputError(f"readout is {readout!r}; it must be one of {', '.join(READOUTS)} or m numbers")
        return readout
    if not isinstance(readout, Sequence | np.ndarray):
        raise InputError(f"readout is {readout!r}; it must be one of {', '.join(READOUTS)} or m numbers")
    refuse_masked(readout, "readout")
    try:
        values = tuple(float(value) for value in readout)
    except (TypeError, ValueError):
        raise InputError(f"readout is {readout!r}; it must hold {m} numbers") from None
    if len(values) != m:
        raise InputError(f"readout has {len(values)} numbers, but m is {m}")
    if not all(math.isfinite(value) for value in values):
        raise InputError(f"readout has a value that is not finite: {values}")
    if not any(values):
        raise InputError("readout is all zero, so the inputs would not reach the output")
    return values
