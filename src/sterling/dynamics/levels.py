"""What a run of more than two levels does differently: how it counts a change of level, and when it rests.

`RunState.plus` holds the finished steps of each weight at each level, (n·k), where two levels need those at
+1 only. Other counts are as in `bookkeeping.py`; a weight is wrong at any level but that of the reference.
"""

from __future__ import annotations

import numpy as np

from sterling.dynamics import state as cell
from sterling.dynamics.state import RunState
from sterling.errors import InputError
from sterling.model.batches import extreme_gradients
from sterling.model.instance import Instance
from sterling.model.levels import Quantiser
from sterling.optimizers.base import Optimizer
from sterling.surrogates import Surrogate


def at_levels(state: RunState, quantiser: Quantiser) -> RunState:
    """Return the state at step 0 of a run of more than two levels, from that of two."""
    signs, clock = quantiser.quantise(state.latent), state.clock
    if not signs.any():
        raise InputError(
            "init makes every weight zero, so that all outputs are zero: give larger latents", argument="init"
        )
    reference = signs.copy() if clock[cell.SEEKING] else state.reference
    clock[cell.DISTANCE] = np.count_nonzero(signs != reference)
    plus = np.zeros(signs.size * quantiser.count, np.int64)
    return state._replace(signs=signs, reference=reference, plus=plus)


def steps_at(state: RunState, steps: int, level: np.ndarray, quantiser: Quantiser) -> np.ndarray:
    """Return how many of the steps each weight spent at a level, int64 (n,)."""
    now = np.where(state.signs == level, steps - state.since, 0)
    held = state.plus.reshape(len(level), quantiser.count)
    return held[np.arange(len(level)), quantiser.index(level)] + now


def moves_of(flips: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Return the change of level in each flip, int64; ``start`` are the levels at step 0."""
    order = np.argsort(flips["coordinate"], kind="stable")
    who, levels = flips["coordinate"][order], flips["sign"][order].astype(np.int64)
    before = np.concatenate([[0], levels[:-1]])
    first = np.ones(len(who), bool)
    first[1:] = who[1:] != who[:-1]
    before[first] = start[who[first]]
    moves = np.empty(len(who), np.int64)
    moves[order] = levels - before
    return moves


def rest_of(
    instance: Instance,
    optimizer: Optimizer,
    surrogate: Surrogate,
    signal: float,
    state: RunState,
    gradient: np.ndarray,
    largest_rate: float,
    batches: bool,
) -> int:
    """Return 2 if no weight can change its level any more, 1 if the gradient pushes none to, else 0.

    The drift of a latent, −(G + θS(u − b)/(Δ/2) + λu), must not point out of its bin at either threshold.
    An outermost level has no threshold on its outer side. So without damping and decay a weight rests at an
    outermost level if G is zero or pushes it outwards, and at any other level only where G is exactly zero.
    With batches this must hold for each sample alone. Momentum goes on without a push: the latent still
    travels at most η|v|β/(1 − β).
    """
    quantiser, signs = Quantiser(instance.levels, instance.n), state.signs
    back, decay = optimizer.damping * signal / quantiser.half, getattr(optimizer, "decay", 0.0)
    low, high = quantiser.bins(signs)
    middle = quantiser.latents(signs)
    bounded = np.isfinite(low), np.isfinite(high)
    at_low, at_high = (
        back * (end - middle) + decay * end
        for end in (np.where(bounded[0], low, 0.0), np.where(bounded[1], high, 0.0))
    )

    def stays(least: np.ndarray, largest: np.ndarray) -> bool:
        falls, rises = bounded[0] & (largest + at_low > 0), bounded[1] & (least + at_high < 0)
        return not (falls | rises).any()

    if not stays(gradient, gradient):
        return 0
    if batches and not stays(*extreme_gradients(instance, signs, surrogate)):
        return 0
    if not optimizer._built_in or optimizer.name != "sgd":
        return 1
    momentum = getattr(optimizer, "momentum", 0.0)
    if not momentum:
        return 2
    if back or decay:
        return 1
    moving = state.moments != 0
    end = (state.latent - state.moments * largest_rate * momentum / (1 - momentum) * (1 + 1e-9))[moving]
    return 2 if np.all((end > low[moving]) & (end < high[moving])) else 0
