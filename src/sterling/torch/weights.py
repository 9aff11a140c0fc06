"""The quantised weights of a model, as handles: `taps` traces the weights that its layers use.

Layers of known frameworks are traced on a made-up input, the others on the user's example. The weights of
`binarize` need no trace, and those of PARQ and of the user's `codes` have none.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from sterling.base.checks import instance_of, shown
from sterling.base.text import shortened
from sterling.errors import InputError, InputTypeError
from sterling.torch.functions import top_code
from sterling.torch.grids import centred
from sterling.torch.handle import QuantisedWeight, holders, names_of
from sterling.torch.hooks import warned
from sterling.torch.parametrized import LAYERS, Quantiser, quantisers
from sterling.torch.rounding import narrowed
from sterling.torch.taps import discover, listen, unwrapped

#: A function of (name, parameter), or functions without arguments by the name of a layer or tensor.
Codes = Callable[[str, nn.Parameter], torch.Tensor | None] | Mapping[str, Callable[[], torch.Tensor]]
#: Packages whose layers hold a quantiser of their weight, and the attribute that shows it.
FRAMEWORKS = {
    "torchao": "weight_fake_quantizer",
    "brevitas": "weight_quant",
    "transformers": "online_quant",
}


class NothingFound(InputError):
    """The model has no quantised weight."""


def find(
    model: nn.Module,
    example: Any = None,
    codes: Codes | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> list[QuantisedWeight]:
    """Return a handle for each quantised weight of a model.

    `find` knows the layers of `binarize`, torchao, Brevitas and transformers' BitNet, and parameters in a
    PARQ optimiser. With an example it finds all others too: it runs the model once, and takes a weight as
    quantised if a layer uses it on few levels. `find` does not change the model.

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

    Returns
    -------
    list of QuantisedWeight
        The weights in the order of the model's parameters; a tied weight appears once.

    Raises
    ------
    InputError
        If no quantised weight of the model can be read, or the model cannot be run on the example.

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
    handles += [] if optimizer is None else in_optimizer(names, optimizer)
    handles += [binarized(*one) for one in quantisers(model)]
    for layer in model.modules():
        framework = framework_of(layer)
        # A layer computes its weight for any input, so one that is made up does.
        if framework is not None:
            handles += discover(model, listen(layer, _made_up(layer)), framework=framework)
    for one in handles:  # a tied weight is known by the first of its layers
        one.places = tuple(names[id(one.latent)])
        one.name = one.places[0]
        one.modules = tuple(model.get_submodule(place.rpartition(".")[0]) for place in one.places)
    if example is not None:
        taps = listen(model, example)
        found = discover(model, taps, {id(one.latent) for one in handles})
        handles += found
        kinds, ran = {type(layer) for one in found for layer in one.modules}, {one.owner for one in taps}
        missed = [name for name, one in model.named_modules() if type(one) in kinds and one not in ran]
        if missed:
            warned(f"the example does not reach {shortened(missed)}, so that no weight is read there")
    weights = {id(one.latent): one for one in reversed(handles) if one.latent.numel()}
    if not weights:
        looked = "layers of `binarize`, torchao, Brevitas and transformers' BitNet"
        advice = "for others give an input as `example=` (in the shell: return a model and an example)"
        if example is not None:
            looked += ", and for linear, conv and embedding layers with a weight on few levels"
            advice = "give `codes`, a function that returns the codes of a parameter"
        raise NothingFound(f"no quantised weight was found: looked for {looked}; {advice}")
    return [weights[latent] for latent in names if latent in weights]


def binarized(layer: Any, latent: nn.Parameter, quantiser: Quantiser) -> QuantisedWeight:
    """Return a handle of a layer that `binarize` quantised."""
    return QuantisedWeight(
        latent,
        quantiser.levels,
        "binarize",
        values=lambda: layer.weight,
        codes=lambda: quantiser.codes(latent),
        scale=lambda: quantiser.step(latent),
    )


def framework_of(layer: Any) -> str | None:
    """Return the package of a layer whose quantiser is known by an attribute."""
    for package, attribute in FRAMEWORKS.items() if isinstance(layer, LAYERS) else ():
        held = getattr(layer, attribute, None)
        home = type(held if isinstance(held, nn.Module) else layer).__module__
        if held and home.partition(".")[0] == package:
            return package
    return None


def _made_up(layer: Any) -> torch.Tensor:
    """Return a smallest input of an embedding, linear or conv layer."""
    weight = layer.weight
    if isinstance(layer, nn.Embedding | nn.EmbeddingBag):
        return torch.zeros(1, 1, dtype=torch.long, device=weight.device)
    if isinstance(layer, nn.Linear):
        return torch.ones(1, layer.in_features, dtype=weight.dtype, device=weight.device)
    taps = zip(layer.dilation, layer.kernel_size, strict=True)
    size = [layer.in_channels, *(dilation * (kernel - 1) + 1 for dilation, kernel in taps)]
    return torch.ones(1, *size, dtype=weight.dtype, device=weight.device)


