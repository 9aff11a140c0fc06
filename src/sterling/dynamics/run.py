"""The loop around an engine: records, progress, Ctrl-C, checkpoints.

`train.py` is the door for users; the engines know nothing of clocks, signals or files.
"""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sterling.base.arrays import real_array
from sterling.base.interrupts import deferred_interrupt
from sterling.base.progress import Progress, reporting
from sterling.dynamics import state as cell
from sterling.dynamics.options import Options, first_state
from sterling.dynamics.orbit import Orbit
from sterling.dynamics.saved import Course
from sterling.dynamics.state import (
    ABSORBED,
    FLIP,
    FLIP_BOUND,
    REACHED,
    RESTARTED,
    TIME_BOUND,
    Log,
    RunState,
)
from sterling.errors import CheckpointError, InputError, SterlingWarning, StoreError
from sterling.exact.mass import mass_between
from sterling.model.instance import Instance
from sterling.surrogates import STEEPEST

if TYPE_CHECKING:
    from sterling.dynamics.dense import DenseEngine
    from sterling.dynamics.event import EventEngine
    from sterling.dynamics.step_engine import BatchEngine

    Engine = DenseEngine | EventEngine | BatchEngine

Error = TypeVar("Error", bound=BaseException)

#: Bound on latents and masses during a run; a little less than the largest float.
_LARGEST = 1e307
_SLICE = 0.1  # seconds between checks of signals and updates of the display
_FLIP_BUFFER = 1 << 16
_TIME_BUFFER = 1 << 14
_CHUNKS = 1 << 10  # arrays of a record after which they are joined into one
_NO_TIMES = np.zeros(0, np.int64)


