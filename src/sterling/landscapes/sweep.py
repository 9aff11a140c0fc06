"""The visit to all states: prepares the kernels, and divides the Gray code into intervals for threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from sterling.base.pool import Pool
from sterling.base.progress import Progress, ProgressCallback, reporting
from sterling.base.resources import require_memory, thread_count
from sterling.landscapes.numbering import number_of
from sterling.model.instance import Instance
from sterling.surrogates import Surrogate

_INTERVAL = 0.05  # intended seconds of an interval: Ctrl-C waits for its end
_VISIT, _VISITED_ROW = 3e-7, 4e-9  # estimated seconds for a state and for a row of it
_SHORTEST = 1 << 8  # states in an interval, at least: its first state costs as much as several
_EACH = 4  # intervals for each thread at least, so that all threads end at about the same time
_STRIP = 1 << 20  # losses converted at a time


class Swept(NamedTuple):
    """The results of a visit to all states."""

    loss: np.ndarray  # float64 (2**n,)
    minimisers: np.ndarray  # int64, numbers of states
    absorbing: np.ndarray  # int64, numbers of states
    deviation: tuple[float, int] | None  # with the number of a state where it occurs


def sweep(
    instance: Instance,
    surrogate: Surrogate,
    levels: np.ndarray | None,
    hold: float,
    threads: int | None,
    progress: bool | ProgressCallback,
) -> Swept:
    """Visit every state; ``levels`` is the mean of w*_k·G_k by `theory.population.profile`, if known.

    ``hold`` is the largest b_k·G_k of an absorbing state.
    """
    from sterling.landscapes import kernels

    states, rows = 1 << instance.n, instance.samples * instance.m
    need = 8 * states + thread_count(threads) * rows * 41 + rows * instance.n * instance.grid.rows.itemsize
    require_memory(need, f"the landscape of n={instance.n} with {instance.samples} samples")
    squares = np.zeros(states, np.int64)
    means = np.zeros((2, 0)) if levels is None else levels
    teacher = np.ones(instance.n) if instance.teacher is None else instance.teacher

    def work(position, signs, first: int, last: int) -> tuple[np.ndarray, float, int]:
        found = kernels.Found(
            squares=squares,
            absorbing=np.zeros(last - first, np.int64),
            filled=np.zeros(1, np.int64),
            deviation=np.full(1, -1.0),
            farthest=np.zeros(1, np.int64),
        )
        kernels.sweep(position, signs, means, instance.unit, hold, found, first, last)
        absorbing = found.absorbing[: found.filled[0]].copy()
        return absorbing, float(found.deviation[0]), -int(found.farthest[0])

    parts = _visit(instance, surrogate, teacher, work, threads, progress)
    absorbing = np.sort(np.concatenate([part[0] for part in parts]))
    minimisers = np.flatnonzero(squares == squares.min())
    # Among equal deviations the lowest state number, so that the number of threads does not matter.
    largest, state = max(part[1:] for part in parts)
    deviation = None if levels is None else (largest, -state)
    losses = squares.view(np.float64)  # converted in place
    divisor = 2.0 * instance.samples * 4.0**instance.label_bits
    for first in range(0, states, _STRIP):
        losses[first : first + _STRIP] = squares[first : first + _STRIP].astype(np.float64) / divisor
    return Swept(losses, minimisers, absorbing, deviation)


def balances(
    instance: Instance,
    surrogate: Surrogate,
    reference: np.ndarray,
    threads: int | None,
    progress: bool | ProgressCallback,
) -> np.ndarray:
    """Return b_k·G_k of every state, b the reference: float64 (2**n, n).

    The row of a state is the set of weights that differ from the reference, bit k for weight k.
    """
    from sterling.landscapes import kernels

    n = instance.n
    home = number_of(reference)
    require_memory(8 * n << n, f"a table of all gradients of n={n}")
    table = np.empty((1 << n, n))

    def work(position, signs, first: int, last: int) -> None:
        kernels.gather(position, signs, home, instance.unit, table, first, last)

    _visit(instance, surrogate, reference, work, threads, progress)
    return table


def _visit(
    instance: Instance,
    surrogate: Surrogate,
    reference: np.ndarray,
    work: Callable[..., Any],
    threads: int | None,
    progress: bool | ProgressCallback,
) -> list:
    """Return the results of ``work(position, signs, first, last)`` for all intervals of the code."""
    from sterling.dynamics.event import machinery
    from sterling.landscapes import kernels

    signs = reference.astype(np.int64)
    states = 1 << instance.n
    rows = instance.samples * instance.m
    parts, done = [], 0
    with Pool(threads) as pool, reporting(progress, "states") as show:
        length = min(int(_INTERVAL / (_VISIT + _VISITED_ROW * rows)), states // (_EACH * pool.count))
        length = max(_SHORTEST, length)

        def interval(first: int):
            totals, info = np.zeros(instance.n, np.int64), np.zeros(2, np.int64)
            position = kernels.Position(*machinery(instance, surrogate, reference, 1), totals, info)
            return work(position, signs, first, min(first + length, states))

        for found in pool.results(interval, range(0, states, length), every=2 * _INTERVAL):
            if found is not None:
                parts.append(found.value)
                done += length
            if show is not None:
                show(Progress(min(done, states), states))
    return parts
