"""Probes of a quantiser: slopes and where they vanish, levels, zero, surrogate.

Probes of a handle may write into its latents, and restore them. `auditing` draws the conclusions.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from sterling.surrogates import SURROGATES
from sterling.torch.grids import rows_of, shaped
from sterling.torch.handle import QuantisedWeight
from sterling.torch.rounding import kept

SEED = 0  # of the probes' random vectors
_VECTORS = 32  # random vectors for a derivative that is not diagonal
_ALL = 512  # largest number of weights that are probed one by one
_VAGUE = 0.1  # largest standard error, as a part of the largest slope
_BY_SCALE = 10.0  # slopes below this over the number of weights may come from the scale alone
_DEVIATIONS = 5.0  # slopes below this number of standard errors count as 0
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
OTHER = "elsewhere"


def slopes(weight: QuantisedWeight) -> torch.Tensor:
    """Return the derivative of each weight by its own latent, in the shape of the latents."""
    with kept(weight.latent), torch.enable_grad():
        values = weight._values()
        if not values.requires_grad:
            return torch.zeros_like(weight.latent)
        return diagonal(values, weight.latent).to(weight.latent)


def diagonal(values: torch.Tensor, by: Any) -> torch.Tensor:
    """Return the derivative of each value by its own entry of a leaf, or of an edge of the graph.

    If gradients flow through the scale, random signs estimate the diagonal of the derivative. Slopes near 0
    are set to 0. If all are as small as those through a scale that is a mean over n weights, code/n, all are.
    """
    generator, shape = torch.Generator().manual_seed(SEED), values.shape
    wide = torch.promote_types(values.dtype, torch.float32)

    def pull(vector: torch.Tensor) -> torch.Tensor:
        given = vector.reshape(shape).to(values)
        (pulled,) = torch.autograd.grad(values, by, given, retain_graph=True, allow_unused=True)
        return torch.zeros_like(values) if pulled is None else pulled.reshape(shape).to(wide)

    half = torch.rand(shape, generator=generator) < 0.5
    mixed = half * torch.randn(shape, generator=generator)
    if not pull(mixed)[~half.to(values.device)].any():
        return pull(torch.ones(shape))

    def single(indices: list[int]) -> torch.Tensor:
        """Return the slopes of single entries."""
        units = (torch.zeros(values.numel()).index_fill_(0, torch.tensor(one), 1) for one in indices)
        found = [float(pull(unit).flatten()[one]) for one, unit in zip(indices, units, strict=True)]
        return torch.tensor(found, device=values.device, dtype=wide)

    if values.numel() <= _ALL:
        rows = torch.stack([pull(unit).flatten() for unit in torch.eye(values.numel())])
        own, others = rows.diagonal().clone(), rows.fill_diagonal_(0).abs()
        # A mean over the latents gives each of them the same slope; the largest one may stand out.
        if bool((own.abs() <= others.topk(min(2, len(rows))).values[:, -1]).all()):
            own.zero_()
        return own.reshape(shape)
    total, squares = (torch.zeros_like(values, dtype=wide) for _ in range(2))
    for _ in range(_VECTORS):
        signs = torch.randint(0, 2, shape, generator=generator) * 2.0 - 1
        found = pull(signs) * signs.to(values.device)
        total, squares = total + found, squares + found**2
    mean = total / _VECTORS
    error = ((squares / _VECTORS - mean**2).clamp_min(0) / _VECTORS).sqrt()
    sure = torch.where(mean.abs() > _DEVIATIONS * error, mean, 0).flatten()
    if float(sure.abs().max()) * sure.numel() < _BY_SCALE:
        return torch.zeros_like(sure).reshape(shape)
    # The scale may depend on few latents, such as the largest: probe those one by one.
    vague = torch.nonzero((error > _VAGUE * float(sure.abs().max())).flatten()).flatten()
    sure[vague] = mean.flatten()[vague]
    sure[vague[:_ALL]] = single(vague[:_ALL].tolist())
    return sure.reshape(shape)


def reasons(slope: torch.Tensor, codes: torch.Tensor, steps: torch.Tensor) -> dict[str, float]:
    """Return the share of weights without gradient for each reason; steps are the latents over the scale."""
    none, count = slope == 0, slope.numel()
    if not bool(none.any()):
        return {}
    if int((~none).sum()) <= (count > _ALL):  # the largest of many latents may get the scale's gradient
        return {NONE: 1.0}
    found: dict[str, int] = {}
    used, sizes = codes.unique().tolist(), steps.abs()
    for code in used:
        here = codes == code
        cut = here & none
        number, outer = int(cut.sum()), code in (used[0], used[-1])
        if not number:
            continue
        if number >= _WHOLE * int(here.sum()):
            why = CLAMP if outer and len(used) > 2 else OTHER if outer else DEAD
        else:  # which end of the level gets no gradient
            farther = float((sizes[cut] > sizes[here & ~none].median()).float().mean())
            why = TAIL if farther > _MOST else DEAD if farther < 1 - _MOST else OTHER
        found[why] = found.get(why, 0) + number
    return {why: number / count for why, number in found.items()}


def try_ramp(weight: QuantisedWeight) -> tuple[str, tuple[float, float] | None, set[int], int]:
    """Probe latents from far below the levels to far above; return surrogate, window, codes, levels.

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
        return name, window, seen, levels_of(codes, sharing_of(weight), seen)


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
    """Return codes from the least one of each group that shares a scale, and the largest of each group."""
    rows = rows_of(codes.int(), sharing)
    rows = rows - rows.amin(dim=1, keepdim=True)
    return shaped(rows, sharing, codes.shape), rows.amax(dim=1)


def surrogate_of(inputs: torch.Tensor, slopes: torch.Tensor) -> tuple[str, tuple[float, float] | None]:
    """Return surrogate and window from slopes at inputs in steps."""
    steps, slope = (one.detach().flatten().double().cpu().numpy() for one in (inputs, slopes))
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
    window, near = (float(steps[first]), float(steps[last])), 3 * float(np.diff(steps).max())
    if first > 0 and abs(window[0]) < near < window[1]:
        return ("clipped_relu" if last < len(steps) - 1 else "relu"), window
    return "hard_tanh", window  # cut at one end or at both


def _smooth(x: np.ndarray, relative: np.ndarray) -> str:
    """Return the smooth surrogate that fits best at any width, or "other"."""
    width = max(float(np.abs(x[np.abs(relative) > 0.5]).max()), 1e-12)
    fits = {"other": _FIT}
    for name, surrogate in SURROGATES.items():
        for unit in () if surrogate.piecewise_constant else width * np.geomspace(0.02, 20, 241):
            fitted = surrogate.derivative(x / unit)
            error = float(np.sqrt(np.mean((fitted / np.abs(fitted).max() - relative) ** 2)))
            fits[name] = min(error, fits.get(name, np.inf))
    return min(fits, key=lambda name: fits[name])


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
