"""Statistics of the codes of weights over the steps of training, in memory that does not grow with the run.

Nothing happens to a weight between two flips. So `CodeTracker` compares codes, and updates a weight only when
it flips; `Clock` holds the mass of the steps in between. The caller says when a step is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from sterling.errors import InputError
from sterling.torch.functions import top_code

#: Steps after which all weights are updated, so that the table of masses has a fixed length.
EPOCH = 1024
#: Averages with horizons up to this take 16 bits: one step moves them by many units of the last place.
SHORT = 1024.0
#: Number of bins of return and sojourn times: [1, 2), [2, 4), … steps.
BINS = 40
WORD = 8  # codes, of one byte each
_UNITS = 32767  # units of a 16-bit average from zero to the largest code
_FAINT = -700.0  # log of the mass of the first codes, so that averages are defined from the start
_PIECE = 1 << 18  # weights updated at a time
_FAR = 1 << 23  # steps back that three bytes hold exactly


class Clock:
    """Mass by parameter group and horizon: at step t, step s weighs η_s·exp(−(t − s)/h)."""

    def __init__(self, groups: int, horizons: Sequence[float]):
        self.decay = np.array([0.0 if math.isinf(h) else 1 / h for h in horizons])
        self.groups, self.step = groups, 0
        self.epoch = 0  # the step at which the table begins
        self._log = np.full((groups, EPOCH + 1, len(horizons)), _FAINT)  # log Σ η_s exp((s − epoch)/h)

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

    def forget(self) -> None:
        """Restart the averages over all steps."""
        self._log[:, 0, self.decay == 0] = _FAINT

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`."""
        log = torch.from_numpy(self._log[:, : self.step - self.epoch + 1].copy())
        return {"step": self.step, "epoch": self.epoch, "log": log}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of a clock with the same groups and horizons."""
        log, step, epoch = state["log"].numpy(), int(state["step"]), int(state["epoch"])
        if log.shape != self._log[:, : step - epoch + 1].shape:
            raise InputError("the saved monitor had other parameter groups or horizons")
        self.step, self.epoch = step, epoch
        self._log[:, : step - epoch + 1] = log


class Moments:
    """The step of the last flip of each weight, 0 if it never flipped, in three bytes.

    Steps are exact up to 2²³ steps back. An older one may be stored as 2²³ steps back.
    """

    def __init__(self, like: torch.Tensor):
        self._low = torch.zeros_like(like, dtype=torch.int16)
        self._high = torch.zeros_like(like, dtype=torch.uint8)
        self._origin = 0  # steps are stored relative to it

    def __getitem__(self, at: torch.Tensor | slice) -> torch.Tensor:
        kept = (self._high[at].int() << 16) | (self._low[at].int() & 0xFFFF)
        return torch.where(kept > 0, kept + self._origin, 0)

    def __setitem__(self, at: torch.Tensor, step: int) -> None:
        high, low = divmod(step - self._origin, 1 << 16)
        self._low[at] = low - (low >> 15 << 16)
        self._high[at] = high

    def take(self, moments: torch.Tensor, step: int) -> None:
        """Store the steps of the last flips of all weights, as they are at a step."""
        self._origin = max(0, step - _FAR - 1)
        kept = torch.where(moments > 0, (moments - self._origin).clamp_min(1), 0)
        low = kept & 0xFFFF
        self._low.copy_(low - (low >> 15 << 16))
        self._high.copy_(kept >> 16)

    def keep_up(self, step: int) -> None:
        """Make room for an epoch that begins at a step."""
        if step + EPOCH >= self._origin + 2 * _FAR:
            self.take(self[:], step)

    @property
    def bytes(self) -> int:
        """Bytes of all weights."""
        return self._low.nbytes + self._high.nbytes


class CodeTracker:
    """Statistics of the codes of several tensors, joined into flat arrays.

    Bytes per weight: 3 for three codes, 3 for the step of the last flip, 2 for the oscillation, 2 for each
    average up to a horizon of `SHORT` and 4 for others. With more than two levels the vote takes 3 more.
    """

    def __init__(
        self,
        codes: Sequence[torch.Tensor],  # the first codes of each tensor, int8, all on one device
        levels: Sequence[int],
        open_ended: Sequence[bool],  # whether codes may appear that are not among the first ones
        groups: Sequence[int],  # the parameter group of each tensor
        horizons: Sequence[float],  # of the averages, ascending
        within: int,  # k: a flip is undone if the weight is back after at most k steps
        vote: int,  # index of the horizon of the vote, for tensors of more than two levels
        momentum: float,  # m of the oscillation metric
    ):
        self.sizes = [one.numel() for one in codes]
        room = [-(-size // WORD) * WORD for size in self.sizes]  # each tensor begins on a word
        self.starts = [0, *np.cumsum(room).tolist()]
        self.horizons, self.within, self.vote, self.momentum = list(horizons), within, vote, momentum
        self.clock = Clock(max(groups) + 1, horizons)
        self.groups = list(groups)
        self._open = any(open_ended)
        device = codes[0].device
        many = [k > 2 or more for k, more in zip(levels, open_ended, strict=True)]
        ballots = [size if votes else 0 for size, votes in zip(self.sizes, many, strict=True)]
        self._many, self._ballot_starts = many, [0, *np.cumsum(ballots).tolist()]
        self._short = sum(h <= SHORT for h in horizons)
        self.now = torch.zeros(self.starts[-1], dtype=torch.int8, device=device)
        for index, one in enumerate(codes):
            self.now[self.part(index)] = one.reshape(-1)
        self.before = self.now.clone()
        self.marked = self.now.clone()
        self.moved_at = Moments(self.now)
        self.oscillation = torch.zeros_like(self.now, dtype=torch.float16)
        bounds = [127.0 if k > 3 or more else 1.0 for k, more in zip(levels, open_ended, strict=True)]
        self.bound = torch.tensor(bounds, device=device)
        grids = [grid_of(k, one) for one, k in zip(codes, levels, strict=True)]
        self.grid = torch.tensor(grids, dtype=torch.float32, device=device)  # least, largest, spacing
        self.elected = torch.zeros(self._ballot_starts[-1], dtype=torch.int8, device=device)
        self.lead = torch.zeros_like(self.elected, dtype=torch.float16)
        self.short = torch.zeros(len(self.now), self._short, dtype=torch.int16, device=device)
        self.long = torch.zeros(len(self.now), len(horizons) - self._short, device=device)
        for index in range(len(codes)):
            part = self.part(index)
            first = self.now[part].float()
            self.short[part] = (first / self.bound[index] * _UNITS).round().to(torch.int16)[:, None]
            self.long[part] = first[:, None]
            if many[index]:
                self.elected[self._ballots(index)] = self.now[part]
        tensors = len(codes)
        self.flips = torch.zeros(tensors, dtype=torch.int64, device=device)
        self.undone = torch.zeros_like(self.flips)
        self.by_scale = torch.zeros_like(self.flips)
        self.stays = torch.zeros(tensors, BINS, dtype=torch.int64, device=device)
        self.absences = torch.zeros_like(self.stays)
        self._group_of = torch.tensor(self.groups, device=device)
        self._ends = torch.tensor(self.starts[1:], device=device)
        shifts = [start - ballot for start, ballot in zip(self.starts, self._ballot_starts, strict=True)]
        self._ballot_shift = torch.tensor(shifts, device=device)
        self._votes = torch.tensor(many, device=device)

    def changed(self, index: int, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices of the codes of a tensor that have changed, and the new codes."""
        codes, known = codes.reshape(-1), self.now[self.part(index)]
        even = len(codes) // WORD * WORD
        # Words are compared instead of codes, because almost all codes stay.
        words = (codes[:even].view(torch.int64) != known[:even].view(torch.int64)).nonzero()
        indices = (words * WORD + torch.arange(WORD, device=codes.device)).reshape(-1)
        indices = torch.cat([indices, torch.arange(even, len(codes), device=codes.device)])
        new = codes[indices]
        real = new != known[indices]
        return indices[real], new[real]

    def take(
        self, rates: Sequence[float], changes: Iterable[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]
    ) -> None:
        """Take one step: for each tensor the changed indices, their codes, and which the scale changed."""
        self.clock.tick(rates)
        moved = [(where + start, *rest) for start, (where, *rest) in zip(self.starts, changes, strict=False)]
        where, new, scale = (torch.cat(one) for one in zip(*moved, strict=True))
        if len(where):
            shares = self._shares()
            for first in range(0, len(where), _PIECE):
                piece = slice(first, first + _PIECE)
                self._flip(where[piece], new[piece], scale[piece], shares)
        if self.clock.step - self.clock.epoch == EPOCH:  # its table is full
            self.settle()

    def _flip(
        self, at: torch.Tensor, new: torch.Tensor, by_scale: torch.Tensor, shares: torch.Tensor
    ) -> None:
        step = self.clock.step
        tensor = torch.bucketize(at, self._ends, right=True)
        old, before, since = self.now[at], self.before[at], self.moved_at[at]
        moved, stay = since > 0, step - since
        self.flips += self._count(tensor)
        self.undone += self._count(tensor[moved & (new == before) & (stay <= self.within)])
        self.by_scale += self._count(tensor[by_scale])
        self._learn(tensor, new)

        share = self._share_of(since, tensor, shares)
        average = self._update(at, old, tensor, share)
        usual = self.nearest(average, self.grid[tensor])
        length = stay.double().frexp().exponent.long() - 1  # the bin, exactly: float64 holds all times
        left, back = moved & (old == usual), moved & (new == usual) & (new == before)
        self.stays += self._count(tensor[left], length[left])
        self.absences += self._count(tensor[back], length[back])

        again = moved & (torch.sign(new.short() - old) == torch.sign(before.short() - old))
        kept = self.oscillation[at].float() * (1 - self.momentum) ** stay
        self.oscillation[at] = (kept + self.momentum * again).half()
        self.now[at], self.before[at] = new, old
        self.moved_at[at] = step

    def _update(
        self, at: torch.Tensor, code: torch.Tensor, tensor: torch.Tensor, share: torch.Tensor
    ) -> torch.Tensor:
        """Add the codes until now to the averages; return the average of the longest horizon."""
        held, short = code.float()[:, None], self._short
        average = held
        if short:
            unit = (self.bound[tensor] / _UNITS)[:, None]
            average = self.short[at] * unit
            average += share[:, :short] * (held - average)
            self.short[at] = (average / unit).round_().to(torch.int16)
        if short < len(self.horizons):
            average = self.long[at]
            average += share[:, short:] * (held - average)
            self.long[at] = average
        votes = self._votes[tensor]
        if len(self.elected) and bool(votes.any()):
            ballot = (at - self._ballot_shift[tensor])[votes]
            current, elected = code[votes], self.elected[ballot]
            weight = share[votes, self.vote]
            lead = self.lead[ballot].float() * (1 - weight) + torch.where(elected == current, weight, -weight)
            self.elected[ballot] = torch.where(lead < 0, current, elected)
            self.lead[ballot] = lead.abs_().half()
        return average[:, -1]

    def settle(self) -> None:
        """Update every weight, and begin a new epoch of the clock."""
        shares = self._shares()
        for index, size in enumerate(self.sizes):
            for first in range(0, size, _PIECE):
                start = self.starts[index]
                at = torch.arange(start + first, start + min(size, first + _PIECE), device=self.now.device)
                tensor = torch.full_like(at, index)
                self._update(at, self.now[at], tensor, self._share_of(self.moved_at[at], tensor, shares))
        self.clock.start_epoch()
        self.moved_at.keep_up(self.clock.step)

    def forget(self) -> None:
        """Restart the averages over all steps, from the present codes."""
        self.settle()
        self.clock.forget()
        for index, horizon in enumerate(self.horizons[self._short :]):
            if math.isinf(horizon):
                self.long[:, index] = self.now.float()

    def mark(self) -> list[int]:
        """Return how many weights of each tensor have another code than at the last mark; set a new mark."""
        parts = [self.part(index) for index in range(len(self.sizes))]
        changed = [int((self.now[part] != self.marked[part]).sum()) for part in parts]
        self.marked.copy_(self.now)
        return changed

    def part(self, index: int) -> slice:
        """Return the slice of the weights of a tensor."""
        return slice(self.starts[index], self.starts[index] + self.sizes[index])

    def average(self, index: int, horizon: int) -> torch.Tensor:
        """Return the time averages of the codes of a tensor up to now; the horizon is an index."""
        part, short = self.part(index), self._short
        if horizon < short:
            kept = self.short[part, horizon] * (self.bound[index] / _UNITS)
        else:
            kept = self.long[part, horizon - short]
        share = self._share_of(self.moved_at[part], index, self._shares())
        return kept + share[:, horizon] * (self.now[part].float() - kept)

    def commonest(self, index: int) -> torch.Tensor:
        """Return the codes that win the vote; with two levels, the code with more of the mass."""
        if not self._many[index]:
            return self.nearest(self.average(index, self.vote), self.grid[index])
        part, ballots = self.part(index), self._ballots(index)
        weight = self._share_of(self.moved_at[part], index, self._shares())[:, self.vote]
        now, elected = self.now[part], self.elected[ballots]
        lead = self.lead[ballots].float() * (1 - weight) + torch.where(elected == now, weight, -weight)
        return torch.where(lead < 0, now, elected)

    def oscillations(self, index: int) -> torch.Tensor:
        """Return the present oscillation metric f of the weights of a tensor."""
        part = self.part(index)
        return self.oscillation[part].float() * (1 - self.momentum) ** (self.clock.step - self.moved_at[part])

    def margin(self, index: int, horizon: int) -> torch.Tensor:
        """Return 1 for an average on a level, 0 for one half-way between two."""
        average, grid = self.average(index, horizon), self.grid[index]
        return 1 - 2 * (average - self.nearest(average, grid).float()).abs() / grid[2]

    @staticmethod
    def nearest(average: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
        """Return the code nearest to an average; half-way between two codes, the upper one."""
        least, largest, spacing = grid.unbind(-1)
        rank = torch.floor((average - least) / spacing + 0.5)
        return torch.minimum(torch.maximum(least + spacing * rank, least), largest).to(torch.int8)

    @property
    def bytes(self) -> int:
        """Bytes of everything that is kept for each weight."""
        return self.moved_at.bytes + sum(getattr(self, name).nbytes for name in _ARRAYS)

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`: tensors and numbers."""
        kept = {name: getattr(self, name).clone() for name in _COUNTS + _ARRAYS}
        return {"clock": self.clock.state(), "moved_at": self.moved_at[:], **kept}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state with the same weights, levels and horizons."""
        for name in _ARRAYS + _COUNTS:
            kept = getattr(self, name)
            if state[name].shape != kept.shape:
                raise InputError(
                    f"the saved `{name}` has another shape: resume with the same model and horizons"
                )
            kept.copy_(state[name])
        self.clock.restore(state["clock"])
        self.moved_at.take(state["moved_at"].to(self.now.device), self.clock.step)

    def _ballots(self, index: int) -> slice:
        return slice(self._ballot_starts[index], self._ballot_starts[index + 1])

    def _shares(self) -> torch.Tensor:
        return torch.from_numpy(self.clock.shares()).to(self.now.device, torch.float32)

    def _share_of(
        self, since: torch.Tensor, tensor: torch.Tensor | int, shares: torch.Tensor
    ) -> torch.Tensor:
        return shares[self._group_of[tensor], (since - self.clock.epoch).clamp_min(0)]

    def _learn(self, tensor: torch.Tensor, new: torch.Tensor) -> None:
        """Widen the grid of tensors that show new codes."""
        if not self._open:
            return
        code = new.float()
        self.grid[:, 0].scatter_reduce_(0, tensor, code, "amin")
        self.grid[:, 1].scatter_reduce_(0, tensor, code, "amax")
        between = (code - self.grid[tensor, 0]) % self.grid[tensor, 2] != 0
        self.grid[tensor[between], 2] = 1.0

    def _count(self, tensor: torch.Tensor, length: torch.Tensor | None = None) -> torch.Tensor:
        """Return the number of entries of each tensor, or of each tensor and length."""
        if length is None:
            return torch.bincount(tensor, minlength=len(self.sizes))
        return torch.bincount(tensor * BINS + length, minlength=len(self.sizes) * BINS).view(-1, BINS)


_ARRAYS = ("now", "before", "marked", "oscillation", "short", "long", "elected", "lead")
_COUNTS = ("flips", "undone", "by_scale", "stays", "absences", "grid")


def grid_of(levels: int, codes: torch.Tensor | None = None) -> tuple[int, int, int]:
    """Return least code, largest code and spacing of centred levels, or of the codes that are seen."""
    seen = set() if codes is None else set(codes.unique().tolist())
    top, spacing = top_code(levels), 1 if levels % 2 else 2
    if seen <= set(range(-top, top + 1, spacing)):
        return -top, top, spacing
    return min(seen), max(seen), 1


def median(bins: list[int]) -> int | None:
    """Return the median of binned times, to a factor of two: the start of its bin."""
    total, seen = sum(bins), 0
    for index, count in enumerate(bins):
        seen += count
        if 2 * seen >= total > 0:
            return 1 << index
    return None
