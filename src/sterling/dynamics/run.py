"""The loop around an engine: time slices, recording, progress, interruption, checkpoints.

`train.py` is the door for users; the engines know nothing of clocks, signals or files.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from sterling.base.interrupts import deferred_interrupt
from sterling.base.progress import Progress
from sterling.dynamics import walk as cell
from sterling.dynamics.options import Options
from sterling.dynamics.orbit import Orbit
from sterling.dynamics.verdict import Verdict
from sterling.dynamics.walk import (
    ABSORBED,
    FLIP,
    FLIP_BOUND,
    REACHED,
    RESTARTED,
    TIME_BOUND,
    Course,
    Log,
    Walk,
)
from sterling.errors import SterlingWarning, StoreError
from sterling.model.instance import Instance

if TYPE_CHECKING:
    from sterling.dynamics.dense import DenseEngine
    from sterling.dynamics.event import EventEngine

    Engine = DenseEngine | EventEngine

Error = TypeVar("Error", bound=BaseException)

_SLICE = 0.1  # seconds between looks at signals and the display
_FLIP_BUFFER = 1 << 16
_TIME_BUFFER = 1 << 14


class Times:
    """Return or sojourn times up to their bound, in one array; what is not filled takes no memory yet."""

    def __init__(self, earlier: np.ndarray | None = None) -> None:
        self._room = np.empty(TIME_BOUND, np.int64)
        self.count = 0
        if earlier is not None:
            self.extend(earlier)

    def extend(self, times: np.ndarray) -> None:
        """Add times; those beyond the bound are dropped."""
        kept = times[: len(self._room) - self.count]
        self._room[self.count : self.count + len(kept)] = kept
        self.count += len(kept)

    @property
    def filled(self) -> np.ndarray:
        """The times so far, a view that later ones do not change."""
        return self._room[: self.count]


@dataclass
class Run:
    """One run under way.

    ``walk`` is the state to go on from; ``flips``, ``returns`` and ``sojourns`` hold what a run that this one
    resumes has recorded, and ``spent`` the seconds it took.
    """

    instance: Instance
    options: Options
    walk: Walk
    start_latent: np.ndarray
    record_flips: bool
    flips: list[np.ndarray] = field(default_factory=list)
    returns: Times = field(default_factory=lambda: Times())
    sojourns: Times = field(default_factory=lambda: Times())
    flips_complete_to: int | None = None  # None while all flips are recorded
    spent: float = 0.0
    finished: bool = False

    def go(self, show: Callable[[Progress], None] | None = None) -> Orbit:
        """Run to the planned step and return the result; after Ctrl-C, raise it with the result so far."""
        unsaved: StoreError | None = None
        with deferred_interrupt() as interrupted:
            engine = self._make_engine()
            try:
                engine.start()
                engine.advance(0, 0)  # does nothing but compile what is not: that is no time of the run
                pace = _Pace(self.options.steps, int(self.walk.clock[cell.ANCHOR]))
                self._loop(engine, pace, show, interrupted)
                orbit = self._orbit(engine, pace)
            finally:
                engine.finish()
            if show is not None:
                show(self._progress(pace, orbit.steps, orbit))
            if self.options.checkpoint is not None:
                unsaved = _try_save(orbit, self.options.checkpoint)
            pressed = interrupted()
        if pressed:
            raise _holding(KeyboardInterrupt(), orbit) from unsaved
        if unsaved is not None:
            raise _holding(unsaved, orbit)
        return orbit

    def _make_engine(self) -> Engine:
        options = self.options
        what = self.instance, options.surrogate, options.schedule, self.walk, self._buffers()
        if options.engine == "dense":
            from sterling.dynamics.dense import DenseEngine

            return DenseEngine(*what)
        from sterling.dynamics.event import EventEngine

        return EventEngine(*what, options.threads, options.cache_bytes)

    def _loop(
        self,
        engine: Engine,
        pace: _Pace,
        show: Callable[[Progress], None] | None,
        interrupted: Callable[[], bool],
    ) -> None:
        """Let the engine run, a slice at a time, until it is done or Ctrl-C was pressed."""
        options, saved = self.options, time.monotonic()
        restart = options.restart
        while True:
            until = options.steps
            if restart is not None:
                until = min(until, int(self.walk.clock[cell.EPOCH]) + restart.every - 1)
            status = engine.advance(until, pace.budget)
            self._collect(engine, status)
            if status == ABSORBED or (status == REACHED and until == options.steps):
                self.finished = True
                return
            if status == REACHED and restart is not None:
                norm2 = self.instance.readout_norm2
                restart._apply(self.walk, engine.log, until + 1, options.schedule, norm2)
                engine.moved()
            if pace.tick(engine.position) and show is not None:
                show(self._progress(pace, engine.position))
            if interrupted():
                return
            if options.checkpoint is not None and time.monotonic() - saved >= options.checkpoint_every:
                problem = _try_save(self._orbit(engine, pace), options.checkpoint)
                if problem is not None:  # a full disk must not cost the run
                    text = f"the checkpoint was not saved: {problem}; the run goes on"
                    warnings.warn(text, SterlingWarning, stacklevel=2)
                saved = time.monotonic()

    def _buffers(self) -> Log:
        """Return empty buffers for what is still recorded; what has passed its bound is not."""
        clock = self.walk.clock
        flips = _FLIP_BUFFER + self.instance.n if self.record_flips and self.flips_complete_to is None else 0
        returns = _TIME_BUFFER if self.returns.count == clock[cell.RETURNS] else 0
        sojourns = _TIME_BUFFER if self.sojourns.count == clock[cell.SOJOURNS] else 0
        return Log.sized(flips, returns, sojourns)

    def _collect(self, engine: Engine, status: int) -> None:
        """Take over what the engine logged, up to the bounds, which do not depend on when this is called."""
        log = engine.log
        if status == RESTARTED:
            self.returns, self.sojourns = Times(), Times()
        flips, returns, sojourns = log.counts
        if flips:
            self.flips.append(log.flips[:flips].copy())
        self.returns.extend(log.returns[:returns])
        self.sojourns.extend(log.sojourns[:sojourns])
        log.counts[:] = 0
        if len(log.flips) and sum(map(len, self.flips)) > FLIP_BOUND:
            flips = np.concatenate(self.flips)
            end = flips["step"][FLIP_BOUND]  # this step is not kept whole
            self.flips = [flips[flips["step"] < end]]
            self.flips_complete_to = int(end) - 1
        wanted = self._buffers()
        if any(len(new) != len(old) for new, old in zip(wanted[:3], log[:3], strict=True)):
            engine.log = wanted

    def _orbit(self, engine: Engine, pace: _Pace) -> Orbit:
        """Return the result as of now."""
        options, walk = self.options, self.walk
        steps = options.steps if self.finished else engine.position
        known = self.finished or steps > walk.clock[cell.ANCHOR]
        course = Course(
            walk=walk.copy(),
            steps=steps,
            planned=options.steps,
            gradient=engine.gradient if known else np.zeros(0),
            schedule=options.schedule,
            surrogate=options.surrogate,
            engine=options.engine,
            restart=options.restart,
            start_latent=self.start_latent,
            flips=np.concatenate([np.zeros(0, FLIP), *self.flips]) if self.record_flips else None,
            flips_complete_to=steps if self.flips_complete_to is None else self.flips_complete_to,
            times=(self.returns.filled, self.sojourns.filled),
            seconds=self.spent + pace.seconds,
            instance=self.instance.to_dict(),
        )
        return Orbit(course)

    def _progress(self, pace: _Pace, step: int, orbit: Orbit | None = None) -> Progress:
        clock = self.walk.clock
        if orbit is None:
            visits, verdict = int(clock[cell.VISITS]), Verdict.WANDERING
            if visits >= 2:
                verdict = Verdict.RECURRENT
            occupancy, note = clock[cell.OCCUPIED] / max(1, clock[cell.ANCHOR]), f"{verdict} so far"
        else:
            visits, occupancy, note = orbit.visits, orbit.occupancy, str(orbit.verdict)
        facts = (
            f"occupancy {occupancy:.3g}",
            f"visits {visits:,}",
            f"flips at {clock[cell.EVENTS]:,} steps",
        )
        return Progress(step, self.options.steps, note, facts, pace.left(step))


class _Pace:
    """Adapts the budget of a slice to the machine, and estimates the time left."""

    def __init__(self, planned: int, step: int):
        self.planned, self.first = planned, step
        self.begun = self.mark = time.monotonic()
        self.budget = 20_000_000
        self._rate: float | None = None
        self._last = (self.begun, step)

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.begun

    def tick(self, step: int) -> bool:
        """Note the end of a slice; return whether it is time to look up."""
        now = time.monotonic()
        used = max(now - self.mark, 1e-6)
        self.mark = now
        if used > _SLICE / 4:  # shorter ones ended early, for a full log
            self.budget = int(np.clip(self.budget * np.clip(_SLICE / used, 0.25, 4), 1e5, 1e10))
        elif self.budget < 4e8:
            self.budget *= 2
        since, at = self._last
        if now - since < _SLICE:
            return False
        rate = (step - at) / (now - since)
        self._rate = rate if self._rate is None else 0.9 * self._rate + 0.1 * rate
        self._last = (now, step)
        return True

    def left(self, step: int) -> float | None:
        """Return the seconds that the rest will take at the recent pace, None if unknown."""
        if step >= self.planned:
            return 0.0
        if not self._rate:
            return None
        return (self.planned - step) / self._rate


def _try_save(orbit: Orbit, path: Path) -> StoreError | None:
    """Save; return why that was not possible, if so."""
    try:
        orbit.save(path)
    except StoreError as problem:
        return problem
    return None


def _holding(error: Error, orbit: Orbit) -> Error:
    """Return an error that brings the run so far to whoever catches it."""
    error.orbit = orbit  # type: ignore[attr-defined]
    error.add_note(f"The run is kept, up to step {orbit.steps:,}: it is the attribute `orbit` of this error.")
    return error
