"""The quantised weights of a model, as handles: by adaptors for known frameworks, or by listening.

Adaptors recognise a framework by the names of its classes and import none. `taps` listens and finds the same
weights. `handle` defines the handles.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from sterling.base.checks import flag, instance_of, shown
from sterling.errors import InputError, InputTypeError
from sterling.torch.functions import top_code
from sterling.torch.grids import Reading, centred
from sterling.torch.handle import QuantisedWeight, holders, names_of, on_grid
from sterling.torch.parametrized import quantiser_of
from sterling.torch.rounding import CodeReader
from sterling.torch.taps import discover, unwrapped

#: A function of (name, parameter), or functions without arguments by the name of a layer or tensor.
Codes = Callable[[str, nn.Parameter], torch.Tensor | None] | Mapping[str, Callable[[], torch.Tensor]]
_SMALL = 31  # codes of the user beyond this take 16 bits, because they may grow


class NothingFound(InputError):
    """The model has no quantised weight."""


def find(
    model: nn.Module,
    example: Any = None,
    codes: Codes | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    adaptors: bool = True,
) -> list[QuantisedWeight]:
    """Return a handle for each quantised weight of a model.

    `find` knows the layers of `binarize`, torchao, Brevitas and transformers' BitNet, and parameters in a
    PARQ optimiser. With an example it finds all others too: it runs the model once, and takes a weight as
    quantised if a linear, conv or embedding layer uses it on few levels. The weight's graph leads to the
    latents. `find` does not change the model.

    Parameters
    ----------
    model : Module
        It may be compiled or distributed.
    example : Tensor, tuple or dict, optional
        Arguments of the model: one tensor, a tuple of arguments, or a dict of named ones.
    codes : function of (name, parameter), or dict of functions, optional
        For quantisers that `find` does not know. The function returns the integer codes of a parameter, or
        None if the parameter is not quantised. A dict names layers, or tensors (also packed buffers of nets
        without latents), and gives a function without arguments that returns their codes.
    optimizer : Optimizer, optional
        Needed if it holds the quantiser, as with PARQ.
    adaptors : bool
        Whether to use the known frameworks, which is faster than running the model.

    Returns
    -------
    list of QuantisedWeight
        The weights in the order of the model's parameters; a tied weight appears once.

    Raises
    ------
    InputError
        If the model has no quantised weight, or cannot be run on the example.

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
    if codes is not None and not callable(codes) and not isinstance(codes, Mapping):
        raise InputTypeError(f"codes is {shown(codes)}; give a function of (name, parameter), or a dict")
    model = unwrapped(model)
    if any(one.is_meta or isinstance(one, UninitializedParameter) for one in model.parameters()):
        raise InputError(
            "some parameters of the model have no values yet, because they are lazy or on the device meta: "
            "initialise them first"
        )

    names = names_of(model)
    handles = by_codes(model, codes) if codes is not None else []
    if optimizer is not None:
        handles += in_optimizer(names, optimizer)
    if flag(adaptors, "adaptors"):
        tried = [adaptor(layer) for layer in model.modules() for adaptor in ADAPTORS]
        # A computed weight, such as one with a parametrisation, is none of the model's parameters.
        handles += [one for one in tried if one is not None and id(one.latent) in names]
    for one in handles:  # a tied weight is known by the first of its layers
        one.places = tuple(names[id(one.latent)])
        one.name = one.places[0]
        one.modules = tuple(model.get_submodule(place.rpartition(".")[0]) for place in one.places)
    if example is not None:
        handles += discover(model, example, {id(one.latent) for one in handles})
    found = {id(one.latent): one for one in reversed(handles) if one.latent.numel()}
    if not found:
        looked = "looked for layers of `binarize`, torchao, Brevitas and transformers' BitNet"
        if optimizer is not None:
            looked += ", for parameters that the optimizer quantises"
        advice = "give an example input to find others"
        if example is not None:
            looked += (
                ", and for linear, conv and embedding layers that are called with a weight on few levels"
            )
            advice = "give `codes`, a function that returns the codes of a parameter"
        raise NothingFound(f"no quantised weight was found: {looked}; {advice}")
    return [found[latent] for latent in names if latent in found]


def binarized(layer: Any) -> QuantisedWeight | None:
    """Return a handle of a layer that `binarize` quantised."""
    found = quantiser_of(layer)
    if found is None:
        return None
    latent, quantiser = found
    return QuantisedWeight(
        latent,
        quantiser.levels,
        "binarize",
        values=lambda: layer.weight,
        codes=lambda: quantiser.codes(latent),
        scale=lambda: quantiser.step(latent),
    )