@dataclass
class Run:
    """One run in progress.

    The run continues from ``state``. ``records`` has the flips, return times and sojourn times so far, at
    least one array of each. If the run resumes an earlier one, ``spent`` has the seconds of that.

    Raises
    ------
    InputError
        If latents could leave the range of floats.
    """

    instance: Instance
    options: Options
    state: RunState
    start_latent: np.ndarray
    record_flips: bool
    records: list[list[np.ndarray]]
    flips_complete_to: int | None = None  # None while all flips are recorded
    spent: float = 0.0
    position: int = 0  # step at which the run begins or goes on
    finished: bool = False

    def __post_init__(self) -> None:
        instance, options, restart = self.instance, self.options, self.options.restart
        self.arguments = options.schedule._kernel_arguments(options.scale(instance.readout_norm2))
        epoch = options.steps if restart is None else min(restart.every, options.steps)
        mass = mass_between(*self.arguments, 0, epoch)
        total = mass * math.ceil(options.steps / epoch)
        slope = 1 if options.surrogate.piecewise_constant else STEEPEST
        pull = instance.gradient_bound / instance.unit * slope
        back = 0.0 if restart is None else restart.scale * instance.readout_norm2
        if not total * max(pull, back, 1.0) < _LARGEST:
            raise InputError(
                f"{options.schedule!r} moves latents beyond the range of floats within {options.steps:,} "
                f"steps (their sum is {total:.3g}): use smaller rates or fewer steps"
            )

    def go(self) -> Orbit:
        """Run to the planned step and return the result; after Ctrl-C, raise it with the result so far."""
        unsaved: StoreError | None = None
        options = self.options
        with reporting(options.progress, "steps") as show, deferred_interrupt() as interrupted:
            given = self.instance, options, self.arguments, self.state, self._buffers(), self.position
            if options.engine == "event":
                from sterling.dynamics.event import EventEngine as start
            elif options.engine == "step":
                from sterling.dynamics.step_engine import step_engine as start
            else:
                from sterling.dynamics.dense import DenseEngine as start
            engine = start(*given)
            try:
                engine.advance(0, 0)  # only compiles kernels, so that compilation does not count as run time
                pace = _Pace(int(self.state.clock[cell.ANCHOR]))
                self._loop(engine, pace, show, interrupted)
                orbit = self._orbit(engine, pace)
            finally:
                engine.finish()
            if show is not None:
                show(self._progress(orbit.steps, pace, orbit))
            if options.checkpoint is not None:
                unsaved = _try_save(orbit, options.checkpoint)
            pressed = interrupted()
        if pressed:
            raise _holding(KeyboardInterrupt(), orbit) from unsaved
        if unsaved is not None:
            raise _holding(unsaved, orbit)
        return orbit

    def _loop(
        self,
        engine: Engine,
        pace: _Pace,
        show: Callable[[Progress], None] | None,
        interrupted: Callable[[], bool],
    ) -> None:
        """Run the engine slice by slice, until it is done or Ctrl-C is pressed."""
        options = self.options
        saved = time.monotonic()
        restart = options.restart
        while True:
            until = options.steps
            if restart is not None:
                until = min(until, int(self.state.clock[cell.EPOCH]) + restart.every - 1)
            status = engine.advance(until, pace.budget)
            self._collect(engine, status)
            if status == ABSORBED or (status == REACHED and until == options.steps):
                self.finished = True
                return
            if status == REACHED and restart is not None:
                norm2 = self.instance.readout_norm2
                restart._apply(self.state, engine.log, until + 1, self.arguments, norm2)
                engine.moved()
            if pace.tick(engine.position) and show is not None:
                show(self._progress(engine.position, pace))
            if interrupted():
                return
            if options.checkpoint is not None and time.monotonic() - saved >= options.checkpoint_every:
                problem = _try_save(self._orbit(engine, pace), options.checkpoint)
                if problem is not None:  # a full disk must not end the run
                    text = f"the checkpoint was not saved: {problem}; the run goes on"
                    warnings.warn(text, SterlingWarning, stacklevel=2)
                saved = time.monotonic()

    def _buffers(self) -> Log:
        """Return empty buffers for the records that have not reached their limit."""
        times = []
        for record, count in zip(
            self.records[1:], self.state.clock[[cell.RETURNS, cell.SOJOURNS]], strict=True
        ):
            times.append(np.empty(_TIME_BUFFER if sum(map(len, record)) == count else 0, np.int64))
        flips = _FLIP_BUFFER + self.instance.n if self.record_flips and self.flips_complete_to is None else 0
        return Log._make((np.empty(flips, FLIP), *times, np.zeros(3, np.int64)))

    def _collect(self, engine: Engine, status: int) -> None:
        """Store what the engine logged, up to limits that do not depend on when this is called."""
        log = engine.log
        if status == RESTARTED:
            self.records[1:] = [_NO_TIMES], [_NO_TIMES]
        for record, logged, count in zip(self.records, log[:3], log.counts, strict=True):
            if count:
                record.append(logged[:count].copy())
            if len(record) > _CHUNKS:
                record[:] = [np.concatenate(record)]
        log.counts[:] = 0
        for record in self.records[1:]:
            excess = sum(map(len, record)) - TIME_BOUND
            if excess > 0:
                record[-1] = record[-1][:-excess]
        if len(log.flips) and sum(map(len, self.records[0])) > FLIP_BOUND:
            flips = np.concatenate(self.records[0])
            end = flips["step"][FLIP_BOUND]  # some flips of this step are lost
            self.records[0] = [flips[flips["step"] < end]]
            self.flips_complete_to = int(end) - 1
        wanted = self._buffers()
        if list(map(len, wanted)) != list(map(len, log)):
            engine.log = wanted

    def _orbit(self, engine: Engine, pace: _Pace) -> Orbit:
        """Return the result as of now."""
        options, state = self.options, self.state
        flips, returns, sojourns = map(np.concatenate, self.records)
        steps = options.steps if self.finished else engine.position
        known = self.finished or steps > state.clock[cell.ANCHOR]
        known = known or not (options.plain or options.motion)
        gradient = engine.gradient if known else np.zeros(0)  # before the state is copied: it may look there
        course = Course(
            state=RunState(*map(np.copy, state)),
            steps=steps,
            options=replace(options, progress=False, checkpoint=None),
            gradient=gradient,
            rest=getattr(engine, "rest", None),
            start_latent=self.start_latent,
            flips=flips if self.record_flips else None,
            flips_complete_to=steps if self.flips_complete_to is None else self.flips_complete_to,
            times=(returns, sojourns),
            seconds=self.spent + time.monotonic() - pace.begun,
            instance=self.instance.to_dict(),
        )
        return Orbit(course)

    def _progress(self, step: int, pace: _Pace, orbit: Orbit | None = None) -> Progress:
        """Return the progress of the run; at the end, ``orbit`` is its result."""
        clock = self.state.clock
        if orbit is None:
            visits = int(clock[cell.VISITS])
            occupancy = clock[cell.OCCUPIED] / max(1, clock[cell.ANCHOR])
            note = f"{'RECURRENT' if visits >= 2 else 'WANDERING'} so far"
        else:
            visits, occupancy, note = orbit.visits, orbit.occupancy, orbit.verdict.name
        percent = math.floor(1e4 * occupancy) / 100  # rounded down: 100 stands for all steps
        facts = f"occupancy {percent:g} %", f"visits {visits:,}", f"flips at {clock[cell.EVENTS]:,} steps"
        left = self.options.steps - step
        seconds = None if left and not pace.rate else left / (pace.rate or 1.0)
        return Progress(step, self.options.steps, note, facts, seconds)


