"""A remedy against oscillation that changes the training itself: dampening."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from sterling.base.checks import instance_of, shown
from sterling.errors import InputError, InputTypeError
from sterling.torch.functions import top_code
from sterling.torch.hooks import after_each_step, groups_of, innermost, skipped
from sterling.torch.taps import unwrapped
from sterling.torch.weights import find


class Dampening:
    """Pull each latent towards its level, from a hook on the optimiser's step.

    The gradient of λ Σ (q(u) − clip(u))² is added to that of the latents u; q(u) is held fixed.

    Parameters
    ----------
    model : Module
        A model with layers quantised by `binarize`.
    optimizer : Optimizer
        The optimiser of the model.
    strength : function of the step
        λ; Nagel et al. raise it along a cosine.

    Attributes
    ----------
    weights : list of QuantisedWeight
        Those of `binarize` that the optimiser moves.
    steps : int
        Steps taken.

    Raises
    ------
    InputError
        If the optimiser moves no weight that `binarize` quantised.

    References
    ----------
    Nagel et al. 2022, arXiv 2203.11086, and the authors' code.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, strength: Callable[[int], float]):
        instance_of(model, nn.Module, "model", "a torch.nn.Module")
        if not callable(strength):
            raise InputTypeError(f"strength is {shown(strength)}; give a function of the step")
        self.optimizer, self.strength, self.steps = innermost(optimizer), strength, 0
        found = [one for one in find(unwrapped(model)) if one.framework == "binarize"]
        self.weights = [one for one in found if groups_of(one, self.optimizer)]
        if not self.weights:
            raise InputError(
                "the optimizer moves no weight that `binarize` quantised: give the optimizer of this model"
            )
        self._before = self.optimizer.register_step_pre_hook(self._pull)
        self._close = after_each_step(self.optimizer, self._count)

    @torch.no_grad()
    def _pull(self, *_: Any) -> None:
        for weight in self.weights:
            if weight.latent.grad is not None:
                latent, top = weight.latent.detach(), top_code(weight.levels) * weight.scale()
                pull = 2 * (latent - weight.values()) * (latent.abs() <= top)
                weight.latent.grad.add_(pull, alpha=self.strength(self.steps))

    def _count(self) -> None:
        self.steps += not skipped(self.optimizer)

    def close(self) -> None:
        """Remove the hooks from the optimiser."""
        self._before.remove()
        self._close()
