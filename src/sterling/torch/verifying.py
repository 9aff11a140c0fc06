"""`verify` compares the quantised weights of a model with those that an artefact holds, code by code.

`artefacts` reads; here each tensor is matched, compared, and the cause of a difference is looked for.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import permutations
from typing import Any

import torch
from torch import nn

from sterling.base.text import number
from sterling.errors import InputError
from sterling.torch.artefacts import Artefact, Stored, opened, plain, reading
from sterling.torch.grids import GROUPS, find_grid
from sterling.torch.handle import QuantisedWeight
from sterling.torch.verify_report import TensorCheck, Verification
from sterling.torch.weights import find

_NEAR = 4e-7  # relative difference by float32 arithmetic
_REST = 0.01  # largest share of the differing weights that a cause may leave unexplained


def verify(
    model: nn.Module,
    artefact: nn.Module | str | os.PathLike,
    example: Any = None,
    names: Mapping[str, str] | None = None,
    codes: Any = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> Verification:
    """Compare the quantised weights of a model with those of an artefact, code by code and scale by scale.

    Tensors are matched by their names, with the usual renamings (those of llama.cpp too), or by their shape
    if only one tensor has it. A difference comes with its cause if the numbers confirm one: float weights
    left in, another scale, a wrong zero point, a transposition, flipped signs, clipping, padding.

    Parameters
    ----------
    model : Module
        The model as it was trained, with its quantisers.
    artefact : Module or path
        What ships: a converted or exported module, or a file .safetensors, .pt (a state dict), .onnx (with
        DequantizeLinear) or .gguf (TQ1_0, TQ2_0 and all other types that the package gguf reads).
    example, codes, optimizer
        As in `find`.
    names : dict, optional
        Names in the artefact, by names of quantised tensors of the model.

    Returns
    -------
    Verification
        `ok` is true if nothing differs. Scales may differ by the rounding of the type that stores them.

    Raises
    ------
    InputError
        If the model has no quantised weight, the artefact cannot be read, or ``names`` has a wrong name.

    Examples
    --------
    >>> import copy, torch
    >>> import sterling.torch as stt
    >>> model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Linear(4, 4)), levels=3)
    >>> shipped = stt.unbinarize(copy.deepcopy(model), keep="quantised")
    >>> stt.verify(model, shipped).ok
    True
    >>> with torch.no_grad():
    ...     _ = shipped[1].weight.copy_(shipped[1].weight.t().clone())
    >>> stt.verify(model, shipped).frame().row(1, named=True)["cause"]
    'it is transposed'
    """
    weights = find(model, example, codes=codes, optimizer=optimizer)
    with reading(artefact):
        tensors = opened(artefact)
        pairs = _matched(weights, tensors, dict(names or {}))
        rows = []
        for weight in weights:
            rows += [_compared(weight, name, tensors[0][name](weight)) for name in pairs[weight.name]]
            if not pairs[weight.name]:
                cause = "no tensor has its name, and none alone has its shape: give names={…}"
                rows.append(TensorCheck(weight.name, weight.shape.numel(), cause=cause))
    return Verification(rows)


def _matched(
    weights: Sequence[QuantisedWeight], tensors: Artefact, names: dict[str, str]
) -> dict[str, list[str]]:
    """Return the names in the artefact of each weight; a tied weight may have several."""
    entries, alias = tensors
    known = {weight.name for weight in weights}
    for ours, theirs in names.items():
        if ours not in known or theirs not in entries:
            where, options = ("model", known) if ours not in known else ("artefact", set(entries))
            wrong = ours if ours not in known else theirs
            near = get_close_matches(wrong, sorted(options), 1) or sorted(options)[:1]
            raise InputError(f"names: the {where} has no tensor {wrong!r}; it has {', '.join(near)}")
    by_name: dict[str, list[str]] = {}
    for name in entries:
        by_name.setdefault(plain(name), []).append(name)
    pairs: dict[str, list[str]] = {}
    for weight in weights:
        keys = dict.fromkeys(key for place in weight.places for key in (plain(place), alias(place)))
        pairs[weight.name] = [name for key in keys for name in by_name.get(key, ())]
        if weight.name in names:
            pairs[weight.name] = [names[weight.name]]

    @cache
    def shape(name: str) -> list[int]:
        return sorted(entries[name](weights[0]).values.shape)

    def tail(weight: QuantisedWeight, name: str) -> bool:
        ours, theirs = f".{plain(weight.name)}", f".{plain(name)}"
        return ours.endswith(theirs) or theirs.endswith(ours)

    for fits in (tail, lambda weight, name: shape(name) == sorted(weight.shape)):
        used = {name for some in pairs.values() for name in some}
        left = [name for name in entries if name not in used]
        fitting = {w.name: [name for name in left if fits(w, name)] for w in weights if not pairs[w.name]}
        taken = Counter(name for some in fitting.values() for name in some)
        for ours, some in fitting.items():
            if len(some) == 1 and taken[some[0]] == 1:  # they fit each other and nothing else
                pairs[ours] = some
    return pairs


def _compared(weight: QuantisedWeight, name: str, stored: Stored) -> TensorCheck:
    check = TensorCheck(weight.name, weight.shape.numel(), name, stored.kind)
    model = _Levels(weight, stored.precision)
    orders = [stored.values, *(turn(stored.values) for turn in stored.others)]
    orders = [order for order in orders if order.shape == weight.shape]
    if not orders:
        check.cause = _misshapen(model, stored.values)
        return check
    found = min(orders, key=lambda order: int(model.far(order).sum()))
    wrong = model.far(found)
    if not bool(wrong.any()):
        return check
    first = tuple(map(int, torch.unravel_index(wrong.flatten().int().argmax(), wrong.shape)))
    check.first, check.expected, check.found = first, float(model.values[first]), float(found[first])
    factor = model.factor(found)
    check.codes = int(model.far(found, factor * model.values).sum())
    check.scales = int(model.far(factor * model.values).sum())
    check.cause = _cause(model, found, factor, wrong, stored)
    return check


class _Levels:
    """The levels of a weight of the model, and which other values differ from them by more than rounding."""

    def __init__(self, weight: QuantisedWeight, precision: torch.dtype):
        self.raw, scale = weight.values().cpu(), weight.scale().cpu()
        self.codes, self.weight = weight.codes().cpu().double(), weight
        types = [one for one in (self.raw.dtype, precision) if one.is_floating_point]
        self.rounding = _NEAR + max(torch.finfo(one).eps for one in types) / 2
        smallest = [torch.finfo(one).smallest_normal * torch.finfo(one).eps for one in types]
        self.scale = scale.double().broadcast_to(self.raw.shape)
        self.least = max(smallest) * self.codes.abs() + 1e-6 * self.scale.abs()
        self.values = self.scale * self.codes  # without the rounding of latent + (quantised − latent)
        noise = 16 * torch.finfo(self.raw.dtype).eps * self.raw.abs().max()
        self.even = bool(((self.values - self.raw).abs() <= noise).all())
        if not self.even:
            self.values = self.raw.double()
        self._groups = scale

    def far(self, found: torch.Tensor, values: torch.Tensor | None = None) -> torch.Tensor:
        """Return where values are not those expected; those of the model if no others are given."""
        expected = self.values if values is None else values
        far = ~((found - expected).abs() <= self.rounding * expected.abs() + self.least)  # so NaN is far
        return far if values is not None else far & (found != self.raw)

    def groupings(self) -> Iterator[torch.Tensor]:
        """Return the group of each weight: by the model's scale, by index of an axis, and by runs."""
        size, shape, own = self.raw.numel(), self.raw.shape, self._groups
        if own.numel() < size:
            yield torch.arange(own.numel()).reshape(own.shape).broadcast_to(shape).flatten()
        else:
            yield (own.flatten().diff(prepend=own.flatten()[:1]) != 0).cumsum(0)
        flat = torch.arange(size)
        for axis in range(len(shape)):
            yield flat // math.prod(shape[axis + 1 :]) % shape[axis]
        yield from (flat // run for run in GROUPS if shape[-1] % run == 0)

    def factor(self, found: torch.Tensor) -> torch.Tensor:
        """Return by what the scale of each weight was multiplied, in the groups that explain most."""
        best, fewest = torch.ones_like(found), int(self.far(found).sum())
        used = (self.values != 0) & found.isfinite() & (found != 0)
        ratios = (found / self.values).abs()[used]
        for group in self.groupings():
            members, count = group[used.flatten()], int(group.max()) + 1
            order = ratios.argsort()
            order = order[members[order].argsort(stable=True)]
            sizes = members.bincount(minlength=count)
            middle = (sizes.cumsum(0) - (sizes + 2) // 2).clamp_min(0)
            median = torch.where(sizes > 1, ratios[order[middle]], 1.0) if len(order) else torch.ones(count)
            tried = median.double()[group].reshape(found.shape)
            after, before = self.far(found, tried * self.values), self.far(found, self.values)
            better = group.bincount(after.flatten(), count) < group.bincount(before.flatten(), count)
            tried = torch.where(better[group].reshape(found.shape), tried, 1.0)
            left = int(self.far(found, tried * self.values).sum())
            if left < fewest:
                best, fewest = tried, left
        return best


def _cause(
    model: _Levels, found: torch.Tensor, factor: torch.Tensor, wrong: torch.Tensor, stored: Stored
) -> str:
    """Return the first cause that the numbers confirm."""
    weight, count = model.weight, int(wrong.sum())

    def holds(far: torch.Tensor) -> bool:
        return int(far.sum()) <= _REST * count

    if not bool(found[wrong].isfinite().any()):
        return "the values are not finite"
    for axes in list(permutations(range(found.ndim)))[1:]:
        turned = found.permute(axes)
        if turned.shape == weight.shape and holds(model.far(turned)):
            return "it is transposed"
    latent = None
    if not weight.stored and weight.latent.shape == weight.shape:
        latent = weight.latent.detach().cpu().double()
        if holds(model.far(found, latent)):
            return "it holds the float latents, not their quantised values"
    if holds(model.far(-found) & wrong):
        return "the signs are flipped"
    step = factor * model.scale
    if not bool(model.far(found, factor * model.values).any()):
        if not stored.precision.is_floating_point:
            return "no scale lies beside the codes"
        if not bool(model.far(1 / model.scale, step)[wrong].any()):
            return "the scale is inverted"
        low, high = float(factor[wrong].min()), float(factor[wrong].max())
        return f"the codes are the same, but the scale is multiplied by {_between(low, high)}"
    grid = find_grid(found.to(stored.precision if stored.precision.is_floating_point else torch.float32))
    if grid is not None and grid.even and model.even:
        own = grid.scale.double().broadcast_to(found.shape).clamp_min(torch.finfo(torch.float64).tiny)
        low, high = grid.codes.min(), grid.codes.max()
        for given in (model.values, latent):
            if given is not None and holds(model.far(found, (given / own).round().clamp(low, high) * own)):
                return "the scale was computed anew, and the weights were rounded again"
    steps = ((found - model.values) / model.scale).nan_to_num()
    shift = steps.round()
    if bool(((steps - shift).abs() > 0.01).any()):
        return "it holds floats that lie on no level" if model.even else "no usual cause fits"
    whole = any(
        holds(torch.isin(group, group[wrong.flatten()]) & ~wrong.flatten()) for group in model.groupings()
    )
    if count > 1 and whole and len(offsets := shift[wrong].unique()) == 1:
        return f"the zero point is off by {int(offsets)}"
    codes = model.codes + shift
    if bool((codes.clamp(codes.min(), codes.max()) == model.codes.clamp(codes.min(), codes.max())).all()):
        return f"the codes are clipped to {_between(float(codes.min()), float(codes.max()))}"
    return "no usual cause fits"


def _misshapen(model: _Levels, found: torch.Tensor) -> str:
    """Return the cause if the shapes differ."""
    ours, theirs = tuple(model.raw.shape), tuple(found.shape)
    for axes in permutations(range(found.ndim)):
        turned = found.permute(axes)
        if turned.shape == model.raw.shape and int(model.far(turned).sum()) <= _REST * turned.numel():
            return f"it is transposed: the shape is {theirs}, that of the model {ours}"
    if len(ours) == len(theirs) and all(more >= few for more, few in zip(theirs, ours, strict=True)):
        inner = found[tuple(map(slice, ours))]
        if not bool(model.far(inner).any()):
            return f"it is padded from {ours} to {theirs}"
    return f"the shape is {theirs}, that of the model {ours}"


def _between(low: float, high: float) -> str:
    return number(low) if math.isclose(low, high, rel_tol=1e-3) else f"{number(low)} to {number(high)}"
