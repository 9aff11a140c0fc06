"""The event engine sets up the kernels for an instance, gives them threads, and calls them.

It is exact for piecewise-constant surrogates, whose gradients are constant while no weight flips.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np

from sterling.base.resources import available_memory
from sterling.dynamics import kernels, lookup, passes, sums
from sterling.dynamics.motion import Movement
from sterling.dynamics.options import Options
from sterling.dynamics.state import ANCHOR, EVENTS, READ, Log, RunState
from sterling.exact.grid import aligned_zeros, padded_width
from sterling.exact.jit import INTERPRETED
from sterling.model.instance import Instance
from sterling.optimizers.base import PLAIN
from sterling.surrogates import Surrogate

#: Memory for gradients of visited states unless the caller sets another bound.
CACHE_BYTES = 1 << 30
_LITTLE = 1 << 20  # bytes; if all states fit into these, free memory is not checked

_PATIENCE = 20_000  # idle polls (some tens of microseconds) before a helper thread sleeps
_NAP = 2e-4  # seconds that it sleeps
_WORTHWHILE = 0.3  # entries read for new states, per event and weight, above which helpers poll for work
_MOST_THREADS = 64
_APART = 1024  # distances between states computed at a time
_RECOVERABLE = 1 << 50  # smaller sums can be recovered exactly from their float64 gradients
_SPLIT = 1 << 17  # with fewer entries a second thread costs more than it saves


class EventEngine:
    """The engine that moves from flip to flip; the surrogate must be piecewise constant.

    At most ``options.threads`` threads work on one new state. Gradients of visited states take
    ``options.cache_bytes``. Results are the same for any value of either.
    """

    def __init__(
        self,
        instance: Instance,
        options: Options,
        arguments: tuple,
        state: RunState,
        log: Log,
        position: int = 0,  # the anchor says where the run is
    ):
        self.state, self.log = state, log
        self.unit = instance.unit
        n = instance.n
        self.kernel: Any = kernels.advance
        self.schedule: Any = kernels.StepSizes(*arguments)
        motion = PLAIN if options.plain else options.motion
        if motion is not None and motion != PLAIN:
            from sterling.dynamics import relax

            movement = Movement(motion, arguments)
            kind, rate, exponent, sums = arguments
            clock_kind, clock_rate, _, clock_sums = movement.clock
            self.kernel = relax.advance
            self.schedule = relax.Relaxation(
                **motion._asdict(),
                hold=movement.hold,
                kind=kind,
                rate=rate,
                exponent=exponent,
                sums=sums,
                clock_kind=clock_kind,
                clock_rate=clock_rate,
                clock_sums=clock_sums,
                force=np.empty(n),
                shifted=np.empty(n),
                home=np.empty(n),
                away=np.empty(n),
                travels=np.empty(relax.SHORT),
            )
        small = INTERPRETED or instance.grid.rows.size < _SPLIT
        threads = 1 if small else min(options.threads, _MOST_THREADS)
        self.data, self.base, self.job, self.scratch = machinery(
            instance, options.surrogate, state.signs, threads
        )
        self.job.board[passes.CLAIMED] = 1 << 40  # nothing to claim yet
        self.job.info[passes.FULL] = 1  # the first state is computed from nothing
        self.cache = _cache(n, options.steps, instance.gradient_bound >= _RECOVERABLE, options.cache_bytes)
        self.moved()
        self._stop = False
        self._wanted = threading.Event()  # helpers sleep while it is not set
        self._wanted.set()
        self._helpers: list[threading.Thread] = []
        for thread in range(1, threads):
            name = f"sterling-helper-{thread}"
            self._helpers.append(threading.Thread(target=self._help, args=(thread,), daemon=True, name=name))

    def advance(self, until: int, budget: int) -> int:
        """Run events up to step ``until``; the return value says why it stopped (see `state.py`)."""
        for helper in self._helpers:
            if helper.ident is None:
                helper.start()
        before = self.state.clock.copy()
        machinery = self.data, self.base, self.job, self.scratch, self.schedule, self.unit
        status = self.kernel(*machinery, self.state, self.cache, self.log, until, budget)
        spent = self.state.clock - before
        if spent[READ] >= _WORTHWHILE * len(self.state.signs) * spent[EVENTS]:
            self._wanted.set()
        else:
            self._wanted.clear()  # few new states or none: helpers need not poll
        return status

    @property
    def gradient(self) -> np.ndarray:
        """The gradient at the current weights, once `advance` has looked at them."""
        return self.cache.gradients[self.cache.state[lookup.CURRENT_SLOT]].copy()

    @property
    def position(self) -> int:
        """The step up to which the run is known."""
        return int(self.state.clock[ANCHOR])

    def finish(self) -> None:
        """Stop the helper threads. A caller of `advance` must call this at the end, even after an error."""
        self._stop = True
        self.job.board[passes.STOP] = 1
        self._wanted.set()
        for helper in self._helpers:
            if helper.ident is not None:
                helper.join()

    def _help(self, thread: int) -> None:
        while self._wanted.wait() and not self._stop:
            passes.assist(self.data, self.base, self.job, self.scratch, thread, _PATIENCE)
            time.sleep(_NAP)

    def moved(self) -> None:
        """Recompute the packed signs and their hash, which the kernels otherwise update."""
        positive = self.state.signs > 0
        packed = np.zeros(64 * (self.cache.key.size - 1), np.uint8)
        packed[: positive.size] = positive
        words = np.packbits(packed, bitorder="little").view("<u8")
        self.cache.key[:-1] = words
        self.cache.key[-1] = np.bitwise_xor.reduce(self.cache.zobrist[positive], initial=np.uint64(0))


def machinery(
    instance: Instance, surrogate: Surrogate, signs: np.ndarray, threads: int
) -> tuple[passes.PassData, passes.Base, passes.Job, passes.Scratch]:
    """Return the arguments of the passes over the data, with a base of these signs."""
    grid, n, m = instance.grid, instance.n, instance.m
    rows, width = instance.samples * m, padded_width(n)
    wide = 3 * instance.preactivation_bound >= 1 << 31
    far = 1 << 62 if wide else (1 << 31) - 1
    before = aligned_zeros((1, rows), np.int64 if wide else np.int32)[0]
    low, high = surrogate._thresholds(instance.unit_squared)
    limit = row_sum_limit(instance)
    # Rows of a chunk: whole samples and, where possible, whole vectors.
    chunk = max(1, passes.CHUNK // (32 * m) * 32 or passes.CHUNK // m) * m
    data = passes.PassData(
        rows=grid.rows,
        columns=instance.columns,
        labels=instance.label_codes.astype(np.int16 if limit else np.int32),
        residual=instance.residual_codes,
        readout=instance.readout_codes,
        shifts=grid.shifts,
        offsets=grid.offsets,
        low=min(max(low, -far), far),
        high=max(min(high, far), -far),
        sign_only=int((low <= -far or low == 1) and high >= far),
        limit=limit,
        chunk=chunk,
        paired=int(grid.rows.dtype == np.int16 and not wide and int(grid.shifts.max()) < 14),
        threads=threads,
    )
    job = passes.Job(
        flips=np.zeros(2 * n + 2, np.int64),
        steps=np.zeros(2 * n + 2, before.dtype),
        weights=np.zeros(2 * n + 2, np.int16),
        info=np.zeros(8, np.int64),
        board=np.zeros(passes.BOARD, np.int64),
    )
    scratch = passes.Scratch(
        known=aligned_zeros((threads, chunk), before.dtype),
        after=aligned_zeros((threads, chunk), before.dtype),
        flags=np.zeros((threads, chunk + 64), np.uint8),
        masks=np.zeros((threads, chunk // 64 + 1), np.uint64),
        listed=np.zeros((threads, 2, chunk + sums.GROUP), np.int64),
        weight=np.zeros((threads, 2, chunk + sums.GROUP), np.int16 if limit else np.int64),
        held=np.zeros((threads, 4), np.int64),
        narrow=np.zeros((threads, width), np.int32),
        sums=np.zeros((threads, width + passes.TOTALS), np.int64),
    )
    return data, passes.Base(before, signs.copy()), job, scratch


def row_sum_limit(instance: Instance) -> int:
    """Return the largest Σ |weight| for which a sum of rows fits 32 bits, or 0 if it needs 64 bits.

    A weight is the change of a coefficient, so it is at most twice the bound of coefficients.
    """
    largest = 2 * instance.coefficient_bound
    limit = ((1 << 31) - 1) // instance.code_bound
    narrow = instance.grid.rows.dtype == np.int16 and largest < 1 << 15 and sums.GROUP * largest <= limit
    return limit if narrow else 0


def _cache(n: int, steps: int, exact: bool, cache_bytes: int | None) -> lookup.Cache:
    """Return an empty cache; with ``exact`` sums, each state takes two rows of n.

    A step leads to at most one new state. Most of the cache is never touched, and then takes no memory.
    """
    states = min(1 << min(n, 30), steps + 1)
    words = -(-n // 64)
    each = 8 * n * (2 if exact else 1) + 8 * words + 36
    if cache_bytes is None:
        cache_bytes = CACHE_BYTES
        free = available_memory() if states * each > _LITTLE else None
        if free is not None:
            cache_bytes = min(cache_bytes, free // 4)
    slots = min(states, max(2, cache_bytes // each)) + 1  # and the spare one
    zobrist = np.random.PCG64(np.random.SeedSequence(0)).random_raw(n)  # any fixed words will do
    state = np.zeros(9, np.int64)
    state[[lookup.SIZE, lookup.HAND]] = lookup.SPARE + 1
    state[lookup.WAIT] = lookup.FIRST_WAIT
    return lookup.Cache(
        gradients=np.empty((slots, n)),
        totals=np.empty((slots if exact else 0, n), np.int64),
        squares=np.empty(slots, np.int64),
        keys=np.empty((words, slots), np.uint64),
        hashes=np.empty(slots, np.uint64),
        uses=np.zeros(slots, np.int32),
        following=np.empty(slots, np.int32),
        buckets=np.zeros(1 << max(1, (slots - 1).bit_length()), np.int32),
        zobrist=np.atleast_1d(zobrist),
        key=np.zeros(words + 1, np.uint64),
        state=state,
        base=np.zeros((words, 1), np.uint64),
        lean=np.zeros(n),
        apart=np.zeros(_APART, np.int64),
        seen=np.zeros(lookup.SEEN, np.uint64),
        parked=np.zeros(n, np.int64),
        share=np.ones(1),
    )
