"""Statistics of the codes of weights over the steps of training, in memory that does not grow with the run.

Nothing happens to a weight between two flips. So `CodeTracker` compares codes, and updates a weight only when
it flips; `Clock` holds the mass of the steps in between. The caller says when a step is taken.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from sterling.errors import InputError
from sterling.torch.functions import top_code
from sterling.torch.packed import Averages, Moments

#: Steps after which all weights are updated, so that the table of masses has a fixed length; without details
#: fewer, because one byte holds the step of the last flip.
EPOCH, LEAN_EPOCH = 1024, 120
GROUPS = 32  # parts of a sample, whose counts say how far to trust it
WORD = 8  # bytes
#: Tables of counts: a row for each tensor, and the number of columns.
COUNTS = dict.fromkeys(("flips", "undone", "moved"), GROUPS)
_ENDS = np.cumsum([0, *COUNTS.values()]).tolist()
#: Columns of `CodeTracker.totals`: of these tables, of the summed oscillation metric, and of the codes read.
COLUMNS = {name: slice(*ends) for name, ends in zip(COUNTS, pairwise(_ENDS), strict=True)}
OSCILLATION, READ = _ENDS[-1], _ENDS[-1] + 1
_FAINT = -700.0  # log of the mass of the first codes, so that averages are defined from the start
_PIECE = 1 << 18  # weights updated at a time


class Clock:
    """Mass by parameter group and horizon: at step t, step s weighs η_s·exp(−(t − s)/h)."""

    def __init__(self, groups: int, horizons: Sequence[float], epoch: int):
        self.decay = np.array([0.0 if math.isinf(h) else 1 / h for h in horizons])
        self.groups, self.step = groups, 0
        self.epoch = 0  # the step at which the table begins
        self.length = epoch
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

    def forget(self) -> None:
        """Restart the averages over all steps."""
        self._log[:, 0, self.decay == 0] = _FAINT

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`."""
        log = torch.from_numpy(self._log[:, : self.step - self.epoch + 1].copy())
        return {"step": self.step, "epoch": self.epoch, "log": log}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of a clock with the same groups and horizons."""
        log, step, epoch = state["log"].cpu().numpy(), int(state["step"]), int(state["epoch"])
        if log.shape != self._log[:, : step - epoch + 1].shape:
            raise InputError("the saved monitor had other parameter groups or horizons")
        self.step, self.epoch = step, epoch
        self._log[:, : step - epoch + 1] = log


class CodeTracker:
    """Statistics of the codes of several tensors, joined into flat arrays.

    Bytes per weight: 3 for three codes, 3 for the step of the last flip, 2 for the oscillation, 2 for each
    average up to a horizon of `SHORT` and 4 for others. With more than two levels the vote takes 3 more.
    Without details: 2 for two codes, 1 for the step of the last flip, 3 for each two averages. If codes lie
    beyond ±127, each takes two bytes.
    """

    def __init__(
        self,
        codes: Sequence[torch.Tensor],  # the first codes of each tensor, int8 or int16, all on one device
        levels: Sequence[int],
        open_ended: Sequence[bool],  # whether codes may appear that are not among the first ones
        groups: Sequence[int],  # the parameter group of each tensor
        horizons: Sequence[float],  # of the averages, ascending
        within: int,  # k: a flip is undone if the weight is back after at most k steps
        vote: int,  # index of the horizon of the vote, for tensors of more than two levels
        momentum: float,  # m of the oscillation metric
        details: bool = True,  # whether to keep the oscillation, the vote and the codes of k steps ago
    ):
        self.sizes = [one.numel() for one in codes]
        room = [-(-size // WORD) * WORD for size in self.sizes]  # each tensor begins on a word
        self.starts = [0, *np.cumsum(room).tolist()]
        self.horizons, self.within, self.vote, self.momentum = list(horizons), within, vote, momentum
        self.clock = Clock(max(groups) + 1, horizons, EPOCH if details else LEAN_EPOCH)
        self.groups, self.details = list(groups), details
        self._open = any(open_ended)
        device, tensors = codes[0].device, len(codes)
        many = [details and (k > 2 or more) for k, more in zip(levels, open_ended, strict=True)]
        ballots = [size if votes else 0 for size, votes in zip(self.sizes, many, strict=True)]
        self._many, self._ballot_starts = many, [0, *np.cumsum(ballots).tolist()]
        wide = any(one.dtype != torch.int8 for one in codes)
        kind = torch.int16 if wide else torch.int8
        self.now = torch.zeros(self.starts[-1], dtype=kind, device=device)
        for index, one in enumerate(codes):
            self.now[self.part(index)] = one.reshape(-1)
        self.before, kept = self.now.clone(), self.now[:] if details else self.now[:0]
        self.marked = kept.clone()
        self.oscillation = torch.zeros_like(kept, dtype=torch.float16)
        self.moved_at = Moments(self.now, 3 if details else 1, self.clock.length)
        grids = [grid_of(k, one) for one, k in zip(codes, levels, strict=True)]
        self.grid = torch.tensor(grids, dtype=torch.float32, device=device)  # least, largest, spacing
        self.top = self.grid[:, :2].abs().amax(dim=1)  # averages lie within ±top
        self.elected = torch.zeros(self._ballot_starts[-1], dtype=kind, device=device)
        self.lead = torch.zeros_like(self.elected, dtype=torch.float16)
        self.averages = Averages(horizons, self.now, not details)
        self.counts = {
            name: torch.zeros(tensors, columns, dtype=torch.int64, device=device)
            for name, columns in COUNTS.items()
        }
        self.swings = torch.zeros(tensors, dtype=torch.float64, device=device)  # Σ f over a tensor's weights
        self._swung = 0  # the step of these sums
        self._group_of = torch.tensor(self.groups, device=device)
        self._ends = torch.tensor(self.starts[1:], device=device)
        shifts = [start - ballot for start, ballot in zip(self.starts, self._ballot_starts, strict=True)]
        self._ballot_shift = torch.tensor(shifts, device=device)
        self._votes = torch.tensor(many, device=device)
        for index in range(tensors):
            for at in self._pieces(index):
                held = self.now[at].float()[:, None].expand(-1, len(horizons))
                self.averages.write(at, held, self.top[index], 0)
            if many[index]:
                self.elected[self._ballots(index)] = self.now[self.part(index)]

    def changed(self, index: int, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the indices of the codes of a tensor that have changed, and the new codes."""
        if codes.dtype != self.now.dtype:
            self._widen()
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

    def _widen(self) -> None:
        """Hold codes beyond ±127."""
        for name in ("now", "before", "marked", "elected"):
            setattr(self, name, getattr(self, name).to(torch.int16))

    def take(
        self,
        rates: Sequence[float],
        changes: Iterable[tuple[torch.Tensor, torch.Tensor]] = (),
    ) -> None:
        """Take one step: for each tensor the changed indices, and their codes."""
        moved = [(where + start, new) for start, (where, new) in zip(self.starts, changes, strict=False)]
        self.clock.tick(rates)  # after the changes are read, which may fail
        if moved:
            where, new = (torch.cat(one) for one in zip(*moved, strict=True))
            shares = self._shares() if len(where) else None
            for first in range(0, len(where), _PIECE):
                piece = slice(first, first + _PIECE)
                self._flip(where[piece], new[piece], shares)
        if self.clock.step - self.clock.epoch == self.clock.length:  # its table is full
            self.settle()

    def _flip(self, at: torch.Tensor, new: torch.Tensor, shares: Any) -> None:
        step = self.clock.step
        tensor = torch.bucketize(at, self._ends, right=True)
        old, before, since = self.now[at], self.before[at], self.moved_at[at]
        moved, stay = since > 0, step - since
        undone = moved & (new == before) & (stay <= self.within)
        self._learn(tensor, new)
        self._update(at, old, tensor, self._share_of(since, tensor, shares))

        group = at % GROUPS
        self._count("flips", tensor, group)
        self._count("undone", tensor[undone], group[undone])
        self._count("moved", tensor[~moved], group[~moved])

        again = moved & (torch.sign(new.int() - old) == torch.sign(before.int() - old))
        self.swings *= (1 - self.momentum) ** (step - self._swung)
        self.swings += torch.bincount(tensor[again], minlength=len(self.sizes)).double() * self.momentum
        self._swung = step
        if self.details:
            kept = self.oscillation[at].float() * (1 - self.momentum) ** stay
            self.oscillation[at] = (kept + self.momentum * again).half()
        self.now[at], self.before[at] = new, old
        self.moved_at[at] = step

    def _update(
        self, at: torch.Tensor, code: torch.Tensor, tensor: torch.Tensor, share: torch.Tensor
    ) -> None:
        """Add the codes until now to the averages."""
        average = self.averages.read(at, self.top[tensor])
        average += share * (code.float()[:, None] - average)
        self.averages.write(at, average, self.top[tensor], self.clock.step)
        votes = self._votes[tensor]
        if len(self.elected) and bool(votes.any()):
            ballot = (at - self._ballot_shift[tensor])[votes]
            current, elected = code[votes], self.elected[ballot]
            weight = share[votes, self.vote]
            lead = self.lead[ballot].float() * (1 - weight) + torch.where(elected == current, weight, -weight)
            self.elected[ballot] = torch.where(lead < 0, current, elected)
            self.lead[ballot] = lead.abs_().half()

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
                tensor = torch.full_like(at, index)
                self._update(at, self.now[at], tensor, self._share_of(self.moved_at[at], tensor, shares))
        self.clock.start_epoch()
        self.moved_at.keep_up(self.clock.step)

    def forget(self) -> None:
        """Restart the averages over all steps, from the present codes."""
        self.settle()
        self.clock.forget()
        endless = torch.tensor([math.isinf(one) for one in self.horizons], device=self.now.device)
        for index in range(len(self.sizes)):
            for at in self._pieces(index):
                average = self.averages.read(at, self.top[index])
                average = torch.where(endless, self.now[at].float()[:, None], average)
                self.averages.write(at, average, self.top[index], self.clock.step)

    def mark(self) -> list[int] | list[None]:
        """Return how many weights of each tensor have another code than at the last mark; set a new mark."""
        if not self.details:
            return [None] * len(self.sizes)
        parts = [self.part(index) for index in range(len(self.sizes))]
        changed = [int((self.now[part] != self.marked[part]).sum()) for part in parts]
        self.marked.copy_(self.now)
        return changed

    def part(self, index: int) -> slice:
        """Return the slice of the weights of a tensor."""
        return slice(self.starts[index], self.starts[index] + self.sizes[index])

    def average(self, index: int, horizon: int) -> torch.Tensor:
        """Return the time averages of the codes of a tensor up to now; the horizon is an index."""
        part = self.part(index)
        kept = self.averages.read(part, self.top[index])[:, horizon]
        share = self._share_of(self.moved_at[part], index, self._shares())
        return kept + share[:, horizon] * (self.now[part].float() - kept)

    def commonest(self, index: int) -> torch.Tensor:
        """Return the codes that win the vote; without a vote, the codes nearest to the average.

        With two levels these are the same, and also for a weight that visits two neighbouring levels.
        """
        if not self._many[index]:
            return self.nearest(self.average(index, self.vote), self.grid[index])
        part, ballots = self.part(index), self._ballots(index)
        weight = self._share_of(self.moved_at[part], index, self._shares())[:, self.vote]
        now, elected = self.now[part], self.elected[ballots]
        lead = self.lead[ballots].float() * (1 - weight) + torch.where(elected == now, weight, -weight)
        return torch.where(lead < 0, now, elected)

    def oscillations(self, index: int) -> torch.Tensor:
        """Return the present oscillation metric f of the weights of a tensor.

        Without details: the inverse of the steps since the last flip, as if the next one came now.
        """
        part = self.part(index)
        moved = self.moved_at[part]
        age = self.clock.step - moved
        if not self.details:
            return torch.where(moved > 0, 1 / (age + 1), 0)
        return self.oscillation[part].float() * (1 - self.momentum) ** age

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

    def totals(self, ratios: torch.Tensor) -> torch.Tensor:
        """Return all counts as a row for each tensor, each count times the tensor's ratio.

        The columns are those of `COUNTS`, one after the other, and the sum of the oscillation metrics.
        """
        swings = self.swings * (1 - self.momentum) ** (self.clock.step - self._swung)
        parts = torch.cat([*self.counts.values(), swings[:, None]], dim=1)
        return parts.double() * ratios[:, None].to(parts.device)

    @property
    def bytes(self) -> int:
        """Bytes of everything that is kept for each weight."""
        arrays = sum(getattr(self, name).nbytes for name in _ARRAYS)
        return arrays + self.moved_at.bytes + self.averages.bytes

    def to(self, device: torch.device) -> None:
        """Move everything to a device."""
        _move(self, device)

    def state(self) -> dict[str, Any]:
        """Return the state for `restore`: tensors and numbers."""
        kept = {name: getattr(self, name).clone() for name in _ARRAYS + _ROWS}
        averages = {f"average {index}": one.clone() for index, one in enumerate(self.averages.arrays)}
        counts = {name: one.clone() for name, one in self.counts.items()}
        one = {"clock": self.clock.state(), "moved_at": self.moved_at[:], "swung": self._swung}
        return {**one, **kept, **counts, **averages}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state with the same weights, levels and horizons."""
        if state["now"].dtype != self.now.dtype:
            self._widen()
        pairs = [(name, getattr(self, name)) for name in _ARRAYS + _ROWS] + list(self.counts.items())
        pairs += [(f"average {index}", one) for index, one in enumerate(self.averages.arrays)]
        for name, kept in pairs:
            if state[name].shape != kept.shape:
                raise InputError(
                    f"the saved `{name}` has another shape: resume with the same model and horizons"
                )
            kept.copy_(state[name])
        self.clock.restore(state["clock"])
        self.moved_at.take(state["moved_at"].to(self.now.device), self.clock.step)
        self._swung = int(state["swung"])

    def _ballots(self, index: int) -> slice:
        return slice(self._ballot_starts[index], self._ballot_starts[index + 1])

    def _shares(self) -> torch.Tensor:
        return torch.from_numpy(self.clock.shares()).to(self.now.device, torch.float32)

    def _share_of(
        self, since: torch.Tensor, tensor: torch.Tensor | int, shares: torch.Tensor
    ) -> torch.Tensor:
        return shares[self._group_of[tensor], (since - self.clock.epoch).clamp_min(0)]

    def _learn(self, tensor: torch.Tensor, new: torch.Tensor) -> None:
        """Widen the grid of tensors that show new codes, and the range of their averages."""
        if not self._open:
            return
        code = new.float()
        self.grid[:, 0].scatter_reduce_(0, tensor, code, "amin")
        self.grid[:, 1].scatter_reduce_(0, tensor, code, "amax")
        between = (code - self.grid[tensor, 0]) % self.grid[tensor, 2] != 0
        self.grid[tensor[between], 2] = 1.0
        wanted = self.grid[:, :2].abs().amax(dim=1)
        for index in (wanted > self.top).nonzero().flatten().tolist():
            for at in self._pieces(index):
                average = self.averages.read(at, self.top[index])
                self.averages.write(at, average, 2 * wanted[index], self.clock.step)
            self.top[index] = 2 * wanted[index]

    def _count(self, name: str, tensor: torch.Tensor, column: torch.Tensor) -> None:
        """Add the number of entries of each tensor and column to a table."""
        table = self.counts[name]
        flat = torch.bincount(tensor * table.shape[1] + column, minlength=table.numel())
        table += flat.view(table.shape)


def _move(thing: Any, device: torch.device) -> Any:
    """Return a tensor, a collection, or an object with such parts, on another device."""
    if isinstance(thing, torch.Tensor):
        return thing.to(device)
    if isinstance(thing, list):
        return [_move(one, device) for one in thing]
    if isinstance(thing, dict):
        return {name: _move(one, device) for name, one in thing.items()}
    if type(thing).__module__.startswith("sterling.") and not isinstance(thing, Clock):
        vars(thing).update(_move(vars(thing), device))
    return thing


_ARRAYS = ("now", "before", "marked", "oscillation", "elected", "lead")
_ROWS = ("grid", "top", "swings")


def grid_of(levels: int, codes: torch.Tensor | None = None) -> tuple[int, int, int]:
    """Return least code, largest code and spacing of centred levels, or of the codes that are seen."""
    seen = set() if codes is None else set(codes.unique().tolist())
    top, spacing = top_code(levels), 1 if levels % 2 else 2
    if seen <= set(range(-top, top + 1, spacing)):
        return -top, top, spacing
    return min(seen), max(seen), 1
