"""Where runs end: the dynamics from many starts, counted by the absorbing state that caught them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.progress import Progress, Show
from sterling.errors import InputError
from sterling.schedules import Schedule
from sterling.states.sweep import thread_count, work_together

if TYPE_CHECKING:
    from sterling.states.landscape import Landscape

#: Steps of a run, at most, where no state absorbs: it would go on for ever, and only its verdict is told.
ENDLESS_STEPS = 10_000

_CACHE_BYTES = 1 << 26  # for each run


@dataclass(frozen=True, eq=False)
class Basins:
    """Where runs from many starts ended, most frequent first.

    Attributes
    ----------
    starts : int
    states : int64 (count,)
        Numbers of the absorbing states that were reached.
    counts : int64 (count,)
        Runs that ended in each.
    absorbing : int8 (count, n)
        The same states as signs.
    distance : uint8 (count,)
        Their Hamming distances to the reference.
    unabsorbed : int
        Runs that were under way at their last step.
    verdicts : dict
        Runs by verdict.
    steps : int
        Bound on each run: what was asked for, but `ENDLESS_STEPS` at most where no state absorbs.
    """

    starts: int
    states: np.ndarray
    counts: np.ndarray
    absorbing: np.ndarray
    distance: np.ndarray
    unabsorbed: int
    verdicts: dict[str, int]
    steps: int

    @property
    def shares(self) -> np.ndarray:
        """Counts as shares of all starts: the sizes of the basins under this law of starts."""
        return self.counts / self.starts

    def to_dict(self) -> dict:
        """Return the results as plain values."""
        return {
            "starts": self.starts,
            "states": self.states.tolist(),
            "counts": self.counts.tolist(),
            "distance": self.distance.tolist(),
            "unabsorbed": self.unabsorbed,
            "verdicts": dict(self.verdicts),
            "steps": self.steps,
        }


class _Stopped(Exception):
    """A run was given up on request."""


def find_basins(
    landscape: Landscape,
    starts: int = 200,
    schedule: Schedule | None = None,
    seed: int | np.random.SeedSequence = 0,
    steps: int = 1_000_000,
    threads: int | None = None,
    progress: Show | None = None,
) -> Basins:
    """Run the dynamics from many starts and count where they end.

    Parameters
    ----------
    landscape : Landscape
    starts : int
        Runs, with latents N(0, 1/n) of their own seeds.
    schedule : Schedule
        As in `sterling.train`.
    seed : int or SeedSequence
    steps : int
        Bound on each run; an absorbed one ends at once. Where no state absorbs no run ends, however long it
        is, so `ENDLESS_STEPS` are taken at most.
    threads : int, optional
        Runs at a time; all cores by default. The result does not depend on it.
    progress : callable, optional
        Gets a `Progress`, in runs, several times a second.

    Raises
    ------
    InputError
        For arguments that cannot be used.
    KeyboardInterrupt
        Within half a second of Ctrl-C.
    """
    from sterling.dynamics.train import train
    from sterling.model.problem import LATENT, part_seed
    from sterling.states.landscape import number_of, signs_of

    if isinstance(starts, bool) or not isinstance(starts, int) or starts < 1:
        raise InputError(f"starts is {starts!r}; it must be a positive integer")
    if not landscape.absorbing_states.size and isinstance(steps, int):
        steps = min(steps, ENDLESS_STEPS)
    stop = threading.Event()

    def look(_progress) -> None:
        if stop.is_set():
            raise _Stopped

    numbers = iter(range(starts))
    lock = threading.Lock()
    where = np.full(starts, -1, np.int64)
    verdicts: dict[int, str] = {}

    def work() -> None:
        while True:
            look(None)
            with lock:
                number = next(numbers, None)
            if number is None:
                return
            orbit = train(
                landscape.instance,
                steps,
                schedule,
                landscape.surrogate,
                part_seed(seed, LATENT, number),
                record=(),
                progress=look,
                threads=1,
                cache_bytes=_CACHE_BYTES,
            )
            if orbit.absorbed:
                where[number] = number_of(orbit.signs)
            verdicts[number] = orbit.verdict.name

    show = None if progress is None else lambda: progress(Progress(len(verdicts), starts))
    work_together(work, min(thread_count(threads), starts), stop, show)
    states, counts = np.unique(where[where >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    named = list(verdicts.values())
    return Basins(
        starts=starts,
        states=states[order],
        counts=counts[order],
        absorbing=signs_of(states[order], landscape.n),
        distance=landscape.distance_of(states[order]),
        unabsorbed=int((where < 0).sum()),
        verdicts={name: named.count(name) for name in sorted(set(named))},
        steps=steps,
    )