class _Pace:
    """Adapts the budget of a slice to the machine, and estimates the time left."""

    def __init__(self, step: int):
        self.begun = self.mark = time.monotonic()
        self.budget = 20_000_000
        self.rate: float | None = None  # recent steps per second; None while unknown
        self._last = (self.begun, step)

    def tick(self, step: int) -> bool:
        """Note the end of a slice; return whether to check signals and the display."""
        now = time.monotonic()
        used = max(now - self.mark, 1e-6)
        self.mark = now
        if used > _SLICE / 4:  # shorter slices ended early because a log was full
            self.budget = int(np.clip(self.budget * np.clip(_SLICE / used, 0.25, 4), 1e5, 1e10))
        elif self.budget < 4e8:
            self.budget *= 2
        since, at = self._last
        if now - since < _SLICE:
            return False
        rate = (step - at) / (now - since)
        self.rate = rate if self.rate is None else 0.9 * self.rate + 0.1 * rate
        self._last = (now, step)
        return True


def _try_save(orbit: Orbit, path: Path) -> StoreError | None:
    """Save; if that fails, return the reason."""
    try:
        orbit.save(path)
    except StoreError as problem:
        return problem
    return None


def _holding(error: Error, orbit: Orbit) -> Error:
    """Return the error with the run so far as its attribute ``orbit``."""
    error.orbit = orbit  # type: ignore[attr-defined]
    error.add_note(f"The run up to step {orbit.steps:,} is the attribute `orbit` of this error.")
    return error


def begin(instance: Instance, options: Options, latent: np.ndarray) -> Orbit:
    """Run from latents u_0, with checked options."""
    options = options.for_data(instance)
    state = first_state(latent, instance.teacher, "recurrence" in options.record, instance.levels)
    if not options.plain:
        state.latent[:] = options.optimizer.begin(latent)
        moments = options.optimizer.start(instance.n)
        if moments is not None:
            kept = real_array(moments, f"what the start of {options.optimizer!r} returns")
            state = state._replace(moments=kept.ravel())
    records = [[np.zeros(0, FLIP)], [_NO_TIMES], [_NO_TIMES]]
    run = Run(instance, options, state, latent, "flips" in options.record, records)
    for reason in options.schedule.conditions():
        text = f"this schedule violates a condition of the theorem. {reason}"
        warnings.warn(text, SterlingWarning, stacklevel=3)
    return run.go()


def go_on(orbit: Orbit, instance: Instance, options: Options) -> Orbit:
    """Continue from an orbit; the option ``record`` is ignored: the run records what it recorded before."""
    check_belongs(orbit, instance)
    course = orbit._course
    run = Run(
        instance,
        options.for_data(instance),
        RunState(*map(np.copy, course.state)),
        orbit.start_latent,
        orbit.recorded,
        [[orbit.flips if orbit.recorded else np.zeros(0, FLIP)], *([times] for times in course.times)],
        flips_complete_to=None if orbit.flips_complete_to == orbit.steps else orbit.flips_complete_to,
        spent=orbit.stats.seconds,
        position=orbit.steps,
    )
    return run.go()


def check_belongs(orbit: Orbit, instance: Instance) -> None:
    """Refuse a run of another instance."""
    if orbit.instance.get("fingerprint") != instance.fingerprint:
        about = orbit.instance
        raise CheckpointError(
            f"the saved run belongs to another instance (n={about.get('n')}, m={about.get('m')}, "
            f"{about.get('samples')} samples): give the same data, or start again"
        )
