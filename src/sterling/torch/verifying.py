"""`verify` compares the quantised weights of a model with those that an artefact holds, code by code.

`artefacts` reads; here each tensor is matched, compared, and the cause of a difference is looked for.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sterling.base.text import counted, number
from sterling.errors import InputError
from sterling.torch.artefacts import Artefact, Stored, opened, plain, reading
from sterling.torch.grids import GROUPS, find_grid
from sterling.torch.handle import QuantisedWeight
from sterling.torch.tables import Report, TensorTable
from sterling.torch.weights import find

if TYPE_CHECKING:
    import polars as pl

_NEAR = 4e-7  # relative difference by float32 arithmetic
_REST = 0.01  # largest share of the differing weights that a cause may leave unexplained


@dataclass
class TensorCheck:
    """One quantised tensor, here and in the artefact; `Verification.frame` explains the fields."""

    tensor: str
    weights: int
    stored_as: str = ""
    kind: str = ""
    codes: int = 0
    scales: int = 0
    first: tuple[int, ...] | None = None
    expected: float | None = None
    found: float | None = None
    cause: str = ""

    def sentence(self) -> str:
        """Return what differs, where, and why."""
        where = f" in {self.stored_as} ({self.kind})" if self.stored_as else ""
        if self.first is None:
            return f"{self.tensor}{where}: {self.cause}."
        parts = [(self.codes, "code"), (self.scales, "scale")]
        what = " and ".join(counted(count, noun) for count, noun in parts if count)
        found, expected = (f"{one:.6g}".replace("-", "−") for one in (self.found, self.expected))
        return (
            f"{self.tensor}: {what} of {self.weights:,} weights differ{where}, "
            f"first at {list(self.first)} with {found} instead of {expected}: {self.cause}."
        )


class Verification(Report):
    """The result of `verify`.

    Parameters
    ----------
    rows : list of TensorCheck
        One for each quantised tensor and each place of the artefact that holds it.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> model = stt.binarize(torch.nn.Linear(4, 3), levels=3)
    >>> stt.verify(model, torch.nn.Linear(4, 3))
    <Verification: The artefact differs in 1 of 1 quantised tensor.>
    """

    def __init__(self, rows: Sequence[TensorCheck]):
        self.rows = list(rows)

    @property
    def ok(self) -> bool:
        """Whether the artefact holds every quantised tensor, and nothing differs."""
        return not self.findings

    @property
    def findings(self) -> list[str]:
        """One sentence for each tensor that differs or is missing."""
        return [row.sentence() for row in self.rows if row.cause]

    def frame(self) -> pl.DataFrame:
        """Return one row for each tensor.

        Returns
        -------
        polars.DataFrame
            ``tensor``; ``weights``, their number; ``stored_as``, its name in the artefact; ``kind``, the type
            there; ``codes`` and ``scales``, the number of weights with another code or another scale;
            ``first``, the index of the first such weight; ``expected`` and ``found``, its value in the model
            and in the artefact; ``cause``, empty if nothing differs.
        """
        import polars as pl

        types: dict[str, Any] = {"first": pl.List(pl.Int64), "expected": pl.Float64, "found": pl.Float64}
        rows = [{**asdict(row), "first": row.first and list(row.first)} for row in self.rows]
        return pl.DataFrame(rows, schema_overrides=types)

    def _headline(self) -> str:
        total, wrong = counted(len(self.rows), "quantised tensor"), len(self.findings)
        holds = f"differs in {wrong} of" if wrong else "holds the codes and scales of"
        return f"The artefact {holds} {total}."

    def parts(self) -> tuple[Sequence[str], TensorTable, Sequence[str]]:
        titles = ("tensor", "in the artefact", "type", "weights", "codes differ", "scales differ", "cause")
        rows = []
        for row in self.rows:
            numbers = map(number, (row.weights, row.codes, row.scales))
            rows.append((row.tensor, row.stored_as, row.kind, *numbers, row.cause))
        return [self._headline()], TensorTable(titles, rows), [f"• {one}" for one in self.findings]

    def __repr__(self) -> str:
        return f"<Verification: {self._headline()}>"


def verify(
    model: nn.Module,
    artefact: nn.Module | str | os.PathLike,
    example: Any = None,
    codes: Any = None,
    optimizer: torch.optim.Optimizer | None = None,
    names: Mapping[str, str] | None = None,
) -> Verification:
    """Compare the quantised weights of a model with those of an artefact, code by code and scale by scale.

    Tensors are matched by their names, with the usual renamings (those of llama.cpp too). A tensor without
    its name is found by its values, or by its shape if no other has it. A difference comes with its cause
    if the numbers confirm one: float weights left in, another scale, a transposition, padding.

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
        `ok` is true if nothing differs. Scales may differ by the rounding of the type that stores them;
        the scale of a group with zeros only is not compared.

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
    with reading("the module" if isinstance(artefact, nn.Module) else artefact):
        tensors = opened(artefact)
        pairs = _matched(weights, tensors, dict(names or {}))
        rows = []
        for weight in weights:
            rows += [_compared(weight, name, tensors[0][name](weight)) for name in pairs[weight.name]]
            if not pairs[weight.name]:
                cause = "no tensor has its name: give names={…}"
                rows.append(TensorCheck(weight.name, weight.shape.numel(), cause=cause))
    return Verification(rows)


