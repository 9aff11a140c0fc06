"""Ergodic restart: at regular steps the latents return to the time average, and the schedule restarts.

In a run that chatters different weights are wrong at each moment, but the time average is right. A run that
starts from this average comes to rest (docs/science, 12). Between two restarts the run is plain STE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling.base import checks
from sterling.base.text import Described
from sterling.dynamics.bookkeeping import plain
from sterling.dynamics.state import ANCHOR, DISTANCE, EPOCH, EPOCH_MASS, EVENTS, Log, RunState
from sterling.errors import InputError, InputTypeError
from sterling.exact.mass import mass_between
from sterling.schedules import MAX_STEPS


@dataclass(frozen=True)
class Restart(Described):
    """Ergodic restart: after a fixed number of steps u ← scale·Σ η_t w_t, and the schedule restarts at t = 0.

    The sum runs over the iterates since the last restart: it is their time average times the mass since
    then. So the best scale does not depend on the unit of the step sizes. Step sizes are in units where the
    readout has norm one. A run that is absorbed never restarts.

    Parameters
    ----------
    every : int
        Steps between two restarts.
    scale : float
        Factor on Σ η_t w_t. Over the same steps the mean gradient (Gaussian inputs, ReLU) pulls a wrong
        latent by 1/√(2π) = 0.4 in these units. So 0.05 sets a latent whose weight never changed to an eighth
        of that distance from zero. The identity pulls twice as hard and takes 0.1.

    Raises
    ------
    InputError
        If a number is out of range.

    Notes
    -----
    Measured, not proved (`python -m benchmarks.papers.restart`): without label noise N₅₀ is 3.1 to 3.2 n for
    ReLU, m = 1 and n = 64 to 1024, within 12,600 steps. With this scale, any ``every`` from 75 to 600 did
    about as well at n = 64 and 256; at n = 256 the scales 0.02 and 0.1 are clearly worse. At n = 256 no scale
    did better for step sizes from constant to 0.5/(t+1), and for the identity no scale beat 0.1 (16 runs
    each). With label noise restart improves the time average at σ = 0.1 (n = 64), but not clearly from 0.2.

    References
    ----------
    docs/science, 12. Nearest idea: Dockhorn et al., arXiv 2110.13220.

    Examples
    --------
    A run that chatters to its end, and the same run with restarts:

    >>> import sterling as st
    >>> instance = st.Problem(n=128, samples=512).draw(seed=0)
    >>> st.train(instance, steps=6_000).certified
    False
    >>> st.train(instance, steps=6_000, restart=st.Restart()).verdict
    Verdict.OPTIMAL
    """

    every: int = 300
    scale: float = 0.05

    def __post_init__(self) -> None:
        object.__setattr__(self, "every", checks.integer(self.every, "every", 1, MAX_STEPS))
        object.__setattr__(self, "scale", checks.real(self.scale, "scale", above=0, most=1e80))

    def __str__(self) -> str:
        return f"{self.every},{self.scale!r}"

    def _apply(self, state: RunState, log: Log, step: int, arguments: tuple, norm2: float) -> None:
        """Restart at a step, with no flip since the anchor; change state and log.

        ``arguments`` are those of the schedule for `mass_between`, ``norm2`` is the readout's squared norm.
        """
        begun, anchor = int(state.clock[EPOCH]), int(state.clock[ANCHOR])
        mass = mass_between(*arguments, anchor - begun, step - begun)
        plain.close(state, log, step)
        total = plain.spend(state, mass)
        leaving = state.clock[DISTANCE] == 0
        balance = state.balance + state.signs * (total - state.since_mass)  # Σ mass·sign so far
        latent = state.latent
        if total > state.mass[EPOCH_MASS]:  # if all steps had size zero, the latents stay
            latent = self.scale * norm2 / math.sqrt(state.signs.size) * (balance - state.epoch)
        flips = np.flatnonzero((latent >= 0) != (state.signs > 0))
        for k in flips:
            plain.flip(state, log, step, total, k, leaving)
        state.latent[:] = latent
        plain.rest(state, step)
        if not flips.size:
            state.clock[EVENTS] -= 1  # an event is a step with a flip
        state.epoch[:] = balance
        state.clock[EPOCH] = step
        state.mass[EPOCH_MASS] = total


def as_restart(value: Any) -> Restart | None:
    """Return a user's restart: a `Restart`, the steps between two, or text such as "300,0.05".

    None, False and 0 mean no restart.
    """
    if isinstance(value, Restart):
        return value
    if value is None or value is False or (checks.is_number(value) and value == 0):
        return None
    if checks.is_number(value) and value is not True:
        return Restart(value)
    if not isinstance(value, str):
        text = f"restart is {checks.shown(value)}; give a Restart, or the number of steps between two"
        raise InputTypeError(text, argument="restart")
    every, _, scale = value.partition(",")
    try:
        steps = checks.whole_number(every)
        return Restart(steps, float(scale)) if scale else Restart(steps)
    except InputError as problem:
        reason = f", where {problem}"
    except ValueError:
        reason = "; write EVERY or EVERY,SCALE such as 300,0.05"
    raise InputError(f"restart is {checks.shown(value)}{reason}", argument="restart")
