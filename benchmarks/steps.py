"""Steps with batches, against loops in float32: `python -m benchmarks.steps`.

The rivals are a plain loop in PyTorch without autograd, and a compiled loop written by hand. All keep the
time average of the weights and the average weighted by step sizes, and use all samples of an epoch in a
random order. All take turns in one process on one thread; the fastest turn counts, in processor time. The
exit code is 1 if the weights differ within the first steps or, with --strict, if a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import sterling as st
from sterling.dynamics.options import Options
from sterling.dynamics.steps import Batches

_RATE = 0.02
_COMPARED = 40  # steps for which all must have the same weights
_LATENT_SEED = 7


@dataclass(frozen=True)
class Case:
    """One shape, with the bars of both ratios."""

    n: int
    samples: int
    batch: int
    noise: float
    bars: tuple[float, float] | None = None  # PyTorch over sterling at least, sterling over by hand at most


CASES = (
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
    batches = Batches(Options(batch=st.Batch(batch)), instance.samples)
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


def measure(case: Case, turns: int, seconds: float) -> dict:
    """Return the best seconds a step of each."""
    instance = st.Problem(n=case.n, samples=case.samples, noise=case.noise).draw(0)
    latent = np.random.default_rng(_LATENT_SEED).standard_normal(case.n) / np.sqrt(case.n)
    same = agreed(instance, case, latent)
    order = first_order(instance, case.batch)
    rivals = {kind.__name__: kind(instance, latent, case.batch) for kind in (InTorch, ByHand)}
    jobs: dict[str, Callable[[int], object]] = {
        name: lambda epochs, rival=rival: rival.run(order, epochs) for name, rival in rivals.items()
    }
    per_epoch = -(-case.samples // case.batch)
    jobs["sterling"] = lambda epochs: train(instance, case, latent, epochs * per_epoch)
    length = {name: _epochs(job, seconds) for name, job in jobs.items()}
    best = dict.fromkeys(jobs, np.inf)
    for _ in range(turns):
        for name, job in jobs.items():
            best[name] = min(best[name], _time(job, length[name]) / (length[name] * per_epoch))
    stats = train(instance, case, latent, length["sterling"] * per_epoch).stats
    return {"best": best, "same": same, "stats": stats, "steps": length["sterling"] * per_epoch}


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


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.steps", description=__doc__)
    parser.add_argument("--turns", type=int, default=9, help="turns of each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=0.1, help="of a turn (%(default)s)")
    parser.add_argument("--only", type=int, help="this case alone, counted from 0")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    asked = parser.parse_args()
    headings = (
        "",
        "flips a step",
        "PyTorch",
        "by hand",
        "sterling",
        "PyTorch/ours",
        "ours/by hand",
        "bars",
    )
    table = Table(*headings, box=box.SIMPLE_HEAD)
    missed = failed = False
    for case in CASES if asked.only is None else [CASES[asked.only]]:
        found = measure(case, asked.turns, asked.seconds)
        best = found["best"]
        faster, slower = best["InTorch"] / best["sterling"], best["sterling"] / best["ByHand"]
        failed |= not found["same"]
        if case.bars:
            missed |= faster < case.bars[0] or slower > case.bars[1]
        table.add_row(
            f"n={case.n} N={case.samples} batch {case.batch} σ={case.noise:g}",
            f"{found['stats'].flips / found['steps']:.2f}",
            *(f"{1e6 * best[name]:.3f} µs" for name in ("InTorch", "ByHand", "sterling")),
            f"{faster:.0f}",
            f"{slower:.2f}",
            f"{case.bars[0]:g} {case.bars[1]:g}" if case.bars else "",
            *(() if found["same"] else ("the weights differ",)),
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return int(failed or (asked.strict and missed))


if __name__ == "__main__":
    sys.exit(main())
