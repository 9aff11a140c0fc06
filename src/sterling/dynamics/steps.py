"""Every step of any optimiser with any batches, in NumPy: the definition. It is slow and simple.

Step t takes the gradient of its batch at w_t, adds the damping θS(u − b), lets the optimiser step, clips the
latents, and turns every weight whose latent lies beyond the band on the other side. With more than two levels
each weight takes the level nearest to its latent, and damping is θS(u − b)/(Δ/2), see `model/levels.py`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sterling.base.checks import shown
from sterling.dynamics import levels
from sterling.dynamics import state as cell
from sterling.dynamics.bookkeeping import plain
from sterling.dynamics.options import Options
from sterling.dynamics.state import FULL_LOG, PAUSED, REACHED, RESTARTED, Log, RunState
from sterling.errors import InputError
from sterling.exact.mass import mass_between
from sterling.model.batches import batch_gradient, largest_pushes
from sterling.model.instance import Instance
from sterling.model.levels import Quantiser
from sterling.model.problem import BATCH, part_seed
from sterling.schedules import Table

_STEP_COST = 20_000  # budget units, about nanoseconds, that one step costs
_KEPT = 4096  # states whose loss and gradient are kept


class StepwiseEngine:
    """Takes every step; the run is known up to ``position``."""

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
        optimizer = options.optimizer
        start = optimizer.start(instance.n)
        self.moments = None if start is None else state.moments.reshape(np.shape(start))
        self.quantiser = Quantiser(instance.levels, instance.n)
        self.back = optimizer.damping * options.signal / self.quantiser.half
        self.band = optimizer.band * options.signal
        self.batches = Batches(options, instance.samples)
        self._known: dict[bytes, tuple[np.ndarray, int]] = {}

    def advance(self, until: int, budget: int) -> int:
        """Take steps up to ``until``; the return value says why it stopped (see `state.py`)."""
        state, log = self.state, self.log
        while True:
            if state.clock[cell.SEEKING]:  # with a teacher the loss matters at the end of the run alone
                square = self._at_weights()[1]
                if state.clock[cell.CURRENT] != square and plain.look(state, log, square):
                    return RESTARTED
            if self.position >= until:
                return REACHED
            if plain.full(log, len(state.signs)):
                return FULL_LOG
            if budget <= 0:
                return PAUSED
            self._step()
            budget -= _STEP_COST

    def _step(self) -> None:
        state, t = self.state, self.position
        gradient = self._gradient(t)
        if self.back:
            gradient = gradient + self.back * (state.latent - self.quantiser.latents(state.signs))
        self.position = t + 1
        rate = mass_between(*self.arguments, t, t + 1)
        latent = self._stepped(gradient, rate)
        if self.options.optimizer.clip is not None:
            latent = np.clip(latent, -self.options.optimizer.clip, self.options.optimizer.clip)
        state.latent[:] = latent
        after = self._weights(latent)
        flips = np.flatnonzero(after != state.signs)
        if flips.size:
            plain.close(state, self.log, t + 1)
            mass = mass_between(*self.arguments, int(state.clock[cell.ANCHOR]), t + 1)
            total, leaving = plain.spend(state, mass), state.clock[cell.DISTANCE] == 0
            for k in flips:
                if self.quantiser.count == 2:
                    plain.flip(state, self.log, t + 1, total, k, leaving)
                else:
                    values, index = self.quantiser.values, self.quantiser.index(after[k])
                    plain.turn(state, self.log, t + 1, total, k, values, index, leaving)
            plain.rest(state, t + 1)

    def _weights(self, latent: np.ndarray) -> np.ndarray:
        """Return the weights of latents, int8; a band holds those of two levels."""
        if self.quantiser.count > 2:
            return self.quantiser.quantise(latent)
        positive = np.where(self.state.signs > 0, latent >= -self.band, latent >= self.band)
        return np.where(positive, 1, -1).astype(np.int8)

    def _stepped(self, gradient: np.ndarray, rate: float) -> np.ndarray:
        """Return the latents of the optimiser, which may be the user's code."""
        state, optimizer = self.state, self.options.optimizer
        step: Callable = optimizer.step
        try:
            latent = step(state.latent.copy(), gradient, state.signs.copy(), rate, self.moments)
        except Exception as problem:
            if optimizer._built_in:
                raise
            text = f"the step of {optimizer!r} fails at t = {self.position - 1:,}: {problem}"
            raise InputError(text) from problem
        if np.shape(latent) != gradient.shape or not np.isfinite(latent).all():
            raise InputError(
                f"the step of {optimizer!r} gives {shown(latent)} at t = {self.position - 1:,}; it must "
                f"return {len(gradient)} finite latents: smaller rates may help"
            )
        return latent

    def _gradient(self, t: int) -> np.ndarray:
        batch = self.batches.at(t)
        if batch is None:
            return self._at_weights()[0]
        return batch_gradient(self.instance, self.state.signs, self.options.surrogate, batch)

    def _at_weights(self) -> tuple[np.ndarray, int]:
        """Return the gradient of all samples, and the loss, at the current weights."""
        key = self.state.signs.tobytes()
        if key not in self._known:
            if len(self._known) >= _KEPT:
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
    def rest(self) -> int:
        """2 if no weight can turn any more, 1 if the gradient pushes none to, which proves less; else 0."""
        return rest_of(self.instance, self.options, self.state, self.gradient, self.position)

    def moved(self) -> None:
        """Do nothing: every step looks at the weights again."""

    def finish(self) -> None:
        """Do nothing: this engine holds no threads."""


