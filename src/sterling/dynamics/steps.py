"""What the engines that take every step share: the batch of a step, and when no weight can turn any more."""

from __future__ import annotations

import numpy as np

from sterling.dynamics.options import Options
from sterling.dynamics.state import RunState
from sterling.model.batches import extreme_gradients
from sterling.model.instance import Instance
from sterling.model.levels import Quantiser
from sterling.model.problem import BATCH, part_seed
from sterling.schedules import Table


class Batches:
    """The samples of each step, which are drawn for many steps at a time."""

    def __init__(self, options: Options, samples: int):
        self.batch, self.samples = options.batch, samples
        self.seed = part_seed(options.seed, BATCH)
        self.order, self.first, self.stop = np.zeros(0, np.int32), 0, 0

    def seek(self, t: int) -> None:
        """Draw the batches around step t, unless they are drawn already."""
        assert self.batch is not None
        if not self.first <= t < self.stop:
            self.order, self.first, self.stop = self.batch._at(self.seed, self.samples, t)

    def begin(self, t: int) -> int:
        """Return where the samples of step t begin in ``order``, once they are drawn."""
        assert self.batch is not None
        since = t - self.first
        if self.batch.replace:
            return since * self.batch.size
        epoch, index = divmod(since, self.batch._steps_per_epoch(self.samples))
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

    The drift of a latent, −(G + θS(u − b)/(Δ/2) + λu), must not point out of its bin at either threshold,
    which a band moves outwards. An outermost level has no threshold on its outer side. With batches this must
    hold for each sample alone. Momentum goes on without a push: the latent still travels at most
    η|v|β/(1 − β). Optimisers whose step is not linear in the gradient are never sure to rest.
    """
    optimizer = options.optimizer
    signs = state.signs
    quantiser = Quantiser(instance.levels, instance.n)
    back = optimizer.damping * options.signal / quantiser.half
    decay = 1.0 if optimizer.name == "bop" else getattr(optimizer, "decay", 0.0)  # Bop steps by γ(u + G)
    band = optimizer.band * options.signal
    low, high = quantiser.bins(signs)
    low, high = low - band, high + band
    has_low, has_high = np.isfinite(low), np.isfinite(high)
    middle = quantiser.latents(signs)

    def pull_at(end: np.ndarray) -> np.ndarray:
        """Return the part of the drift that depends on the latent, where it is ``end``."""
        return back * (end - middle) + decay * end

    at_low, at_high = pull_at(np.where(has_low, low, middle)), pull_at(np.where(has_high, high, middle))

    def stays(least: np.ndarray, largest: np.ndarray) -> bool:
        falls = has_low & (largest + at_low > 0)
        rises = has_high & (least + at_high < 0)
        return not (falls | rises).any()

    if not stays(gradient, gradient):
        return 0
    if options.batch is not None and not stays(*extreme_gradients(instance, signs, options.surrogate)):
        return 0
    if not optimizer._built_in or optimizer.name not in ("sgd", "bop"):
        return 1
    momentum = getattr(optimizer, "momentum", 0.0)
    if not momentum:
        return 2
    if at_low[has_low].any() or at_high[has_high].any():  # then latents may overshoot
        return 1
    nearing = np.where(state.moments > 0, has_low, has_high) & (state.moments != 0)
    if not nearing.any():
        return 2
    if decay:
        return 1
    travel = _largest_rate(options, instance.readout_norm2, position) * state.moments * momentum
    end = (state.latent - travel / (1 - momentum) * (1 + 1e-9))[nearing]
    return 2 if np.all((end > low[nearing]) & (end < high[nearing])) else 0


def _largest_rate(options: Options, norm2: float, position: int) -> float:
    """Return the largest step size from here on."""
    schedule = options.schedule
    if isinstance(schedule, Table):
        largest = max(schedule.rates[min(position, len(schedule.rates) - 1) :])
    else:
        largest = schedule.at(position) if schedule._kernel_arguments()[2] >= 0 else np.inf
    return largest * options.scale(norm2)
