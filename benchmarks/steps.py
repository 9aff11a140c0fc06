"""Steps with batches, against loops in float32: `python -m benchmarks.steps`.

The rivals are a plain loop in PyTorch without autograd, and a compiled loop written by hand. All keep the
time average of the weights and the average weighted by step sizes, and use all samples of an epoch in a
random order. All take turns in one process on one thread; the fastest turn counts, in processor time. The
exit code is 1 if the weights differ within the first steps or, with --strict, if a bar is missed.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numba
import numpy as np

import sterling as st
from benchmarks.report import Options, Row, main
from sterling.dynamics.options import Options as Settings
from sterling.dynamics.steps import Batches

_RATE = 0.02
_COMPARED = 40  # steps for which all must have the same weights
_LATENT_SEED = 7
_TURN = 0.1  # seconds of a turn


@dataclass(frozen=True)
class Case:
    """One shape, with the bars of both ratios."""

    n: int
    samples: int
    batch: int
    noise: float
    bars: tuple[float, float] = (math.nan, math.nan)  # PyTorch/sterling at least, sterling/by hand at most


SHAPES = (
    Case(48, 384, 32, 0.5, (150.0, 2.0)),
    Case(48, 384, 32, 0.0),
    Case(48, 6144, 32, 0.5),
    Case(256, 2048, 32, 0.5),
)


@numba.njit(fastmath=True, nogil=True)
def by_hand(rows, labels, latent, signs, gradient, averages, order, size, rate, words):
    """Take the steps of these batches; ``words`` are random numbers that shuffle the next order."""
    samples = len(order)
    steps = 0
    for begin in range(0, samples, size):
        end = min(begin + size, samples)
        gradient[:] = 0.0
        for q in range(begin, end):
            row = rows[order[q]]
            before = np.float32(0.0)
            for k in range(signs.size):
                before += row[k] * signs[k]
            if before > 0.0:
                coefficient = np.float32(1.0) - labels[order[q]]
                if coefficient != 0.0:
                    for k in range(signs.size):
                        gradient[k] += coefficient * row[k]
        eta = np.float32(rate / (end - begin))
        for k in range(signs.size):
            averages[0, k] += signs[k]
            averages[1, k] += rate * signs[k]
            latent[k] -= eta * gradient[k]
            signs[k] = np.float32(1.0) if latent[k] >= 0.0 else np.float32(-1.0)
        steps += 1
    for i in range(samples - 1, 0, -1):
        j = np.int64(((words[i] >> np.uint64(32)) * np.uint64(i + 1)) >> np.uint64(32))
        order[i], order[j] = order[j], order[i]
    return steps


class Rival:
    """What both rivals share: the data in float32, and the orders of samples."""

    def __init__(self, instance: st.Instance, latent: np.ndarray, batch: int):
        self.rows = instance.inputs.reshape(instance.samples, instance.n).astype(np.float32)
        self.labels = instance.labels.astype(np.float32)
        self.latent = latent.astype(np.float32)
        self.batch = batch
        self.steps_per_epoch = -(-instance.samples // batch)


class ByHand(Rival):
    """The loop in compiled code; the words for the next order come from NumPy's fastest generator."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.signs = np.where(self.latent >= 0, 1, -1).astype(np.float32)
        self.gradient = np.zeros_like(self.latent)
        self.averages = np.zeros((2, len(self.latent)))
        self.generator = np.random.SFC64(0)

    def run(self, order: np.ndarray, epochs: int) -> None:
        """Take some epochs of steps; the first is in the given order."""
        order = order.copy()
        for _ in range(epochs):
            words = self.generator.random_raw(len(order))
            data = self.rows, self.labels, self.latent, self.signs, self.gradient, self.averages
            by_hand(*data, order, self.batch, np.float32(_RATE), words)


