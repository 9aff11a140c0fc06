"""What a run costs on this machine: memory by computation, time by a short piece of that very run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sterling.base.progress import Progress
from sterling.base.resources import available_memory, require_memory
from sterling.base.text import Described
from sterling.dynamics.train import train
from sterling.model.problem import Problem
from sterling.schedules import parse_schedule
from sterling.study.kind import Cell
from sterling.study.trial import warm_up

_SECONDS = 1.0  # that a run is watched


@dataclass(frozen=True)
class Cost(Described):
    """What one run takes.

    Attributes
    ----------
    memory : int
        Bytes of the data, from above; visited states come on top, up to the bound of `train`.
    available : int or None
        Bytes free now.
    draw_seconds : float
        Time that drawing the data took.
    steps : int
        Steps of the run.
    watched_steps : int
        Steps that it did in the time it was watched; all of them if it was at its end by then.
    watched_seconds : float
        That time.
    """

    memory: int
    available: int | None
    draw_seconds: float
    steps: int
    watched_steps: int
    watched_seconds: float

    @property
    def seconds(self) -> float:
        """Seconds of the whole run at the pace of its beginning, which is its slowest part."""
        return self.watched_seconds * self.steps / max(1, self.watched_steps)


class _Enough(Exception):
    """The run was watched for long enough."""


def measure_cost(problem: Problem, settings: dict[str, Any], seed: int, threads: int | None) -> Cost:
    """Draw the data and watch the first second of a run on them, with the settings of a trial.

    Raises
    ------
    CapacityError
        If the data would not fit into memory.
    """
    memory, free = problem.memory(), available_memory()
    require_memory(memory, f"a run with n={problem.n}, m={problem.m}, {problem.samples} samples")
    cell = Cell("train", problem, settings)
    warm_up([cell])
    steps, schedule = cell.settings["steps"], parse_schedule(cell.settings["schedule"])
    begun = time.perf_counter()
    instance = problem.draw(seed)
    drawn = time.perf_counter()
    watched = steps

    def watch(progress: Progress) -> None:
        nonlocal watched
        if progress.done < steps and time.perf_counter() - drawn > _SECONDS:
            watched = int(progress.done)
            raise _Enough

    try:
        surrogate = cell.settings["surrogate"]
        train(instance, steps, schedule, surrogate, seed, record=(), progress=watch, threads=threads)
    except _Enough:
        pass
    return Cost(memory, free, drawn - begun, steps, watched, time.perf_counter() - drawn)
