"""The quantised weights of a model, as handles: by adaptors of known frameworks, else by listening.

A framework is told by the names of its classes, and none is imported; `taps` listens, and finds the same
weights. `handle` says what a handle is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from sterling.base.checks import flag, instance_of, shown
from sterling.errors import InputError, InputTypeError
from sterling.torch.grids import find_grid
from sterling.torch.handle import QuantisedWeight, Reading, names_of, on_grid
from sterling.torch.parametrized import WEIGHT, latent_of, quantisers, seen_by
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


def binarized(model: nn.Module) -> list[QuantisedWeight]:
    """Return handles of the layers that `binarize` quantised."""
    readings = {}
    for _, layer, quantiser in quantisers(model):
        latent = latent_of(layer)
        readings.setdefault(id(latent), []).append((layer, latent, quantiser))
    names = names_of(model)
    return [
        QuantisedWeight(
            name=names[id(latent)][0],
            latent=latent,
            modules=[layer for layer, _, _ in users],
            levels=quantiser.levels,
            framework="binarize",
            values=lambda layer=layer: seen_by(layer),
            codes=lambda latent=latent, quantiser=quantiser: quantiser.codes(latent),
            scale=lambda latent=latent, quantiser=quantiser: quantiser.step(latent),
            places=names[id(latent)],
        )
        for users in readings.values()
        for layer, latent, quantiser in users[:1]
    ]


def torchao(model: nn.Module) -> list[QuantisedWeight]:
    """Return handles of layers that torchao prepared for quantisation-aware training."""
    found = []
    for layer in model.modules():
        quantiser: Any = getattr(layer, "weight_fake_quantizer", None)
        if not _is_from("torchao", quantiser) or not getattr(quantiser, "enabled", True):
            continue

        def values(layer: Any = layer) -> torch.Tensor:
            return layer.weight_fake_quantizer(layer.weight)

        dtype = str(getattr(quantiser.config, "dtype", "")).rpartition(".")[2]
        bits = dtype.removeprefix("u").removeprefix("int")
        exact = bits.isdigit() and getattr(quantiser, "scale", values) is not values
        if exact:

            def scale(layer: Any = layer) -> torch.Tensor:
                step = layer.weight_fake_quantizer.scale
                return step.repeat_interleave(layer.weight.shape[-1] // step.shape[-1], dim=-1)

            found.append(_scaled("torchao", layer, 2 ** int(bits), values, scale))
        else:
            found += _on_a_grid("torchao", layer, values)
    return _joined(model, found)


def brevitas(model: nn.Module) -> list[QuantisedWeight]:
    """Return handles of layers of Brevitas whose weights are quantised."""
    found = []
    for layer in model.modules():
        proxy = getattr(layer, "weight_quant", None)
        if not _is_from("brevitas", proxy) or not getattr(proxy, "is_quant_enabled", False):
            continue

        def values(layer: Any = layer) -> torch.Tensor:
            return layer.quant_weight().value

        found += _on_a_grid("brevitas", layer, values, _levels_of_brevitas(layer))
    return _joined(model, found)


def _levels_of_brevitas(layer: Any) -> int:
    with torch.no_grad():
        bits = int(layer.quant_weight().bit_width)
    ternary = type(layer.weight_quant.tensor_quant).__name__ == "TernaryQuant"
    narrow = bits > 1 and (ternary or getattr(layer.weight_quant, "is_narrow_range", False))
    return 2**bits - narrow


def bitnet(model: nn.Module) -> list[QuantisedWeight]:
    """Return handles of the layers of transformers' BitNet that quantise while they train."""
    found = []
    for layer in model.modules():
        if type(layer).__name__ != "AutoBitLinear" or not getattr(layer, "online_quant", False):
            continue

        def scale(layer: Any = layer) -> torch.Tensor:
            size = layer.weight.float().abs().mean().clamp(min=1e-5)
            return size.to(layer.weight.dtype).reshape(1, 1)

        def values(layer: Any = layer) -> torch.Tensor:
            return _Ternary.apply(layer.weight)

        found.append(_scaled("transformers", layer, 3, values, scale))
    return _joined(model, found)


