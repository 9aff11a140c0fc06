"""Bars measured in this process: against PyTorch, against NumPy, and in steps per second."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

import sterling as st
from benchmarks import processes
from benchmarks.report import Options, Row

_PAUSE = 0.3  # seconds, in which PyTorch's threads stop waiting actively for the next product
_SLICES, _QUICK_SLICES = 8, 2  # of PyTorch before each run of sterling; the fastest counts
_SLICE = 0.25  # seconds; short, since two threads that wait for each other are easily disturbed
_COMPARED = 50  # steps for which both must have the same weights; later float32 may differ
_MOST_STEPS = 50_000  # that a slice of PyTorch may have
_LATENT_SEED = 7

Result = TypeVar("Result")


@dataclass(frozen=True)
class Ratio:
    """One row of sterling against PyTorch."""

    problem: st.Problem
    schedule: st.Power
    steps: int
    quick_steps: int
    bar: float
    aim: float

    def __call__(self, options: Options) -> list[Row]:
        """Measure both in turns on one instance; compare the time of a step.

        The fastest slice of PyTorch counts, and the fastest whole run of sterling: on a busy machine the
        ratio is rather too small than too large.
        """
        import torch

        from benchmarks.torch_loop import TorchLoop, fastest_loop, turn_length

        torch.set_num_threads(options.threads)
        steps = self.quick_steps if options.quick else self.steps
        slices = _QUICK_SLICES if options.quick else _SLICES
        problem, schedule = self.problem, self.schedule
        latent = np.random.default_rng(_LATENT_SEED).standard_normal(problem.n) / np.sqrt(problem.n)

        def train(instance: st.Instance, count: int, record=()) -> st.Orbit:
            return st.train(instance, count, schedule, init=latent, record=record, threads=options.threads)

        first = problem.draw(0)
        data = (first.inputs.astype(np.float32), first.labels, first.readout, latent)
        rates = (schedule.at(np.arange(_MOST_STEPS)) / first.readout_norm2).tolist()
        loop, layouts = fastest_loop(*data, rates, _SLICE)
        piece = rates[: turn_length(loop, rates, _SLICE)]

        orbit = train(first, _COMPARED, ("flips",))  # warms the kernels as well
        witness = TorchLoop(*data, loop.layout, loop.blocks)
        agreed = _same_weights(orbit, witness, rates)
        del first, witness, data

        times: dict[str, list[float]] = {"PyTorch, a step": [], "sterling, a step": []}
        for _ in range(options.repeat):
            times["PyTorch, a step"] += [loop.time(piece) for _ in range(slices)]
            instance = problem.draw(0)  # a new one, so that no cache of an earlier run helps
            time.sleep(_PAUSE)
            begun = time.perf_counter()
            orbit = train(instance, steps)
            spent = time.perf_counter() - begun
            _require_all_steps(orbit, steps)
            times["sterling, a step"].append(spent / steps)
        rival, ours = (min(spent) for spent in times.values())
        stats = orbit.stats
        note = (
            f"a step: PyTorch {_time(rival)} ({loop}; plain rows {_time(layouts['rows'])}), "
            f"sterling {_time(ours)}; {steps * ours:.1f} s for {steps:,} steps with {stats.events:,} events "
            f"and {stats.states:,} new states; same weights for the first {agreed} of {_COMPARED} steps"
        )
        return [
            Row(
                title=f"a step: {_describe(problem)} {_describe_schedule(schedule)}, {steps:,} steps",
                measured=rival / ours,
                unit="× PyTorch",
                bar=self.bar,
                aim=self.aim,
                runs=times | {f"PyTorch, a step, {name}": [spent] for name, spent in layouts.items()},
                note=note,
                failure="" if agreed == _COMPARED else "PyTorch and sterling do not take the same steps",
            )
        ]


def _require_all_steps(orbit: st.Orbit, steps: int) -> None:
    if orbit.steps != steps or orbit.verdict.absorbed:
        raise RuntimeError(f"the run was not a full one: {orbit.steps:,} steps of {steps:,}, {orbit.verdict}")


def _same_weights(orbit: st.Orbit, loop, rates: list[float]) -> int:
    """Return the number of first steps with the same weights in both."""
    watched: list[np.ndarray] = []
    loop.run(rates[: orbit.steps], watched)
    signs = orbit.start_signs.copy()
    flips = orbit.flips
    assert flips is not None
    for step, seen in enumerate(watched):
        now = flips[flips["step"] == step]
        signs[now["coordinate"]] = now["sign"]
        if not np.array_equal(signs, seen):
            return step
    return len(watched)


def noiseless(options: Options) -> list[Row]:
    """Time drawing without noise, and training to a certified verdict, in units of NumPy's drawing."""
    n, samples, steps = 100, 100_000, 10**9
    problem, schedule = st.Problem(n=n, samples=samples), st.Power(0.5, 0.5)
    small = st.Problem(n=n, samples=samples // 50)
    st.train(small.draw(0), 1000, schedule, record=(), threads=options.threads)  # warms the kernels
    times: dict[str, list[float]] = {"NumPy": [], "drawing": [], "training": []}
    for seed in range(1, options.repeat + 1):
        times["NumPy"].append(_clock(lambda: _plain_normals(n * samples))[0])
        spent, instance = _clock(problem.draw, seed)
        times["drawing"].append(spent)
        spent, orbit = _clock(
            lambda data: st.train(data, steps, schedule, record=(), threads=options.threads), instance
        )
        times["training"].append(spent)
        if orbit.verdict is not st.Verdict.OPTIMAL or not orbit.certified:
            raise RuntimeError(f"seed {seed} ended {orbit.verdict}, certified: {orbit.certified}")
        del instance
    unit = min(times["NumPy"])
    best = ", ".join(f"{name} {_time(min(spent))}" for name, spent in times.items())
    worst = ", ".join(f"{max(times[name]) / unit:.3g}" for name in ("training", "drawing"))
    note = f"best of {options.repeat} seeds: {best}; the slowest in the same unit: {worst}"
    verdict, drawing = (
        Row(
            title=f"{what}: {_describe(problem)}",
            measured=min(times[name]) / unit,
            unit="× NumPy",
            bar=bar,
            aim=aim,
            more_is_better=False,
            runs=times,
            note=note if name == "training" else "",
        )
        for name, what, bar, aim in (
            ("training", "from data to a certified verdict", 0.4, 0.2),
            ("drawing", "drawing the data", 1.5, 0.6),
        )
    )
    return [verdict, drawing]


def _plain_normals(count: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(count, dtype=np.float32)


def stepping(options: Options) -> list[Row]:
    """Measure steps per second of a small instance, whose states all fit into memory, on one thread."""
    steps = 10**7 if options.quick else 10**8
    problem, schedule = st.Problem(n=16, samples=1600, noise=0.5), st.Power(0.5, 0.5)
    st.train(problem.draw(0), 1000, schedule, record=(), threads=1)
    times: dict[str, list[float]] = {"training": []}
    events = 0
    for _ in range(options.repeat):
        spent, orbit = _clock(
            lambda data: st.train(data, steps, schedule, record=(), threads=1), problem.draw(0)
        )
        _require_all_steps(orbit, steps)
        events = orbit.stats.events
        times["training"].append(spent)
    best = min(times["training"])
    return [
        Row(
            title=f"one thread: {_describe(problem)} {_describe_schedule(schedule)}, {steps:,} steps",
            measured=steps / best,
            unit="steps/s",
            bar=1.5e7,
            aim=5e7,
            runs=times,
            note=f"{best:.2f} s, {events:,} events, {1e9 * best / events:.0f} ns an event",
        )
    ]


def landscape(options: Options) -> list[Row]:
    """Time the visit to all states of 20 weights."""
    n = 14 if options.quick else 20
    st.landscape(st.Problem(n=4, samples=20).draw(0))  # warms the kernels
    problem = st.Problem(n=n, samples=400)
    instance = problem.draw(0)
    times = [
        _clock(lambda: st.landscape(instance, threads=options.threads))[0] for _ in range(options.repeat)
    ]
    best = min(times)
    return [
        Row(
            title=f"landscape: {_describe(problem)}",
            measured=best,
            unit="s",
            bar=5,
            more_is_better=False,
            runs={"landscape": times},
            note=f"{1e9 * best / 2**n:.0f} ns a state",
        )
    ]


def _clock(function: Callable[..., Result], *arguments) -> tuple[float, Result]:
    begun = time.perf_counter()
    result = function(*arguments)
    return time.perf_counter() - begun, result


def _time(seconds: float) -> str:
    for scale, unit in ((1, "s"), (1e3, "ms"), (1e6, "µs")):
        if seconds * scale >= 1:
            return f"{seconds * scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"


def _describe(problem: st.Problem) -> str:
    return f"n={problem.n} m={problem.m} N={problem.samples} σ={problem.noise:g}"


def _describe_schedule(schedule: st.Power) -> str:
    return f"Power({schedule.at(0):g}, {schedule.exponent:g})"


#: All cases by their name for ``--only``, in the order of the table.
CASES: dict[str, Callable[[Options], list[Row]]] = {
    "noisy-100": Ratio(
        st.Problem(n=100, samples=100_000, noise=0.5), st.Power(0.5, 0.5), 200_000, 2000, bar=150, aim=300
    ),
    "noisy-50x5": Ratio(
        st.Problem(n=50, m=5, samples=12_800, noise=0.5),
        st.Power(0.05, 0.5),
        2_000_000,
        20_000,
        bar=400,
        aim=1000,
    ),
    "noisy-200": Ratio(
        st.Problem(n=200, samples=100_000, noise=0.5), st.Power(0.5, 0.5), 20_000, 500, bar=40, aim=100
    ),
    "noiseless": noiseless,
    "stepping": stepping,
    "landscape": landscape,
    "memory": processes.memory,
    "import": processes.imports,
    "command": processes.command,
}
