"""The levels of a quantised tensor, from its values alone: groups that share a scale, scales, codes.

The scale of a group is the greatest common divisor of its values, and codes are values over the scale. So
zero has code 0, and levels without a zero, such as ±s/2 and ±3s/2, have odd codes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

from sterling.errors import InputError

MOST_LEVELS = 256  # of one group, evenly spaced
GROUPS = (1024, 512, 256, 128, 64, 32, 16, 8)  # sizes of groups along the last axis that are tried
_OFFSET = 4  # least number of weights that share an offset
_NEAR = 0.02  # largest error of a multiple of a rough divisor, in steps
#: Values of one level may differ by this many units in the last place of the largest value. For half types it
#: is fewer: their last place is large, and their values are not sums of rounded numbers.
_ROUNDING, _ROUNDING_HALF = 8.0, 1.0
_HALF = 1 / 128  # relative rounding of a half type
_CLEAR = 4.0  # least step, in units of that rounding
_SEEN = 4096  # about the number of values of a row that show its divisor
_FEW = 3  # largest number of sizes that may be a coincidence
_KEYS = 1 << 12  # combinations of decisions
_UNKNOWN = (1 << 15) - 1  # the code of a combination that was not seen
_EQUAL = 16  # least number of weights that confirm uneven levels
NOT_IN_USE = (
    "no weight of a tensor has one of these codes now, so that its level is not known: read the values at a "
    "step at which each level is in use"
)


Reading = Callable[[], torch.Tensor]
Decisions = list[torch.Tensor]


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

    def relative(self, values: torch.Tensor) -> dict[int, float]:
        """Return the level of each code in use, in units of the largest level."""
        rows, now = rows_of(values.detach().double(), self.sharing), rows_of(self.codes, self.sharing)
        low = int(now.amin())
        levels = _units(_table(rows, now.long() - low, int(now.amax()) - low + 1))[1]
        return {code: float(levels[code - low]) for code in now.unique().tolist()}

    def dequantise(
        self, codes: torch.Tensor, values: torch.Tensor, known: Mapping[int, float] | None = None
    ) -> torch.Tensor:
        """Return the values of other codes, given the present values, and perhaps levels in another unit."""
        if self.even:
            zero = 0 if self.offset is None else self.offset
            return (self.scale * codes.to(self.scale.dtype) + zero).to(values.dtype)
        rows, now, asked = (rows_of(one, self.sharing) for one in (values.double(), self.codes, codes))
        low = int(torch.minimum(now.amin(), asked.amin()))
        count = int(torch.maximum(now.amax(), asked.amax())) - low + 1
        table = _table(rows, now.long() - low, count)
        # Levels that a row does not use follow from those of other rows.
        unit, levels = _units(table)
        if known is not None:
            levels = rows.new_tensor([known.get(low + index, torch.nan) for index in range(count)])
            unit = (table / levels).where(levels != 0, torch.nan).nanmean(1, keepdim=True)
        table = torch.where(table.isnan(), unit * levels, table)
        found = table.gather(1, asked.long() - low).to(values.dtype)
        if bool(found.isnan().any()):
            raise InputError(NOT_IN_USE)
        return shaped(found, self.sharing, values.shape)


def find_grid(values: torch.Tensor, latent: torch.Tensor | None = None) -> Grid | None:
    """Return the grid on which the values lie, or None if there is no such grid.

    Values computed as latent + (quantised − latent) carry the rounding error of the latents.
    """
    values = values.detach()
    if not values.numel() or not bool(values.isfinite().all()):
        return None
    found = (_even(values, sharing, latent) for sharing in ways(values))
    return next((grid for grid in found if grid is not None), None)


def follow(before: Grid, most: int, values: torch.Tensor, latent: torch.Tensor | None) -> Grid:
    """Return the grid of the present values, given the grid before and the largest code so far."""
    sharing = before.sharing
    if before.even:
        # The largest value is a whole number of steps, and steps change little from one step to the next.
        top = _largest(rows_of(values, sharing))
        old = rows_of(before.scale.expand(values.shape), sharing)[:, :1]
        scale = top / (top / torch.where(old > 0, old, top)).nan_to_num().round().clamp_min(1)
        rows = (rows_of(values, sharing) / torch.where(scale > 0, scale, 1)).round()
        codes = shaped(rows, sharing, values.shape).to(before.codes.dtype)
        found = linear(values, codes, sharing, latent) if int(rows.abs().amax()) <= most else None
        if found is not None:
            return found
    found = find_grid(values, latent)
    if found is None:  # values between levels, as while an optimiser anneals: take the nearest level
        codes = (values / torch.where(before.scale > 0, before.scale, 1)).round().clamp(-most, most)
        found = Grid(codes.to(before.codes.dtype), before.scale, False, sharing)
    return found


def _noise(rows: torch.Tensor, latent: torch.Tensor | None, sharing: str) -> torch.Tensor:
    """Return by how much values of one level may differ, for each row."""
    largest = _largest(rows)
    if latent is not None:
        largest = torch.maximum(largest, _largest(rows_of(latent.detach(), sharing)))
    half = rows.dtype in (torch.float16, torch.bfloat16)
    return (_ROUNDING_HALF if half else _ROUNDING) * torch.finfo(rows.dtype).eps * largest.double()


def _largest(rows: torch.Tensor) -> torch.Tensor:
    """Return the largest size in each row, without a copy of the rows."""
    return torch.maximum(rows.amax(1, keepdim=True), -rows.amin(1, keepdim=True))


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


def shaped(rows: torch.Tensor, sharing: str, shape: torch.Size) -> torch.Tensor:
    """Return the tensor of a shape from its rows; rows of one entry stay short unless they are groups."""
    if sharing.startswith("group"):
        return rows.expand(-1, int(sharing.rpartition(" ")[2])).reshape(shape)
    if rows.shape[1] == 1 and shape.numel() > len(rows):
        axis = {"channel": 0, "channel of axis 1": 1}.get(sharing)
        return rows.reshape([-1 if index == axis else 1 for index in range(len(shape))])
    if sharing == "channel of axis 1":
        return rows.reshape(shape[1], shape[0], *shape[2:]).transpose(0, 1)
    return rows.reshape(shape)


def _table(rows: torch.Tensor, at: torch.Tensor, count: int) -> torch.Tensor:
    """Return the value of each level in each row, NaN for one that the row does not use."""
    return rows.new_full((len(rows), count), torch.nan).scatter_(1, at, rows)


def _units(table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return a unit for each row, and the levels in this unit; the largest level is ±1.

    The largest value of a row need not be on the largest level, so rows are compared where both have a value.
    """
    sizes, zero = table.abs(), (table == 0).any(0)
    levels = table[sizes.nan_to_num().sign().sum(1).argmax()]
    unit = table.new_full((len(table), 1), torch.nan)
    while bool(levels.isnan().any()):
        before = int(levels.isnan().sum())
        unit = (table / levels).where(levels != 0, torch.nan).nanmean(1, keepdim=True)
        levels = (table / unit).nanmean(0).where(~zero, 0)
        if int(levels.isnan().sum()) == before:  # the other rows have other levels
            break
    top = levels.abs().nan_to_num().amax().clamp_min(1e-300)
    levels = levels / top
    unit = (table / levels).where(levels != 0, torch.nan).nanmean(1, keepdim=True)
    unit = unit.where(~unit.isnan(), sizes.nan_to_num().amax(1, keepdim=True))
    return unit, (table / unit).nanmean(0).where(~zero, 0)


