"""Adam, with decoupled decay (AdamW)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling.optimizers.base import Optimizer, check_betas


@dataclass(frozen=True, repr=False)
class Adam(Optimizer):
    """Adam; with decay it is AdamW.

    With the gradient g = G(w_t) + θS(u − b), step t = 0, 1, … is

        m ← β₁m + (1 − β₁)g,   q ← β₂q + (1 − β₂)g²,
        u ← (1 − η_t λ)u − η_t/(1 − β₁^{t+1}) · m / (√q/√(1 − β₂^{t+1}) + ε),   −clip ≤ u_k ≤ clip.

    Its steps do not grow with the gradient, so η_t = rate·(t + 1)^−exponent, not divided by ‖v‖².

    Parameters
    ----------
    betas : (float, float)
        β₁ and β₂, each from 0 to below 1.
    eps : float
        ε, positive.
    clip, decay, damping
        As in `SGD`.

    Raises
    ------
    InputError
        If a number is out of range.

    Notes
    -----
    Without a schedule the rate is 0.01. No verdict of a run with Adam is certified.

    References
    ----------
    Kingma & Ba 2015, arXiv 1412.6980; Loshchilov & Hutter 2019, arXiv 1711.05101.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=8, samples=100, noise=0.5).draw(seed=0)
    >>> st.train(instance, steps=2_000, optimizer=st.Adam(), batch=32).ergodic_errors
    0
    """

    name = "adam"
    scale_free = True
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    clip: float | None = None
    decay: float = 0.0
    damping: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", check_betas(self.betas))
        self._check(eps={"above": 0}, clip={"above": 0}, decay={"least": 0}, damping={"least": 0})

    def start(self, n: int) -> np.ndarray | None:
        state = np.zeros(2 * n + 2)  # m, q, β₁^t, β₂^t
        state[-2:] = 1.0
        return state

    def step(
        self, latent: np.ndarray, gradient: np.ndarray, signs: np.ndarray, rate: float, state: Any
    ) -> np.ndarray:
        n, (first, second) = len(latent), self.betas
        mean, square = state[:n], state[n : 2 * n]
        mean[:] = first * mean + (1.0 - first) * gradient
        square[:] = second * square + (1.0 - second) * (gradient * gradient)
        state[-2:] *= self.betas
        size = rate / (1.0 - state[-2])
        spread = np.sqrt(square) / np.sqrt(1.0 - state[-1]) + self.eps
        return (1.0 - rate * self.decay) * latent - size * (mean / spread)

    @property
    def _numbers(self) -> tuple[float, ...]:
        return *self.betas, self.eps, self.decay


def make(helper: Callable) -> Any:
    """Return `Adam.step` compiled; it changes latents and moments in place."""

    @helper
    def step(latent, gradient, moments, rate, numbers):
        n, first, second, eps = latent.size, numbers[0], numbers[1], numbers[2]
        less, rest, keep = 1.0 - first, 1.0 - second, 1.0 - rate * numbers[3]
        mean, square = moments[:n], moments[n : 2 * n]
        moments[2 * n] *= first
        moments[2 * n + 1] *= second
        size = rate / (1.0 - moments[2 * n])
        root = math.sqrt(1.0 - moments[2 * n + 1])
        for k in range(n):
            mean[k] = first * mean[k] + less * gradient[k]
            square[k] = second * square[k] + rest * (gradient[k] * gradient[k])
            spread = math.sqrt(square[k]) / root + eps
            latent[k] = keep * latent[k] - size * (mean[k] / spread)

    return step


OPTIMIZER = Adam
