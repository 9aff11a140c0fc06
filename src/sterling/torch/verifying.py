"""`verify` compares the quantised weights of a model with those that an artefact holds, code by code.

`artefacts` reads; here each tensor is matched, compared, and the cause of a difference is looked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sterling.base.text import counted, number
from sterling.torch.artefacts import Read, Stored, opened, plain, reading
from sterling.torch.grids import find_grid, rows_of, shaped, ways
from sterling.torch.handle import QuantisedWeight
from sterling.torch.tables import Report, Table
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
    codes: int | None = None
    scales: int | None = None
    first: tuple[int, ...] | None = None
    expected: float | None = None
    found: float | None = None
    cause: str = ""

    def sentence(self) -> str:
        """Return what differs, where, and why."""
        where = f" in {self.stored_as} ({self.kind})" if self.stored_as else ""
        if self.first is None:
            return f"{self.tensor}{where}: {self.cause}."
        codes = [counted(self.codes, "code")] if self.codes else []
        scales = [f"the scale of {self.scales:,}"] if self.scales else []
        verb = "differ" if codes and (scales or self.codes != 1) else "differs"
        found, expected = (f"{one:.6g}".replace("-", "−") for one in (self.found, self.expected))
        return (
            f"{self.tensor}: {' and '.join(codes + scales)} of {self.weights:,} weights {verb}{where}, "
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
            there; ``codes`` and ``scales``, the number of weights with another code or another scale, null
            where the tensor is missing or has another shape; ``first``, the index of the first such weight;
            ``expected`` and ``found``, its value in the model and in the artefact; ``cause``, empty if
            nothing differs.
        """
        import polars as pl

        types: dict[str, Any] = {"first": pl.List(pl.Int64), "expected": pl.Float64, "found": pl.Float64}
        types |= {"codes": pl.Int64, "scales": pl.Int64}
        return pl.DataFrame(list(map(vars, self.rows)), schema_overrides=types)

    def parts(self) -> tuple[Sequence[str], Table, Sequence[str]]:
        total, wrong = counted(len(self.rows), "quantised tensor"), len(self.findings)
        holds = f"differs in {wrong} of" if wrong else "holds the codes and scales of"
        titles = ("tensor", "in the artefact", "type", "weights", "code differs", "scale differs", "cause")
        rows = []
        for row in self.rows:
            counts = ["–" if one is None else number(one) for one in (row.weights, row.codes, row.scales)]
            rows.append((row.tensor, row.stored_as or "missing", row.kind, *counts, row.cause))
        return [f"The artefact {holds} {total}."], (titles, rows), [f"• {one}" for one in self.findings]