def linear(
    values: torch.Tensor, codes: torch.Tensor, sharing: str, latent: torch.Tensor | None, offset: bool = False
) -> Grid | None:
    """Return the grid of known codes, if values are a multiple of the codes (and an offset) in each row.

    Codes may be floats of eight bits, whose product with the scale may be of a half type.
    """
    rows = rows_of(values, sharing)
    wide = rows.float() if rows.dtype in (torch.float16, torch.bfloat16) else rows
    whole = rows_of(codes, sharing).to(wide.dtype)
    noise, middle, mean = _noise(rows, latent, sharing), whole[:, :1], wide[:, :1]
    if offset:
        if wide.shape[1] < _OFFSET:
            return None
        middle, mean = (one.mean(1, keepdim=True) for one in (whole, wide))
        wide, whole = wide - mean, whole - middle
    squares = (whole * whole).sum(1, keepdim=True, dtype=torch.float64)
    step = (wide * whole).sum(1, keepdim=True, dtype=torch.float64) / squares.clamp_min(1e-12)
    floats = codes.is_floating_point()
    if bool((step.abs() <= noise / 8)[squares > 0].any()) and not floats:
        return None
    step = step.to(wide.dtype)
    off = (step * whole).sub_(wide)
    if floats:
        off = off.where(off.abs() > _HALF * wide.abs(), 0)
    if not bool((_largest(off) <= noise).all()):  # NaN is on no level
        return None
    scale, start = (shaped(one.to(rows.dtype), sharing, values.shape) for one in (step, mean - step * middle))
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
    level = _units(torch.where(used, low, torch.nan).double())[1]
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
    if bool(((high - low) > _noise(rows, latent, sharing))[low <= high].any()) or bool(low.isnan().any()):
        return None
    squares = (rank * rank).sum(1, keepdim=True).clamp_min(1)
    scale = ((rows.double() * rank).sum(1, keepdim=True) / squares).to(rows.dtype)
    return Grid(codes, shaped(scale, sharing, values.shape), False, sharing)


