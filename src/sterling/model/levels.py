"""Levels: the values that weights take, and the quantiser that turns latents into levels.

With k levels a weight is level/√n, where levels are −(k−1), −(k−3), …, k−1 for even k, and half of these for
odd k: two levels are ±1, three are −1, 0, 1. A latent takes the nearest level, and ties go upwards: the j-th
of the k − 1 thresholds is (j − k/2)Δ.

Two levels are special, because only the sign of a latent counts: Δ = 2 in all formulas. For more levels
Δ = 3/(k√n), which is 3/k standard deviations of u_0 ~ N(0, 1/n). The rarest level of u_0 then has the
probability .31 for k = 3, .23 for k = 4, .096 for k = 8, and .036 for k = 16.

For odd k all weights can be zero, where every output is 0. No run starts there, but a run of few weights may
get there. With ReLU it stays, since H(0) = μ′(0) = 0. Measured: 7 of 20 ternary runs at n = 8, N = 400; 3 of
20 at n = 12, N = 900; none of 20 at n = 24, N = 1,500 and n = 48, N = 2,000 (no noise, default step sizes).
"""

from __future__ import annotations

import math
from functools import cached_property, lru_cache

import numpy as np

from sterling.errors import InputError

MAX_LEVELS = 16
_SPREAD = 3.0  # width of all levels together, in standard deviations of u_0


def require_two(instance, what: str) -> None:
    """Refuse an instance of more than two levels; ``what`` begins the sentence."""
    if instance.levels != 2:
        raise InputError(
            f"{what} for weights of two levels only, and these have {instance.levels}: use levels=2"
        )


@lru_cache
def level_values(count: int) -> tuple[int, ...]:
    """Return the levels, rising."""
    return tuple((2 * j - (count - 1)) // (1 + count % 2) for j in range(count))


class Quantiser:
    """The quantiser of n latents to ``count`` levels."""

    def __init__(self, count: int, n: int):
        self.count = count
        self.values = np.array(level_values(count), np.int8)
        self.step = 2 - count % 2  # between two levels
        self.spacing = 2.0 if count == 2 else _SPREAD / (count * math.sqrt(n))  # Δ, between two thresholds

    @cached_property
    def thresholds(self) -> np.ndarray:
        """The k − 1 thresholds, float64, rising; the level above includes its threshold."""
        return (np.arange(1, self.count) - self.count / 2) * self.spacing

    @property
    def half(self) -> float:
        """Δ/2, the distance of an inner level from its thresholds in latent units."""
        return self.spacing / 2

    def quantise(self, latent: np.ndarray) -> np.ndarray:
        """Return the levels of latents, int8, of the same shape."""
        return self.values[np.searchsorted(self.thresholds, latent, side="right")]

    def latents(self, levels: np.ndarray) -> np.ndarray:
        """Return the latents in the middle of levels: level·Δ/step, float64."""
        return levels * (self.spacing / self.step)

    def nearest(self, average: np.ndarray) -> np.ndarray:
        """Return the levels nearest to averages of levels, int8; ties go upwards."""
        middles = (self.values[1:].astype(np.float64) + self.values[:-1]) / 2
        return self.values[np.searchsorted(middles, average, side="right")]

    def index(self, levels: np.ndarray) -> np.ndarray:
        """Return the numbers of levels, from 0 for the lowest, int64."""
        return (levels.astype(np.int64) - int(self.values[0])) // self.step

    def bins(self, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the thresholds below and above levels, infinite beyond the outermost; each float64."""
        ends = np.concatenate([[-np.inf], self.thresholds, [np.inf]])
        index = self.index(levels)
        return ends[index], ends[index + 1]


def moves_of(flips: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the change of level in each recorded flip, int64; ``start`` has the first levels, (n,)."""
    order = np.argsort(flips["coordinate"], kind="stable")
    who, levels = flips["coordinate"][order], flips["sign"][order].astype(np.int64)
    first = np.diff(who, prepend=-1) != 0
    moves = np.empty(len(who), np.int64)
    moves[order] = levels - np.where(first, start[who], np.roll(levels, 1))
    return moves
