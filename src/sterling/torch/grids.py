"""The levels of a quantised tensor, from its values alone: groups that share a scale, scales, codes.

The scale of a group is the greatest common divisor of its values, and codes are values over the scale. So
zero has code 0, and levels without a zero, such as ±s/2 and ±3s/2, have odd codes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

MOST_LEVELS = 256  # of one group, evenly spaced
MOST_UNEVEN = 16
GROUPS = (1024, 512, 256, 128, 64, 32, 16, 8)  # sizes of groups along the last axis that are tried
_PER_LEVEL = 4  # least number of weights a level for uneven levels
_NEAR = 0.02  # largest error of a multiple of a rough divisor, in steps
#: Values of one level may differ by this many units in the last place of the largest value. For half types it
#: is fewer: their last place is large, and their values are not sums of rounded numbers.
_ROUNDING, _ROUNDING_HALF = 8.0, 1.0
_CLEAR = 4.0  # least step, in units of that rounding
_SIMPLE = 3  # largest code that needs no further evidence
_BITS = 20.0  # evidence that many levels are multiples of one step: log₂ of the odds against chance


@dataclass(frozen=True)
class Grid:
    """The levels on which the values of a tensor lie."""

    codes: torch.Tensor  # int8, or int16 if one is beyond ±127; in the tensor's shape
    scale: torch.Tensor  # value of a unit of the codes; broadcasts to the tensor
    even: bool  # whether values are scale · codes; if not, codes are ranks, centred
    sharing: str  # what shares a scale: "tensor", "channel", or "group of 32"

    @property
    def levels(self) -> int:
        """Number of different codes in use."""
        return int(self.codes.unique().numel())

    def dequantise(self, codes: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the values of other codes, given the present values."""
        if self.even:
            return (self.scale * codes.to(self.scale.dtype)).to(values.dtype)
        sizes, present = self.scale.expand(codes.shape).double(), self.codes.unique()
        rank = torch.searchsorted(present, self.codes.contiguous()).flatten()
        flat, total = sizes.flatten(), torch.zeros(len(present), dtype=torch.float64, device=codes.device)
        table = total.index_add(0, rank, values.double().flatten() * flat) / total.index_add(
            0, rank, flat.square()
        )
        asked = torch.searchsorted(present, codes.to(present).contiguous()).clamp_max(len(present) - 1)
        return (sizes * table[asked]).to(values.dtype)


def find_grid(values: torch.Tensor, latent: torch.Tensor | None = None) -> Grid | None:
    """Return the grid on which the values lie, or None if there is no such grid.

    Values computed as latent + (quantised − latent) carry the rounding error of the latents.
    """
    values = values.detach()
    if not values.numel() or not bool(values.isfinite().all()):
        return None
    for fit in (_even, _uneven):
        for sharing in _ways(values):
            rows = _rows(values, sharing)
            grid = fit(rows, _noise(rows, latent, sharing), sharing, values.shape)
            if grid is not None:
                return grid
    return None


class GridReader:
    """Reads the codes of one tensor repeatedly; it knows the groups, so it seldom sorts the values."""

    def __init__(self, grid: Grid):
        self.grid = grid
        codes = grid.codes
        self.top = max(int(codes.amax()), -int(codes.amin()))
        self.zero = bool((codes == 0).any())

    def read(self, values: torch.Tensor, latent: torch.Tensor | None = None) -> Grid:
        """Return the grid of the present values."""
        fast = self._fast(values, latent) if self.grid.even else None
        found = fast or find_grid(values, latent)
        if found is None:  # values between levels, as while an optimiser anneals: take the nearest level
            scale = torch.where(self.grid.scale > 0, self.grid.scale, 1)
            codes = (values / scale).round().clamp(-self.top, self.top).to(self.grid.codes.dtype)
            return Grid(codes, self.grid.scale, False, self.grid.sharing)
        if found.even:
            self.grid = found
            self.top = max(self.top, int(found.codes.amax()), -int(found.codes.amin()))
        return found

    def _fast(self, values: torch.Tensor, latent: torch.Tensor | None) -> Grid | None:
        rows = _rows(values, self.grid.sharing)
        old = _rows(self.grid.scale.expand(values.shape), self.grid.sharing)[:, :1]
        top = rows.abs().amax(dim=1, keepdim=True)
        # The largest value is a whole number of steps, and steps change little from one step to the next.
        scale = top
        if self.top > 1:
            scale = top / (top / torch.where(old > 0, old, top)).nan_to_num().round().clamp_min(1)
        codes = (rows / torch.where(scale > 0, scale, 1)).round()
        wrong = (rows - scale * codes).abs() > _noise(rows, latent, self.grid.sharing)
        if bool(wrong.any()) or int(codes.abs().amax()) > max(self.top, 1):
            return None
        if self.top == 1 and not self.zero and bool((codes == 0).any()):
            return None
        return _grid(codes, scale, True, self.grid.sharing, values.shape)


