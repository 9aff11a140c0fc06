"""The levels of a quantised tensor, from its values alone: groups that share a scale, scales, codes.

The scale of a group is the greatest common divisor of its values, and codes are values over the scale. So
zero has code 0, and levels without a zero, such as ±s/2 and ±3s/2, have odd codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from sterling.errors import InputError

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
_EQUAL = 16  # least number of weights that confirm uneven levels
_BITS = 20.0  # evidence that many levels are multiples of one step: log₂ of the odds against chance


Reading = Callable[[], torch.Tensor]


@dataclass(frozen=True)
class Grid:
    """The levels on which the values of a tensor lie."""

    codes: torch.Tensor  # int8, or int16 if one is beyond ±127; in the tensor's shape
    scale: torch.Tensor  # value of a unit of the codes; broadcasts to the tensor
    even: bool  # whether values are scale · codes; if not, codes are ranks, centred
    sharing: str  # what shares a scale: "tensor", "channel", or "group of 32"
    offset: torch.Tensor | None = None  # value of code 0, if it is not 0; broadcasts too

    @property
    def levels(self) -> int:
        """Number of different codes in use."""
        return int(self.codes.unique().numel())

    def dequantise(self, codes: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return the values of other codes, given the present values."""
        if self.even:
            zero = 0 if self.offset is None else self.offset
            return (self.scale * codes.to(self.scale.dtype) + zero).to(values.dtype)
        rows, now, asked = (rows_of(one, self.sharing) for one in (values, self.codes, codes))
        low = int(torch.minimum(now.amin(), asked.amin()))
        count = int(torch.maximum(now.amax(), asked.amax())) - low + 1
        at, size = now.long() - low, rows.abs().amax(1, keepdim=True).double()
        held = size.new_zeros(len(rows), count)
        total = held.scatter_add(1, at, rows.double())
        held.scatter_add_(1, at, torch.ones_like(total[:, :1]).expand(at.shape))
        # Levels that a row does not use follow from those of other rows.
        usual = (total / size.clamp_min(1e-300)).sum(0) / held.sum(0)
        table = torch.where(held > 0, total / held, size * usual)
        found = table.gather(1, asked.long() - low).to(values.dtype)
        if bool(found.isnan().any()):
            raise InputError(
                "no weight of a tensor has one of these codes now, so that its level is not known: read the "
                "values at a step at which each level is in use"
            )
        return _shaped(found, self.sharing, values.shape)


def find_grid(values: torch.Tensor, latent: torch.Tensor | None = None) -> Grid | None:
    """Return the grid on which the values lie, or None if there is no such grid.

    Values computed as latent + (quantised − latent) carry the rounding error of the latents.
    """
    values = values.detach()
    if not values.numel() or not bool(values.isfinite().all()):
        return None
    for fit in (_even, _uneven):
        for sharing in ways(values):
            rows = rows_of(values, sharing)
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
        rows = rows_of(values, self.grid.sharing)
        old = rows_of(self.grid.scale.expand(values.shape), self.grid.sharing)[:, :1]
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
        largest = torch.maximum(largest, rows_of(latent.detach(), sharing).abs().amax(dim=1, keepdim=True))
    half = rows.dtype in (torch.float16, torch.bfloat16)
    return (_ROUNDING_HALF if half else _ROUNDING) * torch.finfo(rows.dtype).eps * largest.double()


def ways(values: torch.Tensor) -> Iterator[str]:
    """Yield what may share a scale, the largest groups first."""
    yield "tensor"
    if values.ndim < 2:
        return
    for axis, sharing in enumerate(("channel", "channel of axis 1")):
        if values.numel() > values.shape[axis]:  # one weight shows nothing
            yield sharing
    for size in GROUPS:
        if values.shape[-1] % size == 0 and size < values.shape[-1]:
            yield f"group of {size}"


def rows_of(values: torch.Tensor, sharing: str) -> torch.Tensor:
    if sharing == "tensor":
        return values.reshape(1, -1)
    if sharing == "channel":
        return values.reshape(values.shape[0], -1)
    if sharing == "channel of axis 1":
        return values.transpose(0, 1).reshape(values.shape[1], -1)
    return values.reshape(-1, int(sharing.rpartition(" ")[2]))


def _shaped(rows: torch.Tensor, sharing: str, shape: torch.Size) -> torch.Tensor:
    """Return the tensor of a shape from its rows; rows of one entry stay short unless they are groups."""
    if sharing.startswith("group"):
        return rows.expand(-1, int(sharing.rpartition(" ")[2])).reshape(shape)
    if rows.shape[1] == 1 and shape.numel() > len(rows):
        axis = {"channel": 0, "channel of axis 1": 1}.get(sharing)
        return rows.reshape([-1 if index == axis else 1 for index in range(len(shape))])
    if sharing == "channel of axis 1":
        return rows.reshape(shape[1], shape[0], *shape[2:]).transpose(0, 1)
    return rows.reshape(shape)


