"""Runs that chatter, against a compiled float32 loop: `python -m benchmarks.chatter`.

Without label noise and with N of a few n, every step flips tens of weights and every state is new. The rival
is the plain full-batch loop, as fast as we can write it. Both take turns in one process on one thread; the
fastest turn counts, in processor time. Neither uses that rows of positive label never count without label
noise. The exit code is 1 if their steps differ or, with --strict, if a bar is missed.
"""

from __future__ import annotations

import sys
import time
from functools import partial

import numba
import numpy as np

import sterling as st
from benchmarks.report import Options, Row, main

#: n, N, the bar of the ratio, and the steps of one turn of sterling.
SHAPES = ((256, 1024, 3.2, 20_000), (512, 2048, 3.4, 8_000), (1024, 4096, 3.6, 3_000))
SCHEDULE = st.Power(0.5, 0.5)

_COMPARED = 40  # steps for which both must have the same weights
_SHARE = 40  # a turn of the rival has the steps of one of sterling over this
_MORE = 4  # turns of the rival for one of sterling, since short ones more often meet a quiet moment
_SKIPPED = 2000  # steps before the rival is timed, so that its states chatter too
_LATENT_SEED = 7


@numba.njit(fastmath=True, nogil=True)
def four_rows(rows, labels, latent, signs, gradient, rates):
    """One pass over the rows a step, four at a time, which load each weight once. N is a multiple of four.

    Rows with an active unit and a residual are read again.
    """
    before = np.empty(4, np.float32)
    for rate in rates:
        gradient[:] = 0.0
        for i in range(0, len(rows), 4):
            one, two, three, four = rows[i], rows[i + 1], rows[i + 2], rows[i + 3]
            a, b, c, d = np.float32(0.0), np.float32(0.0), np.float32(0.0), np.float32(0.0)
            for k in range(signs.size):
                sign = signs[k]
                a += one[k] * sign
                b += two[k] * sign
                c += three[k] * sign
                d += four[k] * sign
            before[0], before[1], before[2], before[3] = a, b, c, d
            for j in range(4):
                if before[j] > 0.0:
                    coefficient = np.float32(1.0) - labels[i + j]
                    if coefficient != 0.0:
                        row = rows[i + j]
                        for k in range(signs.size):
                            gradient[k] += coefficient * row[k]
        for k in range(signs.size):
            latent[k] -= rate * gradient[k]
            signs[k] = np.float32(1.0) if latent[k] >= 0.0 else np.float32(-1.0)


class Rival:
    """The loop on one instance with one unit and readout 1."""

    def __init__(self, instance: st.Instance, latent: np.ndarray):
        inputs = instance.inputs.reshape(instance.samples, instance.n)
        raw = np.empty(inputs.size + 16, np.float32)
        start = -raw.ctypes.data % 64 // 4  # rows begin on cache lines
        self.rows = raw[start : start + inputs.size].reshape(inputs.shape)
        self.rows[:] = inputs
        self.labels = instance.labels.astype(np.float32)
        self.latent = latent.astype(np.float32)
        self.signs = np.where(self.latent >= 0, 1, -1).astype(np.float32)
        self.gradient = np.zeros(instance.n, np.float32)
        self.step = 0

    def run(self, steps: int) -> None:
        """Take this number of steps more."""
        rates = SCHEDULE.at(np.arange(self.step, self.step + steps)) / len(self.rows)
        four_rows(self.rows, self.labels, self.latent, self.signs, self.gradient, rates.astype(np.float32))
        self.step += steps


def agreed(instance: st.Instance, latent: np.ndarray, rival: Rival) -> int:
    """Return the number of first steps with the same weights in both."""
    orbit = st.train(instance, _COMPARED, SCHEDULE, init=latent, record=("flips",), threads=1)
    signs, flips = orbit.start_signs.copy(), orbit.flips
    assert flips is not None
    for step in range(1, _COMPARED):
        rival.run(1)
        now = flips[flips["step"] == step]
        signs[now["coordinate"]] = now["sign"]
        if not np.array_equal(signs, rival.signs):
            return step
    return _COMPARED


def chatter(n: int, samples: int, bar: float, steps: int, options: Options) -> list[Row]:
    """Measure both in turns."""
    steps = steps // 10 if options.quick else steps
    instance = st.Problem(n=n, samples=samples).draw(0)
    latent = np.random.default_rng(_LATENT_SEED).standard_normal(n) / np.sqrt(n)
    rival = Rival(instance, latent)
    same = agreed(instance, latent, rival)
    rival.run(_SKIPPED)
    times: dict[str, list[float]] = {"by hand, a step": [], "sterling, a step": []}
    for _ in range(2 * options.repeat + 1):
        begun = time.thread_time()
        orbit = st.train(instance, steps, SCHEDULE, init=latent, record=(), threads=1)
        times["sterling, a step"].append((time.thread_time() - begun) / steps)
        for _ in range(_MORE):
            begun = time.thread_time()
            rival.run(steps // _SHARE)
            times["by hand, a step"].append((time.thread_time() - begun) / (steps // _SHARE))
    if orbit.certified or orbit.steps != steps:
        raise RuntimeError(f"n={n} N={samples}: not a full run of chatter, {orbit.verdict} at {orbit.steps}")
    slow, fast = (min(spent) for spent in times.values())
    stats = orbit.stats
    return [
        Row(
            title=f"a step: n={n} N={samples}, {steps:,} steps",
            measured=slow / fast,
            unit="× by hand",
            bar=bar,
            runs=times,
            note=f"by hand {1e6 * slow:.2f} µs, sterling {1e6 * fast:.2f} µs; "
            f"{stats.flips / stats.events:.1f} flips a step, {stats.states / steps:.1%} of states new",
            failure="" if same == _COMPARED else f"the weights part after {same} steps",
        )
    ]


CASES = {f"n{shape[0]}": partial(chatter, *shape) for shape in SHAPES}

if __name__ == "__main__":
    sys.exit(main("chatter", CASES, __doc__))
