"""How many samples are needed in dimension n: theory, and trials on demand.

Numbers come from `sterling.theory` and carry its labels; `check.py` measures how good they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sterling import theory
from sterling.base.checks import instance_of, integer, real
from sterling.base.progress import Progress, ProgressCallback, reporting
from sterling.base.resources import thread_count
from sterling.base.text import share
from sterling.dynamics.restart import Restart
from sterling.model.problem import Problem
from sterling.plans.check import check_needs
from sterling.plans.needs import Need, Plan
from sterling.schedules import MAX_STEPS, Power, Schedule
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.chatter import PATHS
from sterling.theory.laws import MOST_SAMPLES, BeyondError
from sterling.theory.threshold import MOST_PATH_WEIGHTS

#: Number of steps of a row unless it is given: that at which its law was checked (`papers/plan.py`).
LAW_STEPS, OCCUPANCY_STEPS, RESTART_STEPS, DAMPED_STEPS = 10_000, 1_000_000, 12_600, 1000
_MOST_ITERATE_STEPS = 100_000  # of the runs with which the law of the last iterate was compared

_HALF = 0.5  # share of the data sets
_DAMPING = 0.5  # the threshold, in units of the signal
# N₅₀/n of ReLU with restarts at these n (docs/science, 12: `benchmarks/papers/restart.py`, parts `small`
# and `scaling`). The identity pulls twice as strongly, so it has half the scale and needs half the samples:
# 1.56, 1.62, 1.56 at n = 64, 128, 256.
_RESTART_N = (16, 32, 64, 128, 256, 512, 1024)
_RESTART = (2.72, 2.83, 3.08, 3.18, 3.16, 3.15, 3.13)
_RESTARTS = {"relu": (1.0, Restart(), 16, 1024), "identity": (0.5, Restart(scale=0.1), 64, 256)}
_FEWEST_OCCUPIED = 8  # samples, in units of n, from which on the law of the occupancy was compared with runs


def plan(
    problem: Problem,
    *,
    surrogate: str | Surrogate = "relu",
    occupancy: float = 0.5,
    confidence: float = 0.5,
    check: int = 0,
    steps: int | None = None,
    schedule: Schedule | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | ProgressCallback = False,
) -> Plan:
    """Estimate how many samples a problem needs.

    Parameters
    ----------
    problem : Problem
        The problem. Its inputs must be Gaussian, because the laws hold for these only.
    surrogate : str or Surrogate
        Surrogate gradient: a name or a `Surrogate`.
    occupancy : float
        Goal of one row: the share of the steps at which the weights are w*.
    confidence : float
        Goal of one row: the share of the data sets in which the time average decodes to w*. It is not the
        confidence level of an interval.
    check : int
        Number of trials for each row, 0 for none. Trials do not measure the rows of theorems.
    steps : int, optional
        Number of steps of a run, for all rows. By default each row has the number at which it was checked.
    schedule : Schedule, optional
        Step sizes, as in `train`.
    seed : int
        Random seed of the trials.
    threads : int, optional
        Trials at a time; all cores by default. Results are the same for any value.
    progress : bool or callable
        True shows how many trials are done; a callable gets a `Progress` several times a second.

    Returns
    -------
    Plan
        Its ``needs`` are the rows, one for each goal.

    Raises
    ------
    InputError
        If an argument cannot be used.
    CapacityError
        If trials would not fit into memory.
    KeyboardInterrupt
        Within half a second of Ctrl-C.

    Examples
    --------
    >>> import sterling as st
    >>> found = st.plan(st.Problem(n=64, samples=4096, noise=0.5))
    >>> for need in found.needs:
    ...     print(f"{need.goal}: {need.amount}")
    in half of the data sets the time average decodes to w*: about 1,300
    in half of the data sets the iterates are w* for 50\xa0% of the steps: about 67,000
    in half of the data sets the last iterate is at w* and stays, damping 0.5: about 1,400
    proved: the iterates visit w* again and again: of order 16,777,216
    >>> found.needs[0].label
    'mean-field, 10,000 steps'
    """
    instance_of(problem, Problem, "the first argument", "a Problem, such as Problem(n=64, samples=4096)")
    chosen = get_surrogate(surrogate)
    trials = integer(check, "check", 0)
    schedule = Power(0.5, 0.5) if schedule is None else schedule
    instance_of(schedule, Schedule, "schedule", "one such as Power(0.5, 0.5)")
    steps = None if steps is None else integer(steps, "steps", 1, MAX_STEPS)
    occupancy = real(occupancy, "occupancy", above=0, below=1)
    confidence = real(confidence, "confidence", above=0, below=1)
    root, at_once = integer(seed, "seed", 0), thread_count(threads)
    with reporting(progress) as show:
        if show is not None:
            show(Progress(0, None, "solving the laws"))
        needs = _Rows(problem, chosen, steps, schedule).all(occupancy, confidence)
    if trials:
        settings = {"schedule": schedule, "surrogate": chosen.name}
        needs = check_needs(needs, problem, settings, trials, root, at_once, progress)
    return Plan(problem, chosen.name, tuple(needs))


class _Rows:
    """The rows of a plan."""

    def __init__(self, problem: Problem, surrogate: Surrogate, steps: int | None, schedule: Schedule):
        self.problem, self.surrogate, self.steps, self.schedule = problem, surrogate, steps, schedule
        # The laws were compared with runs that had these step sizes and such a readout.
        self.usual = self.schedule == Power(0.5, 0.5) and problem.readout in ("ones", "signs")
        self.known_path = surrogate.name in PATHS

    def all(self, occupancy: float, confidence: float) -> list[Need]:
        rows = [self.average(confidence)]
        if self.problem.noise > 0:
            rows.append(self.occupied(occupancy))
        elif self.problem.n > 1:
            if self.known_path:
                rows.append(self.iterate())
            if self.problem.m == 1 and self.surrogate.name in _RESTARTS:
                rows.append(self.restarted())
        if self.known_path and self.problem.n <= MOST_PATH_WEIGHTS:
            rows.append(self.damped())
        law: Any = theory.samples_proved
        proved = {"recurrent": "proved: the iterates visit w* again and again"}
        if not self.problem.noise:
            proved = {"ergodic": "proved: the time average converges to w*", **proved}
        for claim, goal in proved.items():
            rows.append(
                Need(
                    goal,
                    law(self.problem, claim=claim),
                    kind=law.kind,
                    criterion="",
                    promise=None,
                    noise=self.problem.noise,
                    steps=None,
                    checked=True,
                    source=law.source,
                )
            )
        return rows

    def row(
        self,
        goal: str,
        law: Callable[[int], float],
        *,
        kind: str,
        source: str,
        default_steps: int,
        checked: bool,
        criterion: str = "optimal",
        promise: float = _HALF,
        least_steps: int | None = None,
        restart: Restart | None = None,
        optimizer: str | None = None,
    ) -> Need:
        """Return a row whose law depends on the steps; with fewer than were compared it is not checked."""
        steps = default_steps if self.steps is None else self.steps
        checked = checked and self.usual and steps >= (least_steps or default_steps)
        try:
            samples = law(steps)
        except BeyondError:
            samples, criterion, checked = MOST_SAMPLES, "", False
        often = "half" if promise == _HALF else share(promise)
        return Need(
            f"in {often} of the data sets {goal}",
            samples,
            kind=kind,
            criterion=criterion,
            promise=promise,
            noise=self.problem.noise,
            steps=steps,
            checked=checked,
            source=source,
            restart=restart,
            optimizer=optimizer,
        )

    def average(self, confidence: float) -> Need:
        law: Any = theory.samples_for_average
        problem = self.problem
        n, m, noise = problem.n, problem.m, problem.noise
        if noise > 0.5:  # the largest n of runs that it was compared with (`benchmarks/papers/plan.py`)
            largest = 256
        else:
            largest = 512 if m == 1 or noise == 0.5 else 128
        settings = {"schedule": self.schedule, "surrogate": self.surrogate}
        return self.row(
            "the time average decodes to w*",
            lambda steps: law(problem, confidence=confidence, steps=steps, **settings),
            kind=law.kind,
            source=law.source,
            criterion="ergodic",
            promise=confidence,
            default_steps=LAW_STEPS,
            checked=confidence == _HALF
            and m <= 4
            and (noise == 0 or 0.1 <= noise <= 1)
            and 16 <= n <= largest
            and self.known_path,
        )

    def occupied(self, occupancy: float) -> Need:
        law: Any = theory.samples_for_occupancy
        problem = self.problem
        n, m, noise = problem.n, problem.m, problem.noise
        need = self.row(
            f"the iterates are w* for {share(occupancy)} of the steps",
            lambda steps: law(problem, occupancy=occupancy, surrogate=self.surrogate),
            kind=law.kind,
            source=law.source,
            criterion=f"occupancy>={occupancy!r}",
            default_steps=OCCUPANCY_STEPS,
            checked=(16 if noise >= 0.5 else 32) <= n <= (64 if m == 1 and noise <= 0.5 else 32)
            and m <= 4
            and 0.1 <= noise <= 1
            and 0.05 <= occupancy <= 0.95,
        )
        return replace(need, checked=need.checked and need.samples >= _FEWEST_OCCUPIED * n)

    def iterate(self) -> Need:
        law: Any = theory.samples_for_iterate
        problem = self.problem
        settings = {"schedule": self.schedule, "surrogate": self.surrogate}
        return self.row(
            "the run ends at w*",
            lambda steps: law(problem, steps=steps, **settings),
            kind=law.kind,
            source=law.source,
            default_steps=LAW_STEPS,
            checked=16 <= problem.n <= 128
            and problem.m <= 4
            and (self.steps or LAW_STEPS) <= _MOST_ITERATE_STEPS,
            least_steps=LAW_STEPS if problem.n < 64 else 400,
        )

    def restarted(self) -> Need:
        n = self.problem.n
        part, restart, least, most = _RESTARTS[self.surrogate.name]
        return self.row(
            "the run with ergodic restart ends at w*",
            lambda steps: n * part * float(np.interp(n, _RESTART_N, _RESTART)),
            kind="measured",
            source="docs/science, 12",
            default_steps=RESTART_STEPS,
            checked=least <= n <= most,
            restart=restart,
        )

    def damped(self) -> Need:
        law: Any = theory.samples_for_last
        problem = self.problem
        n, m, noise = problem.n, problem.m, problem.noise / math.sqrt(problem.readout_norm2)
        return self.row(
            f"the last iterate is at w* and stays, damping {_DAMPING}",
            lambda steps: law(problem, damping=_DAMPING, surrogate=self.surrogate),
            kind=law.kind,
            source=law.source,
            default_steps=DAMPED_STEPS,
            checked=16 <= n <= (384 if m == 1 and noise >= 0.25 else 64)
            and m <= 4
            and (noise == 0 or 0.25 <= noise <= 1),
            optimizer=f"sgd:damping={_DAMPING}",
        )
