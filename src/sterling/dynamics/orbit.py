"""The result of a run: verdict, averages, visits to the reference, and what was recorded on the way."""

from __future__ import annotations

import math
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.text import NO_BREAK, Described, Result, counted
from sterling.dynamics import state as cell
from sterling.dynamics.bookkeeping import last_close
from sterling.dynamics.motion import Movement
from sterling.dynamics.saved import Course, restore, store
from sterling.dynamics.shown import Shown
from sterling.dynamics.state import FLIP, Log, RunState
from sterling.dynamics.verdict import Verdict
from sterling.errors import InputError
from sterling.exact.mass import mass_between
from sterling.model.levels import Quantiser, moves_of

if TYPE_CHECKING:
    from os import PathLike

    from sterling.returns.recurrence import Recurrence


@dataclass(frozen=True)
class Stats(Described):
    """Cost of a run."""

    events: int  # steps at which some weight flipped
    flips: int  # weights flipped
    states: int  # gradients computed; one that is computed again counts again
    passes: float  # input entries read, in passes over the data
    seconds: float  # wall-clock time


class Orbit(Result, Shown):
    """One run of the STE-gradient method; `train` makes one, `Orbit.load` reads one.

    The iterates w_0 … w_{T−1} are the weights at which a gradient was taken; w_T is the result. Averages and
    visits are over the iterates. The reference is the teacher or, if that is unknown, the state of lowest
    empirical risk seen so far. In that case all counts about it start when the run first sees this state.
    With more than two levels, levels stand for signs, and a weight is wrong at any level but the reference's.

    Parameters
    ----------
    course : Course
        Internal record of the run, from `train` or `load`.

    Attributes
    ----------
    n : int
        Number of weights.
    steps : int
        T, the number of steps. Once no weight can change any more, steps are counted but not computed.
    planned : int
        Number of steps requested; an interrupted run has taken fewer.
    signs : int8 (n,)
        √n·w_T.
    latent : float64 (n,)
        u_T.
    start_latent : float64 (n,)
        u_0.
    reference, reference_kind : int8 (n,), "teacher" or "lowest risk seen"
        The state that distances and visits refer to, and its origin.
    occupancy : float
        Share of the iterates that are the reference.
    visits : int
        Arrivals at the reference: iterates that are the reference while the one before, if any, was not.
    first_hit : int or None
        Step of the first arrival; None if there was none.
    return_times, sojourn_times : int64
        Completed absences from and stays at the reference, in steps; the first four million of each.
        `recurrence` counts all of them.
    recorded : bool
        Whether flips were recorded; `flips` and `distance` need them.
    flips_complete_to : int
        Flips are recorded up to this step. It is below `steps` only if their number reached its limit.
    schedule, surrogate, engine : Schedule, str, str
        Step sizes, name of the surrogate, and name of the engine.
    restart : Restart or None
        Rule by which the latents return to the time average; None without restarts.
    optimizer, batch, seed : Optimizer, Batch or None, int or SeedSequence
        How a step uses the gradient, the samples of a step (None for all), and the seed of the batches.
    instance : dict
        Description of the data, as `Instance.to_dict` gives it.
    stats : Stats
        Cost of the run.

    Notes
    -----
    Arrays are read-only, because other results are computed from them.

    Examples
    --------
    >>> import sterling as st
    >>> orbit = st.train(st.Problem(n=8, samples=100, noise=0.5).draw(seed=0), steps=20_000)
    >>> orbit.steps, orbit.n, orbit.reference_kind
    (20000, 8, 'teacher')
    >>> 0 < orbit.occupancy < 1, orbit.visits == 1 + len(orbit.return_times)
    (True, True)
    >>> orbit.flips.dtype.names
    ('step', 'coordinate', 'sign')
    """

    _pictures = "sterling.plot.run", ("errors_over_time", "flip_raster", "ergodic_mean")

    def __init__(self, course: Course):
        options, about = course.options, course.instance
        clock = course.state.clock
        self._course = course
        self._plain, self._levels = options.plain, options.levels
        self._usual = options.plain and options.whole is None  # nothing of `_method` to say
        self.n = len(course.start_latent)
        self.steps, self.planned = course.steps, options.steps
        self.schedule = options.schedule
        self.surrogate, self.engine = options.surrogate.name, options.engine
        self.restart, self.optimizer = options.restart, options.optimizer
        self.batch, self.seed = options.batch, options.seed
        self.instance, self.start_latent = about, course.start_latent
        self.flips_complete_to = course.flips_complete_to
        events, flips, states = clock[[cell.EVENTS, cell.FLIPS, cell.EVALUATIONS]].tolist()
        passes = float(clock[cell.READ] / (about["n"] * about["m"] * about["samples"]))
        self.stats = Stats(events, flips, states, passes, course.seconds)
        # The steps of the unfinished interval up to T are counted in a copy.
        self._end = end = RunState(*map(np.copy, course.state))
        log = Log(np.empty(0, FLIP), np.empty(1, np.int64), np.empty(1, np.int64), np.zeros(3, np.int64))
        anchor, begun = int(clock[cell.ANCHOR]), int(clock[cell.EPOCH])
        if self.steps > anchor:
            last_close()(end, log, self.steps)
        # Rounded once, as in `Instance.readout_norm2`: weights have few digits, so their squares are exact.
        self._norm2 = math.fsum(np.square(about["readout"]))
        self._arguments = options.schedule._kernel_arguments(options.scale(self._norm2))
        mass = mass_between(*self._arguments, anchor - begun, self.steps - begun)
        total = end.mass[cell.TOTAL] + (mass + end.mass[cell.CARRY])
        self._balance = end.balance + end.signs * (total - end.since_mass)
        self._total_mass = float(total)
        times = []
        for record, more, count, kept in zip(
            course.times, log[1:3], log.counts[1:], clock[[cell.RETURNS, cell.SOJOURNS]], strict=True
        ):
            whole = len(record) == kept  # else the record was cut at its limit
            times.append(np.concatenate([record, more[:count]]) if whole and count else record)
        self.return_times, self.sojourn_times = times
        self.occupancy = float(end.clock[cell.OCCUPIED] / max(self.steps, 1))
        self.visits = int(end.clock[cell.VISITS])
        first = int(end.clock[cell.FIRST_HIT])
        self.first_hit = first if first >= 0 else None
        self.signs, self.reference = end.signs, end.reference
        self.latent = end.latent
        if self._plain and mass:
            self.latent = end.latent - mass * course.gradient
        elif mass and self._movement is not None:
            travel = self._movement.travel(anchor - begun, self.steps - begun)
            self.latent, _ = self._movement.move(end.latent, course.gradient, end.signs, travel)
        for array in (self.signs, self.reference, self.latent, self.start_latent, *times, course.flips):
            if array is not None:
                array.setflags(write=False)

    @property
    def interrupted(self) -> bool:
        """Whether the run has fewer steps than were planned: after Ctrl-C, or in a checkpoint."""
        return self.steps < self.planned

    @property
    def counted(self) -> bool:
        """Whether visits to the reference were counted; `recurrence` needs them."""
        return self._course.state.tally.size > 0

    @property
    def last_flip(self) -> int:
        """Step of the last flip; 0 if there was none."""
        return int(self._course.state.clock[cell.ANCHOR])

    @property
    def reference_kind(self) -> str:
        """ "teacher" or "lowest risk seen"."""
        return "lowest risk seen" if self._course.state.clock[cell.SEEKING] else "teacher"

    @cached_property
    def start_signs(self) -> np.ndarray:
        """The signs or levels of u_0, int8 (n,)."""
        return self._quantiser.quantise(self.start_latent)

    @cached_property
    def verdict(self) -> Verdict:
        """How the run ended, judged against the reference."""
        clock = self._course.state.clock
        if self._rest:
            there = not clock[cell.SEEKING] and np.array_equal(self.signs, self.reference)
            return Verdict.OPTIMAL if there or clock[cell.CURRENT] == 0 else Verdict.TRAPPED
        if self.restart is None and self._stalled():
            return Verdict.STALLED
        if self.visits >= 2:
            return Verdict.RECURRENT
        if self.counted:
            from sterling.dynamics.visits import counts_of
            from sterling.returns.chatter import chatters

            counts = counts_of(self)
            if chatters(counts.late_wrong, counts.late_flips, counts.batch_steps):
                return Verdict.CHATTERING
        return Verdict.WANDERING

    @property
    def _rest(self) -> int:
        """2 if no weight can turn any more, 1 if the gradient pushes none to, which proves less; else 0."""
        course = self._course
        if course.rest is not None:
            return course.rest
        if not course.gradient.size:
            return 0
        push = self.signs * course.gradient
        if not self._plain and self._movement is not None:
            push = self._movement.push(course.gradient, self.signs)
        return 2 if np.all(push <= 0) else 0

    @cached_property
    def _movement(self) -> Movement | None:
        """How latents move between two flips; None where every step is taken."""
        motion = self._course.options.motion
        return None if motion is None else Movement(motion, self._arguments)

    def _stalled(self) -> bool:
        """Whether the remaining mass is too small for another flip."""
        course, movement = self._course, self._movement
        if movement is None or not course.gradient.size:
            return False
        need = movement.reach(course.gradient, course.state.latent, self.signs)
        anchor = int(course.state.clock[cell.ANCHOR])
        # Damped latents travel less than the mass.
        left = self.schedule.remaining_mass(anchor) * course.options.scale(self._norm2)
        return bool(need > left * (1 + 1e-9))

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of the weights: their features, or their numbers, counted from 0."""
        return tuple(self.instance.get("origin", {}).get("columns") or map(str, range(self.n)))

    @property
    def certified(self) -> bool:
        """Whether the verdict is proved to hold for all time (docs/science, 5)."""
        return self.verdict is Verdict.STALLED or (
            self.verdict in (Verdict.OPTIMAL, Verdict.TRAPPED) and self._rest == 2
        )

    @property
    def ergodic_mean(self) -> np.ndarray:
        """w̄_T = Σ η_t w_t / Σ η_t, float64 (n,); of two levels each entry is in [−1/√n, 1/√n]."""
        if self._total_mass <= 0:
            return self.start_signs / math.sqrt(self.n)
        return self._balance / self._total_mass / math.sqrt(self.n)

    @property
    def ergodic_signs(self) -> np.ndarray:
        """The levels nearest to √n·w̄_T, ties upwards, int8 (n,); of two levels sign(w̄_T), sign(0) = +1."""
        if self._levels == 2:
            return np.where(self.ergodic_mean >= 0, 1, -1).astype(np.int8)
        return self._quantiser.nearest(self.ergodic_mean * math.sqrt(self.n))

    @property
    def wrong_share(self) -> np.ndarray:
        """Share of the iterates in which each weight differs from the reference, float64 (n,)."""
        if not self.steps:
            return (self.start_signs != self.reference).astype(np.float64)
        end, steps, home = self._end, self.steps, self.reference
        if self._levels > 2:
            held = end.plus.reshape(self.n, self._levels)[np.arange(self.n), self._quantiser.index(home)]
            return (steps - held - np.where(end.signs == home, steps - end.since, 0)) / steps
        plus = end.plus + np.where(end.signs > 0, steps - end.since, 0)
        return np.where(home > 0, steps - plus, plus) / steps

    @property
    def errors(self) -> int:
        """Hamming distance of w_T to the reference."""
        return int(np.count_nonzero(self.signs != self.reference))

    @property
    def ergodic_errors(self) -> int:
        """Hamming distance of `ergodic_signs` to the reference."""
        return int(np.count_nonzero(self.ergodic_signs != self.reference))

    @property
    def flips(self) -> np.ndarray:
        """The recorded flips, ordered by step, then by coordinate."""
        if self._course.flips is None:
            raise InputError('flips were not recorded: run with record=("flips",)')
        return self._course.flips

    @property
    def recorded(self) -> bool:
        """Whether flips were recorded."""
        return self._course.flips is not None

    @cached_property
    def _quantiser(self) -> Quantiser:
        return Quantiser(self._levels, self.n)

    @cached_property
    def _moves(self) -> np.ndarray:
        """The change of sign or level in each recorded flip."""
        return 2 * self.flips["sign"] if self._levels == 2 else moves_of(self.flips, self.start_signs)

    @cached_property
    def _distances(self) -> tuple[np.ndarray, np.ndarray]:
        flips = self.flips
        new, home = flips["sign"], self.reference[flips["coordinate"]]
        change = (new != home).astype(np.int64) - (new - self._moves != home)
        start = np.count_nonzero(self.start_signs != self.reference)
        return flips["step"], np.concatenate([[start], start + np.cumsum(change)])

    def distance(self, at) -> np.ndarray:
        """Return the Hamming distance of w_t to the reference.

        Parameters
        ----------
        at : int or array of int
            Steps t from 0 to T.

        Returns
        -------
        int64, of the same shape
            The distance at each step.

        Raises
        ------
        InputError
            If flips were not recorded, or not up to the largest of the steps.

        Examples
        --------
        >>> import sterling as st
        >>> orbit = st.train(st.Problem(n=8, samples=200).draw(seed=0), steps=1000)
        >>> orbit.distance([0, orbit.first_hit, 1000]).tolist()[1:]
        [0, 0]
        """
        at = np.asarray(at)
        if not at.size:
            at = at.astype(np.int64)  # an empty list comes as floats
        if at.dtype.kind not in "iu":
            raise InputError("the steps of distance() must be integers")
        if at.size and (at.min() < 0 or at.max() > self.flips_complete_to):
            raise InputError(
                f"distance() knows steps 0 to {self.flips_complete_to}, the recorded part of the run"
            )
        steps, distances = self._distances
        return distances[np.searchsorted(steps, at, side="right")]

    def recurrence(self) -> Recurrence:
        """Return statistics of the visits to the reference: times, escapes, an interval for the occupancy.

        Returns
        -------
        Recurrence
            Statistics of the whole run; their memory does not grow with its length.

        Raises
        ------
        InputError
            If the run did not record recurrence.

        Examples
        --------
        >>> import sterling as st
        >>> orbit = st.train(st.Problem(n=8, samples=100, noise=0.5).draw(seed=0), steps=50_000)
        >>> found = orbit.recurrence()
        >>> found.recurs, found.long_run.low < found.long_run.high
        (True, True)
        """
        from sterling.dynamics.visits import recurrence_of

        return recurrence_of(self)

    def save(self, path: str | PathLike) -> None:
        """Write the run to a file, whole or not at all. `Orbit.load` reads it; `resume` continues it.

        A custom piecewise-constant surrogate is saved with its window. A custom smooth one must be registered
        under its name before the file is read.

        Parameters
        ----------
        path : path
            The file; an existing one is replaced.

        Raises
        ------
        StoreError
            If the file cannot be written; an existing file is then unchanged.

        Examples
        --------
        >>> import sterling as st
        >>> orbit = st.train(st.Problem(n=8, samples=100).draw(seed=0), steps=1000)
        >>> orbit.save("run.orbit")
        >>> st.Orbit.load("run.orbit")
        Orbit(OPTIMAL certified, n=8, steps=1,000, errors=0, ergodic_errors=0, occupancy=0.992, visits=1)
        """
        store(self._course, path)

    @staticmethod
    def load(path: str | PathLike) -> Orbit:
        """Read a run that `save` wrote.

        Parameters
        ----------
        path : path
            The file. Its content is checked, and none of it is executed.

        Returns
        -------
        Orbit
            The saved run.

        Raises
        ------
        CheckpointError
            If the file cannot be used; the message says why.

        Examples
        --------
        >>> import sterling as st
        >>> st.train(st.Problem(n=8, samples=100).draw(seed=0), steps=1000).save("run.orbit")
        >>> st.Orbit.load("run.orbit").verdict
        Verdict.OPTIMAL
        """
        return Orbit(restore(path))

    def to_dict(self) -> dict:
        return {
            "verdict": self.verdict.name,
            "certified": self.certified,
            "interrupted": self.interrupted,
            "steps": self.steps,
            "reference": self.reference_kind,
            "errors": self.errors,
            "ergodic_errors": self.ergodic_errors,
            "occupancy": self.occupancy,
            "visits": self.visits,
            "first_hit": self.first_hit,
            "surrogate": self.surrogate,
            "schedule": self.schedule.to_dict(),
            "restart": None if self.restart is None else self.restart.to_dict(),
            "optimizer": self.optimizer.to_dict(),
            "batch": None if self.batch is None else self.batch.to_dict(),
            "notes": self.notes,
            "engine": self.engine,
            "instance": deepcopy(self.instance),
            "stats": self.stats.to_dict(),
            "signs": self.signs.tolist(),
            "ergodic_mean": self.ergodic_mean.tolist(),
            "wrong_share": self.wrong_share.tolist(),
        }

    def _rows(self) -> list[tuple[str, str]]:
        sure = ", certified for all time" if self.certified else f" so far, in {counted(self.steps, 'step')}"
        distance = "teacher" if self.reference_kind == "teacher" else "best state seen"
        wrong = "wrong weights" if distance == "teacher" else f"weights unlike the {distance}"
        rows = [
            ("verdict", f"{self.verdict.name}{sure}"),
            ("steps", f"{self.steps:,}" + (" (interrupted)" if self.interrupted else "")),
        ]
        if not self._usual:
            rows += self._method()
        occupancy = np.format_float_positional(100 * self.occupancy, 4, fractional=False, trim="-")
        occupancy = "over 99.99" if 0.99995 <= self.occupancy < 1 else occupancy
        rows += [
            (f"{wrong}, last iterate", f"{self.errors:,} of {self.n:,}"),
            (f"{wrong}, time average", f"{self.ergodic_errors:,} of {self.n:,}"),
            (f"occupancy of the {distance}", f"{occupancy}{NO_BREAK}% of the steps"),
            ("visits", f"{self.visits:,}"),
            ("first visit", "never" if self.first_hit is None else f"step {self.first_hit:,}"),
        ]
        if self.return_times.size:
            rows.append(("median absence that ended", counted(float(np.median(self.return_times)), "step")))
        rows.append(("steps with a flip", f"{self.stats.events:,}"))
        if self.stats.states:  # which the step engine does not count
            passes = max(1, round(self.stats.passes))
            shared = " (one reading can serve several gradients)" * (passes < self.stats.states)
            read = f"readings of the data: {passes:,}{shared}"
            rows.append(("gradients computed", f"{self.stats.states:,}; {read}"))
        seconds = self.stats.seconds
        return [*rows, ("time", f"{seconds:,.3f} s" if seconds >= 1e-3 else "under 1 ms")]

    def __repr__(self) -> str:
        sure = "certified" if self.certified else "so far"
        return (
            f"Orbit({self.verdict} {sure}, n={self.n}, steps={self.steps:,}, errors={self.errors}, "
            f"ergodic_errors={self.ergodic_errors}, occupancy={self.occupancy:.4g}, visits={self.visits:,})"
        )