def torchao(layer: Any) -> QuantisedWeight | None:
    """Return a handle of a layer that torchao prepared for quantisation-aware training."""
    quantiser: Any = getattr(layer, "weight_fake_quantizer", None)
    if not _is_from("torchao", quantiser) or not getattr(quantiser, "enabled", True):
        return None

    dtype = str(getattr(quantiser.config, "dtype", "")).rpartition(".")[2]
    bits = dtype.removeprefix("u").removeprefix("int")
    levels = 2 ** int(bits) if bits.isdigit() else None

    def scale() -> torch.Tensor:
        """Return the scale exactly, because the largest weight of a group is half-way between two levels."""
        layer.weight_fake_quantizer(layer.weight)
        step = layer.weight_fake_quantizer.scale
        return step.repeat_interleave(layer.weight.shape[-1] // step.shape[-1], dim=-1)

    own = {"scale": scale, "dequantise": None} if levels and hasattr(quantiser, "scale") else {}
    return _read("torchao", layer, lambda: layer.weight_fake_quantizer(layer.weight), levels, **own)


def brevitas(layer: Any) -> QuantisedWeight | None:
    """Return a handle of a layer of Brevitas with quantised weights."""
    proxy: Any = getattr(layer, "weight_quant", None)
    if not _is_from("brevitas", proxy) or not getattr(proxy, "is_quant_enabled", False):
        return None
    with torch.no_grad():
        bits = int(layer.quant_weight().bit_width)
    ternary = type(proxy.tensor_quant).__name__ == "TernaryQuant"
    narrow = bits > 1 and (ternary or getattr(proxy, "is_narrow_range", False))
    return _read("brevitas", layer, lambda: layer.quant_weight().value, 2**bits - narrow)


def bitnet(layer: Any) -> QuantisedWeight | None:
    """Return a handle of a layer of transformers' BitNet that quantises while it trains."""
    if type(layer).__name__ != "AutoBitLinear" or not getattr(layer, "online_quant", False):
        return None

    return _read("transformers", layer, lambda: _Ternary.apply(layer.weight), 3)


class _Ternary(torch.autograd.Function):
    """The formula of transformers' `WeightQuant`; the original compiles itself, with a C++ compiler."""

    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor) -> torch.Tensor:
        scale = 1.0 / weight.float().abs().mean().clamp(min=1e-5)
        return ((weight.float() * scale).round().clamp(-1, 1) / scale).to(weight.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> torch.Tensor:
        return gradients[0]


#: Adaptors of frameworks whose layers hold their quantiser.
ADAPTORS: tuple[Callable[[Any], QuantisedWeight | None], ...] = (binarized, torchao, brevitas, bitnet)


def in_optimizer(known: Collection[int], optimizer: Any) -> list[QuantisedWeight]:
    """Return handles of the parameters that a PARQ optimiser quantises.

    Between steps the parameters hold the quantised values, and the state of the optimiser holds the latents.
    """
    if not hasattr(optimizer, "regularized_param_groups"):  # another optimiser
        return []
    found = []
    for group in optimizer.regularized_param_groups():
        for parameter in group["params"]:
            if id(parameter) not in known:
                raise InputError(
                    "the optimizer quantises a parameter that is not in the model: give the optimizer of "
                    "this model"
                )
            if parameter.requires_grad:
                reading = _Parq(optimizer, group, parameter)
                levels = reading.targets().shape[-1]
                found.append(
                    QuantisedWeight(
                        parameter, levels, "parq", lambda p=parameter: p, reading.codes, reading.scale
                    )
                )
    return found


class _Parq:
    """Codes of a parameter that PARQ quantises: centred ranks of its nearest targets."""

    def __init__(self, optimizer: Any, group: dict[str, Any], parameter: nn.Parameter):
        self.optimizer, self.group, self.parameter = optimizer, group, parameter

    def rows(self) -> torch.Tensor:
        block, values = self.group.get("quant_block_size"), self.parameter.detach()
        if block is not None:
            return values.reshape(-1, block)
        each = self.optimizer.quant_per_channel and values.ndim > 1
        return values.flatten(1) if each else values.reshape(1, -1)

    def targets(self) -> torch.Tensor:
        rows = self.rows()
        quants = self.optimizer.state.get(self.parameter, {}).get("quants")
        if quants is None:  # before the first step
            each = self.optimizer.quant_per_channel and rows.shape[0] > 1
            given, dim = (rows, -1) if each else (rows.reshape(-1), None)
            _, quants = self.optimizer.quantizer.quantize(given, self.group["quant_bits"], dim=dim)
        return quants.reshape(-1, quants.shape[-1]).sort(dim=-1).values.expand(rows.shape[0], -1)

    def codes(self) -> torch.Tensor:
        targets, rows = self.targets(), self.rows()
        between = ((targets[:, 1:] + targets[:, :-1]) / 2).contiguous()
        rank = torch.searchsorted(between, rows.contiguous())
        return centred(rank, targets.shape[-1]).to(torch.int8).reshape(self.parameter.shape)

    def scale(self) -> torch.Tensor:
        targets = self.targets()
        step = (targets[:, -1:] - targets[:, :1]) / 2 / max(top_code(targets.shape[-1]), 1)
        return step.expand(self.rows().shape).reshape(self.parameter.shape)


def by_codes(model: nn.Module, codes: Codes) -> list[QuantisedWeight]:
    """Return handles of the tensors for which the user's functions return codes."""
    found = []
    if isinstance(codes, Mapping):
        given = [(name, *_named(model, name, function), function) for name, function in codes.items()]
    else:
        function = codes
        named = model.named_parameters(remove_duplicate=False)
        with torch.no_grad():
            firsts = [(name, one, function(name, one)) for name, one in named]
        given = [
            (name, one, first, lambda name=name, one=one: function(name, one))
            for name, one, first in firsts
            if first is not None
        ]
    for name, latent, first, again in given:
        stored = not (latent.is_floating_point() and isinstance(latent, nn.Parameter))
        shape = first.shape if stored and isinstance(first, torch.Tensor) else latent.shape
        codes_now = _checked_codes(first, name, shape, torch.int16)
        wide = int(codes_now.abs().amax()) > _SMALL if codes_now.numel() else False
        kind = torch.int16 if wide or first.dtype == torch.int16 else torch.int8

        def read(name: str = name, again: Any = again, shape: Any = shape, kind: Any = kind) -> torch.Tensor:
            return _checked_codes(again(), name, shape, kind)

        real = latent.dtype if latent.is_floating_point() else torch.float32
        found.append(
            QuantisedWeight(
                latent,
                int(codes_now.unique().numel()),
                "codes",
                values=lambda read=read, real=real: read().to(real),
                codes=read,
                scale=lambda latent=latent, real=real: torch.ones((), dtype=real, device=latent.device),
                shape=shape,
                stored=stored,
            )
        )
    return found


def _named(model: nn.Module, name: str, codes: Callable[[], Any]) -> tuple[torch.Tensor, Any]:
    """Return the tensor that a name means, or the one in a layer that its codes fit, and the codes."""
    if not callable(codes):
        raise InputTypeError(f"codes of {name!r} is {shown(codes)}; give a function that returns the codes")
    with torch.no_grad():
        first = codes()
    tensors: dict[str, torch.Tensor] = dict(model.named_parameters(remove_duplicate=False))
    tensors.update(model.named_buffers(remove_duplicate=False))
    if name in tensors:
        return tensors[name], first
    layers = dict(model.named_modules(remove_duplicate=False))
    if name not in layers:
        raise InputError(f"codes names {name!r}, but the model has no such layer or tensor")
    if isinstance(first, torch.Tensor):
        own = [one for one in layers[name].parameters() if one.shape == first.shape]
        own += [one for one in holders(layers[name].buffers(), first.numel())]
        if own:
            return own[0], first
    raise InputError(f"no tensor of the layer {name!r} fits its codes: name the tensor that holds them")


def _checked_codes(codes: Any, name: str, shape: torch.Size, kind: torch.dtype) -> torch.Tensor:
    if not isinstance(codes, torch.Tensor):
        raise InputTypeError(f"codes of {name!r} are {shown(codes)}; return a tensor, or None")
    if codes.shape != shape:
        raise InputError(
            f"codes of {name!r} have the shape {tuple(codes.shape)}; the weight has {tuple(shape)}"
        )
    small = codes.to(kind)
    if not torch.equal(small.to(codes.dtype), codes):
        wide = kind == torch.int16
        range_ = "−32,768 to 32,767" if wide else "−128 to 127, as the first ones: return them as int16"
        raise InputError(f"codes of {name!r} must be integers from {range_}")
    return small


def _is_from(package: str, thing: Any) -> bool:
    return thing is not None and type(thing).__module__.partition(".")[0] == package


def _read(
    framework: str, layer: Any, values: Reading, levels: int | None, **own: Reading | None
) -> QuantisedWeight | None:
    reader = CodeReader(values, layer.weight)
    return None if reader.grid is None else on_grid(reader, layer.weight, framework, levels, **own)