class InTorch(Rival):
    """The loop in PyTorch as one writes it down, without autograd."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        import torch

        torch.set_num_threads(1)
        self.torch = torch
        data = self.rows, self.labels, self.latent
        self.inputs, self.targets, self.moving = (torch.tensor(one) for one in data)
        self.weights = torch.where(self.moving >= 0, 1.0, -1.0)
        self.averages = torch.zeros(2, len(self.latent))

    @property
    def signs(self) -> np.ndarray:
        """The weights."""
        return self.weights.numpy()

    def run(self, order: np.ndarray, epochs: int) -> None:
        """As in `ByHand`."""
        torch, indices = self.torch, self.torch.from_numpy(order.astype(np.int64))
        plain, weighted = self.averages
        with torch.inference_mode():
            for _ in range(epochs):
                for batch in indices.split(self.batch):
                    rows, labels = self.inputs[batch], self.targets[batch]
                    active = (rows @ self.weights > 0).float()
                    residual = active - labels
                    gradient = (residual * active) @ rows / len(batch)
                    plain += self.weights
                    weighted += _RATE * self.weights
                    self.moving = self.moving - _RATE * gradient
                    self.weights = torch.where(self.moving >= 0, 1.0, -1.0)
                indices = torch.randperm(len(order))


def first_order(instance: st.Instance, batch: int) -> np.ndarray:
    """Return the samples of the first epoch of sterling's run."""
    batches = Batches(Settings(batch=st.Batch(batch)), instance.samples)
    batches.seek(0)
    return batches.order[: instance.samples]


def train(
    instance: st.Instance, case: Case, latent: np.ndarray, steps: int, record=(), **options
) -> st.Orbit:
    """Return a run of sterling."""
    more = {"batch": case.batch, "record": record, "threads": 1, **options}
    return st.train(instance, steps, st.Constant(_RATE), init=latent, **more)


def agreed(instance: st.Instance, case: Case, latent: np.ndarray) -> bool:
    """Return whether all have the same weights in the first steps."""
    order = first_order(instance, case.batch)
    steps = min(_COMPARED, len(order) // case.batch)
    ends = train(instance, case, latent, steps).signs
    for kind in (ByHand, InTorch):
        rival = kind(instance, latent, case.batch)
        rival.run(order[: steps * case.batch], 1)
        if not np.array_equal(rival.signs, ends):
            return False
    return True


def measure(case: Case, options: Options) -> list[Row]:
    """Measure all three in turns."""
    instance = st.Problem(n=case.n, samples=case.samples, noise=case.noise).draw(0)
    latent = np.random.default_rng(_LATENT_SEED).standard_normal(case.n) / np.sqrt(case.n)
    failure = "" if agreed(instance, case, latent) else "the weights differ"
    order = first_order(instance, case.batch)
    rivals = {kind.__name__: kind(instance, latent, case.batch) for kind in (InTorch, ByHand)}
    jobs: dict[str, Callable[[int], object]] = {
        name: lambda epochs, rival=rival: rival.run(order, epochs) for name, rival in rivals.items()
    }
    per_epoch = -(-case.samples // case.batch)
    jobs["sterling"] = lambda epochs: train(instance, case, latent, epochs * per_epoch)
    length = {name: _epochs(job, _TURN) for name, job in jobs.items()}
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(3 * options.repeat):
        for name, job in jobs.items():
            times[name].append(_time(job, length[name]) / (length[name] * per_epoch))
    best = {name: min(spent) for name, spent in times.items()}
    steps = length["sterling"] * per_epoch
    flips = train(instance, case, latent, steps).stats.flips / steps
    note = ", ".join(f"{name} {1e6 * spent:.3f} µs" for name, spent in best.items())
    shape = f"n={case.n} N={case.samples} batch {case.batch} σ={case.noise:g}"
    more, less = case.bars
    return [
        Row(
            title=f"a step: {shape}",
            measured=best["InTorch"] / best["sterling"],
            unit="× PyTorch",
            bar=more,
            runs=times,
            note=f"{note}; {flips:.2f} flips a step",
            failure=failure,
        ),
        Row(
            title=f"a step over one by hand: {shape}",
            measured=best["sterling"] / best["ByHand"],
            unit="× by hand",
            bar=less,
            more_is_better=False,
            runs=times,
            failure=failure,
        ),
    ]


def _epochs(job: Callable[[int], object], seconds: float) -> int:
    """Return the epochs that take about this long, at least one."""
    job(1)
    epochs = 1
    while (spent := _time(job, epochs)) < seconds / 4:
        epochs *= 4
    return max(1, int(epochs * seconds / spent))


def _time(job: Callable[[int], object], epochs: int) -> float:
    begun = time.thread_time()
    job(epochs)
    return time.thread_time() - begun


CASES = {f"n{one.n}-{one.samples}-{one.noise:g}": partial(measure, one) for one in SHAPES}

if __name__ == "__main__":
    sys.exit(main("steps", CASES, __doc__))
