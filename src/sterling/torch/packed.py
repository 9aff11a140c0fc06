"""What a monitor keeps of each weight in few bytes: the step of its last flip, and averages of its codes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

#: Averages with horizons up to this take 16 bits: one step moves them by many units of the last place.
SHORT = 1024.0
_LEAN, _FULL = (1 << 11) - 1, (1 << 15) - 1  # units of a short average from zero to the largest code


class Whole:
    """Whole numbers from 0, in one byte or in three."""

    def __init__(self, like: torch.Tensor, width: int):
        self._high = torch.zeros_like(like, dtype=torch.uint8)
        self._low = torch.zeros(len(like) if width > 1 else 0, dtype=torch.int16, device=like.device)
        self.bytes = self._high.nbytes + self._low.nbytes

    @property
    def arrays(self) -> list[torch.Tensor]:
        """The tensors that hold the numbers."""
        return [self._high, self._low]

    def __getitem__(self, at: Any) -> torch.Tensor:
        high = self._high[at].int()
        return (high << 16) | (self._low[at].int() & 0xFFFF) if len(self._low) else high

    def __setitem__(self, at: Any, number: torch.Tensor) -> None:
        if len(self._low):
            low = number & 0xFFFF
            self._low[at] = (low - (low >> 15 << 16)).to(torch.int16)
            number = number >> 16
        self._high[at] = number.to(torch.uint8)


class Moments:
    """The step of the last flip of each weight, 0 if it never flipped, in one byte or in three.

    Steps are exact up to 2⁷ or 2²³ steps back. An older one may be stored as that many steps back.
    """

    def __init__(self, like: torch.Tensor, width: int, epoch: int):
        self._kept, self._epoch = Whole(like, width), epoch
        self._far = 1 << (8 * width - 1)
        self._origin = 0  # steps are stored relative to it
        self.bytes = self._kept.bytes

    def __getitem__(self, at: Any) -> torch.Tensor:
        kept = self._kept[at]
        return torch.where(kept > 0, kept + self._origin, 0)

    def __setitem__(self, at: torch.Tensor, step: int) -> None:
        self._kept[at] = torch.full_like(at, step - self._origin)

    def take(self, moments: torch.Tensor, step: int) -> None:
        """Store the steps of the last flips of all weights, as they are at a step."""
        self._origin = max(0, step - self._far - 1)
        self._kept[:] = torch.where(moments > 0, (moments - self._origin).clamp_min(1), 0)

    def keep_up(self, step: int) -> None:
        """Make room for an epoch that begins at a step."""
        if step + self._epoch >= self._origin + 2 * self._far:
            self.take(self[:], step)


class Averages:
    """Averages of codes at several horizons: of 16 bits or float32, or all of 12 bits if they must be lean.

    Averages of 12 bits are rounded up or down, by a fixed sequence for each weight that makes the mean error
    zero. Codes themselves have no error.
    """

    def __init__(self, horizons: Sequence[float], like: torch.Tensor, lean: bool):
        self._short = 0 if lean else sum(one <= SHORT for one in horizons)
        long = 0 if lean else len(horizons) - self._short
        self.short = torch.zeros(len(like), self._short, dtype=torch.int16, device=like.device)
        self.long = torch.zeros(len(like), long, device=like.device)
        self.pairs = [Whole(like, 3) for _ in range(0, len(horizons), 2)] if lean else []
        self._count, self._most = len(horizons), _LEAN if lean else _FULL
        self.bytes = self.short.nbytes + self.long.nbytes + sum(one.bytes for one in self.pairs)

    @property
    def arrays(self) -> list[torch.Tensor]:
        """The tensors that hold the averages."""
        return [self.short, self.long, *(array for one in self.pairs for array in one.arrays)]

    def units(self, top: torch.Tensor) -> torch.Tensor:
        """Return the units of a code in a short average, where codes lie within ±top."""
        units = self._most / top.clamp_min(1)
        return torch.where(units >= 1, units.floor(), units)

    def read(self, at: Any, top: torch.Tensor) -> torch.Tensor:
        """Return the averages of some weights: (weights, horizons)."""
        units = self.units(top).reshape(-1, 1)
        if not self.pairs:
            return torch.cat([self.short[at] / units, self.long[at]], dim=1)
        packed = [one[at] for one in self.pairs]
        parts = [part - _LEAN for two in packed for part in (two >> 12, two & 0xFFF)]
        return torch.stack(parts[: self._count], dim=1) / units

    def write(self, at: torch.Tensor, average: torch.Tensor, top: torch.Tensor, step: int) -> None:
        """Set the averages of some weights."""
        units = self.units(top).reshape(-1, 1)
        if not self.pairs:
            self.short[at] = (average[:, : self._short] * units).round().to(torch.int16)
            self.long[at] = average[:, self._short :]
            return
        dither = ((at * 0x9E3779B1 + step * 0x85EBCA6B) >> 8 & 0xFFFF)[:, None] / 65536
        exact = average * units
        near = exact.round()  # whole units stay, in spite of the rounding of the product
        unit = torch.where((exact - near).abs() < 1e-3, near, (exact + dither).floor())
        unit = unit.clamp(-_LEAN, _LEAN).int() + _LEAN
        for index, pair in enumerate(self.pairs):
            two = unit[:, 2 * index : 2 * index + 2]
            pair[at] = (two[:, 0] << 12) | (two[:, 1] if two.shape[1] > 1 else 0)