def _matched(
    weights: Sequence[QuantisedWeight], tensors: Artefact, names: dict[str, str]
) -> dict[str, list[str]]:
    """Return the names in the artefact of each weight; a tied weight may have several."""
    entries, alias = tensors
    for wrong in (*(names.keys() - {one.name for one in weights}), *(set(names.values()) - entries.keys())):
        near = get_close_matches(wrong, [*(one.name for one in weights), *entries], 2, 0)
        raise InputError(f"names: there is no tensor {wrong!r}; the nearest are {', '.join(near)}")
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

    def by_shape(weight: QuantisedWeight, name: str) -> bool:
        return shape(name) == sorted(weight.shape)

    def by_values(weight: QuantisedWeight, name: str) -> bool:
        stored = entries[name](weight)
        model = _Levels(weight, stored.precision)
        return any(not bool(model.far(order).any()) for order in _orders(weight, stored))

    for fits in (lambda weight, name: by_shape(weight, name) and by_values(weight, name), by_shape):
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
    model, orders = _Levels(weight, stored.precision), _orders(weight, stored)
    if not orders:
        check.cause = _misshapen(model, stored.values)
        return check
    found = min(orders, key=lambda order: int(model.far(order).sum()))
    wrong = model.far(found)
    if bool(wrong.any()):
        check.first = tuple(map(int, torch.unravel_index(wrong.flatten().int().argmax(), wrong.shape)))
        check.expected, check.found = float(model.values[check.first]), float(found[check.first])
        check.codes = int(wrong.sum())
        check.cause = _cause(check, model, stored, found, wrong)
    return check


def _orders(weight: QuantisedWeight, stored: Stored) -> list[torch.Tensor]:
    orders = [stored.values, *(turn(stored.values) for turn in stored.others)]
    return [order for order in orders if order.shape == weight.shape]


