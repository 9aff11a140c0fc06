"""What a run costs on this machine: memory by computation, time by a short piece of that very run."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sterling.base.resources import available_memory, require_memory
from sterling.dynamics.run import Progress
from sterling.dynamics.train import train
from sterling.model.problem import Problem
from sterling.schedules import Power, Schedule
from sterling.study.kinds import Cell
from sterling.study.trial import warm_up

_SECONDS = 1.0  # that a run is watched


@dataclass(frozen=True)
class Cost:
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


def measure_cost(
    problem: Problem,
    surrogate: str,
    schedule: Schedule | None,
    steps: int,
    seed: int,
    threads: int | None,
) -> Cost:
    """Draw the data and watch the first second of a run on them.

    Raises
    ------
    CapacityError
        If the data would not fit into memory.
    """
    memory, free = problem.memory(), available_memory()
    require_memory(memory, f"a run with n={problem.n}, m={problem.m}, {problem.samples} samples")
    chosen = schedule or Power(0.5, 0.5)
    warm_up([Cell("train", problem, {"schedule": chosen, "surrogate": surrogate, "steps": steps})])
    begun = time.perf_counter()
    instance = problem.draw(seed)
    drawn = time.perf_counter()
    seen = {"step": 0}

    def watch(progress: Progress) -> None:
        seen["step"] = int(progress.done)
        if progress.done < steps and time.perf_counter() - drawn > _SECONDS:
            raise _Enough

    try:
        orbit = train(
            instance,
            steps,
            chosen,
            surrogate,
            seed,
            record=(),
            progress=watch,
            threads=threads,
        )
        if orbit.interrupted:
            raise KeyboardInterrupt  # cut short, it says nothing about the pace
        seen["step"] = steps
    except _Enough:
        pass
    return Cost(memory, free, drawn - begun, steps, seen["step"], time.perf_counter() - drawn)