def _noise(rows: torch.Tensor, latent: torch.Tensor | None, sharing: str) -> torch.Tensor:
    """Return by how much values of one level may differ, for each row."""
    largest = rows.abs().amax(dim=1, keepdim=True)
    if latent is not None:
        largest = torch.maximum(largest, _rows(latent.detach(), sharing).abs().amax(dim=1, keepdim=True))
    half = rows.dtype in (torch.float16, torch.bfloat16)
    return (_ROUNDING_HALF if half else _ROUNDING) * torch.finfo(rows.dtype).eps * largest.double()


def _ways(values: torch.Tensor) -> Iterator[str]:
    """Yield what may share a scale, the largest groups first."""
    yield "tensor"
    if values.ndim < 2:
        return
    yield "channel"
    if values.ndim > 2:
        yield "channel of axis 1"
    for size in GROUPS:
        if values.shape[-1] % size == 0 and size < values.shape[-1]:
            yield f"group of {size}"


def _rows(values: torch.Tensor, sharing: str) -> torch.Tensor:
    if sharing == "tensor":
        return values.reshape(1, -1)
    if sharing == "channel":
        return values.reshape(values.shape[0], -1)
    if sharing == "channel of axis 1":
        return values.transpose(0, 1).reshape(values.shape[1], -1)
    return values.reshape(-1, int(sharing.rpartition(" ")[2]))


def _grid(codes: torch.Tensor, scale: torch.Tensor, even: bool, sharing: str, shape: torch.Size) -> Grid:
    small = torch.int8 if int(codes.abs().amax()) <= 127 else torch.int16
    if sharing.startswith("group"):
        spread = scale.expand(codes.shape).reshape(shape)
    else:
        axis = {"channel": 0, "channel of axis 1": 1}.get(sharing)
        spread = scale.reshape([-1 if index == axis else 1 for index in range(len(shape))])
    if sharing == "channel of axis 1":
        codes = codes.reshape(shape[1], shape[0], *shape[2:]).transpose(0, 1)
    return Grid(codes.reshape(shape).to(small), spread, even, sharing)


def centred(rank: torch.Tensor, count: int) -> torch.Tensor:
    """Return the codes of ranks from 0 to count − 1."""
    return rank - (count - 1) // 2 if count % 2 else 2 * rank - (count - 1)


def _levels(rows: torch.Tensor, noise: torch.Tensor, most: int) -> torch.Tensor | None:
    """Return the different, sorted values of each row, the last one repeated; None if one has more."""
    ordered = rows.double().sort(dim=1).values
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[:, 1:] = ordered.diff(dim=1) > noise
    count = new.sum(dim=1)
    if int(count.max()) > most:
        return None
    ranks = new.long().cumsum(dim=1) - 1
    levels = ordered[:, -1:].repeat(1, int(count.max()))
    return levels.scatter_(1, ranks.flip(1), ordered.flip(1))  # of equal ones the first remains


