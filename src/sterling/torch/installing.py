"""Install the values of a decoded weight in a copy of its model.

`install` tries latents first, so that the layer keeps its quantiser. The last resort are constants.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from sterling.errors import InputError
from sterling.torch.grids import rows_of, shaped
from sterling.torch.handle import QuantisedWeight
from sterling.torch.parametrized import own_class
from sterling.torch.probes import sharing_of
from sterling.torch.taps import Taps, is_turned, leaves_of, like, listen

#: Frameworks whose layers hold the decoded weights as constants; in others the quantiser stays if it can.
PLAIN = ("binarize", "parq")
#: Largest error of installed values, relative to the level and to a unit of the codes. Half types need more.
_ERROR, _ERROR_HALF = 1e-3, 0.02
_SURE = 0.2  # units from the level: no nearer to another one
_PIECE = 1 << 16  # numbers in store that are looked up at a time
_PLACES = 64  # sizes that are tried for a largest latent half-way between two levels: rounding decides


def install(model: nn.Module, weight: QuantisedWeight, values: torch.Tensor, example: Any) -> str:
    """Make a model use these values as a weight; return what holds them, in the words of `decode`."""
    for layer in weight.modules:  # the observers of PyTorch follow the latents in each forward pass
        observed: Any = getattr(layer, "weight_fake_quant", None)
        if hasattr(observed, "disable_observer"):
            observed(layer.weight)
            observed.disable_observer()
    kept = _stored(weight, values) if weight.stored else _through_quantiser(weight, values)
    if not kept and weight.framework == "codes":
        raise InputError(
            f"codes of {weight.name!r} cannot be set through `codes`: give the monitor an example input"
        )
    if not kept:
        make_plain(model, weight, values, example)
    return kept or "constants"


def _through_quantiser(weight: QuantisedWeight, values: torch.Tensor) -> str:
    """Set latents for which the quantiser gives the values; return what holds them, or nothing."""
    parts = (weight.latent, *weight.lora)
    start = [one.detach().clone() for one in parts]
    search = _Search(weight, values)
    for one in parts[1:]:
        one.data.zero_()
    held: list[Any] = [getattr(layer, "weight_fake_quantizer", None) for layer in weight.modules]
    torchao = [one for one in held if hasattr(getattr(one, "config", None), "range_learning")]
    # The convert step of torchao has other zero points than its layers in training.
    if search.succeeds() and all(one.config.is_symmetric for one in torchao):
        return "latents"
    for one, kept in zip(parts, start, strict=True):
        one.data.copy_(kept)
    for one in torchao:  # its convert step takes the range of the present latents, once that is fixed
        one(weight.latent)
        one.config = copy.copy(one.config)
        one.config.is_dynamic, one.config.range_learning = False, True
    if torchao:
        search.put(search.wanted)
    return "fixed range" if torchao and bool(search.right().all()) else ""


def _stored(weight: QuantisedWeight, values: torch.Tensor) -> str:
    """Store codes that give the values; return "codes", or nothing if there are none.

    Each number in store gives the same few weights, so all numbers are tried in all places at once.
    """
    store, wanted = weight.latent.data, values.flatten()
    start = store.clone()
    each = -(-wanted.numel() // store.numel())
    if weight.framework == "codes" and each == 1:  # these may be the codes of the model itself
        away = store.flatten() - weight.values().flatten()
        store.copy_((wanted + away).view(store.shape))
        return "codes" if bool((away == away[0]).all()) else ""
    if store.element_size() > 1 and each > 1:
        return ""
    numbers, table = torch.arange(256).to(store) if each > 1 else store.unique(), []
    for number in numbers:
        store.fill_(number)
        table.append(weight.values().flatten()[:each])
    rows = nn.functional.pad(wanted, (0, -len(wanted) % each)).view(-1, each)
    nearest = [torch.cdist(part, torch.stack(table)).argmin(1) for part in rows.split(_PIECE)]
    store.copy_(numbers[torch.cat(nearest)].view(store.shape))
    if bool((weight.values() - values).abs().max() <= _SURE * weight.scale().abs().min()):
        return "codes"
    store.copy_(start)
    return ""


class _Search:
    """The search for latents that give values of a weight; each group that shares a scale has its own."""

    def __init__(self, weight: QuantisedWeight, values: torch.Tensor):
        self.weight = weight
        self.sharing = sharing_of(weight)
        self.wanted = self.rows(values)
        self.unit = unit = self.rows(weight.scale().abs().expand(values.shape))
        error = _ERROR if values.dtype == torch.float32 else _ERROR_HALF
        self.room = torch.minimum(error * (unit + self.wanted.abs()), _SURE * unit)

    def rows(self, one: torch.Tensor) -> torch.Tensor:
        """Return a tensor with a row for each group."""
        return rows_of(one.to(self.weight.latent.dtype), self.sharing)

    def right(self) -> torch.Tensor:
        """Return which of the present values are the wanted ones."""
        right = (self.rows(self.weight.values()) - self.wanted).abs() <= self.room
        if self.weight.framework == "torchao":  # the same values may have other codes at another scale
            scale = self.rows(self.weight.scale().abs().expand(self.weight.shape))
            right &= (scale - self.unit).abs() <= _SURE * self.unit
        return right

    def succeeds(self) -> bool:
        """Set latents that give the values, and return whether there are any."""
        self.trial, self.done = self.wanted, torch.zeros_like(self.wanted[:, :1], dtype=torch.bool)
        for other in self._latents():
            self.trial = torch.where(self.done, self.trial, other)
            self.put(self.trial)
            self.done = self.right().all(dim=1, keepdim=True)
            if bool(self.done.all()):
                return True
        return False

    def put(self, rows: torch.Tensor) -> None:
        latent = self.weight.latent.data
        latent.copy_(shaped(rows, self.sharing, latent.shape))

    def _latents(self) -> Iterator[torch.Tensor]:
        """Yield latents to try, the most usual quantisers first."""
        first, wanted = self.rows(self.weight.latent.data.clone()), self.wanted
        now, stays = self.rows(self.weight.values()), self.right()
        yield first
        if self.weight.framework == "codes":  # which do not show the scale: only flipped latents move
            unit = ((first * now).sum(1, True) / now.square().sum(1, True)).nan_to_num(1.0)
            yield torch.where(stays, first, wanted * unit)
        yield wanted
        seen = self.rows(self.weight.values())
        ratio = wanted.abs().sum(1, True) / seen.abs().sum(1, True)
        yield wanted * ratio.nan_to_num(1.0, 1.0)  # scale: the mean size
        largest, top = first.abs().amax(1, True), wanted.argmax(1, True)
        yield wanted.clamp(-largest, largest).scatter(1, top, largest)  # scale: the largest size
        halfway = ((largest / self.unit[:, :1]) % 1 - 0.5).abs() < _ERROR
        for place in range(_PLACES if bool(halfway.any()) else 1):  # it may lie half-way between two levels
            tried = largest * (1 + place * _ERROR / _PLACES)
            yield wanted.clamp(-tried, tried).scatter(1, wanted.argmin(1, True), -tried)


def make_plain(model: nn.Module, weight: QuantisedWeight, values: torch.Tensor, example: Any = None) -> None:
    """Give the layers of a copy these constants as weights."""
    foreign = False
    for full_name in weight.places:
        path, _, name = full_name.rpartition(".")
        layer: Any = model.get_submodule(path)
        if parametrize.is_parametrized(layer, name):
            own_class(layer)
            alone = layer.parametrizations[name].is_tensor
            parametrize.remove_parametrizations(layer, name, leave_parametrized=not alone)
            getattr(layer, name).data.copy_(values)
        elif weight.framework in PLAIN:
            getattr(layer, name).data.copy_(values)
        else:
            foreign = True
            if weight.framework == "brevitas":  # its export would round again
                layer.weight_quant.disable_quant = not getattr(layer, "return_quant_tensor", False)
    if foreign:
        _hold(model, weight, values, example)


def _hold(model: nn.Module, weight: QuantisedWeight, values: torch.Tensor, example: Any) -> None:
    """Make the layers of a weight use these values; its quantiser has no effect any more."""
    latent, now = weight.latent, weight.values()
    uses: dict[nn.Module, tuple[list[int], bool]] = {}
    for tap in () if example is None else listen(model, example):
        used = tap.owner in weight.modules or any(one is latent for one in leaves_of(tap.value))
        if used and not tap.cut and tap.value.numel() == weight.shape.numel():
            turned = is_turned(tap.value, values)
            # A weight that is computed from it, as by a rotation, has other values.
            if torch.allclose(like(tap.value, weight.shape, turned), now):
                uses.setdefault(tap.owner, ([], turned))[0].append(tap.order)
    for layer in weight.modules if example is None else ():
        uses[layer] = ([0], False)
    if not uses:
        raise InputError(f"no layer is known that uses {weight.name!r}: give the monitor an example input")
    if weight.stored:
        holder, name = next(iter(uses)), "decoded_weight"
        holder.register_buffer(name, values)
    else:
        path, _, name = next(n for n, p in model.named_parameters() if p is latent).rpartition(".")
        holder = model.get_submodule(path)
        latent.data.copy_(values)
    for layer, (orders, turned) in uses.items():
        layer.forward = Held(layer, orders, holder, name, turned)  # type: ignore[assignment]


class Held:
    """The forward pass of a layer, in which some weights are replaced by a parameter.

    The weights are known by their order among those that the layer uses. Copies and pickles of the layer
    keep this.
    """

    def __init__(self, layer: Any, orders: list[int], holder: nn.Module, name: str, turned: bool):
        self.layer, self.orders, self.holder, self.name, self.turned = layer, orders, holder, name, turned
        self.inner = layer.__dict__.get("forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        held, heard = getattr(self.holder, self.name), count()
        held = held.t() if self.turned else held

        def instead(weight: torch.Tensor) -> torch.Tensor | None:
            return held.reshape(weight.shape).to(weight.dtype) if next(heard) in self.orders else None

        with Taps(instead):
            return (self.inner or partial(type(self.layer).forward, self.layer))(*args, **kwargs)
