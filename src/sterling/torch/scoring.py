"""Run a decoded model on batches: its score on validation data, and its statistics of batch norm.

A batch is a tensor, a tuple that begins with the inputs, or a dict of named arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map_only

from sterling.base.checks import real
from sterling.errors import InputError, InputTypeError
from sterling.torch.taps import arguments, in_one_sentence

_IGNORED = -100  # the target that PyTorch's cross-entropy leaves out


def recompute_norms(net: nn.Module, bn: Iterable[Any] | None) -> None:
    """Recompute the statistics of batch norm, if there are batches."""
    if bn is None or not any(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in net.modules()):
        return
    advice = "give a loader of inputs, tuples that begin with them, or dicts of named arguments"
    with in_one_sentence("the statistics of batch norm cannot be computed from `bn`", advice):
        batches = iter(bn)
        first = next(batches, None)
        if first is None or batches is bn:
            raise InputError("bn has no batch, or can be read only once: give a loader")
        torch.optim.swa_utils.update_bn(chain([first], batches), _Called(net))


class _Called(nn.Module):
    """Calls a net on batches of any form."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, batch: Any) -> Any:
        device = next(self.net.parameters()).device
        batch = dict(batch) if isinstance(batch, Mapping) else batch
        args, named = arguments(tree_map_only(torch.Tensor, lambda one: one.to(device), batch))
        taken = inspect.signature(self.net.forward).parameters.values()
        if not any(one.name == "labels" or one.kind == one.VAR_KEYWORD for one in taken):
            named.pop("labels", None)
        return self.net(*args, **named)


def scorer(validate: Any) -> Callable[[nn.Module], dict[str, float]] | None:
    """Return the function that scores a model on validation data, or None without data."""
    if validate is None:
        return None
    if isinstance(validate, Iterable) and not isinstance(validate, Iterator):
        return lambda model: evaluate(model, validate)
    if not callable(validate):
        raise InputTypeError(
            "validate must be a loader, which can be read more than once, or a function of a model"
        )

    def score(model: nn.Module) -> dict[str, float]:
        loss: Any = validate(model)
        scalar = isinstance(loss, torch.Tensor) and loss.numel() == 1
        return {"loss": real(loss.item() if scalar else loss, "the loss that `validate` returned")}

    return score


@torch.no_grad()
def evaluate(model: nn.Module, batches: Iterable[Any]) -> dict[str, float]:
    """Return the loss of a model in eval mode, and the accuracy if each target is the class of a sample.

    Batches count by their targets, without those that cross-entropy ignores, or by their samples.
    """
    total, right, count, known = 0.0, 0, 0, False
    advice = 'give (inputs, targets), dicts with "labels", or a function of a model'
    for batch in batches:
        with in_one_sentence("`validate` does not fit the model", advice):
            pair = isinstance(batch, list | tuple) and len(batch) == 2
            inputs, targets = batch if pair else (batch, None)
            targets = batch.get("labels") if isinstance(batch, Mapping) else targets
            found: Any = _Called(model)(inputs)
            loss: Any = getattr(found, "loss", None)
            outputs: Any = getattr(found, "logits", found)
            known = targets is not None and not targets.is_floating_point()
            if targets is None:
                loss = found if loss is None and found.ndim == 0 else loss
                size = len(tree_leaves(inputs)[0])
            elif not known:
                loss = nn.functional.mse_loss(outputs, targets.to(outputs)) if loss is None else loss
                size = targets.numel()
            else:
                known = loss is None or targets.ndim == 1  # a language model may shift its targets
                outputs = outputs.reshape(-1, outputs.shape[-1])
                targets = targets.reshape(-1).to(outputs.device)
                loss = nn.functional.cross_entropy(outputs, targets) if loss is None else loss
                size = int((targets != _IGNORED).sum())
                right += int((outputs.argmax(-1) == targets).sum())
            total, count = total + float(loss) * size, count + size
    if not count:
        raise InputError("validate has no batch")
    return {"loss": total / count, **({"accuracy": right / count} if known else {})}
