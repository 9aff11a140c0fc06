"""Gradient steps, with momentum, clipping, decay, damping and a band of hysteresis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling.optimizers.base import Motion, Optimizer


@dataclass(frozen=True, repr=False)
class SGD(Optimizer):
    """Stochastic gradient descent; with all defaults the method of the paper.

    One step is, with the gradient g = G(w_t) + θS(u − b) of the batch,

        v ← βv + g,   u ← (1 − η_t λ)u − η_t v,   −clip ≤ u_k ≤ clip,

    and a weight turns once its latent lies beyond band·S on the other side. S is `theory.signal`, the mean
    pull on one wrong weight: a formula for Gaussian inputs, else the mean pull of the data. An orbit keeps S.
    While no weight turns, the latents relax to u* = (θSb − G)/(θS + λ).

    Parameters
    ----------
    momentum : float
        β of the heavy ball, from 0 to below 1.
    clip : float, optional
        Bound on the size of u_k after each step and at the start.
    decay : float
        λ, decoupled: every step multiplies the latents by 1 − η_t λ first.
    damping : float
        θ: the latents relax towards their own weights b, with strength θS. At θ > 0 a state is absorbing if
        and only if b_k G_k ≤ θS for every k, so label noise no longer forces recurrence.
    band : float
        Hysteresis in units of S. At 0, sign(0) = +1.

    Raises
    ------
    InputError
        If a number is out of range.

    Notes
    -----
    A run refuses rates with η_t(θS + λ) ≥ ½. Damping needs a schedule with much mass: without a schedule a
    damped run takes the constant rate 1/(30 θS), or 1/(100 θS) with batches. With more than two levels b is
    the middle of the weight's level in latent units, and Δ/2, half the width of a level, divides θS.

    References
    ----------
    docs/science, 17. Damping: Nagel et al. 2022, arXiv 2203.11086, with a strength in units of S.

    Examples
    --------
    >>> import sterling as st
    >>> noisy = st.Problem(n=32, samples=800, noise=0.5).draw(seed=0)
    >>> st.train(noisy, steps=5_000).certified
    False
    >>> st.train(noisy, steps=5_000, optimizer=st.SGD(damping=0.5)).verdict
    Verdict.OPTIMAL
    """

    name = "sgd"
    momentum: float = 0.0
    clip: float | None = None
    decay: float = 0.0
    damping: float = 0.0
    band: float = 0.0

    def __post_init__(self) -> None:
        self._check(
            momentum={"least": 0, "below": 1},
            clip={"above": 0},
            decay={"least": 0},
            damping={"least": 0},
            band={"least": 0},
        )

    def start(self, n: int) -> np.ndarray | None:
        return np.zeros(n) if self.momentum else None

    def step(
        self, latent: np.ndarray, gradient: np.ndarray, signs: np.ndarray, rate: float, state: Any
    ) -> np.ndarray:
        if self.momentum:
            state[:] = self.momentum * state + gradient
            gradient = state
        return (1.0 - rate * self.decay) * latent - rate * gradient

    @property
    def _numbers(self) -> tuple[float, ...]:
        return self.momentum, self.decay

    def _motion(self, signal: float) -> Motion | None:
        if self.momentum or self.clip is not None:
            return None
        back = self.damping * signal
        return Motion(1.0, back, back + self.decay, self.band * signal)


def make(helper: Callable) -> Any:
    """Return `SGD.step` compiled; it changes latents and moments in place."""

    @helper
    def step(latent, gradient, moments, rate, numbers):
        momentum, keep = numbers[0], 1.0 - rate * numbers[1]
        if momentum == 0.0:
            for k in range(latent.size):
                latent[k] = keep * latent[k] - rate * gradient[k]
        else:
            for k in range(latent.size):
                velocity = momentum * moments[k] + gradient[k]
                moments[k] = velocity
                latent[k] = keep * latent[k] - rate * velocity

    return step


OPTIMIZER = SGD
#: The method of the paper.
PLAIN_SGD = SGD()
