"""The dense engine takes one gradient step after another. It is slow and simple, and defines what a run is.

    u_{t+1} = u_t − η_t G(w_t),   w_{t+1} = sign(u_{t+1})/√n with sign(0) = +1          (docs/science, 2)

While no weight flips, G does not change. So u_t is computed from the last flip (the anchor) in one product,
u_t = u_a − (η_a + … + η_{t−1})·G, as in the event engine: one rounding an interval, not one a step.
Gradients and losses of visited states are kept, since a run under label noise visits few states many times.
"""

from __future__ import annotations

import numpy as np

from sterling.dynamics import state as cell
from sterling.dynamics.bookkeeping import plain
from sterling.dynamics.motion import Movement
from sterling.dynamics.state import ABSORBED, FULL_LOG, PAUSED, REACHED, RESTARTED, Log, RunState
from sterling.exact.mass import mass_between
from sterling.model.instance import Instance
from sterling.optimizers.base import PLAIN, Motion
from sterling.surrogates import Surrogate

_GRADIENT_COST = 2  # cost of one input entry in budget units, which are about nanoseconds
_STEP_COST = 8000  # cost of one step in budget units
_KEPT_BYTES = 1 << 26  # limit for gradients of visited states


class DenseEngine:
    """The engine that takes every step; it works with any surrogate."""

    def __init__(
        self,
        instance: Instance,
        surrogate: Surrogate,
        arguments: tuple,
        state: RunState,
        log: Log,
        motion: Motion = PLAIN,
    ):
        self.instance, self.surrogate, self.state, self.log = instance, surrogate, state, log
        self.arguments = arguments  # arguments of the schedule for `mass_between`
        self.movement = Movement(motion, arguments)
        self.position = int(state.clock[cell.ANCHOR])  # a resumed run repeats its last interval
        self.gradient, self._square = np.zeros(0), 0  # at the current weights; empty while unknown
        self._known: dict[bytes, tuple[np.ndarray, int]] = {}

    def advance(self, until: int, budget: int) -> int:
        """Take steps up to ``until``; the return value says why it stopped (see `state.py`)."""
        state, log = self.state, self.log
        while True:
            anchor = int(state.clock[cell.ANCHOR])
            if not self.gradient.size:
                if budget <= 0:
                    return PAUSED
                budget -= self._look_up()
                if plain.look(state, log, self._square):
                    return RESTARTED
            gradient = self.gradient
            if np.all(self.movement.push(gradient, state.signs) <= 0):
                return ABSORBED
            if plain.full(log, len(state.signs)):
                return FULL_LOG
            if self.position >= until:
                return REACHED
            if budget <= 0:
                return PAUSED
            self.position += 1
            budget -= _STEP_COST
            begun = int(state.clock[cell.EPOCH])
            interval = anchor - begun, self.position - begun
            travel = self.movement.travel(*interval)
            latent, flips = self.movement.move(state.latent, gradient, state.signs, travel)
            if flips.size:
                mass = mass_between(*self.arguments, *interval)
                plain.close(state, log, self.position)
                total, leaving = plain.spend(state, mass), state.clock[cell.DISTANCE] == 0
                for k in flips:
                    plain.flip(state, log, self.position, total, k, leaving)
                state.latent[:] = latent
                plain.rest(state, self.position)
                self.gradient = np.zeros(0)

    def _look_up(self) -> int:
        """Find gradient and loss at the current weights; return the cost."""
        key = self.state.signs.tobytes()
        if key in self._known:
            self.gradient, self._square = self._known[key]
            return 0
        if len(self._known) * 9 * len(key) > _KEPT_BYTES:
            self._known.clear()
        self.gradient = self.instance.gradient(self.state.signs, self.surrogate)
        self._square = self.instance._square(self.state.signs)
        self._known[key] = self.gradient, self._square
        self.state.clock[cell.EVALUATIONS] += 1
        entries = self.instance.samples * self.instance.m * self.instance.n
        self.state.clock[cell.READ] += 2 * entries  # forwards and backwards
        return entries * _GRADIENT_COST

    def moved(self) -> None:
        """Note that the caller has changed the weights."""
        self.position, self.gradient = int(self.state.clock[cell.ANCHOR]), np.zeros(0)

    def finish(self) -> None:
        """Do nothing: this engine holds no threads."""
