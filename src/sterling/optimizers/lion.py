"""Lion: the sign of an interpolated momentum."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling.optimizers.base import Optimizer, check_betas


@dataclass(frozen=True, repr=False)
class Lion(Optimizer):
    """Lion: u ← (1 − η_t λ)u − η_t sign(β₁m + (1 − β₁)G), then m ← β₂m + (1 − β₂)G, with sign(0) = 0 here.

    Parameters
    ----------
    betas : (float, float)
        β₁ and β₂, each from 0 to below 1.
    decay : float
        λ, as in `SGD`.

    Raises
    ------
    InputError
        If a number is out of range.

    Notes
    -----
    η_t = rate·(t + 1)^−exponent, not divided by ‖v‖². Without a schedule the rate is 0.01. No verdict of a
    run with Lion is certified.

    References
    ----------
    Chen et al. 2023, arXiv 2302.06675.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=8, samples=100, noise=0.5).draw(seed=0)
    >>> st.train(instance, steps=2_000, optimizer=st.Lion(), batch=32).ergodic_errors
    0
    """

    name = "lion"
    scale_free = True
    betas: tuple[float, float] = (0.9, 0.99)
    decay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", check_betas(self.betas))
        self._check(decay={"least": 0})

    def start(self, n: int) -> np.ndarray | None:
        return np.zeros(n)

    def step(
        self, latent: np.ndarray, gradient: np.ndarray, signs: np.ndarray, rate: float, state: Any
    ) -> np.ndarray:
        first, second = self.betas
        direction = np.sign(first * state + (1.0 - first) * gradient)
        state[:] = second * state + (1.0 - second) * gradient
        return (1.0 - rate * self.decay) * latent - rate * direction

    @property
    def _numbers(self) -> tuple[float, ...]:
        return *self.betas, self.decay


def make(helper: Callable) -> Any:
    """Return `Lion.step` compiled; it changes latents and moments in place."""

    @helper
    def step(latent, gradient, moments, rate, numbers):
        first, second, keep = numbers[0], numbers[1], 1.0 - rate * numbers[2]
        less, rest = 1.0 - first, 1.0 - second
        for k in range(latent.size):
            mixed = first * moments[k] + less * gradient[k]
            direction = 1.0 if mixed > 0.0 else (-1.0 if mixed < 0.0 else 0.0)
            moments[k] = second * moments[k] + rest * gradient[k]
            latent[k] = keep * latent[k] - rate * direction

    return step


OPTIMIZER = Lion
