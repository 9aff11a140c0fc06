"""The dense engine takes one step after another, in NumPy. It is slow and simple, and defines what a run is.

    u_{t+1} = u_t − η_t G(w_t),   w_{t+1} = sign(u_{t+1})/√n with sign(0) = +1          (docs/science, 2)

While no weight flips, G does not change. So u_t is computed from the last flip (the anchor) in one product,
u_t = u_a − (η_a + … + η_{t−1})·G, as in the event engine: one rounding an interval, not one a step
(`motion.py`). With batches, momentum, clip, other optimisers or more than two levels, every step moves the
latents: it takes the gradient of its batch, adds the damping θS(u − b), lets the optimiser step, clips, and
gives each weight the level of its latent. With more than two levels damping is θS(u − b)/(Δ/2).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sterling.base.checks import shown
from sterling.dynamics import state as cell
from sterling.dynamics.bookkeeping import plain
from sterling.dynamics.motion import Movement
from sterling.dynamics.options import Options
from sterling.dynamics.state import ABSORBED, FULL_LOG, PAUSED, REACHED, RESTARTED, Log, RunState
from sterling.dynamics.steps import Batches, rest_of
from sterling.errors import InputError
from sterling.exact.mass import mass_between
from sterling.model.batches import batch_gradient
from sterling.model.instance import Instance
from sterling.model.levels import Quantiser

_STEP_COST = 10_000  # budget units, about nanoseconds, that one step costs
_GRADIENT_COST = 2  # cost of one input entry, for a state that is not known
_KEPT_BYTES = 1 << 26  # limit for gradients of visited states


class DenseEngine:
    """Takes every step, with any surrogate and optimiser; the run is known up to ``position``."""

    def __init__(
        self,
        instance: Instance,
        options: Options,
        arguments: tuple,
        state: RunState,
        log: Log,
        position: int,
    ):
        self.instance, self.options, self.arguments = instance, options, arguments
        self.state, self.log, self.position = state, log, position
        optimizer, motion = options.optimizer, options.motion
        self.movement = None if motion is None else Movement(motion, arguments)
        if self.movement is not None:
            self.moved()  # a resumed run repeats its last interval
        start = optimizer.start(instance.n)
        self.moments = None if start is None else state.moments.reshape(np.shape(start))
        self.quantiser = Quantiser(instance.levels, instance.n)
        self.back = optimizer.damping * options.signal / self.quantiser.half
        self.band = optimizer.band * options.signal
        self.batches = Batches(options, instance.samples)
        self._known: dict[bytes, tuple[np.ndarray, int]] = {}

    def advance(self, until: int, budget: int) -> int:
        """Take steps up to ``until``; the return value says why it stopped (see `state.py`)."""
        state, log, movement = self.state, self.log, self.movement
        while True:
            if budget <= 0:
                return PAUSED
            # With a teacher and every step the loss matters at the end of the run alone.
            if movement is not None or state.clock[cell.SEEKING]:
                states = state.clock[cell.EVALUATIONS]
                gradient, square = self._at_weights()
                if state.clock[cell.EVALUATIONS] > states:
                    budget -= self.instance.grid.rows.size * _GRADIENT_COST
                if state.clock[cell.CURRENT] != square and plain.look(state, log, square):
                    return RESTARTED
                if movement is not None and np.all(movement.push(gradient, state.signs) <= 0):
                    return ABSORBED
            if self.position >= until:
                return REACHED
            if plain.full(log, len(state.signs)):
                return FULL_LOG
            budget -= _STEP_COST
            if movement is None:
                self._step()
            else:
                self._glide(movement)

    def _glide(self, movement: Movement) -> None:
        """Take a step of latents that move on a line from the anchor."""
        state = self.state
        begun = int(state.clock[cell.EPOCH])
        self.position += 1
        travel = movement.travel(int(state.clock[cell.ANCHOR]) - begun, self.position - begun)
        latent, flips = movement.move(state.latent, self.gradient, state.signs, travel)
        if flips.size:
            self._change(flips, -state.signs)
            state.latent[:] = latent

    def _step(self) -> None:
        """Take a step of the optimiser."""
        state, clip, t = self.state, self.options.optimizer.clip, self.position
        batch = self.batches.at(t)
        if batch is None:
            gradient = self._at_weights()[0]
        else:
            gradient = batch_gradient(self.instance, state.signs, self.options.surrogate, batch)
        if self.back:
            gradient = gradient + self.back * (state.latent - self.quantiser.latents(state.signs))
        latent = self._stepped(gradient, mass_between(*self.arguments, t, t + 1))
        state.latent[:] = latent if clip is None else np.clip(latent, -clip, clip)
        self.position = t + 1
        if self.quantiser.count > 2:
            after = self.quantiser.quantise(state.latent)
        else:  # a band holds the weights
            positive = np.where(state.signs > 0, state.latent >= -self.band, state.latent >= self.band)
            after = np.where(positive, 1, -1).astype(np.int8)
        flips = np.flatnonzero(after != state.signs)
        if flips.size:
            self._change(flips, after)

    def _change(self, flips: np.ndarray, after: np.ndarray) -> None:
        """Give these weights their new levels at the current step."""
        state, log, step, quantiser = self.state, self.log, self.position, self.quantiser
        begun = int(state.clock[cell.EPOCH])
        mass = mass_between(*self.arguments, int(state.clock[cell.ANCHOR]) - begun, step - begun)
        plain.close(state, log, step)
        total = plain.spend(state, mass)
        leaving = state.clock[cell.DISTANCE] == 0
        for k in flips:
            if quantiser.count == 2:
                plain.flip(state, log, step, total, k, leaving)
            else:
                index = quantiser.index(after[k])
                plain.turn(state, log, step, total, k, quantiser.values, index, leaving)
        plain.rest(state, step)

    def _stepped(self, gradient: np.ndarray, rate: float) -> np.ndarray:
        """Return the latents of the optimiser, which may be the user's code."""
        state, optimizer = self.state, self.options.optimizer
        step: Callable = optimizer.step
        try:
            latent = step(state.latent.copy(), gradient, state.signs.copy(), rate, self.moments)
        except Exception as problem:
            if optimizer._built_in:
                raise
            text = f"the step of {optimizer!r} fails at t = {self.position:,}: {problem}"
            raise InputError(text) from problem
        if np.shape(latent) != gradient.shape or not np.isfinite(latent).all():
            raise InputError(
                f"the step of {optimizer!r} gives {shown(latent)} at t = {self.position:,}; it must "
                f"return {len(gradient)} finite latents: smaller rates may help"
            )
        return latent

    def _at_weights(self) -> tuple[np.ndarray, int]:
        """Return the gradient of all samples, and the loss, at the current weights."""
        key = self.state.signs.tobytes()
        if key not in self._known:
            if len(self._known) * 9 * len(key) > _KEPT_BYTES:
                self._known.clear()
            gradient = self.instance.gradient(self.state.signs, self.options.surrogate)
            self._known[key] = gradient, self.instance._square(self.state.signs)
            self.state.clock[cell.EVALUATIONS] += 1
            self.state.clock[cell.READ] += 2 * self.instance.samples * self.instance.m * self.instance.n
        return self._known[key]

    @property
    def gradient(self) -> np.ndarray:
        """The gradient of all samples at the current weights; their loss goes into the state."""
        gradient, self.state.clock[cell.CURRENT] = self._at_weights()
        return gradient

    @property
    def rest(self) -> int | None:
        """As `rest_of`, for an optimiser that takes every step."""
        if self.movement is not None:
            return None
        return rest_of(self.instance, self.options, self.state, self.gradient, self.position)

    def moved(self) -> None:
        """Note that the caller has changed the weights."""
        self.position = int(self.state.clock[cell.ANCHOR])

    def finish(self) -> None:
        """Do nothing: this engine holds no threads."""
