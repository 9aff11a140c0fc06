"""Which changes of codes the scale alone made, where a quantiser rounds latents over a scale."""

from __future__ import annotations

import math

import torch

from sterling.errors import InputError
from sterling.torch.counting import Tally
from sterling.torch.handle import QuantisedWeight

#: Share of the codes that are the nearest level of latent/scale, for a quantiser to be a rounding one. The
#: largest weight of each group of torchao is half-way between two levels.
_ROUNDING = 0.98


def rounds(weight: QuantisedWeight, codes: torch.Tensor, grid: torch.Tensor) -> bool:
    """Whether a quantiser is a rounding one, of which one can say what another scale would give."""
    if weight.levels == 2 or weight.merged:
        return False  # the sign has no scale, and of LoRA the merged latents are not kept
    nearest = Tally.nearest(weight.latent.detach() / weight.scale(), grid)
    return float((nearest == codes).float().mean()) >= _ROUNDING


class LastScale:
    """The scale of a weight at the last step, with one entry for each run of weights that share one."""

    def __init__(self, weight: QuantisedWeight, grid: torch.Tensor):
        self.weight, self.grid = weight, grid
        self.kept = _shrunk(weight.scale())

    def made(self, where: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Return which changes from codes before the scale alone made, and go on to the present scale."""
        old, latent = self.kept, self.weight.latent.detach()
        self.kept = _shrunk(self.weight.scale(), old)
        places = torch.unravel_index(where, latent.shape)
        grouped = old.numel() > 1 and old.ndim == 1 < latent.ndim
        there = old[where * old.numel() // latent.numel()] if grouped else old.expand(latent.shape)[places]
        return Tally.nearest(latent[places] / there, self.grid) == before

    def restore(self, kept: torch.Tensor) -> None:
        """Take up a saved scale."""
        runs = kept.ndim == 1 and self.weight.latent.numel() % kept.numel() == 0
        if kept.shape != self.kept.shape and not runs:
            raise InputError("the saved scales are not those of these weights")
        self.kept = kept.to(self.kept)


def _shrunk(scale: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
    """Return one entry for each run of weights with one scale, where a scale has an entry for each weight."""
    if scale.ndim < 2 or 1 in scale.shape or (like is not None and like.ndim > 1):
        return scale
    flat = scale.flatten()
    if like is None:
        ends = (flat.diff() != 0).nonzero().flatten() + 1
        run = math.gcd(flat.numel(), *(ends.tolist() or [scale.shape[-1]]))
    else:
        run = flat.numel() // like.numel()
    return flat[::run].clone()
