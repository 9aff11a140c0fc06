"""Damping: latents move towards their quantised values, so a weight turns only under a lasting push."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from sterling.base.checks import integer, real
from sterling.errors import InputError
from sterling.torch.counting import grid_of
from sterling.torch.hooks import after_each_step, groups_of, guarded, innermost, skipped
from sterling.torch.weights import find


class Damping:
    """Moves latents towards their quantised values, from a hook on the optimiser's step.

    After a step with the rate η each latent u moves towards its quantised value q by min(1, 2ηθ/Δ)·(q − u),
    where θ is the strength and Δ the distance between two levels. Half-way between two levels this is ηθ, so
    a weight turns only if the optimiser pushes by more than θ. Under SGD θ is a threshold on the mean
    gradient, under Adam on the normalised update, whose size is at most about 1. The scale stays: if the
    quantiser takes it from the latents, they are then multiplied by one factor, which changes no code.
    Nagel et al. 2022, arXiv 2203.11086, add such a pull to the gradient, with a clip.

    Parameters
    ----------
    model : Module
        The model; its latents must be on the scale of the quantised values.
    optimizer : Optimizer
        The optimiser that the training loop calls. Weights that it does not move are left out.
    strength : float
        θ, at least 0.
    start : int or float
        Number of first steps without damping, or, if it is a float, their share of `steps`.
    steps : int, optional
        Length of the training; needed if `start` is a share.
    example : Tensor, tuple or dict, optional
        Arguments of the model, to find quantisers of unknown frameworks; see `find`.

    Attributes
    ----------
    weights : list of QuantisedWeight
        The damped weights.
    taken : int
        Steps that the optimiser has taken.
    detached : str
        Why damping ended early, if it did; training goes on without it.

    Raises
    ------
    InputError
        If an argument is out of range, the optimiser moves no quantised weight, or one of them has no latents
        that can move: with PARQ, LoRA or stored codes.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> model = stt.binarize(torch.nn.Linear(3, 1, bias=False), scale="none")
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> damping = stt.Damping(model, optimizer, strength=0.5)
    >>> latents = damping.weights[0].latent.data.copy_(torch.tensor([[0.2, -0.4, 2.0]]))
    >>> optimizer.step()
    >>> latents
    tensor([[ 0.2400, -0.4300,  1.9500]])
    """

    def __init__(self, model: nn.Module, optimizer: Any, strength: float, start=0, steps=None, example=None):
        self.optimizer = innermost(optimizer)
        self.strength = real(strength, "strength", 0)
        self.taken = 0
        self.detached = ""
        if isinstance(start, float):
            start = round(real(start, "start", 0, 1) * integer(steps, "steps", 1))
        self.start = integer(start, "start", 0)
        found = find(model, example=example, optimizer=self.optimizer)
        self.weights = [one for one in found if groups_of(one, self.optimizer)]
        if not self.weights:
            raise InputError("the optimizer moves no quantised weight: give the optimizer of this model")
        for one in self.weights:
            if one.merged or one.framework == "parq" or one.stored:
                raise InputError(f"{one.name!r} has no latents that can move: train it without damping")
        self._spacing = [grid_of(one.levels, one.codes())[2] for one in self.weights]
        self.close = after_each_step(self.optimizer, guarded(self._after_step, self._detach))

    @torch.no_grad()
    def _after_step(self) -> None:
        if skipped(self.optimizer):
            return
        self.taken += 1
        if self.taken <= self.start or not self.strength:
            return
        for weight, spacing in zip(self.weights, self._spacing, strict=True):
            rate = float(self.optimizer.param_groups[groups_of(weight, self.optimizer)[0]]["lr"])
            latent, level, scale = weight.latent.detach(), weight.values(), weight.scale()
            share = rate * self.strength / (scale.abs() * spacing / 2)
            latent.copy_(torch.where(share < 1, latent + share * (level - latent), level))
            latent.mul_((scale / weight.scale()).nan_to_num(1.0, 1.0, 1.0))

    def _detach(self, cause: str) -> str:
        self.detached = cause
        return f"Damping ended at step {self.taken}"

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` takes.

        Returns
        -------
        dict
            ``taken``, ``strength`` and ``start``, as plain numbers.
        """
        return {"taken": self.taken, "strength": self.strength, "start": self.start}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state; anything else raises InputError.

        Parameters
        ----------
        state : dict
            A result of `state_dict`.
        """
        if not isinstance(state, Mapping) or state.keys() != self.state_dict().keys():
            raise InputError("this is not the state of a Damping: give the result of `state_dict`")
        taken, start = integer(state["taken"], "taken", 0), integer(state["start"], "start", 0)
        self.taken, self.start, self.strength = taken, start, real(state["strength"], "strength", 0)
