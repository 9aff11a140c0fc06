"""What a quantiser does to single latents, by trying: slopes and where they vanish, zero, ties, surrogate.

Each probe works on a handle, writes into its latents where it must, and leaves them as they were. What
follows from it for a user is said in `auditing`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from sterling.surrogates import SURROGATES
from sterling.torch.handle import QuantisedWeight

SEED = 0  # of the probes' random vectors
_VECTORS = 32  # random ones, where the derivative is not diagonal
_ALL = 512  # weights up to which each is tried alone then
_VAGUE = 0.1  # a standard error above this part of the largest slope is too large
_BY_SCALE = 10.0  # over the number of weights: slopes below may come from the scale alone
_DEVIATIONS = 5.0  # a slope below so many standard errors counts as none
_MOST = 0.95  # of the cut weights of a level lie at one end of it
_WHOLE = 0.999  # share of a level's weights without gradient that is all of them
_SAME = 0.02  # by which slopes of one height may differ
_BESIDE = 1e-3  # of a tie: latents so close to it must go either way
_POINTS = 2000  # of a ramp that are looked at
_STRAY = 0.03  # of the slopes within a window may be 0, where rounding decides at its ends
_FIT = 0.03  # root of the mean squared error of a smooth surrogate that is recognised

#: Why a latent gets no gradient.
CLAMP, TAIL, DEAD, NONE, OTHER = (
    "clamp at its bound",
    "cut tail",
    "dead zone",
    "no gradient at all",
    "elsewhere",
)


@contextlib.contextmanager
def kept(weight: QuantisedWeight) -> Iterator[torch.Tensor]:
    """Give the latents to write into, with gradients on, and put back what was there."""
    latent, trained = weight.latent, weight.latent.requires_grad
    before = latent.detach().clone()
    latent.requires_grad_(True)
    try:
        yield latent.data
    finally:
        latent.data.copy_(before)
        latent.requires_grad_(trained)


def slopes(weight: QuantisedWeight) -> torch.Tensor:
    """Return the derivative of each weight by its own latent, in the shape of the latents.

    Where a scale that follows the latents has a gradient, so that the derivative is no diagonal matrix, the
    diagonal is estimated with random signs, and what cannot be told from 0 is 0. So is the whole where no
    slope exceeds what a mean size as scale passes by itself, code/n for each of n weights.
    """
    with kept(weight), torch.enable_grad():
        values = weight.traced()
        if not values.requires_grad:
            return torch.zeros_like(weight.latent)
        generator = torch.Generator().manual_seed(SEED)

        def pull(vector: torch.Tensor) -> torch.Tensor:
            vector = vector.to(values)
            (pulled,) = torch.autograd.grad(
                values, weight.latent, vector, retain_graph=True, allow_unused=True
            )
            return torch.zeros_like(weight.latent) if pulled is None else pulled.detach()

        half = torch.rand(values.shape, generator=generator) < 0.5
        mixed = half * torch.randn(values.shape, generator=generator)
        if not pull(mixed)[~half.to(values.device)].any():
            return pull(torch.ones(values.shape))

        def single(places: list[int]) -> torch.Tensor:
            found = torch.zeros(len(places))
            for number, place in enumerate(places):
                unit = torch.zeros(values.numel())
                unit[place] = 1
                found[number] = pull(unit.reshape(values.shape)).flatten()[place]
            return found.to(weight.latent)

        if values.numel() <= _ALL:
            return single(list(range(values.numel()))).reshape(values.shape)
        total, squares = torch.zeros_like(weight.latent), torch.zeros_like(weight.latent)
        for _ in range(_VECTORS):
            signs = torch.randint(0, 2, values.shape, generator=generator) * 2.0 - 1
            found = pull(signs) * signs.to(weight.latent)
            total, squares = total + found, squares + found**2
        mean = total / _VECTORS
        error = ((squares / _VECTORS - mean**2).clamp_min(0) / _VECTORS).sqrt()
        sure = torch.where(mean.abs() > _DEVIATIONS * error, mean, 0).flatten()
        if float(sure.abs().max()) * sure.numel() < _BY_SCALE:
            return torch.zeros_like(weight.latent)
        # On few latents, such as the largest, the whole scale may rest: those are tried one by one.
        vague = torch.nonzero((error > _VAGUE * float(sure.abs().max())).flatten()).flatten()[:_ALL]
        sure[vague] = single(vague.tolist())
        return sure.reshape(values.shape)


def reasons(slope: torch.Tensor, codes: torch.Tensor, steps: torch.Tensor) -> dict[str, float]:
    """Return the shares of weights without gradient, by why; steps are the latents over the scale."""
    none, count = slope == 0, slope.numel()
    if not bool(none.any()):
        return {}
    if int((~none).sum()) <= (count > _ALL):  # the largest of many latents may have that of the scale
        return {NONE: 1.0}
    found: dict[str, int] = {}
    used = codes.unique().tolist()
    for code in used:
        here = codes == code
        cut = here & none
        number = int(cut.sum())
        if not number:
            continue
        outer = code in (used[0], used[-1])
        if number >= _WHOLE * int(here.sum()):
            why = CLAMP if outer and len(used) > 2 else DEAD if not outer else OTHER
        else:
            why = _end(steps, here & ~none, cut)
        found[why] = found.get(why, 0) + number
    return {why: number / count for why, number in found.items()}


def _end(steps: torch.Tensor, passed: torch.Tensor, cut: torch.Tensor) -> str:
    """Return at which end of a level the gradient is missing."""
    sizes = steps.abs()
    farther = float((sizes[cut] > sizes[passed].median()).float().mean())
    return TAIL if farther > _MOST else DEAD if farther < 1 - _MOST else OTHER


@dataclass(frozen=True)
class Shape:
    """What a ramp of latents shows."""

    surrogate: str  # a name of `sterling.surrogates`, "none", or "other"
    window: tuple[float, float] | None  # where the slope is not zero, in steps; None where it has no end
    codes: tuple[int, ...]  # all that were seen


def shape_of(weight: QuantisedWeight) -> Shape:
    """Try a ramp of latents from far below the levels to far above; return what the slopes look like."""
    count = weight.latent.numel()
    stride = max(1, count // _POINTS)
    with kept(weight) as data:
        far = max(1.5, 4 * float(data.abs().max()))
        ramp = torch.linspace(-1, 1, count, dtype=torch.float64) ** 3 * far
        order = torch.randperm(count, generator=torch.Generator().manual_seed(SEED))
        data.copy_(ramp[order].reshape(data.shape))
        back = order.argsort()[::stride]
        slope = slopes(weight).flatten()[back].double().cpu().numpy()
        steps = steps_of(weight).flatten()[back].double().cpu().numpy()
        seen = set(weight.codes().unique().tolist())
        data.neg_()  # a single weight would show one end of the ramp
        seen |= set(weight.codes().unique().tolist())
    name, window = _recognised(ramp[::stride].numpy(), slope, steps)
    if name == "other":  # where each channel has its scale, windows are sharp in steps only
        order = np.argsort(steps)
        name, window = _recognised(steps[order], slope[order], steps[order])
    return Shape(name, window, tuple(sorted(seen)))


def steps_of(weight: QuantisedWeight) -> torch.Tensor:
    """Return the latents over the scale."""
    scale = weight.scale()
    return weight.latent.detach() / torch.where(scale > 0, scale, 1)


def _recognised(
    x: np.ndarray, slope: np.ndarray, steps: np.ndarray
) -> tuple[str, tuple[float, float] | None]:
    height = np.abs(slope).max()
    if height == 0:
        return "none", None
    relative = slope / height
    on = np.abs(relative - 1) < _SAME
    if np.all(on | (np.abs(relative) < _SAME)):
        return _window(x, on, steps)
    return _smooth(x, relative), None


def _window(x: np.ndarray, on: np.ndarray, steps: np.ndarray) -> tuple[str, tuple[float, float] | None]:
    if on.all():
        return "identity", None
    places = np.flatnonzero(on)
    first, last = places[0], places[-1]
    if np.mean(~on[first : last + 1]) > _STRAY:
        return "other", None
    window = (float(steps[first]), float(steps[last]))
    left, right = first > 0, last < len(x) - 1
    near = 3 * float(np.diff(x).max())
    if left and abs(x[first]) < near and x[last] > near:
        return ("clipped_relu" if right else "relu"), window
    return "hard_tanh", window  # cut at one end or at both


def _smooth(x: np.ndarray, relative: np.ndarray) -> str:
    """Return the smooth surrogate that fits best when it is stretched, or "other"."""
    best, chosen = _FIT, "other"
    width = max(float(np.abs(x[np.abs(relative) > 0.5]).max()), 1e-12)
    for name, surrogate in SURROGATES.items():
        if surrogate.piecewise_constant:
            continue
        for stretch in width * np.geomspace(0.02, 20, 241):
            fitted = surrogate.derivative(x / stretch)
            fitted = fitted / np.abs(fitted).max()
            error = float(np.sqrt(np.mean((fitted - relative) ** 2)))
            if error < best:
                best, chosen = error, name
    return chosen


def code_at_zero(weight: QuantisedWeight) -> int | None:
    """Return the code of a latent that is exactly zero; None if it depends on the place."""
    with kept(weight) as data:
        stride = max(2, data.numel() // 8)
        places = torch.arange(0, data.numel() - 1, stride, device=data.device)  # never all: scales would be 0
        data.put_(places, data.new_zeros(len(places)))
        found = set(weight.codes().flatten()[places].tolist())
    return int(found.pop()) if len(found) == 1 else None


#: The codes of ties at +½ and −½ steps, in words.
TIES = {(1, 0): "up", (0, -1): "down", (0, 0): "to zero", (1, -1): "away from zero"}


def ties(weight: QuantisedWeight) -> str | None:
    """Return what becomes of latents half-way between code 0 and its neighbours.

    None where there is no code 0, or the scale moves with each latent, so that no tie can be set up.
    """
    with kept(weight) as data:
        codes, values = weight.codes().flatten(), weight.values().flatten()
        ones = torch.nonzero(codes == 1).flatten()
        if not bool((codes == 0).any()) or ones.numel() < 2:
            return None
        place, found = ones[0], []
        half = float(values[place]) / 2
        for tie in (half, -half):
            around = []
            for latent in (tie * (1 - _BESIDE), tie, tie * (1 + _BESIDE)):
                data.put_(place, data.new_tensor(latent))
                if not torch.equal(weight.values().flatten()[ones[1:]], values[ones[1:]]):
                    return None  # the scale has moved
                around.append(int(weight.codes().flatten()[place]))
            if around[0] != 0 or around[2] != (1 if tie > 0 else -1):
                return None
            found.append(around[1])
    return TIES.get((found[0], found[1]))