def in_optimizer(known: Collection[int], optimizer: Any) -> list[QuantisedWeight]:
    """Return handles of the parameters that a PARQ optimiser quantises.

    Between steps the parameters hold the quantised values, and the state of the optimiser holds the latents.
    """
    groups = getattr(optimizer, "regularized_param_groups", list)()  # of another optimiser: none
    pairs = [(group, one) for group in groups for one in group["params"]]
    if any(id(one) not in known for _, one in pairs):
        raise InputError(
            "the optimizer quantises a parameter that is not in the model: give the optimizer of this model"
        )
    return [_parq(optimizer, group, one) for group, one in pairs if one.requires_grad]


def _parq(optimizer: Any, group: dict[str, Any], parameter: nn.Parameter) -> QuantisedWeight:
    """Return a handle whose codes are centred ranks of the nearest targets."""
    block, channels = group.get("quant_block_size"), optimizer.quant_per_channel and parameter.ndim > 1

    def read() -> tuple[torch.Tensor, torch.Tensor, int]:
        """Return the codes, the scale, and the number of levels."""
        rows = parameter.detach().flatten(1) if channels else parameter.detach().flatten()[None]
        rows = rows.reshape(-1, block) if block else rows
        quants = optimizer.state.get(parameter, {}).get("quants")
        if quants is None:  # before the first step
            each = optimizer.quant_per_channel and len(rows) > 1
            given, dim = (rows, -1) if each else (rows.flatten(), None)
            _, quants = optimizer.quantizer.quantize(given, group["quant_bits"], dim=dim)
        levels = quants.reshape(-1, quants.shape[-1]).sort(dim=-1).values.expand(len(rows), -1)
        count = levels.shape[-1]
        between = ((levels[:, 1:] + levels[:, :-1]) / 2).contiguous()
        codes = centred(torch.searchsorted(between, rows.contiguous()), count).to(torch.int8)
        step = (levels[:, -1:] - levels[:, :1]) / 2 / max(top_code(count), 1)
        return codes.view_as(parameter), step.expand(rows.shape).reshape(parameter.shape), count

    return QuantisedWeight(
        parameter, read()[2], "parq", lambda: parameter, lambda: read()[0], lambda: read()[1]
    )


def by_codes(model: nn.Module, codes: Codes) -> list[QuantisedWeight]:
    """Return handles of the tensors for which the user's functions return codes."""
    readers: Any = codes
    if not isinstance(codes, Mapping):
        every = {n: partial(codes, n, one) for n, one in model.named_parameters(remove_duplicate=False)}
        with torch.no_grad():
            readers = {name: read for name, read in every.items() if read() is not None}
    return [_coded(name, *_named(model, name, read), read) for name, read in readers.items()]


def _coded(name: str, latent: torch.Tensor, first: Any, read: Callable[[], Any]) -> QuantisedWeight:
    stored = not (latent.is_floating_point() and isinstance(latent, nn.Parameter))
    shape = first.shape if stored and isinstance(first, torch.Tensor) else latent.shape
    real = latent.dtype if latent.is_floating_point() else torch.float32
    return QuantisedWeight(
        latent,
        int(_checked_codes(first, name, shape).unique().numel()),
        "codes",
        values=lambda: _checked_codes(read(), name, shape).to(real),
        codes=lambda: _checked_codes(read(), name, shape),
        scale=lambda: torch.ones((), dtype=real, device=latent.device),
        shape=shape,
        stored=stored,
    )


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
    layer = dict(model.named_modules(remove_duplicate=False)).get(name)
    if layer is None:
        raise InputError(f"codes names {name!r}, but the model has no such layer or tensor")
    if isinstance(first, torch.Tensor):
        own = [one for one in layer.parameters() if one.shape == first.shape]
        own += holders(layer.buffers(), first.numel())
        if own:
            return own[0], first
    raise InputError(f"no tensor of the layer {name!r} fits its codes: name the tensor that holds them")


def _checked_codes(codes: Any, name: str, shape: torch.Size) -> torch.Tensor:
    if not isinstance(codes, torch.Tensor):
        raise InputTypeError(f"codes of {name!r} are {shown(codes)}; return a tensor, or None")
    if codes.shape != shape:
        raise InputError(
            f"codes of {name!r} have the shape {tuple(codes.shape)}; the weight has {tuple(shape)}"
        )
    small = narrowed(codes)
    if not torch.equal(small.to(codes.dtype), codes):
        raise InputError(f"codes of {name!r} must be integers from −32,768 to 32,767")
    return small
