"""Rivals of decoding: other nets that a run gives, all with one small interface.

A rival is made with the model and its optimiser, as `Rival` says, does its work from hooks on the step, and
gives a net by `result`. `remedies.py` has those that change what training does.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from sterling.base.checks import choice, instance_of, integer, real, shown
from sterling.errors import InputError, InputTypeError
from sterling.torch.decoding import make_plain, recompute_norms
from sterling.torch.functions import nearest_code
from sterling.torch.hooks import after_each_step, groups_of, innermost, skipped
from sterling.torch.taps import unwrapped
from sterling.torch.weights import find


def check_function(value: Any, name: str, of: str) -> None:
    """Refuse what cannot be called, before a hook is there."""
    if not callable(value):
        raise InputTypeError(f"{name} is {shown(value)}; give a function of {of}", argument=name)


class Rival:
    """What all rivals have in common: the hook on the step, and a copy of the model as the result.

    Parameters
    ----------
    model : Module
        With layers of `binarize`.
    optimizer : Optimizer
        Of the model.

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
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer):
        instance_of(model, nn.Module, "model", "a torch.nn.Module")
        optimizer = innermost(optimizer)
        self.model, self.optimizer, self.steps = unwrapped(model), optimizer, 0
        found = [one for one in find(self.model) if one.framework == "binarize"]
        self.weights = [one for one in found if groups_of(one, optimizer)]
        if not self.weights:
            raise InputError(
                "the optimizer moves no weight that `binarize` quantised: give the optimizer of this very "
                "model"
            )
        self._before = optimizer.register_step_pre_hook(torch.no_grad()(lambda *_: self.before_step()))
        self._close = after_each_step(optimizer, self._count)

    @torch.no_grad()
    def _count(self) -> None:
        if not skipped(self.optimizer):
            self.steps += 1
            self.after_step()

    def before_step(self) -> None:
        """Do what is to be done before the optimiser moves the latents."""

    def after_step(self) -> None:
        """Do what is to be done after it."""

    def close(self) -> None:
        """Take the hooks off the optimiser."""
        self._before.remove()
        self._close()

    @torch.no_grad()
    def result(self, bn: Iterable[Any] | None = None) -> nn.Module:
        """Return the net: a copy in eval mode.

        Parameters
        ----------
        bn : iterable of batches, optional
            Training data; with it the statistics of batch norm are computed anew.

        Returns
        -------
        Module
            The model's own class.
        """
        net = copy.deepcopy(self.model)
        self.fill(net)
        recompute_norms(net, bn)
        return net.eval()

    def fill(self, net: nn.Module) -> None:
        """Give a copy of the model the rival's weights; the last ones if this does nothing."""


class LatentAverage(Rival):
    """The average of the latents, quantised: an exponential one (EMA), or of all steps since a start (SWA).

    Parameters
    ----------
    horizon : float
        EMA: a ← a + (u − a)/h after each step. Infinity: the plain mean, as in stochastic weight averaging.
    scale : str
        "refit": the quantiser takes its scale from the averaged latents. "old": that of the present latents
        stays, and with it the thresholds.
    start : int
        Steps before the first that is averaged.

    References
    ----------
    Izmailov et al. 2018, Averaging Weights Leads to Wider Optima, arXiv 1803.05407 (SWA).
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        horizon: float = 64.0,
        scale: str = "refit",
        start: int = 0,
    ):
        self.horizon = math.inf if horizon == math.inf else real(horizon, "horizon", least=1)
        self.scale, self.start = choice(scale, "scale", ("refit", "old")), integer(start, "start", 0)
        super().__init__(model, optimizer)
        self.averages = [one.latent.detach().clone() for one in self.weights]
        self.averaged = 0

    def after_step(self) -> None:
        if self.steps <= self.start:
            return
        self.averaged += 1
        # Before there are h steps, the plain mean: no trace of the first latents.
        share = 1 / min(self.averaged, self.horizon)
        for average, weight in zip(self.averages, self.weights, strict=True):
            average.lerp_(weight.latent.detach(), share)

    def fill(self, net: nn.Module) -> None:
        latents = {one.name: one.latent for one in find(net)}
        for average, weight in zip(self.averages, self.weights, strict=True):
            if self.scale == "refit":
                latents[weight.name].data.copy_(average)
            else:
                scale = weight.scale()
                make_plain(net, weight, scale * nearest_code(average / scale, weight.levels))


class Best(Rival):
    """The checkpoint with the lowest validation loss.

    Parameters
    ----------
    validate : function of a model
        Returns a loss.
    every : int
        Steps between checkpoints.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        validate: Callable[[nn.Module], float],
        every: int = 100,
    ):
        check_function(validate, "validate", "a model that returns its loss")
        self.validate, self.every = validate, integer(every, "every", 1)
        super().__init__(model, optimizer)
        self.loss, self.at = math.inf, 0
        self.kept = copy.deepcopy(self.model.state_dict())

    def after_step(self) -> None:
        if self.steps % self.every == 0:
            loss = float(self.validate(self.model))
            if loss < self.loss:
                self.loss, self.at = loss, self.steps
                self.kept = copy.deepcopy(self.model.state_dict())

    def fill(self, net: nn.Module) -> None:
        net.load_state_dict(self.kept)
