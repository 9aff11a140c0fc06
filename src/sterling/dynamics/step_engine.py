"""The step engine sets up the step loop (`step_kernels.py`) for an instance, and draws the batches.

It needs a built-in optimiser and a piecewise-constant surrogate. `dense.py` is its twin.
"""

from __future__ import annotations

import numpy as np

from sterling.dynamics import step_kernels
from sterling.dynamics.event import EventEngine
from sterling.dynamics.options import Options
from sterling.dynamics.state import CURRENT, REACHED, SEEKING, Log, RunState
from sterling.dynamics.steps import Batches, rest_of
from sterling.exact.batches import TAKEN
from sterling.exact.grid import aligned_zeros
from sterling.exact.machine import ADDED
from sterling.model.instance import Instance
from sterling.model.levels import Quantiser, level_values

_STEP_COST, _CODES_COST = 100, 16  # budget units, about nanoseconds: of a step, and codes read in one


class BatchEngine:
    """Takes every step with its batch; the run is known up to ``position``."""

    def __init__(
        self,
        instance: Instance,
        options: Options,
        arguments: tuple,
        state: RunState,
        log: Log,
        position: int,
    ):
        self.instance, self.options, self.state, self.log = instance, options, state, log
        self.batches = Batches(options, instance.samples)
        batch = options.batch
        read = 0 if batch is None else batch.size * instance.m
        whole = instance.levels > 2 and (batch is None or state.clock[SEEKING])
        room = max(read, instance.samples * instance.m * int(whole))
        self.rows = _rows(instance, options, state.signs, room)
        optimizer = options.optimizer
        quantiser = Quantiser(instance.levels, instance.n)
        packed = np.zeros(-(-instance.n // 64) * 64, np.uint8)
        packed[: instance.n] = state.signs > 0
        kind, rate, exponent, sums = arguments
        self.way = step_kernels.Way(
            kind=step_kernels.KINDS.index(optimizer.name),
            numbers=np.array([*optimizer._numbers, 0.0]),
            schedule=kind,
            rate=rate,
            exponent=exponent,
            sums=sums,
            back=optimizer.damping * options.signal / quantiser.half,
            unit=quantiser.spacing / quantiser.step,
            clip=np.inf if optimizer.clip is None else optimizer.clip,
            bounds=-(optimizer.band * options.signal) * state.signs,
            key=np.packbits(packed, bitorder="little").view(np.uint64),
            gradient=_zeros(instance.n, np.float64),
            at=np.array([position, 0, 0]),
            cost=_STEP_COST + read * instance.n // _CODES_COST,
        )
        self.levels = None
        if instance.levels > 2:
            self.levels = step_kernels.Levels(
                values=quantiser.values,
                thresholds=quantiser.thresholds,
                everything=np.arange(instance.samples if whole else 0, dtype=np.int32),
                gradient=_zeros(instance.n, np.float64),
                stale=np.array([int(whole)]),
                cost=instance.samples * instance.m * instance.n // _CODES_COST,
            )
        self.drawn = step_kernels.Order(np.zeros(0, np.int32), 1, 1)
        self._seen: tuple[bytes, np.ndarray, int] = (b"", np.zeros(0), 0)  # weights, gradient, loss

    def advance(self, until: int, budget: int) -> int:
        """Take steps up to ``until``; the return value says why it stopped (see `state.py`)."""
        while True:
            stop = until
            if self.batches.batch is not None:
                stop = min(until, self._seek())
            status = self._advance(stop, budget)
            if status != REACHED or self.position >= until:
                return status
            budget = int(self.way.at[step_kernels.LEFT])

    def _advance(self, until: int, budget: int) -> int:
        given = self.rows, self.drawn, self.way, self.levels, self.state, self.log
        return step_kernels.advance(*given, until, budget)

    def _seek(self) -> int:
        """Draw the batches of the current step and those after it; return the step at which they end."""
        batches, batch = self.batches, self.batches.batch
        assert batch is not None
        batches.seek(self.position)
        epoch = len(batches.order) if batch.replace else self.instance.samples
        self.drawn = step_kernels.Order(batches.order, batch.size, epoch)
        self.way.at[step_kernels.BEGIN] = batches.begin(self.position)
        return batches.stop

    @property
    def position(self) -> int:
        """The step up to which the run is known."""
        return int(self.way.at[step_kernels.STEP])

    @property
    def gradient(self) -> np.ndarray:
        """The gradient of all samples at the current weights; their loss goes into the state."""
        signs = self.state.signs
        if self._seen[0] != signs.tobytes():
            gradient = self.instance.gradient(signs, self.options.surrogate)
            self._seen = signs.tobytes(), gradient, self.instance._square(signs)
        _, gradient, self.state.clock[CURRENT] = self._seen
        return gradient

    @property
    def rest(self) -> int:
        """As `rest_of`."""
        return rest_of(self.instance, self.options, self.state, self.gradient, self.position)

    def moved(self) -> None:
        """Do nothing: runs of this engine have no restarts."""

    def finish(self) -> None:
        """Do nothing: this engine holds no threads."""


class LookingEngine(BatchEngine):
    """The same where the gradient or the loss of all samples is needed at each new state."""

    def __init__(self, *given):
        super().__init__(*given)
        self.event = EventEngine(*given)
        self.event.kernel = step_kernels.advance_looking

    def _advance(self, until: int, budget: int) -> int:
        self.event.log, self.event.schedule = self.log, (self.rows, self.drawn, self.way)
        return self.event.advance(until, budget)

    @property
    def gradient(self) -> np.ndarray:
        """The gradient of all samples at the current weights, once `advance` has looked at them."""
        return self.event.gradient

    def finish(self) -> None:
        """Stop the threads."""
        self.event.finish()


def step_engine(
    instance: Instance, options: Options, arguments: tuple, state: RunState, log: Log, position: int
) -> BatchEngine:
    """Return the step engine of a run."""
    looks = instance.levels == 2 and (options.batch is None or state.clock[SEEKING])
    return (LookingEngine if looks else BatchEngine)(instance, options, arguments, state, log, position)


def _rows(instance: Instance, options: Options, signs: np.ndarray, read: int) -> step_kernels.Rows:
    """Return the data as the kernel reads them, with room for batches of ``read`` rows."""
    grid = instance.grid
    width = grid.rows.shape[1]
    weights = signs.astype(np.int64) << grid.shifts
    largest = instance.coefficient_bound
    group = ((1 << 31) - 1) // (largest * instance.code_bound) // 2 * 2
    outermost = level_values(instance.levels)[-1] << int(grid.shifts.max())
    short = (
        grid.rows.dtype == np.int16
        and width % ADDED == 0
        and outermost < 1 << 14
        and largest < 1 << 15
        and instance.preactivation_bound < 1 << 31
    )
    room = -(-read // TAKEN) * TAKEN
    low, high = options.surrogate._thresholds(instance.unit_squared)
    narrow, sizes = _zeros(width, np.int16), _zeros(width, np.int16)
    if short:
        narrow[: instance.n] = weights
        sizes[: instance.n] = np.abs(weights)
        low, high = max(low, -(1 << 31)), min(high, (1 << 31) - 1)
    return step_kernels.Rows(
        rows=grid.rows,
        labels=instance.label_codes,
        residual=instance.residual_codes,
        readout=instance.readout_codes,
        targets=instance.label_codes * instance.readout_codes[0] if instance.m == 1 else _zeros(0, np.int64),
        shifts=grid.shifts,
        offsets=grid.offsets,
        low=low,
        high=high,
        scaled=int(grid.shifts.any() or grid.offsets.any()),
        scale=float(np.ldexp(1.0, grid.bits + instance.label_bits + instance.readout_bits)),
        group=group if short else 0,
        weights=weights,
        short=narrow,
        sizes=sizes,
        constant=np.array([int(weights @ grid.offsets)]),
        listed=_zeros(room, np.int32),
        before=_zeros(room, np.int64),
        coefficients=_zeros(room, np.int64),
        kept=_zeros(room + TAKEN, np.int32),
        factors=_zeros(room + TAKEN, np.int16),
        totals=_zeros(width, np.int64),
        more=_zeros(width, np.int64),
    )


def _zeros(size: int, dtype: type) -> np.ndarray:
    """Return zeros that begin on a cache line, so that vectors do not go across two."""
    return aligned_zeros((1, size), dtype)[0]