class Batches:
    """The samples of each step; they are drawn in stretches."""

    def __init__(self, options: Options, samples: int):
        self.batch, self.samples = options.batch, samples
        self.seed = part_seed(options.seed, BATCH)
        self.order, self.first, self.stop = np.zeros(0, np.int32), 0, 0

    def seek(self, t: int) -> None:
        """Draw the stretch that holds step t, if it is another one."""
        assert self.batch is not None
        if not self.first <= t < self.stop:
            self.order, self.first, self.stop = self.batch.at(self.seed, self.samples, t)

    def begin(self, t: int) -> int:
        """Return where the samples of step t begin in ``order``, once that stretch is drawn."""
        assert self.batch is not None
        since = t - self.first
        if self.batch.replace:
            return since * self.batch.size
        epoch, index = divmod(since, self.batch.steps_per_epoch(self.samples))
        return epoch * self.samples + index * self.batch.size

    def at(self, t: int) -> np.ndarray | None:
        """Return the samples of step t, None for all of them."""
        if self.batch is None:
            return None
        self.seek(t)
        begin = self.begin(t)
        end = begin + self.batch.size
        if not self.batch.replace:
            end = min(end, (begin // self.samples + 1) * self.samples)
        return self.order[begin:end]


def rest_of(
    instance: Instance, options: Options, state: RunState, gradient: np.ndarray, position: int
) -> int:
    """Return 2 if no weight can turn any more, 1 if the gradient pushes none to, else 0.

    With batches every sample alone must push no weight beyond what holds it. Momentum goes on without a push:
    the latent still travels at most η|v|β/(1 − β). Optimisers whose step is not linear in the gradient are
    never sure to rest.
    """
    optimizer, signs = options.optimizer, state.signs
    if instance.levels > 2:
        largest = _largest_rate(options, instance.readout_norm2, position)
        given = optimizer, options.surrogate, options.signal, state, gradient, largest
        return levels.rest_of(instance, *given, batches=options.batch is not None)
    back, band = optimizer.damping * options.signal, optimizer.band * options.signal
    decay = getattr(optimizer, "decay", 0.0)
    hold = band if optimizer.name == "bop" else back + (back + decay) * band
    push = signs * gradient
    if options.batch is not None and np.all(push <= hold):  # the mean never pushes more than the largest
        push = largest_pushes(instance, signs, options.surrogate)
    if not np.all(push <= hold):
        return 0
    if not optimizer._built_in or optimizer.name not in ("sgd", "bop"):
        return 1
    momentum = getattr(optimizer, "momentum", 0.0)
    if momentum and back:  # damping pulls latents back, and with momentum they may overshoot
        return 1
    inward = np.maximum(signs * state.moments, 0.0) if momentum else np.zeros(1)
    if not inward.any():
        return 2
    if decay:
        return 1
    travel = _largest_rate(options, instance.readout_norm2, position) * inward * momentum / (1 - momentum)
    return 2 if np.all(signs * state.latent + band > travel * (1 + 1e-9)) else 0


def _largest_rate(options: Options, norm2: float, position: int) -> float:
    """Return the largest step size from here on."""
    schedule = options.schedule
    if isinstance(schedule, Table):
        largest = max(schedule.rates[min(position, len(schedule.rates) - 1) :])
    else:
        largest = schedule.at(position) if schedule._kernel_arguments()[2] >= 0 else np.inf
    return largest * options.scale(norm2)