def joined(
    seen: torch.Tensor, first: Decisions, latent: torch.Tensor | None
) -> tuple[Callable[[Decisions], torch.Tensor | None], Grid] | None:
    """Return codes that are ranks of the levels, and their grid, if decisions together show the level."""
    ends = [(int(one.min()), int(one.max()) - int(one.min()) + 1) for one in first]
    size = math.prod(span for _, span in ends)
    if size > _KEYS:
        return None

    def keys(decided: Decisions) -> torch.Tensor:
        """Return one integer for the decisions about each weight, −1 for integers out of their spans."""
        key = outside = torch.zeros_like(decided[0], dtype=torch.long)
        for one, (low, span) in zip(decided, ends, strict=True):
            integer = one.long() - low
            key, outside = key * span + integer, outside | (integer < 0) | (integer >= span)
        return torch.where(outside > 0, -1, key)

    used, dense = keys(first).unique(return_inverse=True)
    for sharing in ways(seen):
        codes = ranked(seen, dense, len(used), sharing, latent)
        if codes is not None:
            break
    else:
        return None
    table = torch.full((size,), _UNKNOWN, dtype=torch.int16, device=seen.device)
    table[used] = codes

    def from_table(decided: Decisions) -> torch.Tensor | None:
        """Return the codes, None if some decisions were not seen before."""
        key = keys(decided)
        codes = table[key]
        return None if bool(((key < 0) | (codes == _UNKNOWN)).any()) else codes

    def in_order(decided: Decisions) -> torch.Tensor:
        """Return the codes of one decision in the order of the levels: also of levels not in use now."""
        return centred(decided[0].short() - ends[0][0], size)

    code = in_order if len(first) == 1 and bool((codes.diff() > 0).all()) else from_table
    found = code(first)
    grid = None if found is None else uneven(seen, found, sharing, latent)
    return None if grid is None else (code, grid)


def centred(rank: torch.Tensor, count: int) -> torch.Tensor:
    """Return the codes of ranks from 0 to count − 1."""
    return rank - (count - 1) // 2 if count % 2 else 2 * rank - (count - 1)


def _even(values: torch.Tensor, sharing: str, latent: torch.Tensor | None) -> Grid | None:
    rows = rows_of(values, sharing)
    noise = _noise(rows, latent, sharing)
    sizes = rows[:, :: max(1, rows.shape[1] // _SEEN)].double().abs()
    # The rows of most other weights show at once that they have no divisor.
    few = _divisor(sizes[:64], noise[:64])
    step = None if few is None else _divisor(sizes, noise)
    if step is None:
        return None
    codes = (rows.double() / torch.where(step > 0, step, 1)).round()
    if int(codes.abs().amax()) >= MOST_LEVELS:
        return None
    counts = codes.abs().int().flatten().bincount()[1:]
    used, possible = int((counts > 0).sum()), len(counts)
    if 0 < used <= _FEW and 2 * used <= possible:  # any two numbers have nearly a simple ratio
        return None
    small = torch.int8 if possible <= 127 else torch.int16
    return linear(values, shaped(codes, sharing, values.shape).to(small), sharing, latent)


def _divisor(sizes: torch.Tensor, noise: torch.Tensor) -> torch.Tensor | None:
    """Return the greatest common divisor of each row by Euclid's algorithm, 0 for a row of zeros."""
    rest = torch.where(sizes > noise, sizes, 0)
    for _ in range(64):
        if bool(((rest > 0) & (rest < _CLEAR * noise)).any()):
            return None  # no common divisor above the rounding
        least = torch.where(rest > 0, rest, torch.inf).amin(dim=1, keepdim=True)
        step = torch.where(least.isfinite(), least, 1)
        off = (rest - step * (rest / step).round()).abs()
        rest = torch.where(off > torch.maximum(_NEAR * step, noise), off, 0)
        least = torch.where(least.isfinite(), least, 0)
        if not bool(rest.any()):
            return least
        rest = torch.cat([rest, least], dim=1)
    return None
