"""When an optimiser has taken a step: hooks for all sorts of optimisers, wrapped ones and PARQ's too."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import torch

from sterling.base.checks import instance_of
from sterling.torch.handle import QuantisedWeight


def groups_of(weight: QuantisedWeight, optimizer: torch.optim.Optimizer) -> list[int]:
    """Return the parameter groups of an optimiser that hold a weight, which may be frozen as yet."""
    moved = {id(one) for one in weight.trained or (weight.latent,)}
    return [
        number
        for number, group in enumerate(optimizer.param_groups)
        if any(id(p) in moved for p in group["params"])
    ]


def after_each_step(optimizer: torch.optim.Optimizer, look: Callable[[], None]) -> Callable[[], None]:
    """Have `look` called after each step; return how to end it.

    An optimiser around another one, as PARQ's, has no hooks of its own: those that it passes on fire before
    it is done. Its `step` is wrapped.
    """
    if getattr(type(optimizer).step, "hooked", False):
        return optimizer.register_step_post_hook(lambda *_: look()).remove
    inner, watched = optimizer.step, [True]

    @functools.wraps(inner)
    def step(_: Any, *args: Any, **kwargs: Any) -> Any:
        result = inner(*args, **kwargs)
        if watched:
            look()
        return result

    optimizer.step = types.MethodType(step, optimizer)  # schedulers wrap it in their turn
    return watched.clear


def innermost(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimiser that takes the steps, out of those of Accelerate or Lightning, which skip some."""
    while isinstance(getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = optimizer.optimizer
    return instance_of(
        optimizer, torch.optim.Optimizer, "optimizer", "the torch.optim.Optimizer of the model"
    )


def skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Whether a step moved nothing: a `GradScaler` tells a fused optimiser that it found infinities."""
    return float(getattr(optimizer, "found_inf", 0.0)) > 0
