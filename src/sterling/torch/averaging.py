"""Averages of all parameters of a model in training, kept by `AveragedModel` of PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from sterling.base.checks import instance_of
from sterling.torch.hooks import after_each_step, guarded, innermost, skipped
from sterling.torch.horizons import checked
from sterling.torch.taps import unwrapped


def parameter_averages(
    model: nn.Module, optimizer: torch.optim.Optimizer, horizons: Sequence[float] = (64.0, 256.0)
) -> dict[float, AveragedModel]:
    """Average all parameters of a model after each step of its optimiser, for `decode` with "latents".

    A fault in the averages never ends the training: they warn once, and end.

    Parameters
    ----------
    model : Module
        The model in training. Each horizon keeps a copy of it.
    optimizer : Optimizer
        Its optimiser. The training loop calls nothing else.
    horizons : sequence of float
        Horizons h of the exponential averages, in steps. The first h steps form a plain mean, so that no
        trace of the first parameters is left. Infinity: the mean of all steps (SWA).

    Returns
    -------
    dict of float to AveragedModel
        The averages by horizon. Save and load their `state_dict` with your checkpoints.

    Raises
    ------
    InputError
        If a horizon is less than one step.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> model = torch.nn.Linear(1, 1, bias=False)
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> averages = stt.parameter_averages(model, optimizer, horizons=[8])
    >>> _ = torch.nn.init.zeros_(model.weight)
    >>> for step in range(3):  # the parameter becomes −1, −2, −3
    ...     model.weight.grad = torch.ones(1, 1)
    ...     optimizer.step()
    >>> averages[8].module.weight.item()
    -2.0
    """
    instance_of(model, nn.Module, "model", "a torch.nn.Module")
    model, optimizer = unwrapped(model), innermost(optimizer)
    averages = {h: AveragedModel(model, multi_avg_fn=partial(_move, horizon=h)) for h in checked(horizons)}

    def update() -> None:
        for one in () if skipped(optimizer) else averages.values():
            one.update_parameters(model)

    ended = "the averages of the parameters are no longer updated"
    after_each_step(optimizer, guarded(update, lambda _: ended))
    return averages


@torch.no_grad()
def _move(averages: Any, parameters: Any, count: Any, horizon: float) -> None:
    """Move averages of ``count`` steps towards the present parameters."""
    share = 1 / min(float(count) + 1, horizon)
    for average, parameter in zip(averages, parameters, strict=True):
        average.lerp_(parameter, share) if average.is_floating_point() else average.copy_(parameter)