def verify(
    model: nn.Module,
    artefact: nn.Module | str | os.PathLike,
    example: Any = None,
    codes: Any = None,
    optimizer: torch.optim.Optimizer | None = None,
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

    Returns
    -------
    Verification
        `ok` is true if nothing differs. Scales may differ by the rounding of the type that stores them;
        the scale of a group with zeros only is not compared.

    Raises
    ------
    InputError
        If the model has no quantised weight, or the artefact cannot be read.

    Examples
    --------
    >>> import copy, torch
    >>> import sterling.torch as stt
    >>> model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Linear(4, 4)), levels=3)
    >>> shipped = stt.unbinarize(copy.deepcopy(model), keep="quantised")
    >>> stt.verify(model, shipped)
    <Verification: The artefact holds the codes and scales of 2 quantised tensors.>
    """
    weights = find(model, example, codes=codes, optimizer=optimizer)
    with reading("the module" if isinstance(artefact, nn.Module) else artefact, "export it again"):
        entries, alias = opened(artefact)
        rows = []
        for weight, names in zip(weights, _matched(weights, entries, alias), strict=True):
            rows += [_compared(weight, name, entries[name](weight)) for name in names]
            if not names:
                cause = "no tensor has its name or its values: give the tensor this name"
                rows.append(TensorCheck(weight.name, weight.shape.numel(), cause=cause))
    return Verification(rows)


def _matched(
    weights: Sequence[QuantisedWeight], entries: dict[str, Read], alias: Callable[[str], str]
) -> list[list[str]]:
    """Return the names in the artefact of each weight; a tied weight may have several."""
    by_name: dict[str, list[str]] = {}
    for name in entries:
        by_name.setdefault(plain(name), []).append(name)
    pairs: list[list[str]] = []
    for weight in weights:
        keys = dict.fromkeys(key for place in weight.places for key in (plain(place), alias(place)))
        pairs.append([name for key in keys for name in by_name.get(key, ())])

    @cache
    def shape(name: str) -> list[int]:
        return sorted(entries[name](weights[0]).orders[0].shape)

    def fits(weight: QuantisedWeight, name: str, by_values: bool) -> bool:
        if shape(name) != sorted(weight.shape):
            return False
        model = _Levels(weight, entries[name](weight))
        return not by_values or any(not bool(model.far(order).any()) for order in model.orders)

    for by_values in (True, False):
        left = entries.keys() - {name for names in pairs for name in names}
        lost = [at for at, names in enumerate(pairs) if not names]
        found = [(at, name) for at in lost for name in left if fits(weights[at], name, by_values)]
        for at, name in found:
            if sum(at == one or name == other for one, other in found) == 1:  # and nothing else fits
                pairs[at] = [name]
    return pairs


def _compared(weight: QuantisedWeight, name: str, stored: Stored) -> TensorCheck:
    check = TensorCheck(weight.name, weight.shape.numel(), name, stored.kind)
    model = _Levels(weight, stored)
    if not model.orders:
        check.cause = _misshapen(model, stored.orders[0])
        return check
    found = min(model.orders, key=lambda order: int(model.far(order).sum()))
    wrong = model.far(found)
    check.codes = check.scales = 0
    if bool(wrong.any()):
        check.first = tuple(wrong.nonzero()[0].tolist())
        check.expected, check.found = float(model.values[check.first]), float(found[check.first])
        check.codes = int(wrong.sum())
        check.cause = _cause(check, model, stored, found, wrong)
    return check


class _Levels:
    """The values of a weight of the model in float64, and how far rounding may move those that are stored."""

    def __init__(self, weight: QuantisedWeight, stored: Stored):
        raw = weight.values().cpu()
        self.weight = weight
        self.raw = raw.double()
        self.codes = weight.codes().cpu().double()
        self.scale = weight.scale().cpu().double().broadcast_to(raw.shape)
        types = [torch.finfo(one) for one in (raw.dtype, stored.precision) if one.is_floating_point]
        self.rounding = _NEAR + max(one.eps for one in types) / 2
        subnormal = max(one.smallest_normal * one.eps for one in types)
        self.least = subnormal * self.codes.abs() + 1e-6 * self.scale.abs()
        self.values = self.scale * self.codes  # without the rounding of latent + (quantised − latent)
        levels = weight.dequantise(weight.codes()).cpu().double()
        self.even = not bool(self.far(levels, self.values).any())
        self.values = self.values if self.even else levels
        self.orders = [order for order in stored.orders if order.shape == weight.shape]

    def far(self, found: torch.Tensor, expected: torch.Tensor | None = None) -> torch.Tensor:
        """Return where values differ by more than rounding, from those of the model by default."""
        wanted = self.values if expected is None else expected
        far = ~((found - wanted).abs() <= self.rounding * wanted.abs() + self.least)  # so NaN is far
        return far if expected is not None else far & (found != self.raw)

    def factor(self, found: torch.Tensor) -> torch.Tensor:
        """Return by what the scale of each weight was multiplied: one number for all codes of a group."""
        best, fewest = torch.ones_like(found), int(self.far(found).sum())
        ratio = (found / self.values).where((self.values != 0) & (found != 0), torch.nan)
        for sharing in ways(found):
            rows = rows_of(ratio, sharing)
            low = rows.nan_to_num(torch.inf, torch.inf).amin(1, keepdim=True)
            high = rows.nan_to_num(-torch.inf).amax(1, keepdim=True)
            shared = (high - low <= 2 * self.rounding * high.abs()) & ((~rows.isnan()).sum(1, True) > 1)
            factor = shaped(torch.where(shared, (low + high) / 2, 1.0).expand_as(rows), sharing, found.shape)
            left = int(self.far(found, factor * self.values).sum())
            if left < fewest:
                best, fewest = factor, left
        return best


def _cause(
    check: TensorCheck, model: _Levels, stored: Stored, found: torch.Tensor, wrong: torch.Tensor
) -> str:
    """Return the first cause that the numbers confirm, and count codes and scales."""
    weight, count = model.weight, int(wrong.sum())

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
        ends = dict.fromkeys(number(float(one)) for one in factor[wrong & ~other].aminmax())
        return f"the scale is multiplied by {' to '.join(ends)}"
    shift = ((found - model.values) / model.scale).nan_to_num().round()
    offsets = shift[wrong].unique()
    if not model.even or holds(model.far(found, model.values + shift * model.scale)):
        if model.even and len(offsets) == 1 and count > 1:
            return f"these codes are off by {number(int(offsets))}, perhaps by a zero point"
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
    causes = [("it is transposed", found.permute(axes)) for axes in permutations(range(found.ndim))]
    for cause, part in (*causes, ("it is padded", found[tuple(map(slice, ours))])):
        if part.shape == model.raw.shape and not bool(model.far(part).any()):
            return f"{cause}: {shapes}"
    return shapes
