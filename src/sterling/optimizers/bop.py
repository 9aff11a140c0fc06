"""Bop: weights turn where a moving average of the gradient is large; there are no latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling.optimizers.base import Motion, Optimizer


@dataclass(frozen=True, repr=False)
class Bop(Optimizer):
    """Bop: m ← (1 − γ)m + γG; weight k turns where m_k has its sign and is beyond ±threshold·S.

    Parameters
    ----------
    gamma : float
        γ, between 0 and 1.
    threshold : float
        Positive, in units of S (`theory.signal`).

    Raises
    ------
    InputError
        If a number is out of range.

    Notes
    -----
    Bop has no step sizes: a run takes no schedule, and every step has mass one. `Orbit.latent` is −m, so that
    a weight turns once its latent lies beyond the threshold on the other side, as with the band of `SGD`.
    m starts at zero; the weights start at the signs of u_0.

    References
    ----------
    Helwegen et al. 2019, arXiv 1906.02107. There the threshold is a number; here it is a multiple of S.

    Examples
    --------
    >>> import sterling as st
    >>> noisy = st.Problem(n=32, samples=800, noise=0.5).draw(seed=0)
    >>> st.train(noisy, steps=5_000, optimizer=st.Bop(threshold=0.5)).verdict
    Verdict.OPTIMAL
    """

    name = "bop"
    scale_free = True
    gamma: float = 0.01
    threshold: float = 0.25

    def __post_init__(self) -> None:
        self._check(gamma={"above": 0, "below": 1}, threshold={"above": 0})

    @property
    def band(self) -> float:  # type: ignore[override]
        """The threshold, in units of S."""
        return self.threshold

    def begin(self, latent: np.ndarray) -> np.ndarray:
        return np.zeros(len(latent))

    def step(
        self, latent: np.ndarray, gradient: np.ndarray, signs: np.ndarray, rate: float, state: Any
    ) -> np.ndarray:
        return latent - self.gamma * (latent + gradient)

    @property
    def _numbers(self) -> tuple[float, ...]:
        return (self.gamma,)

    def _motion(self, signal: float) -> Motion | None:
        # The clock needs γ < ½.
        return Motion(self.gamma, 0.0, self.gamma, self.threshold * signal) if self.gamma < 0.5 else None


def make(helper: Callable) -> Any:
    """Return `Bop.step` compiled; it changes latents in place."""

    @helper
    def step(latent, gradient, moments, rate, numbers):
        gamma = numbers[0]
        for k in range(latent.size):
            latent[k] = latent[k] - gamma * (latent[k] + gradient[k])

    return step


OPTIMIZER = Bop
