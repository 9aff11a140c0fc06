"""Steps by the sign of the gradient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling.optimizers.base import Optimizer


@dataclass(frozen=True, repr=False)
class SignSGD(Optimizer):
    """Steps by the sign of the gradient: u ← u − η_t sign(G), with sign(0) = 0 here.

    Notes
    -----
    η_t = rate·(t + 1)^−exponent, not divided by ‖v‖². Without a schedule the rate is 0.01. At full batch it
    balances the median of the gradient instead of its mean, so its time average need not be right
    (docs/science, 16). No verdict of a run with it is certified.

    References
    ----------
    Bernstein et al. 2018, arXiv 1802.04434.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=8, samples=100, noise=0.5).draw(seed=0)
    >>> st.train(instance, steps=2_000, optimizer=st.SignSGD(), batch=8).steps
    2000
    """

    name = "signsgd"
    scale_free = True

    def step(
        self, latent: np.ndarray, gradient: np.ndarray, signs: np.ndarray, rate: float, state: Any
    ) -> np.ndarray:
        return latent - rate * np.sign(gradient)


def make(helper: Callable) -> Any:
    """Return `SignSGD.step` compiled; it changes latents in place."""

    @helper
    def step(latent, gradient, moments, rate, numbers):
        for k in range(latent.size):
            direction = 1.0 if gradient[k] > 0.0 else (-1.0 if gradient[k] < 0.0 else 0.0)
            latent[k] = latent[k] - rate * direction

    return step


OPTIMIZER = SignSGD
