"""Averages of codes that a monitor keeps for each weight: in float32, or two of them in three bytes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

#: Longest horizon of averages of 12 bits: one step must move them by about a unit of the last place.
SHORT = 1024.0
_MOST = (1 << 11) - 1  # units of a lean average from zero to the largest code


class Averages(nn.Module):
    """Averages of the codes of weights, of float32, or at most two of 12 bits if they must be lean.

    Averages of 12 bits are rounded up or down, by a fixed sequence for each weight that makes the mean error
    zero. Codes themselves have no error.
    """

    kept: torch.Tensor

    def __init__(self, count: int, like: torch.Tensor, lean: bool):
        super().__init__()
        self.count, self.lean = count, lean
        shape, kind = (3, torch.uint8) if lean else (count, torch.float32)
        self.register_buffer("kept", torch.zeros(len(like), shape, dtype=kind, device=like.device))

    @staticmethod
    def units(top: torch.Tensor) -> torch.Tensor:
        """Return the units of a code in a lean average, where codes lie within ±top."""
        units = _MOST / top.clamp_min(1)
        return torch.where(units >= 1, units.floor(), units)

    def read(self, at: Any, top: torch.Tensor) -> torch.Tensor:
        """Return the averages of some weights: (weights, horizons)."""
        if not self.lean:
            return self.kept[at]
        first, both, last = self.kept[at].int().unbind(1)
        units = torch.stack([first << 4 | both >> 4, (both & 15) << 8 | last], dim=1)[:, : self.count]
        return (units - _MOST) / self.units(top).reshape(-1, 1)

    def write(self, at: torch.Tensor, average: torch.Tensor, top: torch.Tensor, step: int) -> None:
        """Set the averages of some weights."""
        if not self.lean:
            self.kept[at] = average
            return
        dither = ((at * 0x9E3779B1 + step * 0x85EBCA6B) >> 8 & 0xFFFF)[:, None] / 65536
        exact = average * self.units(top).reshape(-1, 1)
        near = exact.round()  # whole units stay, in spite of the rounding of the product
        unit = torch.where((exact - near).abs() < 1e-3, near, (exact + dither).floor())
        unit = unit.clamp(-_MOST, _MOST).int() + _MOST
        one, two = unit[:, 0], unit[:, -1]
        self.kept[at] = torch.stack([one >> 4, (one & 15) << 4 | two >> 8, two & 255], dim=1).byte()
