"""Statistics of the codes of weights over the steps of training, in memory that does not grow with the run.

Nothing happens to a weight between two flips. So `CodeTracker` compares codes, and updates a weight only when
it flips; `Clock` holds the mass of the steps in between. The caller says when a step is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from sterling.base.checks import real, shown
from sterling.errors import InputError
from sterling.torch.functions import top_code

#: Default horizons of averages, in steps; infinity is the average over all steps since the start.
HORIZONS = (16.0, 64.0, 256.0, 1024.0, math.inf)
_SETTLED = 16  # the default horizon is the one nearest to the steps so far divided by this
_VOTE = 64.0  # the majority vote has the horizon nearest to this
_LEAN = 2  # most horizons of a lean tracker
#: Steps after which all weights are updated, so that the table of masses has a fixed length; in a lean
#: tracker fewer, because one byte holds the step of the last flip.
EPOCH, LEAN_EPOCH = 1024, 120
GROUPS = 32  # parts of a sample, whose counts say how far to trust it
KINDS = ("flips", "undone", "moved")  # counts of each tensor, by part of the sample
MOMENTUM = 0.01  # of the oscillation metric of Nagel et al.
WORD = 8  # bytes
_BACK = 128  # steps that one byte tells apart, before an epoch
_FAINT = -700.0  # log of the mass of the first codes, so that averages are defined from the start
_PIECE = 1 << 18  # weights updated at a time
#: Longest horizon of averages of 12 bits: one step must move them by about a unit of the last place.
SHORT = 1024.0
_MOST = (1 << 11) - 1  # units of a lean average from zero to the largest code


class Clock:
    """Mass by parameter group and horizon: at step t, step s weighs η_s·exp(−(t − s)/h)."""

    def __init__(self, groups: int, horizons: Sequence[float], epoch: int):
        self.decay = np.array([0.0 if math.isinf(h) else 1 / h for h in horizons])
        self.groups, self.step, self.length = groups, 0, epoch
        self.epoch = 0  # the step at which the table begins
        self._log = np.full((groups, epoch + 1, len(horizons)), _FAINT)  # log Σ η_s exp((s − epoch)/h)

    def tick(self, rates: Sequence[float]) -> None:
        """Take one step with the rate of each group; a rate that is not finite weighs nothing."""
        self.step += 1
        at = self.step - self.epoch
        mass = np.nan_to_num(np.abs(np.asarray(rates, np.float64)), posinf=0.0)
        with np.errstate(divide="ignore"):
            new = np.log(mass)[:, None] + at * self.decay
        self._log[:, at] = np.logaddexp(self._log[:, at - 1], new)

    def shares(self) -> np.ndarray:
        """Return the share of the mass since each step of the epoch: (groups, steps + 1, horizons)."""
        log = self._log[:, : self.step - self.epoch + 1]
        return -np.expm1(log - log[:, -1:])

    def start_epoch(self) -> None:
        """Begin a new table; all weights must be up to date."""
        at = self.step - self.epoch
        self._log[:, 0] = self._log[:, at] - at * self.decay
        self.epoch = self.step

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`."""
        log = torch.from_numpy(self._log[:, : self.step - self.epoch + 1].copy())
        return {"step": self.step, "epoch": self.epoch, "log": log}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of a clock with the same groups and horizons."""
        log, step, epoch = state["log"].cpu().numpy(), int(state["step"]), int(state["epoch"])
        if log.shape != self._log[:, : step - epoch + 1].shape:
            raise InputError("the saved monitor had other parameter groups")
        self.step, self.epoch = step, epoch
        self._log[:, : step - epoch + 1] = log


class CodeTracker(nn.Module):
    """Statistics of the codes of several tensors, joined into flat buffers.

    Bytes per weight: 2 for two codes, 4 for the step of the last flip, 2 for the oscillation, 4 for each
    average, and 3 for the vote if a tensor has more than two levels. A tracker of two short horizons is lean:
    2 for two codes, 1 for the step of the last flip, 3 for two averages, and neither oscillation nor vote. If
    codes lie beyond ±127, each takes two bytes.

    Lean averages have 12 bits. They are rounded up or down, by a fixed sequence for each weight that makes
    the mean error zero. Codes themselves have no error.
    """

    __getattr__: Any  # of buffers

    def __init__(
        self,
        codes: Sequence[torch.Tensor],  # the first codes of each tensor, int8 or int16, all on one device
        levels: Sequence[int],
        groups: Sequence[int],  # the parameter group of each tensor
        horizons: Sequence[float],  # of the averages, ascending
        within: int,  # k: a flip is undone if the weight is back after at most k steps
    ):
        super().__init__()
        self.sizes = [one.numel() for one in codes]
        room = [-(-size // WORD) * WORD for size in self.sizes]  # each tensor begins on a word
        self.starts = [0, *np.cumsum(room).tolist()]
        self.within, self.vote = within, horizons.index(nearest(horizons, _VOTE))
        self.lean = lean = len(horizons) <= _LEAN and horizons[-1] <= SHORT and within < _BACK
        self.clock = Clock(max(groups) + 1, horizons, LEAN_EPOCH if lean else EPOCH)
        self._origin = 0
        device = codes[0].device
        kind = torch.int16 if any(one.dtype != torch.int8 for one in codes) else torch.int8
        now = torch.zeros(self.starts[-1], dtype=kind, device=device)
        for index, one in enumerate(codes):
            now[self.part(index)] = one.reshape(-1)
        kept, votes = now[:0] if lean else now, not lean and max(levels) > 2
        grids = [grid_of(k, one) for one, k in zip(codes, levels, strict=True)]
        grid = torch.tensor(grids, dtype=torch.float32, device=device)  # least, largest, spacing
        buffers = {
            "now": now,
            "before": now.clone(),
            "moved_at": torch.zeros_like(now, dtype=torch.uint8 if lean else torch.int32),  # 0: never
            "oscillation": torch.zeros_like(kept, dtype=torch.float16),
            "elected": now.clone() if votes else now[:0].clone(),
            "lead": torch.zeros_like(now if votes else now[:0], dtype=torch.float16),
            "averages": torch.zeros(
                (len(now), 3 if lean else len(horizons)),
                dtype=torch.uint8 if lean else torch.float32,
                device=device,
            ),
            "grid": grid,
            "top": grid[:, :2].abs().amax(dim=1),  # lean averages lie within ±top
            "counts": torch.zeros(len(codes), len(KINDS), GROUPS, dtype=torch.int64, device=device),
        }
        for name, one in buffers.items():
            self.register_buffer(name, one)
        self.register_buffer("_group_of", torch.tensor(groups, device=device), persistent=False)
        self.register_buffer("_ends", torch.tensor(self.starts[1:], device=device), persistent=False)
        for index in range(len(codes)):
            for at in self._pieces(index):
                held = now[at].float()[:, None].expand(-1, len(horizons))
                self._write(at, held, index)

    def changed(self, index: int, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices of the codes of a tensor that have changed, and the new codes."""
        if codes.dtype != self.now.dtype:
            self.widen()
        codes, known = codes.reshape(-1).to(self.now.dtype).contiguous(), self.now[self.part(index)]
        word = WORD // codes.element_size()
        if codes.storage_offset() % word:  # a view of the user's that begins inside a word
            codes = codes.clone()
        even = len(codes) // word * word
        # Words are compared instead of codes, because almost all codes stay.
        words = (codes[:even].view(torch.int64) != known[:even].view(torch.int64)).nonzero()
        indices = (words * word + torch.arange(word, device=codes.device)).reshape(-1)
        indices = torch.cat([indices, torch.arange(even, len(codes), device=codes.device)])
        new = codes[indices]
        real = new != known[indices]
        return indices[real], new[real]

    def widen(self) -> None:
        """Hold codes beyond ±127."""
        for name in ("now", "before", "elected"):
            setattr(self, name, getattr(self, name).to(torch.int16))

    def take(self, rates: Sequence[float], changes: Iterable[tuple[torch.Tensor, torch.Tensor]] = ()) -> None:
        """Take one step: for each tensor the changed indices, and their codes."""
        moved = [(where + start, new) for start, (where, new) in zip(self.starts, changes, strict=False)]
        self.clock.tick(rates)  # after the changes are read, which may fail
        if moved:
            where, new = (torch.cat(one) for one in zip(*moved, strict=True))
            if len(where):
                shares = self._shares()
                for at, codes in zip(where.split(_PIECE), new.split(_PIECE), strict=True):
                    self._flip(at, codes, shares)
        if self.clock.step - self.clock.epoch == self.clock.length:  # its table is full
            self.settle()

    def _flip(self, at: torch.Tensor, new: torch.Tensor, shares: torch.Tensor) -> None:
        step, tensor = self.clock.step, torch.bucketize(at, self._ends, right=True)
        old, before, since = self.now[at], self.before[at], self._since(at)
        moved, stay = since > 0, step - since
        undone = moved & (new == before) & (stay <= self.within)
        self._learn(tensor, new)
        self._update(at, tensor, shares)

        column = tensor * len(KINDS) * GROUPS + at % GROUPS
        found = torch.cat([column, column[undone] + GROUPS, column[~moved] + 2 * GROUPS])
        counts = self.counts.view(-1)
        counts += found.bincount(minlength=len(counts))
        if not self.lean:
            again = moved & (torch.sign(new.int() - old) == torch.sign(before.int() - old))
            kept = self.oscillation[at].float() * (1 - MOMENTUM) ** stay
            self.oscillation[at] = (kept + MOMENTUM * again).half()
        self.now[at], self.before[at] = new, old
        self.moved_at[at] = step - self._origin

    def _since(self, at: Any) -> torch.Tensor:
        """Return the step of the last flip, 0 if there was none; a lean one is at most `_BACK` steps old."""
        kept = self.moved_at[at].int()
        return torch.where(kept > 0, kept + self._origin, 0)

    def _share(self, at: Any, tensor: Any, shares: torch.Tensor) -> torch.Tensor:
        """Return the share of the mass since the codes of some weights were last added to the averages."""
        return shares[self._group_of[tensor], (self._since(at) - self.clock.epoch).clamp_min(0)]

    def _shares(self) -> torch.Tensor:
        return torch.from_numpy(self.clock.shares()).to(self.now.device, torch.float32)

    def units(self, tensor: Any) -> torch.Tensor:
        """Return the units of a code in a lean average."""
        units = _MOST / self.top[tensor].clamp_min(1)
        return torch.where(units >= 1, units.floor(), units).reshape(-1, 1)

    def _read(self, at: Any, tensor: Any) -> torch.Tensor:
        if not self.lean:
            return self.averages[at]
        first, both, last = self.averages[at].int().unbind(1)
        units = torch.stack([first << 4 | both >> 4, (both & 15) << 8 | last], dim=1)
        return (units[:, : len(self.clock.decay)] - _MOST) / self.units(tensor)

    def _write(self, at: torch.Tensor, average: torch.Tensor, tensor: Any) -> None:
        if not self.lean:
            self.averages[at] = average
            return
        dither = ((at * 0x9E3779B1 + self.clock.step * 0x85EBCA6B) >> 8 & 0xFFFF)[:, None] / 65536
        exact = average * self.units(tensor)
        near = exact.round()  # whole units stay, in spite of the rounding of the product
        unit = torch.where((exact - near).abs() < 1e-3, near, (exact + dither).floor())
        unit = unit.clamp(-_MOST, _MOST).int() + _MOST
        one, two = unit[:, 0], unit[:, -1]
        self.averages[at] = torch.stack([one >> 4, (one & 15) << 4 | two >> 8, two & 255], dim=1).byte()

    def _averaged(self, at: Any, tensor: Any, share: torch.Tensor) -> torch.Tensor:
        average = self._read(at, tensor)
        return average + share * (self.now[at].float()[:, None] - average)

    def _voted(self, at: Any, share: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        weight, now, elected = share[:, self.vote], self.now[at], self.elected[at]
        lead = self.lead[at].float() * (1 - weight) + torch.where(elected == now, weight, -weight)
        return torch.where(lead < 0, now, elected), lead.abs().half()

    def _update(self, at: torch.Tensor, tensor: torch.Tensor, shares: torch.Tensor) -> None:
        """Add the codes until now to the averages and the vote."""
        share = self._share(at, tensor, shares)
        self._write(at, self._averaged(at, tensor, share), tensor)
        if len(self.elected):
            self.elected[at], self.lead[at] = self._voted(at, share)

    def _pieces(self, index: int) -> Iterator[torch.Tensor]:
        """Yield the indices of the weights of a tensor, some at a time."""
        start, end = self.starts[index], self.starts[index] + self.sizes[index]
        for first in range(start, end, _PIECE):
            yield torch.arange(first, min(end, first + _PIECE), device=self.now.device)

    def settle(self) -> None:
        """Update every weight, and begin a new epoch of the clock."""
        shares = self._shares()
        for index in range(len(self.sizes)):
            for at in self._pieces(index):
                self._update(at, torch.full_like(at, index), shares)
        self.clock.start_epoch()
        if self.lean:
            since, self._origin = self._since(slice(None)), max(0, self.clock.step - _BACK - 1)
            self.moved_at.copy_(torch.where(since > 0, (since - self._origin).clamp_min(1), 0))

    def part(self, index: int) -> slice:
        """Return the slice of the weights of a tensor."""
        return slice(self.starts[index], self.starts[index] + self.sizes[index])

    def average(self, index: int, horizon: int) -> torch.Tensor:
        """Return the time averages of the codes of a tensor up to now; the horizon is an index."""
        part = self.part(index)
        return self._averaged(part, index, self._share(part, index, self._shares()))[:, horizon]

    def commonest(self, index: int) -> torch.Tensor:
        """Return the codes that win the vote; without a vote, the codes nearest to the average.

        With two levels these are the same, and also for a weight that visits two neighbouring levels.
        """
        part = self.part(index)
        if len(self.elected):
            return self._voted(part, self._share(part, index, self._shares()))[0]
        return self.nearest(self.average(index, self.vote), self.grid[index])

    def oscillations(self, index: int) -> torch.Tensor:
        """Return the present oscillation metric f of the weights of a tensor.

        A lean tracker takes the inverse of the steps since the last flip, as if the next one came now.
        """
        part = self.part(index)
        since = self._since(part)
        age = self.clock.step - since
        if self.lean:
            return torch.where(since > 0, 1 / (age + 1), 0)
        return self.oscillation[part].float() * (1 - MOMENTUM) ** age

    def margin(self, index: int, horizon: int) -> torch.Tensor:
        """Return 1 for an average on a level, 0 for one half-way between two."""
        average, grid = self.average(index, horizon), self.grid[index]
        return 1 - 2 * (average - self.nearest(average, grid).float()).abs() / grid[2]

    @staticmethod
    def nearest(average: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """Return the code nearest to an average; half-way between two codes, the upper one."""
        least, largest, spacing = grid.unbind(-1)
        rank = torch.floor((average - least) / spacing + 0.5)
        return torch.minimum(torch.maximum(least + spacing * rank, least), largest).to(torch.int16)

    @property
    def bytes(self) -> int:
        """Bytes of everything that is kept for each weight."""
        return sum(one.nbytes for one in self.buffers() if len(one) == len(self.now))

    def get_extra_state(self) -> dict[str, Any]:
        """Return the part of `state_dict` that is not in buffers."""
        return {"clock": self.clock.state(), "origin": self._origin}

    def set_extra_state(self, state: Mapping[str, Any]) -> None:
        """Continue from the part of a `state_dict` that is not in buffers."""
        self.clock.restore(state["clock"])
        self._origin = int(state["origin"])

    def _learn(self, tensor: torch.Tensor, new: torch.Tensor) -> None:
        """Widen the grid of tensors that show new codes, and the range of their lean averages."""
        code = new.float()
        self.grid[:, 0].scatter_reduce_(0, tensor, code, "amin")
        self.grid[:, 1].scatter_reduce_(0, tensor, code, "amax")
        between = (code - self.grid[tensor, 0]) % self.grid[tensor, 2] != 0
        self.grid[tensor[between], 2] = 1.0
        wanted = self.grid[:, :2].abs().amax(dim=1)
        for index in (wanted > self.top).nonzero().flatten().tolist():
            kept = [(at, self._read(at, index)) for at in self._pieces(index)] if self.lean else ()
            self.top[index] = 2 * wanted[index]
            for at, average in kept:
                self._write(at, average, index)


def grid_of(levels: int, codes: torch.Tensor | None = None) -> tuple[int, int, int]:
    """Return least code, largest code and spacing of centred levels, or of the codes that are seen."""
    seen = set() if codes is None else set(codes.unique().tolist())
    top, spacing = top_code(levels), 1 if levels % 2 else 2
    if seen <= set(range(-top, top + 1, spacing)):
        return -top, top, spacing
    return min(seen), max(seen), 2 if all(code % 2 for code in seen) else 1


def checked_horizons(horizons: Any) -> tuple[float, ...]:
    """Return horizons in ascending order."""
    given = list(horizons) if isinstance(horizons, Iterable) else []
    values = {h if h == math.inf else real(h, "a horizon", least=1) for h in given}
    if not values or len(values) != len(given):
        raise InputError(f"horizons is {shown(horizons)}; give at least one number of steps, each once")
    return tuple(sorted(values))


def settled(horizons: Sequence[float], steps: int) -> float:
    """Return the default horizon, a finite one if there is any."""
    return nearest([one for one in horizons if one < math.inf] or horizons, max(1.0, steps / _SETTLED))


def nearest(horizons: Sequence[float], wanted: float) -> float:
    """Return the horizon nearest to a number of steps, by ratio."""
    return min(horizons, key=lambda one: abs(math.log(one / wanted)))
