"""The loop around an engine: time slices, recording, progress, interruption, checkpoints.

`train.py` is the door for users; the engines know nothing of clocks, signals or files.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sterling.base import progress
from sterling.base.interrupts import deferred_interrupt
from sterling.dynamics.orbit import Orbit, Verdict
from sterling.dynamics.walk import (
    ABSORBED,
    ANCHOR,
    CURRENT,
    EVALUATIONS,
    EVENTS,
    FLIP,
    OCCUPIED,
    PENDING,
    REACHED,
    RESTARTED,
    RETURNS,
    SOJOURNS,
    VISITS,
    Log,
    Walk,
)
from sterling.errors import SterlingWarning, StoreError
from sterling.exact.mass import mass_between
from sterling.model.instance import Instance
from sterling.schedules import Schedule
from sterling.surrogates import Surrogate

#: At most so many flips are kept; the run goes on without recording beyond (13 bytes each).
FLIP_BOUND = 20_000_000
#: At most so many return times and sojourn times each.
TIME_BOUND = 4_000_000

_SLICE = 0.1  # seconds between looks at signals and the display
_BRIEF = 1.0  # seconds; a shorter run that ends all the same passes Ctrl-C on, to the loop around it perhaps
_FLIP_BUFFER = 1 << 16
_TIME_BUFFER = 1 << 14


class Engine(Protocol):
    """What the loop needs of an engine."""

    log: Log

    def advance(self, until: int, budget: int) -> int: ...
    @property
    def gradient(self) -> np.ndarray: ...
    @property
    def position(self) -> int: ...
    def finish(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Progress(progress.Progress):
    """How far a run is, in steps: what displays are given several times a second."""

    verdict: Verdict
    occupancy: float
    visits: int
    distance: int
    events: int
    states: int
    seconds: float


class Times:
    """Return or sojourn times up to their bound, in one array; what is not filled takes no memory yet."""

    def __init__(self, earlier: np.ndarray | None = None):
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

    ``start`` is the state to go on from; ``earlier`` holds what was recorded before, by a run that this one
    resumes, and ``spent`` the seconds it took.
    """

    instance: Instance
    surrogate: Surrogate
    schedule: Schedule
    engine_name: str
    make_engine: Callable[[Walk, Log], Engine]
    walk: Walk
    planned: int
    start_latent: np.ndarray
    record_flips: bool
    flips: list[np.ndarray] = field(default_factory=list)
    returns: Times = field(default_factory=lambda: Times())
    sojourns: Times = field(default_factory=lambda: Times())
    flips_complete_to: int | None = None  # None while all flips are recorded
    spent: float = 0.0
    interrupted: bool = False
    absorbed: bool = False
    finished: bool = False

    def go(
        self,
        show: Callable[[Progress], None] | None = None,
        save: Callable[[Orbit], None] | None = None,
        save_every: float = 20.0,
    ) -> Orbit:
        """Run to the planned step, or until Ctrl-C, and return the result."""
        log = self._buffers()
        engine = self.make_engine(self.walk, log)
        pace = _Pace(self.planned, int(self.walk.clock[ANCHOR]))
        try:
            with deferred_interrupt() as interrupted:
                last_save = time.monotonic()
                while True:
                    status = engine.advance(self.planned, pace.budget)
                    self._collect(engine, status)
                    self.absorbed = status == ABSORBED
                    if status in (REACHED, ABSORBED):
                        self.finished = True
                        if pace.seconds > _BRIEF:
                            interrupted()  # a press asked for the end, and this is it
                        break
                    if pace.tick(engine.position) and show is not None:
                        show(self._progress(pace, engine.position))
                    if interrupted():
                        self.interrupted = True
                        break
                    if save is not None and time.monotonic() - last_save >= save_every:
                        _try_save(save, self._orbit(engine, pace))
                        last_save = time.monotonic()
            orbit = self._orbit(engine, pace)
        finally:
            engine.finish()
        if show is not None:
            show(self._progress(pace, orbit.steps))
        if save is not None:
            _try_save(save, orbit)
        return orbit

    def _buffers(self) -> Log:
        """Return empty buffers for what is still recorded; what has passed its bound is not."""
        clock = self.walk.clock
        flips = _FLIP_BUFFER + self.instance.n if self.record_flips and self.flips_complete_to is None else 0
        returns = _TIME_BUFFER if self.returns.count == clock[RETURNS] else 0
        sojourns = _TIME_BUFFER if self.sojourns.count == clock[SOJOURNS] else 0
        return Log(
            np.empty(flips, FLIP),
            np.empty(returns, np.int64),
            np.empty(sojourns, np.int64),
            np.zeros(3, np.int64),
        )

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
        if len(log.flips) and _length(self.flips) > FLIP_BOUND:
            flips = np.concatenate(self.flips)
            end = flips["step"][FLIP_BOUND]  # this step is not kept whole
            self.flips = [flips[flips["step"] < end]]
            self.flips_complete_to = int(end) - 1
        wanted = self._buffers()
        if any(len(new) != len(old) for new, old in zip(wanted[:3], log[:3], strict=True)):
            engine.log = wanted

    def _orbit(self, engine: Engine, pace: _Pace) -> Orbit:
        """Return the result as of now."""
        walk = self.walk
        steps = self.planned if self.finished else engine.position
        anchor = int(walk.clock[ANCHOR])
        arguments = self.schedule.kernel_arguments(1 / self.instance.readout_norm2)
        mass = mass_between(*arguments, anchor, steps)
        gradient = engine.gradient if steps > anchor else np.zeros(self.instance.n)
        return Orbit(
            walk=walk.copy(),
            steps=steps,
            planned=self.planned,
            absorbed=self.absorbed,
            stalled=not self.absorbed and self._stalled(anchor),
            interrupted=self.interrupted,
            gradient=gradient,
            mass=mass,
            schedule=self.schedule,
            surrogate=self.surrogate.name,
            engine=self.engine_name,
            start_latent=self.start_latent,
            flips=_join(self.flips) if self.record_flips else None,
            flips_complete_to=steps if self.flips_complete_to is None else self.flips_complete_to,
            times=(self.returns.filled, self.sojourns.filled),
            seconds=self.spent + pace.seconds,
            instance=self.instance.to_dict(),
            zero_risk=int(walk.clock[CURRENT]) == 0,
        )

    def _stalled(self, anchor: int) -> bool:
        """Whether all steps to come, for ever, weigh less than the next flip needs."""
        need = float(self.walk.mass[PENDING])
        left = self.schedule.remaining_mass(anchor) / self.instance.readout_norm2
        return need > left * (1 + 1e-9)

    def _progress(self, pace: _Pace, step: int) -> Progress:
        walk = self.walk
        visits = int(walk.clock[VISITS])
        verdict = Verdict.RECURRENT if visits >= 2 else Verdict.WANDERING
        if self.absorbed:
            at_reference = bool(np.all(walk.signs == walk.reference)) and self.instance.teacher is not None
            best = at_reference or walk.clock[CURRENT] == 0
            verdict = Verdict.OPTIMAL if best else Verdict.TRAPPED
        occupancy = float(walk.clock[OCCUPIED] / max(1, walk.clock[ANCHOR]))
        events = int(walk.clock[EVENTS])
        return Progress(
            step,
            self.planned,
            f"{verdict.name} so far",
            (f"occupancy {occupancy:.3g}", f"visits {visits:,}", f"events {events:,}"),
            verdict=verdict,
            occupancy=occupancy,
            visits=visits,
            distance=int(np.count_nonzero(walk.signs != walk.reference)),
            events=events,
            states=int(walk.clock[EVALUATIONS]),
            seconds=self.spent + pace.seconds,
            seconds_left=pace.left(step),
        )


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


def _try_save(save: Callable[[Orbit], None], orbit: Orbit) -> None:
    """Save; a full disk must not cost the run, so a failure is only told."""
    try:
        save(orbit)
    except StoreError as problem:
        warnings.warn(
            f"the checkpoint was not saved: {problem}; the run goes on", SterlingWarning, stacklevel=2
        )


def _length(parts: list[np.ndarray]) -> int:
    return sum(map(len, parts))


def _join(parts: list[np.ndarray]) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, FLIP)