def _grid(codes: torch.Tensor, scale: torch.Tensor, even: bool, sharing: str, shape: torch.Size) -> Grid:
    small = torch.int8 if int(codes.abs().amax()) <= 127 else torch.int16
    return Grid(_shaped(codes, sharing, shape).to(small), _shaped(scale, sharing, shape), even, sharing)


def linear(
    values: torch.Tensor, codes: torch.Tensor, sharing: str, latent: torch.Tensor | None, offset: bool = False
) -> Grid | None:
    """Return the grid of known codes, if values are a multiple of the codes (and an offset) in each row."""
    rows = rows_of(values, sharing)
    wide = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
    whole = rows_of(codes, sharing).to(wide.dtype)
    noise, zero = _noise(rows, latent, sharing), torch.zeros_like(wide[:, :1])
    middle = zero
    if offset:  # two codes always fit, so that they show nothing
        if wide.shape[1] < _PER_LEVEL or codes.unique().numel() < 3:
            return None
        middle = whole.mean(1, keepdim=True)
        zero, whole = wide.mean(1, keepdim=True), whole - middle
    squares = (whole * whole).sum(1, keepdim=True, dtype=torch.float64)
    step = ((wide - zero) * whole).sum(1, keepdim=True, dtype=torch.float64) / squares.clamp_min(1e-12)
    if bool((step.abs() <= noise / 8)[squares > 0].any()):
        return None
    step = step.to(wide.dtype)
    if bool(((wide - zero - step * whole).abs() > noise).any()):
        return None
    if offset:
        zero = zero - step * middle
    scale, start = (_shaped(one.to(rows.dtype), sharing, values.shape) for one in (step, zero))
    return Grid(codes, scale, True, sharing, start if offset else None)


def _extremes(rows: torch.Tensor, at: torch.Tensor, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the least and largest value of each class in each row; ±infinity for one without members."""
    low = rows.new_full((len(rows), count), torch.inf)
    return low.scatter_reduce(1, at, rows, "amin"), (-low).scatter_reduce(1, at, rows, "amax")


def ranked(
    values: torch.Tensor, kind: torch.Tensor, count: int, sharing: str, latent: torch.Tensor | None
) -> torch.Tensor | None:
    """Return the codes of classes of weights by the order of their values; None if a class has several."""
    rows, at = rows_of(values, sharing), rows_of(kind, sharing)
    if count > rows.shape[1]:
        return None
    low, high = _extremes(rows, at, count)
    used = low <= high
    if bool(((high - low) > _noise(rows, latent, sharing))[used].any()):
        return None
    if values.numel() - int(used.sum()) < _EQUAL:
        return None
    size = rows.abs().amax(1, keepdim=True).double()
    level = torch.where(used, low / torch.where(size > 0, size, 1), 0).sum(0) / used.sum(0)
    ordered = level.sort()
    same = max(4 * torch.finfo(values.dtype).eps, 1e-5)
    rank = torch.cat([torch.zeros_like(at[0, :1]), (ordered.values.diff() > same).long().cumsum(0)])
    if not int(rank[-1]):
        return None
    codes = torch.empty_like(rank)
    codes[ordered.indices] = centred(rank, int(rank[-1]) + 1)
    return codes.to(torch.int16)


def uneven(
    values: torch.Tensor, codes: torch.Tensor, sharing: str, latent: torch.Tensor | None
) -> Grid | None:
    """Return the grid of known ranks, if the weights of a rank have one value in each row."""
    rows, rank = rows_of(values, sharing), rows_of(codes, sharing).long()
    least = int(rank.amin())
    low, high = _extremes(rows, rank - least, int(rank.amax()) - least + 1)
    if bool(((high - low) > _noise(rows, latent, sharing))[low <= high].any()):
        return None
    squares = (rank * rank).sum(1, keepdim=True).clamp_min(1)
    scale = (rows.double() * rank).sum(1, keepdim=True) / squares
    return _grid(rank, scale.to(rows.dtype), False, sharing, values.shape)


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
    levels.scatter_(1, ranks.flip(1), ordered.flip(1))  # of equal ones the first remains
    if bool((ordered - levels.gather(1, ranks) > noise).any()):
        return None  # a chain of neighbours, not one level
    return levels


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