class _Levels:
    """The values of a weight of the model in float64, and how far rounding may move them."""

    def __init__(self, weight: QuantisedWeight, precision: torch.dtype):
        raw, step = weight.values().cpu(), weight.scale().cpu()
        self.weight, self.raw, self.step = weight, raw.double(), step
        self.codes, self.scale = weight.codes().cpu().double(), step.double().broadcast_to(raw.shape)
        types = [torch.finfo(one) for one in (raw.dtype, precision) if one.is_floating_point]
        self.rounding = _NEAR + max(one.eps for one in types) / 2
        subnormal = max(one.smallest_normal * one.eps for one in types)
        self.least = subnormal * self.codes.abs() + 1e-6 * self.scale.abs()
        self.values = self.scale * self.codes  # without the rounding of latent + (quantised − latent)
        levels = weight.dequantise(weight.codes()).cpu().double()
        self.even = not bool(self.far(levels, self.values).any())
        if not self.even:
            self.values = levels

    def far(self, found: torch.Tensor, expected: torch.Tensor | None = None) -> torch.Tensor:
        """Return where values differ by more than rounding, from those of the model by default."""
        wanted = self.values if expected is None else expected
        far = ~((found - wanted).abs() <= self.rounding * wanted.abs() + self.least)  # so NaN is far
        return far if expected is not None else far & (found != self.raw)

    def groups(self) -> Iterator[torch.Tensor]:
        """Return a number of a group for each weight: by the model's scale, by index of an axis, by runs."""
        shape, flat = self.raw.shape, torch.arange(self.raw.numel())
        if self.step.numel() < flat.numel():
            yield torch.arange(self.step.numel()).reshape(self.step.shape).broadcast_to(shape).flatten()
        else:
            yield self.step.flatten().diff(prepend=self.step.flatten()[:1]).ne(0).cumsum(0)
        for axis in range(len(shape)):
            yield flat // math.prod(shape[axis + 1 :]) % shape[axis]
        yield from (flat // run for run in GROUPS if shape[-1] % run == 0)

    def factor(self, found: torch.Tensor) -> torch.Tensor:
        """Return by what the scale of each weight was multiplied: one number for all codes of a group."""
        wrong = self.far(found).flatten()
        best, fewest = torch.ones_like(found), int(wrong.sum())
        ratios = (found / self.values).flatten()
        used = (self.values != 0).flatten() & ratios.isfinite() & (ratios != 0)
        for group in self.groups():
            ends = torch.zeros(int(group.max()) + 1, dtype=found.dtype)
            touched = (ends > 0).index_fill(0, group[wrong], True)
            inside = touched[group] & used  # other groups are right
            low, high = (
                ends.scatter_reduce(0, group[inside], ratios[inside], how, include_self=False)
                for how in ("amin", "amax")
            )
            several = group[inside].bincount(minlength=len(ends)) > 1
            shared = several & (high - low <= 2 * self.rounding * high.abs())
            factor = torch.where(shared, low, 1.0)[group].reshape(found.shape)
            left = int(self.far(found, factor * self.values).sum()) if bool(shared.any()) else fewest
            if left < fewest:
                best, fewest = factor, left
        return best


def _cause(
    check: TensorCheck, model: _Levels, stored: Stored, found: torch.Tensor, wrong: torch.Tensor
) -> str:
    """Return the first cause that the numbers confirm, and count codes and scales."""
    weight, count = model.weight, check.codes

    def holds(far: torch.Tensor) -> bool:
        return int(far.sum()) <= _REST * count

    def count_apart(codes: torch.Tensor, scale: torch.Tensor) -> None:
        check.codes = int(codes.sum())
        check.scales = int((model.far(scale, model.scale) & (model.values != 0)).sum())

    if not bool(found[wrong].isfinite().any()):
        return "the values are not finite"
    for axes in list(permutations(range(found.ndim)))[1:]:
        if found.permute(axes).shape == found.shape:
            kept = model.scale * model.codes.permute(axes)  # the codes are turned, and their scales are not
            if holds(model.far(found.permute(axes))) or (model.even and holds(model.far(found, kept))):
                return "it is transposed"
    sources = [model.values]
    if not weight.stored and weight.latent.shape == weight.shape:
        sources.append(weight.latent.detach().cpu().double())
        if holds(model.far(found, sources[1])):
            return "it holds the float latents, not their quantised values"
    factor = model.factor(found)
    if holds(other := model.far(found, factor * model.values)):
        count_apart(other, factor * model.scale)
        if not stored.precision.is_floating_point:
            return "no scale lies beside the codes"
        low, high = (number(float(one)) for one in factor[wrong & (factor != 1)].aminmax())
        return f"the scale is multiplied by {low}" + (f" to {high}" if high != low else "")
    shift = ((found - model.values) / model.scale).nan_to_num().round()
    if not model.even:
        return "no usual cause fits"
    if holds(model.far(found, model.values + shift * model.scale)):
        offsets = shift[wrong].unique()
        if len(offsets) == 1 and count > 1:
            return f"these codes are off by {number(int(offsets))}: by a zero point?"
        return "no usual cause fits"
    grid = find_grid(found.to(stored.precision if stored.precision.is_floating_point else torch.float32))
    if grid is not None and grid.even:
        step = grid.scale.double().broadcast_to(found.shape).clamp_min(torch.finfo(torch.float64).tiny)
        for source in sources:
            codes = (source / step).round().clamp(grid.codes.min(), grid.codes.max())
            if holds(model.far(found, step * codes)):
                count_apart(codes != model.codes, step)
                return "the scale was computed anew, and the weights were rounded again"
    return "the weights lie on no level of the model"


def _misshapen(model: _Levels, found: torch.Tensor) -> str:
    """Return the cause if the shapes differ."""
    ours, theirs = tuple(model.raw.shape), tuple(found.shape)
    shapes = f"the shape is {theirs}, that of the model {ours}"
    if len(ours) != len(theirs):  # a file may give a tensor any number of axes, and n axes have n! orders
        return shapes
    for axes in permutations(range(found.ndim)):
        if found.permute(axes).shape == model.raw.shape and not bool(model.far(found.permute(axes)).any()):
            return f"it is transposed: {shapes}"
    inner = found[tuple(map(slice, ours))]
    padded = inner.shape == model.raw.shape and not bool(model.far(inner).any())
    return f"it is padded: {shapes}" if padded else shapes
