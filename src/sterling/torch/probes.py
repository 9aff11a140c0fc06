"""Probes of a quantiser: slopes and where they vanish, levels, zero, surrogate.

Probes of a handle may write into its latents, and restore them. `auditing` draws the conclusions.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.utils._pytree import tree_map_only

from sterling.surrogates import SURROGATES
from sterling.torch.grids import rows_of, shaped
from sterling.torch.handle import QuantisedWeight
from sterling.torch.rounding import kept
from sterling.torch.taps import upstream

SEED = 0  # of the probes' random vectors
_TURNS = 40  # most vectors that probe the entries which others follow too
_ALL = 512  # most entries that are probed one by one
_INSIDE = 0.05  # least distance of a latent from the end of the levels to count as inside, in steps
_NEAR = 0.1  # relative difference of units that may be due to rounding
_MOST = 0.95  # share of the cut weights of a level that lie at one end of it
_WHOLE = 0.999  # share of a level's weights without gradient that counts as all
_SAME = 0.02  # relative difference of slopes of one height
_POINTS = 2000  # points of a ramp
_STRAY = 0.03  # share of the slopes in a window that may be 0 by rounding at its ends
_FIT = 0.03  # largest root mean squared error of a smooth surrogate

#: Why a latent gets no gradient.
CLAMP = "clamp at its bound"
TAIL = "cut tail"
DEAD = "dead zone"
NONE = "no gradient at all"
BOUND = "on a bound"
OTHER = "elsewhere"

#: Kinds of nodes of the graph whose results many entries move a little.
_AVERAGES = {"AvgPool2D", "Bmm", "Dot", "LinalgVectorNorm", "Logsumexp", "Mean", "Mm", "Mv", "Norm", "Prod"}
_AVERAGES |= {"Std", "StdMean", "Sum", "Var", "VarMean"}


@dataclass(frozen=True, eq=False)
class Slopes:
    """Derivatives of the entries of a tensor by their own inputs; averages of many inputs are held fixed."""

    own: torch.Tensor  # NaN where it is not known
    alone: torch.Tensor  # whether the input moves no other entry, as the largest does through a scale
    averaged: bool = False  # whether gradients come through averages too

    @property
    def known(self) -> torch.Tensor:
        """Whether a slope is known."""
        return ~self.own.isnan()

    @property
    def none(self) -> float | None:
        """The share of the known slopes that are 0, None if no slope is known."""
        return float((self.own[self.known] == 0).float().mean()) if bool(self.known.any()) else None


def slopes(weight: QuantisedWeight) -> Slopes:
    """Return the derivative of each weight by its own latent, in the shape of the latents."""
    with kept(weight.latent), torch.enable_grad():
        values = weight._values()
        if not values.requires_grad:
            return Slopes(torch.zeros_like(weight.latent), torch.ones_like(weight.latent, dtype=torch.bool))
        return diagonal(values, get_gradient_edge(weight.latent))


def learned_range(weight: QuantisedWeight, cut: torch.Tensor) -> bool:
    """Return whether a trained parameter moves the range that cuts these weights, as the scale of LSQ does.

    The cut weights move it, and with another value of it fewer are cut. A gain of the result cuts as before.
    """
    values = weight.values()
    for factor in weight._factors:
        with torch.enable_grad():
            given = values.sign() * cut
            (pulled,) = torch.autograd.grad(weight._values(), factor, given, allow_unused=True)
        if pulled is None or not bool(pulled.any()):
            continue
        for change in (2.0, 0.5):  # a half of a negative logarithm is larger
            with kept(factor) as data:
                data.mul_(change)
                if int((slopes(weight).own == 0).sum()) < int(cut.sum()):
                    return True
    return False


def diagonal(values: torch.Tensor, by: GradientEdge) -> Slopes:
    """Return the derivative of each value by its own entry of an edge of the graph.

    If each value follows its own entry alone, one vector shows all slopes, and another one confirms it. Where
    it does not, fewer entries are probed together, down to single ones, and slopes of the rest stay unknown.
    """
    generator, shape, count = torch.Generator().manual_seed(SEED), values.shape, values.numel()

    def pull(vector: torch.Tensor) -> torch.Tensor:
        given = vector.reshape(shape).to(values)
        (pulled,) = torch.autograd.grad(values, by, given, retain_graph=True, allow_unused=True)
        return torch.zeros_like(given).flatten() if pulled is None else pulled.flatten()

    own = values.detach().flatten() * torch.nan
    alone, part = torch.zeros_like(own, dtype=torch.bool), 1.0
    with _averages_fixed(values) as averages:
        for turn in range(_TURNS):
            asked = own.isnan() & (torch.rand(count, generator=generator) < part).to(own.device)
            plain, sure = pull(asked), asked
            for _ in range(3 if turn else 1):  # two entries may have the same power by chance
                powers = 2.0 ** torch.randint(-6, 7, (count,), generator=generator).to(own)  # no rounding
                sure = sure & (pull(asked * powers) == plain * powers)
            own[sure] = plain[sure]
            alone = alone if turn else sure
            part = part if 4 * int(sure.sum()) > int(asked.sum()) else part / 2
            if not bool(own.isnan().any()):
                break
        rest = torch.nonzero(own.isnan()).flatten()
        for one in rest[torch.randperm(len(rest), generator=generator)[:_ALL].to(own.device)].tolist():
            own[one] = pull(torch.arange(count, device=own.device) == one)[one]
    known, most = ~own.isnan(), 2 * int(alone.sum()) > count
    if not bool(known.all()):  # as large a part of those that are alone
        part = float(known[~alone].float().mean())
        own[alone & (torch.rand(count, generator=generator) > part).to(own.device)] = torch.nan
    alone = alone & ~own.isnan() if most else ~own.isnan()
    return Slopes(own.reshape(shape), alone.reshape(shape), bool(averages))


@contextlib.contextmanager
def _averages_fixed(values: torch.Tensor) -> Iterator[list[Any]]:
    """Pass no gradient through averages of many entries on the way to the values; yield what is held back."""
    held: list[Any] = []

    def hold(gradients: Any) -> Any:
        held.append(gradients)
        return tree_map_only(torch.Tensor, torch.zeros_like, gradients)

    with contextlib.ExitStack() as stack:
        for node in upstream([get_gradient_edge(values).node]):
            if kind(node) in _AVERAGES:
                count = math.prod(node._input_metadata[0].shape)
                sizes = [math.prod(one._input_metadata[n].shape) for one, n in node.next_functions if one]
                if count < min(values.numel(), max(sizes)):  # the product with a rotation has its part's size
                    stack.callback(node.register_prehook(hold).remove)
        yield held


def reasons(found: Slopes, codes: torch.Tensor, steps: torch.Tensor, sharing: str) -> dict[str, float]:
    """Return the share of weights without gradient for each reason; steps are the latents over the scale."""
    none, count = found.own == 0, int(found.known.sum())
    if not bool(none.any()):
        return {}
    if not bool(found.own[found.alone].any()):  # the others have the gradient of the scale
        return {NONE: float(none.sum()) / count}
    # Latents may have another unit than values: levels between the outermost show it.
    inner = (codes > codes.min()) & (codes < codes.max())
    unit = float((codes * steps)[inner].sum() / (steps[inner] ** 2).sum()) or 1.0
    error = codes - steps * (1.0 if math.isnan(unit) or abs(unit - 1) < _NEAR else unit)
    codes, counts = lined_up(codes, sharing)[0], dict[str, int]()
    used = codes.unique().tolist()
    for code in used:
        here = (codes == code) & found.known
        cut, passes = here & none, here & ~none & found.alone
        outward = (code == used[-1]) - (code == used[0])
        if not bool(cut.any()):
            continue
        if int(passes.sum()) <= (1 - _WHOLE) * int(here.sum()):
            # Values inside the outermost level are cut only if they are clamped after rounding.
            outer = CLAMP if bool((error[cut & found.alone] * outward > _INSIDE).any()) else TAIL
            why = DEAD if not outward else outer if len(used) > 2 else OTHER
        else:  # which end of the level gets no gradient
            out = steps * outward if outward else steps.abs()
            farther = float((out[cut] > out[passes].median() - _INSIDE).float().mean())
            why = TAIL if farther > _MOST else DEAD if farther < 1 - _MOST else OTHER
        counts[why] = counts.get(why, 0) + int(cut.sum())
    return {why: number / count for why, number in counts.items()}


def try_ramp(weight: QuantisedWeight) -> tuple[str, tuple[float, float] | None, int]:
    """Probe latents from far below the levels to far above; return surrogate, window, number of levels.

    The surrogate may be "none" or "other". The window is in steps, and None if no slope is 0.
    """
    count = weight.latent.numel()
    with kept(weight.latent) as data:
        far = max(1.5, 4 * float(data.abs().max()))
        ramp = torch.linspace(-1, 1, count, dtype=torch.float64) ** 3 * far
        order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))
        data.copy_(ramp[order].reshape(data.shape))
        name, window = surrogate_of(steps_of(weight), slopes(weight))
        seen = set(weight.codes().unique().tolist())
        data.neg_()  # a single weight shows one end of the ramp only
        codes = weight.codes()
        seen |= set(codes.unique().tolist())
        return name, window, levels_of(codes, sharing_of(weight), seen)


def steps_of(weight: QuantisedWeight) -> torch.Tensor:
    """Return the latents over the scale."""
    scale = weight.scale()
    return weight.latent.detach() / torch.where(scale > 0, scale, 1)


def sharing_of(weight: QuantisedWeight) -> str:
    """Return what shares a scale, as in `Grid`; without a reader, codes are the same everywhere."""
    grid = weight.reader and weight.reader.grid
    return grid.sharing if grid else "tensor"


def levels_of(codes: torch.Tensor, sharing: str, seen: Collection[int]) -> int:
    """Return the number of levels of a group that shares a scale, from the codes ``seen`` in any group.

    With a zero point for each group, groups have different codes, but as many levels.
    """
    widest, narrowest = (int(one) for one in lined_up(codes, sharing)[1].aminmax()[::-1])
    if not 0 < widest <= narrowest + 1:
        return len(seen)
    return min(len(seen), widest // math.gcd(*(code - min(seen) for code in seen)) + 1)


def lined_up(codes: torch.Tensor, sharing: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes, and the largest less the least one of each group that shares a scale.

    If groups have zero points, each group's codes begin at 0, and end at one number.
    """
    rows = rows_of(codes.int(), sharing)
    low, high = rows.aminmax(dim=1, keepdim=True)
    top = high - low
    if int(top.max()) <= int(top.min()) + 1 and int(low.max()) > int(low.min()) + 1:
        rows = torch.where(rows == high, top.max(), rows - low)
    return shaped(rows, sharing, codes.shape), top