class _Ternary(torch.autograd.Function):
    """What `WeightQuant` of transformers computes, which compiles itself."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor) -> torch.Tensor:
        scale = 1.0 / weight.float().abs().mean().clamp(min=1e-5)
        return ((weight.float() * scale).round().clamp(-1, 1) / scale).to(weight.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


#: Frameworks whose layers hold their quantiser.
ADAPTORS: tuple[Callable[[nn.Module], list[QuantisedWeight]], ...] = (binarized, torchao, brevitas, bitnet)


def is_parq(optimizer: Any) -> bool:
    """Whether an optimiser quantises the parameters itself, as PARQ does."""
    return hasattr(optimizer, "regularized_param_groups") and hasattr(optimizer, "prox_map")


def in_optimizer(model: nn.Module, optimizer: Any) -> list[QuantisedWeight]:
    """Return handles of the parameters that a PARQ optimiser quantises.

    Between steps the parameters hold what the forward pass sees, and the state holds the latents.
    """
    if not is_parq(optimizer):
        return []
    names, modules = names_of(model), dict(model.named_modules())
    found = []
    for group in optimizer.regularized_param_groups():
        for parameter in group["params"]:
            if id(parameter) not in names:
                raise InputError(
                    "the optimizer quantises a parameter that the model does not have: give the optimizer of "
                    "this model"
                )
            if not parameter.requires_grad:
                continue
            places = names[id(parameter)]
            reading = _Parq(optimizer, group, parameter)
            found.append(
                QuantisedWeight(
                    name=places[0],
                    latent=parameter,
                    modules=[modules[place.rpartition(".")[0]] for place in places],
                    levels=reading.levels(),
                    framework="parq",
                    values=lambda parameter=parameter: parameter,
                    codes=reading.codes,
                    scale=reading.scale,
                    places=places,
                )
            )
    return found


class _Parq:
    """Codes of a parameter that PARQ quantises: the nearest of its targets, as centred ranks."""

    def __init__(self, optimizer: Any, group: dict[str, Any], parameter: nn.Parameter):
        self.optimizer, self.group, self.parameter = optimizer, group, parameter

    def rows(self) -> torch.Tensor:
        block, values = self.group.get("quant_block_size"), self.parameter.detach()
        if block is not None:
            return values.reshape(-1, block)
        return (
            values.flatten(1)
            if self.optimizer.quant_per_channel and values.ndim > 1
            else values.reshape(1, -1)
        )

    def targets(self) -> torch.Tensor:
        rows = self.rows()
        quants = self.optimizer.state.get(self.parameter, {}).get("quants")
        if quants is None:  # before the first step
            per_row = 1 if self.optimizer.quant_per_channel and rows.shape[0] > 1 else None
            dim = -1 if per_row else None
            quantiser = self.optimizer.quantizer
            _, quants = quantiser.quantize(
                rows if dim else rows.reshape(-1), self.group["quant_bits"], dim=dim
            )
        return quants.reshape(-1, quants.shape[-1]).sort(dim=-1).values.expand(rows.shape[0], -1)

    def levels(self) -> int:
        return int(self.targets().shape[-1])

    def codes(self) -> torch.Tensor:
        targets, rows = self.targets(), self.rows()
        between = ((targets[:, 1:] + targets[:, :-1]) / 2).contiguous()
        rank, count = torch.searchsorted(between, rows.contiguous()), targets.shape[-1]
        centred = rank - (count - 1) // 2 if count % 2 else 2 * rank - (count - 1)
        return centred.to(torch.int8).reshape(self.parameter.shape)

    def scale(self) -> torch.Tensor:
        targets = self.targets()
        count, rows = targets.shape[-1], self.rows()
        top = (count - 1) // 2 if count % 2 else count - 1
        step = ((targets[:, -1:] - targets[:, :1]) / 2 / max(top, 1)).expand(rows.shape)
        return step.reshape(self.parameter.shape)


def by_codes(
    model: nn.Module, codes: Callable[[str, nn.Parameter], torch.Tensor | None]
) -> list[QuantisedWeight]:
    """Return handles of the parameters for which the user's function returns codes."""
    modules, names, found = dict(model.named_modules()), names_of(model), []
    for name, latent in model.named_parameters():
        with torch.no_grad():
            first = codes(name, latent)
        if first is None:
            continue

        def read(name: str = name, latent: nn.Parameter = latent) -> torch.Tensor:
            return _checked_codes(codes(name, latent), name, latent)

        found.append(
            QuantisedWeight(
                name=name,
                latent=latent,
                modules=[modules[name.rpartition(".")[0]]],
                levels=int(_checked_codes(first, name, latent).unique().numel()),
                framework="codes",
                values=lambda latent=latent, read=read: read().to(latent.dtype),
                codes=read,
                scale=lambda latent=latent: torch.ones((), dtype=latent.dtype, device=latent.device),
                places=names[id(latent)],
            )
        )
    return found


def _checked_codes(codes: Any, name: str, latent: nn.Parameter) -> torch.Tensor:
    if not isinstance(codes, torch.Tensor):
        raise InputTypeError(f"codes of {name!r} are {shown(codes)}; return a tensor, or None")
    if codes.shape != latent.shape:
        raise InputError(
            f"codes of {name!r} have the shape {tuple(codes.shape)}; the parameter has {tuple(latent.shape)}"
        )
    small = codes.to(torch.int8)
    if not torch.equal(small.to(codes.dtype), codes):
        raise InputError(f"codes of {name!r} must be integers from −128 to 127")
    return small


def _is_from(package: str, thing: Any) -> bool:
    return thing is not None and type(thing).__module__.partition(".")[0] == package


def _scaled(framework: str, layer: Any, levels: int, values: Reading, scale: Reading) -> QuantisedWeight:
    """Return a handle whose codes are values over a scale that is known."""

    def codes() -> torch.Tensor:
        seen = values()
        return (seen / scale()).round().to(torch.int8)

    def current() -> torch.Tensor:
        values()  # the scale is that of the last forward pass
        return scale()

    return QuantisedWeight(WEIGHT, layer.weight, [layer], levels, framework, values, codes, current)


def _on_a_grid(
    framework: str, layer: Any, values: Reading, levels: int | None = None
) -> list[QuantisedWeight]:
    """Return a handle whose codes are read off the values."""
    with torch.no_grad():
        grid = find_grid(values(), layer.weight)
    if grid is None:
        return []
    return [on_grid(grid, layer.weight, values, levels, name=WEIGHT, modules=[layer], framework=framework)]


def _joined(model: nn.Module, found: list[QuantisedWeight]) -> list[QuantisedWeight]:
    """Give handles of layers their names in the model, and a tied weight one handle."""
    names, joined = names_of(model), {}
    for one in found:
        first = joined.setdefault(id(one.latent), one)
        first.name, first.places = names[id(one.latent)][0], tuple(names[id(one.latent)])
        if first is not one:
            first.modules += one.modules
    return list(joined.values())
