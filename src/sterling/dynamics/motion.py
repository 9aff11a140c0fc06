"""How latents move while no weight turns, in NumPy: the definition for the event engines and the dense one.

    u_t = u_a − M·F,   F = pull·G − back·b + κ u_a,   M = (1 − e^{−L})/κ, or the mass H where κ = 0

from the last flip, the anchor a (docs/science, 17). A weight turns at the first step at which its latent lies
beyond the band on the other side. It can turn only if pull·b_k G_k > back + κ·band: otherwise the latent
settles on its own side, and equality absorbs.
"""

from __future__ import annotations

import numpy as np

from sterling.exact.mass import mass_between
from sterling.exact.relaxation import clock_arguments, clock_between, spent
from sterling.optimizers.base import PLAIN, Motion, Optimizer
from sterling.optimizers.batch import Batch

_TINY = 5e-324


def motion_of(optimizer: Optimizer, batch: Batch | None, signal: float, levels: int = 2) -> Motion | None:
    """Return how latents move between two flips; None where every step has to be taken."""
    return optimizer._motion(signal) if batch is None and optimizer._built_in and levels == 2 else None


class Movement:
    """The motion of a run with the ``arguments`` of its schedule for `mass_between`."""

    def __init__(self, motion: Motion, arguments: tuple):
        self.motion, self.arguments = motion, arguments
        self.clock = clock_arguments(arguments, motion.kappa) if motion.kappa else arguments
        self.hold = motion.back + motion.kappa * motion.band

    def travel(self, start: int, stop: int) -> float:
        """Return M over start ≤ t < stop."""
        if not self.motion.kappa:
            return mass_between(*self.arguments, start, stop)
        return spent(clock_between(*self.clock, start, stop)) / self.motion.kappa

    def push(self, gradient: np.ndarray, signs: np.ndarray) -> np.ndarray:
        """Return how far each weight is beyond what holds it; it can turn if this is positive."""
        return self.motion.pull * gradient * signs - self.hold

    def force(self, gradient: np.ndarray, latent: np.ndarray, signs: np.ndarray) -> np.ndarray:
        """Return F."""
        if self.motion == PLAIN:
            return gradient
        pull, back, kappa, _ = self.motion
        return (pull * gradient - back * signs) + kappa * latent

    def reach(self, gradient: np.ndarray, latent: np.ndarray, signs: np.ndarray) -> float:
        """Return M at the next flip; some weight must be pushed to turn."""
        coming = self.push(gradient, signs) > 0
        force = self.force(gradient, latent, signs) * signs
        away = np.abs(latent + self.motion.band * signs)
        with np.errstate(divide="ignore", over="ignore"):
            return 1 / np.max(force[coming] / away[coming])

    def move(
        self, latent: np.ndarray, gradient: np.ndarray, signs: np.ndarray, travel: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the latents after this travel from ``latent``, and the weights that have turned."""
        force = self.force(gradient, latent, signs)
        if self.motion == PLAIN:
            moved = latent - travel * force
            return moved, np.flatnonzero((moved >= 0) != (signs > 0))
        away = self.motion.band * signs
        shifted = (latent + away) - travel * force
        crossed = (shifted >= 0) != (signs > 0)
        turned = crossed & (self.motion.pull * gradient * signs > self.hold)
        shifted = np.where(crossed & ~turned, np.where(signs > 0, 0.0, -_TINY), shifted)
        return shifted - away, np.flatnonzero(turned)