def surrogate_of(inputs: torch.Tensor, found: Slopes) -> tuple[str, tuple[float, float] | None]:
    """Return surrogate and window from slopes at inputs in steps."""
    steps, slope = (one.detach()[found.alone].double().cpu().numpy() for one in (inputs, found.own))
    order = np.argsort(steps)[:: max(1, len(steps) // _POINTS)]
    steps, slope = steps[order], slope[order]
    height = np.abs(slope).max()
    if height == 0:
        return "none", None
    relative = slope / height
    on = np.abs(relative - 1) < _SAME
    if not np.all(on | (np.abs(relative) < _SAME)):
        return _smooth(steps, relative), None
    if on.all():
        return "identity", None
    first, last = np.flatnonzero(on)[[0, -1]]
    if np.mean(~on[first : last + 1]) > _STRAY:
        return "other", None
    window, near = (float(steps[first]), float(steps[last])), 3 * float(steps[first] - steps[first - 1])
    if first > 0 and abs(window[0]) < near < window[1]:
        return ("clipped_relu" if last < len(steps) - 1 else "relu"), window
    return "hard_tanh", window  # cut at one end or at both


def _smooth(x: np.ndarray, relative: np.ndarray) -> str:
    """Return the smooth surrogate that fits best at any width, or "other"."""
    width = max(float(np.abs(x[np.abs(relative) > 0.5]).max()), 1e-12)
    fits = {"other": _FIT, "identity": float(np.std(relative))}
    for name, surrogate in SURROGATES.items():
        for unit in () if surrogate.piecewise_constant else width * np.geomspace(0.02, 20, 241):
            fitted = surrogate.derivative(x / unit)
            error = float(np.sqrt(np.mean((fitted / np.abs(fitted).max() - relative) ** 2)))
            fits[name] = min(error, fits.get(name, np.inf))
    return min(fits, key=lambda name: fits[name])


def kind(node: Any) -> str:
    """Return the name of a node of the graph without its number."""
    return type(node).__name__.partition("Backward")[0]


def code_at_zero(weight: QuantisedWeight) -> int | None:
    """Return the code of a latent that is exactly zero, or None if different weights have different codes."""
    found = codes_at(weight, 0.0)
    return found.pop() if len(found) == 1 else None


def codes_at(weight: QuantisedWeight, size: float) -> set[int]:
    """Return the codes of a few latents of this size, in units of the largest one."""
    with kept(weight.latent) as data:
        # Not all of them, or the scale would be 0.
        few = torch.arange(0, data.numel() - 1, max(2, data.numel() // 8), device=data.device)
        data.put_(few, (size * data.abs().max().nan_to_num()).expand(few.shape))
        return set(weight.codes().flatten()[few].tolist())
