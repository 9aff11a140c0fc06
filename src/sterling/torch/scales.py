"""Changes of codes that the scale alone causes, for quantisers that round latents over a scale."""

from __future__ import annotations

import math

import torch

from sterling.errors import InputError
from sterling.torch.counting import CodeTracker
from sterling.torch.handle import QuantisedWeight

#: Least share of codes that are the nearest level of latent/scale, for a rounding quantiser. In torchao the
#: largest weight of each group is half-way between two levels.
_ROUNDING = 0.98


def rounds(weight: QuantisedWeight, codes: torch.Tensor, grid: torch.Tensor) -> bool:
    """Return whether a quantiser rounds latent/scale, so that its codes under another scale are known."""
    if weight.levels == 2 or weight.merged or weight.stored:
        return False  # the sign has no scale, and LoRA does not keep the merged latents
    nearest = CodeTracker.nearest(weight.latent.detach() / weight.scale(), grid)
    return float((nearest == codes).float().mean()) >= _ROUNDING


class LastScale:
    """The scale of a weight at the last step, with one entry for each group of weights that share one."""

    def __init__(self, weight: QuantisedWeight, grid: torch.Tensor):
        self.weight, self.grid = weight, grid
        self.kept = _shrunk(weight.scale())

    def caused(self, where: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Return which changes from the codes ``before`` the scale alone caused; keep the present scale."""
        old, latent = self.kept, self.weight.latent.detach()
        self.kept = _shrunk(self.weight.scale(), old)
        indices = torch.unravel_index(where, latent.shape)
        grouped = old.numel() > 1 and old.ndim == 1 < latent.ndim
        there = old[where * old.numel() // latent.numel()] if grouped else old.expand(latent.shape)[indices]
        return CodeTracker.nearest(latent[indices] / there, self.grid) == before

    def restore(self, kept: torch.Tensor) -> None:
        """Continue from a saved scale."""
        runs = kept.ndim == 1 and self.weight.latent.numel() % kept.numel() == 0
        if kept.shape != self.kept.shape and not runs:
            raise InputError("the saved scales have another shape: resume with the same model")
        self.kept = kept.to(self.kept)


def _shrunk(scale: torch.Tensor, like: torch.Tensor | None = None) -> torch.Tensor:
    """Reduce a scale with an entry for each weight to one entry for each group of weights."""
    if scale.ndim < 2 or 1 in scale.shape or (like is not None and like.ndim > 1):
        return scale
    flat = scale.flatten()
    run = 0 if like is None else flat.numel() // like.numel()
    # Groups whose scales were equal may differ later.
    if run == 0 or bool((flat.reshape(-1, run) != flat[::run, None]).any()):
        ends = (flat.diff() != 0).nonzero().flatten() + 1
        run = math.gcd(flat.numel(), *(ends.tolist() or [scale.shape[-1]]))
    return flat[::run].clone()
