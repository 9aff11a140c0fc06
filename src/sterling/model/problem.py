"""A problem: the distribution from which finite samples are drawn, each an `Instance`.

Each part of a draw (teacher, readout, noise, inputs) has a seed. Inputs and noise are drawn in blocks of
samples, so a larger sample begins with the smaller one of the same seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sterling.base import checks
from sterling.base.arrays import real_array
from sterling.base.resources import for_each, require_memory, thread_count
from sterling.base.text import Described
from sterling.errors import InputError
from sterling.exact.grid import (
    InputGrid,
    Rounding,
    aligned_zeros,
    finest,
    largest_error,
    padded_width,
    transpose,
    vector_codes,
)
from sterling.model.families import Family, family_table, get_family, normal_table
from sterling.model.instance import Instance
from sterling.model.levels import MAX_LEVELS, level_values
from sterling.model.normalise import check_normalize, normalise

# Which part of a draw a seed is for. The first latents of a run use LATENT, and its batches BATCH.
TEACHER, READOUT, NOISE, INPUTS, LATENT, BATCH = range(6)

_BLOCK = 4096  # samples that share one stream of random bits
_IN_FLOATS = 2048  # samples turned to float64 at a time
# Memory of a draw in bytes: for each code and row, and for each code in the blocks of all threads.
_CODE_BYTES, _ROW_BYTES, _BLOCK_BYTES, _TABLE_BYTES = 4, 40, 10, 1 << 20
_UNCHECKED = 1 << 19  # inputs up to which the memory is not checked: that would take longer than the draw
_MOST_NOISE = 1e6
_NOISE_CODES = 64  # codes to one standard deviation of the label noise, at least
_FINE = 4096  # codes to one standard deviation before noise is scaled
_READOUT_BITS = 6  # grid of a gaussian readout

READOUTS = ("ones", "signs", "gaussian")


def part_seed(seed: int | np.random.SeedSequence, *part: int) -> np.random.SeedSequence:
    """Return the seed of one part of a draw: the user's seed, extended by the numbers of the part."""
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *part))
    return np.random.SeedSequence(checks.integer(seed, "seed", 0), spawn_key=part)


