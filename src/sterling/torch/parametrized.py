"""`binarize` puts a quantiser before the weights of the Linear, Conv and Embedding layers of a model.

The quantiser is a parametrisation of PyTorch: the parameters stay, and become the latents.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cache
from statistics import NormalDist
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize

from sterling.base.checks import choice, instance_of
from sterling.errors import InputError
from sterling.surrogates import Surrogate, get_surrogate
from sterling.torch.functions import Step, checked_levels, nearest_code, top_code
from sterling.torch.handle import named

Model = TypeVar("Model", bound=nn.Module)

#: Layers whose weight is quantised.
LAYERS = (nn.Linear, nn.modules.conv._ConvNd, nn.Embedding, nn.EmbeddingBag)
SCALES = ("absmean", "absmax", "none")
WEIGHT = "weight"


class Quantiser(nn.Module):
    """Maps latents u to weights s·code(u/s); the step s follows the latents, without a gradient.

    With an axis each channel along it has one s.
    """

    def __init__(self, levels: int, scale: str, axis: int | None, surrogate: Surrogate):
        super().__init__()
        self.levels, self.scale, self.axis, self.surrogate = levels, scale, axis, surrogate
        self.unit = steps_in_absmean(levels) if scale == "absmean" else 1 / top_code(levels)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        step = self.step(latent)
        return step * Step.apply(latent / step, self.levels, self.surrogate)

    @torch.no_grad()
    def step(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the value of one unit of a code; it broadcasts to the weight."""
        if self.scale == "none":
            return torch.ones((), dtype=latent.dtype, device=latent.device)
        axes = [axis for axis in range(latent.ndim) if axis != self.axis]
        size = latent.detach().abs()
        step = size.mean(axes, keepdim=True) if self.scale == "absmean" else size.amax(axes, keepdim=True)
        return (step * self.unit).clamp_min(torch.finfo(latent.dtype).tiny)  # for a layer of zeros

    @torch.no_grad()
    def codes(self, latent: torch.Tensor) -> torch.Tensor:
        """Return the codes of the latents, int8."""
        return nearest_code(latent / self.step(latent), self.levels).to(torch.int8)

    def extra_repr(self) -> str:
        per = "tensor" if self.axis is None else f"channel (axis {self.axis})"
        return f"levels={self.levels}, scale={self.scale!r} per {per}, surrogate={self.surrogate.name!r}"


def binarize(
    model: Model,
    levels: int = 2,
    scale: str = "absmean",
    surrogate: str | Surrogate = "identity",
    skip: Iterable[str] = (),
    per: str = "tensor",
) -> Model:
    """Quantise the weights of all Linear, Conv and Embedding layers in place; the parameters become latents.

    The weight is s·code(u/s) with latents u, the codes of `round_to`, and a step s that follows the latents.
    No gradient flows through s: with the identity as surrogate the latents get the gradient of the weights.
    Checkpoints of the plain model still load. `unbinarize` undoes this.

    Parameters
    ----------
    model : Module
        Its parameters stay the same objects, so you can create the optimiser before or after.
    levels : int
        2 for binary, 3 for ternary; at most 255 if odd and 128 if even.
    scale : str
        "absmean": for two and three levels the mean size of u (XNOR-Net, arXiv 1603.05279; BitNet b1.58,
        arXiv 2402.17764), for more the multiple of it with the least mean squared error for Gaussian latents.
        "absmax": the largest u lies on the outermost level. "none": s = 1.
    surrogate : str or Surrogate
        Surrogate gradient: a name or a `Surrogate`. With more than two levels it spans all of them.
    skip : iterable of str
        Layers to skip, with all layers inside: names, or patterns such as "blocks.*.head".
    per : str
        "tensor", or "channel": one s for each output channel (each row of an embedding).

    Returns
    -------
    Module
        The model that was given.

    Raises
    ------
    InputError
        If an argument is out of range, `skip` names an unknown layer, a layer is already quantised, or no
        layer is left.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
    >>> stt.find(stt.binarize(model, levels=3, skip=["2"]))
    [<QuantisedWeight '0.weight': 12 weights on 3 levels, binarize>]
    """
    instance_of(model, nn.Module, "model", "a torch.nn.Module")
    levels = checked_levels(levels)
    scale = choice(scale, "scale", SCALES)
    per = choice(per, "per", ("tensor", "channel"))
    surrogate = get_surrogate(surrogate)
    names = dict(model.named_modules())
    skipped = named({name: [name] for name in names}, skip, "skip")
    layers = {name: one for name, one in names.items() if isinstance(one, LAYERS) and name not in skipped}
    if not layers:
        raise InputError("the model has no Linear, Conv or Embedding layer, or `skip` names them all")
    for name, layer in layers.items():
        _check_layer(name, layer, levels)
    for layer in layers.values():
        axis = None if per == "tensor" else int(isinstance(layer, nn.modules.conv._ConvTransposeNd))
        parametrize.register_parametrization(layer, WEIGHT, Quantiser(levels, scale, axis, surrogate))
        layer.register_load_state_dict_pre_hook(_take_plain_key)
    return model


