"""The quantised weights of a model, as handles: by adaptors of known frameworks, else by listening.

`handle` says what a handle is, `adaptors` and `taps` find weights.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from sterling.base.checks import flag, instance_of, shown
from sterling.errors import InputError, InputTypeError
from sterling.torch.adaptors import ADAPTORS, by_codes, in_optimizer
from sterling.torch.handle import QuantisedWeight, names_of
from sterling.torch.taps import discover, unwrapped

__all__ = ["QuantisedWeight", "find"]


def find(
    model: nn.Module,
    example: Any = None,
    codes: Callable[[str, nn.Parameter], torch.Tensor | None] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    adaptors: bool = True,
) -> list[QuantisedWeight]:
    """Return a handle for each quantised weight of a model.

    Layers of `binarize`, torchao, Brevitas and transformers' BitNet, and parameters in a PARQ optimiser, are
    known. With an example all others are found too: the model runs on it once, and a weight with which a
    linear, conv or embedding layer is called is quantised if its values lie on few levels. The graph leads to
    its latents. The model is left as it was.

    Parameters
    ----------
    model : Module
        As it is trained; one that is compiled or distributed as well.
    example : Tensor, tuple or dict, optional
        What the model is called with: one tensor, a tuple of arguments, or a dict of named ones.
    codes : function of (name, parameter), optional
        For quantisers that nothing else finds: returns the integer codes of a parameter, or None where it is
        not quantised.
    optimizer : Optimizer, optional
        Where the quantiser is in the optimiser, as with PARQ.
    adaptors : bool
        Whether what is known of frameworks is used, which is quicker; the example finds their layers too.

    Returns
    -------
    list of QuantisedWeight
        In the order of the model's parameters; a tied weight once.

    Raises
    ------
    InputError
        If there is no quantised weight; the message says what was looked for. If the model cannot be run on
        the example.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> class Ternary(torch.nn.Linear):
    ...     def forward(self, x):
    ...         scale = self.weight.abs().mean()
    ...         quantised = scale * (self.weight / scale).round().clamp(-1, 1)
    ...         weight = self.weight + (quantised - self.weight).detach()
    ...         return torch.nn.functional.linear(x, weight, self.bias)
    >>> model = torch.nn.Sequential(Ternary(8, 8), torch.nn.Linear(8, 2))
    >>> stt.find(model, example=torch.ones(1, 8))
    [<QuantisedWeight '0.weight': 64 weights on 3 levels, discovery>]
    """
    instance_of(model, nn.Module, "model", "a torch.nn.Module")
    if optimizer is not None:
        instance_of(optimizer, torch.optim.Optimizer, "optimizer", "a torch.optim.Optimizer")
    if codes is not None and not callable(codes):
        raise InputTypeError(f"codes is {shown(codes)}; give a function of a parameter's name and of itself")
    model, found = unwrapped(model), {}
    if any(one.is_meta or isinstance(one, UninitializedParameter) for one in model.parameters()):
        raise InputError(
            "some parameters of the model have no values yet (they are lazy, or on the device meta): give "
            "them values first"
        )

    def add(more: list[QuantisedWeight]) -> None:
        for one in more:
            if one.latent.numel():
                found.setdefault(id(one.latent), one)

    if codes is not None:
        add(by_codes(model, codes))
    if optimizer is not None:
        add(in_optimizer(model, optimizer))
    if flag(adaptors, "adaptors"):
        for adaptor in ADAPTORS:
            add(adaptor(model))
    if example is not None:
        add(discover(model, example, found))
    if not found:
        raise InputError(_nothing(example, optimizer))
    return [found[latent] for latent in names_of(model) if latent in found]


def _nothing(example: Any, optimizer: torch.optim.Optimizer | None) -> str:
    looked = "looked for layers of `binarize`, torchao, Brevitas and transformers' BitNet"
    if optimizer is not None:
        looked += ", for parameters that the optimizer quantises"
    if example is None:
        return f"no quantised weight was found: {looked}; give an example input, and others are found too"
    return (
        f"no quantised weight was found: {looked}, and for linear, conv and embedding layers that are called "
        "with a weight on few levels; give `codes`, a function that returns the codes of a parameter"
    )