@dataclass(frozen=True)
class Problem(Described):
    """Two-layer network y = vᵀH(Z w*) + ξ with quantised weights, as a distribution of data sets.

    Parameters
    ----------
    n : int
        Input dimension, the number of weights.
    samples : int
        Sample size N.
    m : int
        Hidden units that share the weights.
    noise : float
        Standard deviation σ of the label noise. It is drawn on a grid of at least 64 steps to σ.
    readout : "ones", "signs", "gaussian" or m numbers
        Second-layer weights v; random ones belong to the draw. Gaussian ones lie on the grid 2^-6. Given
        numbers are rounded to 2^-20 of the largest; if exact sums would not fit, to coarser grids down to
        2^-8. `Instance.readout` has the rounded values.
    inputs : str or Family
        Distribution of the inputs, see `sterling.model.families`.
    normalize : None, "standard" or "whiten"
        Transformation of the inputs before the teacher labels them; it is fitted to each draw.
    levels : int
        Number of values that a weight can take, 2 to 16, see `Instance`. The teacher is drawn uniformly from
        them, but is never all zero. Outputs depend on the direction of w alone, so data cannot tell w* from
        its multiples.

    References
    ----------
    Jeong, Xin and Yin, arXiv 2505.18113, section on the problem set-up.

    Examples
    --------
    >>> import sterling as st
    >>> st.Problem(n=64, samples=4096, m=4, noise=0.5)
    Problem(n=64, samples=4096, m=4, noise=0.5, readout='ones', inputs='gaussian', normalize=None)
    """

    n: int
    samples: int
    m: int = 1
    noise: float = 0.0
    readout: str | tuple[float, ...] = "ones"
    inputs: str | Family = "gaussian"
    normalize: str | None = None
    levels: int = 2

    def __post_init__(self):
        for name in ("n", "samples", "m"):
            object.__setattr__(self, name, checks.integer(getattr(self, name), name, 1))
        noise = checks.real(self.noise, "noise", 0, _MOST_NOISE) + 0.0  # −0.0 is 0
        if 0 < noise < 1 / _MOST_NOISE:
            raise InputError(f"noise is {noise}; it must be 0 or at least 10⁻⁶", argument="noise")
        object.__setattr__(self, "noise", noise)
        if isinstance(self.readout, str):
            checks.choice(self.readout, "readout", READOUTS)
        else:
            weights = real_array(self.readout, "readout", ("unit",), (self.m,), f"m={self.m}") + 0.0
            if not weights.any():
                raise InputError("readout is all zero, so the inputs would not reach the output")
            object.__setattr__(self, "readout", tuple(weights.tolist()))
        object.__setattr__(self, "inputs", get_family(self.inputs))
        if self.normalize is not None:
            object.__setattr__(self, "normalize", check_normalize(self.normalize))
        object.__setattr__(self, "levels", checks.integer(self.levels, "levels", 2, MAX_LEVELS))

    def draw(self, seed=0, threads: int | None = None) -> Instance:
        """Draw a finite sample: the same bits on every machine and for any number of threads.

        Parameters
        ----------
        seed : int, SeedSequence or Generator
            Random seed of the data. From a Generator one seed is drawn.
        threads : int, optional
            Number of threads, all cores by default.

        Returns
        -------
        Instance
            The data set, with the teacher that generated its labels.

        Raises
        ------
        CapacityError
            If the data would not fit into memory, or noise and readout are too far apart for exact sums.

        Examples
        --------
        >>> import sterling as st
        >>> instance = st.Problem(n=8, samples=100, noise=0.5).draw(seed=1)
        >>> instance.inputs.shape
        (100, 1, 8)
        """
        seed = checks.seed(seed)
        rows = self.samples * self.m
        threads = 1 if threads is None and rows <= _BLOCK else thread_count(threads)
        if rows * self.n > _UNCHECKED:
            what = f"an instance with n={self.n}, m={self.m}, {self.samples} samples"
            require_memory(self._memory(threads), what)
        raw = grid = self._draw_inputs(seed, threads)
        normalizer = None
        if self.normalize is not None:
            grid, normalizer = normalise(raw, self.normalize)
            grid = replace(grid, rounding=np.zeros(self.n))  # no error: the teacher labels the rounded inputs
        teacher = _draw_teacher(part_seed(seed, TEACHER), self.n, self.levels)
        active = self._activations(grid, teacher, threads)
        instance = Instance.__new__(Instance)
        origin = {**self.to_dict(), "seed": seed}
        if isinstance(seed, np.random.SeedSequence):
            origin |= {"seed": seed.entropy, "spawn_key": list(seed.spawn_key)}
        instance._describe(grid, raw, self.m, teacher, normalizer, origin, self.levels)

        def fill(fineness: int) -> Instance:
            readout = self._draw_readout(seed, fineness)
            error = 0.0 if isinstance(self.readout, str) else largest_error(*readout, self.readout)
            labels = self._label(seed, active, *readout, threads)
            instance._fill(labels, readout, Rounding(grid.rounding, 0.0, error))
            return instance

        finest(fill)
        instance.columns = transpose(grid, threads)
        return instance

    @property
    def readout_norm2(self) -> float:
        """‖v‖², its mean over draws where the readout is random."""
        if isinstance(self.readout, str):
            return float(self.m)  # ones and signs exactly, standard Gaussian weights on average
        return math.fsum(weight * weight for weight in self.readout)

    def _memory(self, threads: int | None = None) -> int:
        """Return an upper estimate of the memory that a draw takes, in bytes."""
        rows, block = self.samples * self.m, _BLOCK * self.m * thread_count(threads)
        if self.normalize is not None:
            rows, block = 2 * rows, max(block, 8 * _BLOCK)  # the codes before and after, and blocks of floats
        codes = _CODE_BYTES * rows + _BLOCK_BYTES * min(rows, block)
        return codes * padded_width(self.n) + _ROW_BYTES * rows + _TABLE_BYTES

    def _draw_inputs(self, seed, threads: int) -> InputGrid:
        family: Family = self.inputs  # type: ignore[assignment]
        table = family_table(family)
        rows = aligned_zeros((self.samples * self.m, padded_width(self.n)), np.int16)

        def fill(block: int) -> None:
            from sterling.exact.sampling import draw_codes

            first = block * _BLOCK * self.m
            part = rows[first : first + _BLOCK * self.m, : self.n]
            part[:] = family._correlate(draw_codes(table, part_seed(seed, INPUTS, block), part.shape))

        for_each(fill, range(-(-self.samples // _BLOCK)), threads)
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
                codes[0] = 1  # a readout of zeros has a probability below 0.007^m
            return codes, _READOUT_BITS
        return vector_codes(np.array(self.readout), fineness, "readout weights")

    def _activations(self, grid: InputGrid, teacher: np.ndarray, threads: int) -> np.ndarray:
        """Return which units the teacher activates, bool (samples, m)."""
        active = np.empty((self.samples, self.m), bool)
        weights = teacher.astype(np.float64)

        def fill(first: int) -> None:
            last = min(first + _IN_FLOATS, self.samples)
            codes = grid.rows[first * self.m : last * self.m, : self.n].astype(np.float64)
            active[first:last] = (codes @ weights > 0).reshape(-1, self.m)  # sums of integers: exact

        for_each(fill, range(0, self.samples, _IN_FLOATS), threads)
        return active

    def _label(self, seed, active: np.ndarray, readout: np.ndarray, readout_bits: int, threads: int):
        """Return the labels, noise included, as int64 codes, and the bits of their grid."""
        from sterling.exact.sampling import draw_codes

        noise_bits = 0
        if self.noise > 0:
            noise_bits = max(0, math.ceil(math.log2(_NOISE_CODES / self.noise)))
        bits = max(readout_bits, noise_bits)
        labels = np.empty(self.samples, np.int64)

        def fill(block: int) -> None:
            first, last = block * _BLOCK, min((block + 1) * _BLOCK, self.samples)
            labels[first:last] = (active[first:last] @ readout) << (bits - readout_bits)
            if self.noise > 0:  # fine normal codes, scaled by σ and rounded to the grid
                codes = draw_codes(normal_table(_FINE), part_seed(seed, NOISE, block), (_BLOCK,))
                noise = codes[: last - first] * (math.ldexp(self.noise, noise_bits) / _FINE)
                labels[first:last] += np.rint(noise).astype(np.int64) << (bits - noise_bits)

        for_each(fill, range(-(-self.samples // _BLOCK)), threads if self.noise > 0 else 1)
        return labels, bits

    def to_dict(self) -> dict:
        readout = self.readout if isinstance(self.readout, str) else list(self.readout)
        return {
            "n": self.n,
            "samples": self.samples,
            "m": self.m,
            "noise": self.noise,
            "readout": readout,
            "inputs": str(self.inputs),
            "normalize": self.normalize,
            **({} if self.levels == 2 else {"levels": self.levels}),
        }

    def __repr__(self) -> str:
        values = {**vars(self), "inputs": str(self.inputs)}
        if self.levels == 2:
            del values["levels"]
        return f"Problem({', '.join(f'{name}={value!r}' for name, value in values.items())})"


def _draw_teacher(seed: np.random.SeedSequence, count: int, levels: int) -> np.ndarray:
    """Return uniform levels, int8, not all of them zero."""
    from sterling.exact.sampling import words

    if levels == 2:
        return _draw_signs(seed, count)
    values = np.array(level_values(levels), np.int8)
    drawn, first = np.zeros(count, np.int8), 0
    while not drawn.any():
        fractions = words(seed, first + count)[first:] >> np.uint64(11)  # 53 bits
        drawn = values[(fractions * np.uint64(levels)) >> np.uint64(53)]
        first += count
    return drawn


def _draw_signs(seed: np.random.SeedSequence, count: int) -> np.ndarray:
    from sterling.exact.sampling import words

    bits = words(seed, count) >> np.uint64(63)
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8)