def unbinarize(model: Model, keep: str = "latent") -> Model:
    """Remove all quantisers of `binarize`, in place.

    Parameters
    ----------
    model : Module
        A model that `binarize` quantised.
    keep : str
        "latent": the parameters are the latents. "quantised": they become the quantised weights.

    Returns
    -------
    Module
        The model that was given; its parameters are the same objects.

    Raises
    ------
    InputError
        If `keep` is neither, or `binarize` quantised no layer.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> model = torch.nn.Linear(4, 3)
    >>> before = model.weight.detach().clone()
    >>> torch.equal(stt.unbinarize(stt.binarize(model)).weight, before)
    True
    """
    instance_of(model, nn.Module, "model", "a torch.nn.Module")
    keep = choice(keep, "keep", ("latent", "quantised"))
    found = quantisers(model)
    if not found:
        raise InputError("`binarize` quantised no layer of the model: there is nothing to undo")
    done = set()
    for layer, latent, _ in found:
        # The first of tied layers sets the quantised values.
        quantised = keep == "quantised" and id(latent) not in done
        done.add(id(latent))
        own_class(layer)
        parametrize.remove_parametrizations(layer, WEIGHT, leave_parametrized=quantised)
    return model


def quantisers(model: nn.Module) -> list[tuple[Any, nn.Parameter, Quantiser]]:
    """Return the layers that `binarize` quantised, with their latents and quantisers."""
    layers: list[Any] = [one for one in model.modules() if parametrize.is_parametrized(one, WEIGHT)]
    chains = [(layer, layer.parametrizations[WEIGHT]) for layer in layers]
    return [(layer, one.original, one[-1]) for layer, one in chains if isinstance(one[-1], Quantiser)]


def own_class(layer: nn.Module) -> None:
    """Give a copied layer a separate class, because PyTorch removes parametrisations from the class."""
    shared = type(layer)
    content = {key: one for key, one in vars(shared).items() if key not in ("__dict__", "__weakref__")}
    layer.__class__ = type(shared.__name__, shared.__bases__, content)  # type: ignore[assignment]


@cache
def steps_in_absmean(levels: int) -> float:
    """Return the unit of the codes over the mean of |u|, see `binarize`."""
    if levels <= 3:
        return 1.0
    normal, top, spacing = NormalDist(), top_code(levels), 1 if levels % 2 else 2
    edges = [spacing * (k + 0.5) - top for k in range(levels - 1)]  # half-way between two codes
    # For codes c of a standard normal u, E(u − unit·c)² is least if E u·c = unit·E c²: sums over the edges.
    low, high = 1e-3, 4.0  # exactly one unit solves this (Max 1960)
    for _ in range(60):
        unit = (low + high) / 2
        product = spacing * sum(normal.pdf(unit * edge) for edge in edges)
        square = top**2 - 2 * spacing * sum(edge * normal.cdf(unit * edge) for edge in edges)
        if product > unit * square:
            low = unit
        else:
            high = unit
    return low / math.sqrt(2 / math.pi)


def _check_layer(name: str, layer: nn.Module, levels: int) -> None:
    foreign = ("weight_fake_quantizer", "weight_quant")  # torchao, Brevitas
    quantised = any(getattr(layer, one, None) is not None for one in foreign)
    weight, why = layer._parameters.get(WEIGHT), ""
    if quantised or parametrize.is_parametrized(layer, WEIGHT):
        why = "its weight is quantised or parametrised already"
    elif weight is None or isinstance(weight, UninitializedParameter) or not weight.is_floating_point():
        why = "its weight is no floating-point parameter of known shape: it may be pruned, normed or lazy"
    elif levels % 2 == 0 and getattr(layer, "padding_idx", None) is not None:
        why = f"its padding row must stay zero, and {levels} levels have no zero"
    if why:
        raise InputError(f"layer {name!r} cannot be quantised, because {why}: name it in `skip`")


def _take_plain_key(layer: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Load a checkpoint of the plain model into a quantised one: its weights are the latents."""
    plain, latent = prefix + WEIGHT, f"{prefix}parametrizations.{WEIGHT}.original"
    if parametrize.is_parametrized(layer, WEIGHT) and plain in state and latent not in state:
        state[latent] = state.pop(plain)
