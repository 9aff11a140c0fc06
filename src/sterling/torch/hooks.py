"""Hooks on the step of an optimiser, also of wrapped ones and of PARQ's."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import torch

from sterling.base.checks import instance_of
from sterling.torch.handle import QuantisedWeight


def groups_of(weight: QuantisedWeight, optimizer: torch.optim.Optimizer) -> list[int]:
    """Return the indices of an optimiser's parameter groups that hold a weight, even a frozen one."""
    moved = {id(one) for one in weight.trained or (weight.latent,)}
    return [
        index
        for index, group in enumerate(optimizer.param_groups)
        if any(id(p) in moved for p in group["params"])
    ]


def after_each_step(optimizer: torch.optim.Optimizer, action: Callable[[], None]) -> Callable[[], None]:
    """Call `action` after each step; return a function that ends this."""
    if getattr(type(optimizer).step, "hooked", False):
        return optimizer.register_step_post_hook(lambda *_: action()).remove
    # The hooks of an optimiser around another one, such as PARQ's, run too early: its `step` is wrapped.
    inner, watched = optimizer.step, [True]

    @functools.wraps(inner)
    def step(_: Any, *args: Any, **kwargs: Any) -> Any:
        result = inner(*args, **kwargs)
        if watched:
            action()
        return result

    optimizer.step = types.MethodType(step, optimizer)  # schedulers wrap it in their turn
    return watched.clear


def innermost(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimiser that takes the steps, inside a wrapper of Accelerate or Lightning."""
    while isinstance(getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        optimizer = optimizer.optimizer
    wanted = "the torch.optim.Optimizer of the model"
    return instance_of(optimizer, torch.optim.Optimizer, "optimizer", wanted)


def skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a step moved nothing because a `GradScaler` found infinities for a fused optimiser."""
    return float(getattr(optimizer, "found_inf", 0.0)) > 0
