"""The visit to all states: what the kernels need, and the stretches of the Gray code that threads work on."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple

import numpy as np

from sterling.base.pool import Pool
from sterling.base.progress import Progress, Show, showing
from sterling.base.resources import require_memory
from sterling.model.instance import Instance
from sterling.surrogates import Surrogate

SLICE = 0.1  # seconds between looks at interrupts and progress
_STRETCHES = 16  # for each thread, so that all end at about the same time
_SHORTEST = 1 << 10  # states in a stretch; beginning one costs as much as several states
_BUFFER = 1 << 12  # absorbing states a thread lists before it hands them over
_STRIP = 1 << 20  # losses converted at a time


class Found(NamedTuple):
    """What a visit to all states brings."""

    loss: np.ndarray  # float64 (2**n,)
    minimisers: np.ndarray  # int64, numbers of states
    absorbing: np.ndarray  # int64, numbers of states
    deviation: tuple[float, int] | None  # and the number of a state where it occurs


def sweep(
    instance: Instance,
    surrogate: Surrogate,
    levels: np.ndarray | None,
    threads: int | None,
    progress: bool | Show,
) -> Found:
    """Visit every state; ``levels`` is the mean of w*_k·G_k by `theory.population.profile`, if known."""
    visit = _Visit(instance, surrogate, levels)
    visit.run(threads, progress)
    absorbing = np.sort(np.concatenate([np.zeros(0, np.int64), *visit.absorbing]))
    squares = visit.squares
    minimisers = np.flatnonzero(squares == squares.min())
    deviation = None
    if levels is not None:
        # Of equals the state of the lowest number, so that threads do not show.
        places = [(float(found.deviation[0]), -int(found.farthest[0])) for _, found in visit.places]
        largest, state = max(places)
        deviation = (largest, -state)
    return Found(_to_losses(squares, instance), minimisers, absorbing, deviation)


def only_absorbing(
    instance: Instance, surrogate: Surrogate, home: int, threads: int | None, progress: bool | Show
) -> bool:
    """Whether no state but the one numbered ``home`` absorbs; the visit ends at the first that does."""
    visit = _Visit(instance, surrogate, None, home)
    visit.run(threads, progress)
    return not visit.trapped


def _to_losses(squares: np.ndarray, instance: Instance) -> np.ndarray:
    """Turn the exact integers into losses, in place."""
    losses = squares.view(np.float64)
    divisor = 2.0 * instance.samples * 4.0**instance.label_bits
    for first in range(0, len(squares), _STRIP):
        strip = slice(first, first + _STRIP)
        losses[strip] = squares[strip].astype(np.float64) / divisor
    return losses


class _Visit:
    """One visit under way. Given a home it keeps no losses, and ends once another state absorbs."""

    def __init__(
        self, instance: Instance, surrogate: Surrogate, levels: np.ndarray | None, home: int | None = None
    ):
        from sterling.states import kernels

        self.kernels, self.instance = kernels, instance
        self.n, self.unit = instance.n, instance.unit
        self.states = 1 << instance.n
        self.kept = self.states if home is None else 0
        self.levels = np.zeros((2, 0)) if levels is None else levels
        teacher = np.ones(instance.n) if instance.teacher is None else instance.teacher
        self.teacher = teacher.astype(np.int64)
        shift = int(instance.grid.shifts.max())
        reach = max(3 * instance.preactivation_bound, 4 * instance.code_bound << shift)
        self.dtype = np.int64 if reach >= 1 << 31 else np.int32
        self.sample = self._sample(instance, surrogate)
        self.home, self.trapped = home, False
        self.absorbing: list[np.ndarray] = []
        self.done = 0
        self.places: list = []  # one for each thread, with what it found
        self._free: list = []  # those that no thread stands at
        self._lock = threading.Lock()

    def _sample(self, instance: Instance, surrogate: Surrogate):
        grid, bound = instance.grid, instance.preactivation_bound + 1
        low, high = surrogate.thresholds(instance.unit_squared)
        # Changes of coefficients reach twice their bound; a 32-bit sum holds this many products.
        flush = ((1 << 31) - 1) // (2 * instance.coefficient_bound * instance.code_bound)
        narrow = grid.rows.dtype == np.int16 and flush >= 4
        return self.kernels.Sample(
            grid.rows,
            instance.columns,
            instance.label_codes.astype(np.int64),
            instance.residual_codes,
            instance.readout_codes,
            grid.shifts,
            grid.offsets,
            max(low, -bound),
            min(high, bound),
            int((low <= -bound or low == 1) and high >= bound),
            flush if narrow else 0,
        )

    def _place(self):
        rows, width = self.sample.rows.shape
        return self.kernels.Place(
            np.zeros(rows, self.dtype),
            np.zeros(self.n, np.int64),
            np.zeros(2, self.dtype),
            np.zeros(rows, np.int64),
            np.zeros(len(self.sample.labels), np.int64),
            np.zeros(width, np.int64),
            np.zeros(3, np.int64),
            np.zeros(rows + 64, np.uint8),
            np.zeros(rows, np.int64),
            np.zeros(rows, np.int64),
            np.zeros(width, np.int32),
        )

    def run(self, threads: int | None, progress: bool | Show) -> None:
        """Work through all stretches."""
        with Pool(threads) as pool, showing(progress, "states") as show:
            self._require_memory(pool.count)
            self.squares = np.zeros(self.kept, np.int64)
            self._pool = pool
            self.length = max(min(_SHORTEST, self.states), self.states // (_STRETCHES * pool.count))
            for _ in pool.results(self._stretch, range(0, self.states, self.length), every=SLICE):
                if show is not None:
                    show(Progress(self.done, self.states))
                if self.trapped:
                    break

    def _require_memory(self, threads: int) -> None:
        about = self.instance
        rows = about.samples * about.m
        need = 8 * self.kept + threads * rows * 41 + rows * about.n * about.grid.rows.itemsize
        require_memory(need, f"the landscape of n={about.n} with {about.samples} samples")

    def _take_place(self):
        """Return a place that no other thread stands at."""
        with self._lock:
            if not self._free:
                found = self.kernels.Found(
                    self.squares,
                    np.zeros(_BUFFER, np.int64),
                    np.zeros(1, np.int64),
                    np.full(1, -1.0),
                    np.zeros(1, np.int64),
                )
                self._free.append((self._place(), found))
                self.places += self._free
            return self._free.pop()

    def _stretch(self, first: int) -> None:
        """Visit the states of one stretch, looking up several times a second to see whether to stop."""
        place, found = taken = self._take_place()
        pace = 64  # states in a slice
        step, last = first, min(first + self.length, self.states)
        self.kernels.begin(self.sample, place, self.teacher, step)
        while step < last and not (self._pool.stopping or self.trapped):
            begun = time.monotonic()
            reached = self.kernels.sweep(
                self.sample,
                place,
                self.teacher,
                self.levels,
                self.unit,
                found,
                step,
                min(last, step + pace),
            )
            if time.monotonic() - begun < SLICE / 2:
                pace *= 2
            elif time.monotonic() - begun > 2 * SLICE:
                pace = max(1, pace // 2)
            self._hand_over(found, reached - step)
            step = reached
        with self._lock:
            self._free.append(taken)

    def _hand_over(self, found, states: int) -> None:
        with self._lock:
            self.done += states
            if found.filled[0]:
                numbers = found.absorbing[: found.filled[0]].copy()
                self.absorbing.append(numbers)
                found.filled[0] = 0
                if self.home is not None and np.any(numbers != self.home):
                    self.trapped = True
