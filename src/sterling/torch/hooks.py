"""Hooks on the step of an optimiser, also of wrapped ones and of PARQ's. No fault in them ends a run."""

from __future__ import annotations

import contextlib
import functools
import traceback
import types
import warnings
from collections.abc import Callable
from typing import Any

import torch

from sterling.base.checks import instance_of
from sterling.errors import SterlingError, SterlingWarning
from sterling.torch.handle import QuantisedWeight

#: Packages whose optimisers around another one leave all moves of the weights to it.
_WRAPPERS = frozenset(("accelerate", "lightning", "lightning_fabric", "pytorch_lightning"))


def guarded(
    action: Callable[..., None], detach: Callable[[str], str], again: bool = False
) -> Callable[..., None]:
    """Return the action without its faults, which `torch.compile` does not trace.

    At the first fault it calls `detach` with the cause, and warns with the beginning of a sentence that this
    returns; then it does nothing, or tries `again` in silence. Hooks must stay, since the optimiser is going
    through them.
    """
    ended: list[bool] = []

    def run(*given: Any) -> None:
        if ended and not again:
            return
        try:
            action(*given)
        except Exception as problem:
            if ended:
                return
            ended.append(True)
            cause = " ".join(str(problem).split())[:300]
            if not isinstance(problem, SterlingError):
                where = traceback.extract_tb(problem.__traceback__)[-1]
                cause = f"{type(problem).__name__}: {cause} ({where.filename}, line {where.lineno})"
            advice = f"if the cause is not in your code, report this sentence, with torch {torch.__version__}"
            warned(f"{detach(cause)}, and training goes on: {cause}; {advice}")

    untraced: Any = torch.compiler.disable(run)
    return untraced


def warned(text: str) -> None:
    """Warn, also where filters turn warnings into errors."""
    with contextlib.suppress(Warning):
        warnings.warn(text, SterlingWarning, stacklevel=3)


def groups_of(weight: QuantisedWeight, optimizer: torch.optim.Optimizer) -> list[int]:
    """Return the indices of an optimiser's parameter groups that hold a weight, even a frozen one."""
    moved = {id(one) for one in weight.trained or (weight.latent,)}
    groups = enumerate(optimizer.param_groups)
    return [index for index, group in groups if moved & set(map(id, group["params"]))]


def after_each_step(
    optimizer: torch.optim.Optimizer, action: Callable[[], None], before: Callable[[], None] | None = None
) -> Callable[[], None]:
    """Call `action` after each step, and `before` before it; return a function that ends this."""
    if getattr(type(optimizer).step, "hooked", False):
        ends = contextlib.ExitStack()
        ends.callback(optimizer.register_step_post_hook(lambda *_: action()).remove)
        if before is not None:
            ends.callback(optimizer.register_step_pre_hook(lambda *_: before()).remove)
        base = getattr(optimizer, "base_optimizer", None)
        if isinstance(base, torch.optim.Optimizer):  # as in SAM, whose loops may never call `step`
            running: list[bool] = []
            ends.callback(optimizer.register_step_pre_hook(lambda *_: running.append(True)).remove)
            ends.callback(optimizer.register_step_post_hook(lambda *_: running.clear()).remove)
            ends.callback(after_each_step(base, lambda: None if running else action()))
        return ends.close
    # The hooks of an optimiser around another one, such as PARQ's, run too early: its `step` is wrapped.
    inner, watched = optimizer.step, [True]

    @functools.wraps(inner)
    def step(_: Any, *args: Any, **kwargs: Any) -> Any:
        if watched and before is not None:
            before()
        result = inner(*args, **kwargs)
        if watched:
            action()
        return result

    optimizer.step = types.MethodType(step, optimizer)  # schedulers wrap it in their turn
    return watched.clear


def innermost(optimizer: Any) -> torch.optim.Optimizer:
    """Return the optimiser that takes the steps, inside a wrapper of Accelerate or Lightning."""
    while isinstance(inner := getattr(optimizer, "optimizer", None), torch.optim.Optimizer):
        package = type(optimizer).__module__.partition(".")[0]
        if isinstance(optimizer, torch.optim.Optimizer) and package not in _WRAPPERS:
            break  # it may move the weights too, as Lookahead does
        optimizer = inner
    wanted = "the torch.optim.Optimizer of the model"
    return instance_of(optimizer, torch.optim.Optimizer, "optimizer", wanted)


def skipped(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a step moved nothing because a `GradScaler` found infinities for a fused optimiser."""
    return float(getattr(optimizer, "found_inf", 0.0)) > 0
