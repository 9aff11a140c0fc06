"""The visit to all states: what the kernels need, and the threads that share the Gray code.

Each thread takes stretches of the code, and looks up several times a second to see whether it should stop.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from functools import partial
from typing import NamedTuple

import numpy as np

from sterling.base.interrupts import deferred_interrupt
from sterling.base.progress import Progress, Show
from sterling.base.resources import require_memory, usable_cores
from sterling.errors import InputError
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
    threads: int,
    progress: Show | None,
) -> Found:
    """Visit every state; ``levels`` is the mean of w*_k·G_k by `theory.population.profile`, if known."""
    visit = _Visit(instance, surrogate, levels, threads)
    visit.run(progress)
    absorbing = np.sort(np.concatenate([np.zeros(0, np.int64), *visit.absorbing]))
    squares = visit.squares
    minimisers = np.flatnonzero(squares == squares.min())
    deviation = None
    if levels is not None:
        # Of equals the state of the lowest number, so that threads do not show.
        largest, state = max(visit.deviation, key=lambda pair: (pair[0], -pair[1]))
        deviation = (largest, state)
    return Found(_to_losses(squares, instance), minimisers, absorbing, deviation)


def only_absorbing(
    instance: Instance, surrogate: Surrogate, home: int, threads: int, progress: Show | None
) -> bool:
    """Whether no state but the one numbered ``home`` absorbs; the visit ends at the first that does."""
    visit = _Visit(instance, surrogate, None, threads, home)
    visit.run(progress)
    return not visit.trapped


def _to_losses(squares: np.ndarray, instance: Instance) -> np.ndarray:
    """Turn the exact integers into losses, in place."""
    losses = squares.view(np.float64)
    divisor = 2.0 * instance.samples * 4.0**instance.label_bits
    for first in range(0, len(squares), _STRIP):
        strip = slice(first, first + _STRIP)
        losses[strip] = squares[strip].astype(np.float64) / divisor
    return losses


def work_together(
    work: Callable[[], None], threads: int, stop: threading.Event, show: Callable[[], None] | None
) -> None:
    """Have so many threads do the work, which ends by itself soon after ``stop`` is set.

    ``show()`` is called several times a second. What it raises, or the work, or Ctrl-C, sets ``stop`` and
    comes out once all threads have ended. Ctrl-C is held back between two looks, for it must not strike
    while futures are locked.
    """
    with deferred_interrupt() as interrupted, ThreadPoolExecutor(threads) as pool:
        try:
            working = {pool.submit(work) for _ in range(threads)}
            while working:
                ended, working = wait(working, timeout=SLICE, return_when=FIRST_EXCEPTION)
                for future in ended:
                    future.result()
                if show is not None:
                    show()
                if interrupted():
                    raise KeyboardInterrupt
        finally:
            stop.set()


def thread_count(threads: int | None) -> int:
    if threads is None:
        return usable_cores()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError(f"threads is {threads!r}; it must be a positive integer")
    return threads


class _Visit:
    """One visit under way. Given a home it keeps no losses, and ends once another state absorbs."""

    def __init__(
        self,
        instance: Instance,
        surrogate: Surrogate,
        levels: np.ndarray | None,
        threads: int,
        home: int | None = None,
    ):
        from sterling.states import kernels

        self.kernels = kernels
        self.n, self.unit = instance.n, instance.unit
        self.states = 1 << instance.n
        self.length = max(min(_SHORTEST, self.states), self.states // (_STRETCHES * threads))
        self.threads = min(threads, -(-self.states // self.length))
        grid, rows = instance.grid, instance.samples * instance.m
        kept = self.states if home is None else 0
        need = 8 * kept + self.threads * rows * 41 + rows * instance.n * grid.rows.itemsize
        require_memory(need, f"the landscape of n={instance.n} with {instance.samples} samples")
        self.levels = np.zeros((2, 0)) if levels is None else levels
        teacher = np.ones(instance.n) if instance.teacher is None else instance.teacher
        self.teacher = teacher.astype(np.int64)
        reach = max(3 * instance.preactivation_bound, 4 * instance.code_bound << int(grid.shifts.max()))
        self.dtype = np.int64 if reach >= 1 << 31 else np.int32
        self.sample = self._sample(instance, surrogate)
        self.squares = np.zeros(kept, np.int64)
        self.home, self.trapped = home, False
        self.absorbing: list[np.ndarray] = []
        self.deviation: list[tuple[float, int]] = []
        self.done = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()

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

    def run(self, progress: Show | None) -> None:
        """Work through all stretches; Ctrl-C ends it."""
        starts = iter(range(0, self.states, self.length))
        work_together(
            partial(self._work, starts),
            self.threads,
            self._stop,
            None if progress is None else lambda: progress(Progress(self.done, self.states)),
        )

    def _work(self, starts) -> None:
        """Do stretches until none is left."""
        place = self._place()
        found = self.kernels.Found(
            self.squares,
            np.zeros(_BUFFER, np.int64),
            np.zeros(1, np.int64),
            np.full(1, -1.0),
            np.zeros(1, np.int64),
        )
        pace = 64  # states in a slice
        while not self._stop.is_set():
            with self._lock:
                first = next(starts, None)
            if first is None:
                break
            step, last = first, min(first + self.length, self.states)
            self.kernels.begin(self.sample, place, self.teacher, step)
            while step < last and not self._stop.is_set():
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
            self.deviation.append((float(found.deviation[0]), int(found.farthest[0])))

    def _hand_over(self, found, states: int) -> None:
        with self._lock:
            self.done += states
            if found.filled[0]:
                numbers = found.absorbing[: found.filled[0]].copy()
                self.absorbing.append(numbers)
                found.filled[0] = 0
                if self.home is not None and np.any(numbers != self.home):
                    self.trapped = True
                    self._stop.set()