def _even(rows: torch.Tensor, noise: torch.Tensor, sharing: str, shape: torch.Size) -> Grid | None:
    levels = _levels(rows, noise, MOST_LEVELS)
    if levels is None:
        return None
    step = _divisor(levels.abs(), noise)
    if step is None:
        return None
    whole = torch.where(step > 0, step, 1)
    codes = (levels / whole).round()
    if int(codes.abs().amax()) >= MOST_LEVELS:
        return None
    squares = (codes * codes).sum(dim=1, keepdim=True)
    step = (levels * codes).sum(dim=1, keepdim=True) / squares.clamp_min(1)
    if bool(((levels - step * codes).abs() > noise).any()):
        return None
    if bool(((step > 0) & (step < _CLEAR * noise)).any()) or not _believable(codes, step, noise):
        return None
    codes = (rows.double() / torch.where(step > 0, step, 1)).round()
    return _grid(codes, step.to(rows.dtype), True, sharing, shape)


def _believable(codes: torch.Tensor, step: torch.Tensor, noise: torch.Tensor) -> bool:
    """Return whether multiples of a step are no coincidence; any two numbers have nearly a simple ratio."""
    used = codes.unique()
    if used.numel() == 2:
        return used.tolist() == [-1, 1]  # ranks describe any other two levels better
    if float(used.abs().max()) <= _SIMPLE:
        return True
    sizes = codes.abs().sort(dim=1).values
    # Each size beyond the first is evidence.
    different = ((sizes.diff(dim=1) > 0) & (sizes[:, 1:] > 0)).sum(dim=1) - (sizes[:, 0] == 0).long()
    odds = torch.log2((step / (2 * noise).clamp_min(torch.finfo(step.dtype).tiny)).clamp_min(1))
    return float((different.clamp_min(0) * odds[:, 0]).sum()) >= _BITS


def _divisor(sizes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor | None:
    """Return the greatest common divisor of each row by Euclid's algorithm, 0 for a row of zeros."""
    rest = torch.where(sizes > noise, sizes, 0)
    infinite = torch.full_like(rest, torch.inf)
    step = torch.zeros_like(rest[:, :1])
    for _ in range(64):
        least = torch.where(rest > 0, rest, infinite).amin(dim=1, keepdim=True)
        active = least.isfinite()
        if not bool(active.any()):
            return step
        step = torch.where(active, least, step)
        whole = torch.where(step > 0, step, 1)
        off = (rest - whole * (rest / whole).round()).abs()
        off = torch.where(off > torch.maximum(_NEAR * whole, noise), off, 0)
        if bool(((off > 0) & (off < 4 * noise)).any()):
            return None  # no common divisor above the rounding
        # Continue with the remainders, and with the divisor while any remainder is left.
        left = (off > 0).any(dim=1, keepdim=True)
        off[:, :1] = torch.where(left & (off[:, :1] == 0), step, off[:, :1])
        if bool((left & (off[:, :1] != step)).any()):
            off = torch.cat([off, torch.where(left, step, 0)], dim=1)
            infinite = torch.full_like(off, torch.inf)
        rest = torch.where(left, off, 0)
    return None


def _uneven(rows: torch.Tensor, noise: torch.Tensor, sharing: str, shape: torch.Size) -> Grid | None:
    levels = _levels(rows, noise, MOST_UNEVEN)
    if levels is None:
        return None
    count = (levels.diff(dim=1) > noise).sum(dim=1, keepdim=True) + 1
    if int(count.max()) * _PER_LEVEL > rows.shape[1]:
        return None
    between = torch.where(levels.diff(dim=1) > noise, (levels[:, 1:] + levels[:, :-1]) / 2, torch.inf)
    rank = torch.searchsorted(between.contiguous(), rows.double().contiguous())
    most = int(count.max())
    codes = centred(rank, most)
    squares = (codes * codes).sum(dim=1, keepdim=True).clamp_min(1)
    scale = (rows.double() * codes).sum(dim=1, keepdim=True) / squares
    return _grid(codes, scale.to(rows.dtype), False, sharing, shape)
