"""How a monitor finds the quantised weights, and counts a step: the base of `OrbitMonitor`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from sterling.torch.counting import COLUMNS, CodeTracker
from sterling.torch.handle import QuantisedWeight
from sterling.torch.hooks import after_each_step, guarded, skipped
from sterling.torch.horizons import nearest
from sterling.torch.monitor_state import load
from sterling.torch.parts import Reader, Shards, chosen, found_in, sample_sizes
from sterling.torch.weights import NothingFound

_VOTE = 64.0  # the majority vote has the horizon nearest to this


class Watcher:
    """Counts the steps of an optimiser, or those that a loop reports; has the options of `OrbitMonitor`."""

    model: nn.Module
    optimizer: torch.optim.Optimizer | None
    example: Any
    codes: Any
    horizons: Sequence[float]
    within: int
    momentum: float
    every: int
    sample: int | None
    include: Sequence[str]
    exclude: Sequence[str]
    details: bool
    late: bool
    seed: int

    def __init__(self) -> None:
        self.weights: list[QuantisedWeight] = []
        self.left_out: list[str] = []
        self.skipped, self.detached = 0, ""
        self._at = 1  # the step that is being counted
        self.history: list[dict[str, Any]] = []
        self._tracker: Any = None  # a CodeTracker, once quantised weights are found
        self._readers: list[Reader] = []
        self._writers: list[Callable[[], None]] = []  # called every k steps
        self._state: Any = None  # to continue from, once they are found
        self._begin()
        self._undo: Callable[[], None] = lambda: None
        self._count = guarded(self._after_step, self._detach)
        if self.optimizer is not None:
            begin = guarded(self._begin, self._detach) if self.late else None
            self._undo = after_each_step(self.optimizer, self._count, begin)

    @property
    def steps(self) -> int:
        """Steps counted."""
        return 0 if self._tracker is None else self._tracker.clock.step

    @torch.no_grad()
    def _begin(self) -> None:
        """Find the quantised weights, unless they are known, or may still come."""
        if self._tracker is not None:
            return
        try:
            found = found_in(self.model, self.example, codes=self.codes, optimizer=self.optimizer)
        except NothingFound:
            if self.late:
                return
            raise
        groups, left_out = chosen(self.model, found, self.optimizer, self.include, self.exclude)
        readers, weights = list(groups), [one.weight for one in groups]
        if self.sample is not None:
            sizes = sample_sizes([one.size for one in readers], self.sample)
            for index, (reader, size) in enumerate(zip(readers, sizes, strict=True)):
                reader.sample(size, self.seed + index)
        first = [one.codes() for one in readers]
        tracker = CodeTracker(
            first,
            [one.levels for one in weights],
            [one.levels > 3 or one.framework == "codes" or one.stored for one in weights],
            list(groups.values()),
            self.horizons,
            self.within,
            self.horizons.index(nearest(self.horizons, _VOTE)),
            self.momentum,
            self.details,
        )
        self._shards = Shards(readers)
        self._ratios = torch.tensor([one.shape.numel() / max(one.size, 1) for one in readers]).double()
        self._readers, self.weights, self.left_out = readers, weights, left_out
        self._tracker = tracker
        self._totals = self._sum()
        self._flips_before = self._flips()
        if self._state is not None:
            state, self._state = self._state, None
            load(self, state)

    @torch.no_grad()
    def _after_step(self, *rate: float) -> None:
        if self.optimizer is not None and skipped(self.optimizer):
            self.skipped += 1
            return
        if self._tracker is None:
            if self.optimizer is None:
                self._begin()
            return
        self._at = self.steps + 1
        device = self.weights[0].latent.device
        if device != self._tracker.now.device:
            self._tracker.to(device)
            for reader in self._readers:
                reader.chosen = None if reader.chosen is None else reader.chosen.to(device)
        # The tracker's first group is of weights that no optimiser holds. Some groups may be gone.
        given = [] if self.optimizer is None else self.optimizer.param_groups
        rates = [*(rate or (1.0,)), *(float(group.get("lr", 1.0)) for group in given)]
        rates = (rates + [0.0] * self._tracker.clock.groups)[: self._tracker.clock.groups]
        looks, failed = (self.steps + 1) % self.every == 0, True
        try:
            read = (self._tracker.changed(index, one.codes()) for index, one in enumerate(self._readers))
            self._tracker.take(rates, read if looks else ())
            failed = False
        finally:
            if looks and self._shards.groups:  # each process takes part, so that none waits for another one
                self._totals = self._sum(failed)
        last = self.history[-1]["step"] if self.history else 0
        if looks and self.steps // self.within > last // self.within:
            self._mark()

    def _mark(self) -> None:
        churn = self._tracker.mark()
        if churn[0] is not None:
            scaled = torch.tensor(churn).double()[:, None] * self._ratios[:, None]
            churn = self._shards.sum(scaled)[:, 0].round().long().tolist()
        flips = self._flips()
        change = [now - before for now, before in zip(flips, self._flips_before, strict=True)]
        self.history.append({"step": self.steps, "flips": change, "churn": churn})
        self._flips_before = flips
        for write in self._writers:
            write()

    def _sum(self, failed: bool = False) -> torch.Tensor:
        """Return the counts of each tensor as a row, and the number of codes that were read."""
        tracker = self._tracker
        read = torch.tensor(tracker.sizes, device=tracker.now.device)[:, None]
        return self._shards.sum(torch.cat([tracker.totals(self._ratios), read], dim=1), failed)

    def _rows(self) -> torch.Tensor:
        return (self._totals if self._shards.groups else self._sum()).cpu()

    def _flips(self) -> list[int]:
        return self._rows()[:, COLUMNS["flips"]].sum(dim=1).round().long().tolist()

    def _detach(self, cause: str) -> str:
        self.detached = f"detached at step {self._at}: {cause}"
        return f"the OrbitMonitor detached at step {self._at}"
