"""Runs that chatter, against a compiled float32 loop: `python -m benchmarks.chatter`.

Without label noise and with N of a few n, every step flips tens of weights and every state is new. The rival
is the plain full-batch loop, as fast as we can write it. Both take turns in one process on one thread; the
fastest turn counts, in processor time. Neither uses that rows of positive label never count without label
noise. The exit code is 1 if their steps differ or, with --strict, if a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
import time

import numba
import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import sterling as st

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


def measure(n: int, samples: int, steps: int, turns: int) -> dict:
    """Return the best seconds a step of sterling and of the rival, and the counts of sterling's run."""
    instance = st.Problem(n=n, samples=samples).draw(0)
    latent = np.random.default_rng(_LATENT_SEED).standard_normal(n) / np.sqrt(n)
    rival = Rival(instance, latent)
    same = agreed(instance, latent, rival)
    rival.run(_SKIPPED)
    best = {"sterling": np.inf, "rival": np.inf}
    orbit = None
    for _ in range(turns):
        begun = time.thread_time()
        orbit = st.train(instance, steps, SCHEDULE, init=latent, record=(), threads=1)
        best["sterling"] = min(best["sterling"], (time.thread_time() - begun) / steps)
        for _ in range(_MORE):
            begun = time.thread_time()
            rival.run(steps // _SHARE)
            best["rival"] = min(best["rival"], (time.thread_time() - begun) / (steps // _SHARE))
    assert orbit is not None
    if orbit.certified or orbit.steps != steps:
        raise RuntimeError(f"n={n} N={samples}: not a full run of chatter, {orbit.verdict} at {orbit.steps}")
    return {"best": best, "same": same, "stats": orbit.stats}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.chatter", description=__doc__)
    parser.add_argument("--only", nargs="+", type=int, metavar="N", help="these n alone")
    parser.add_argument("--turns", type=int, default=7, help="turns of each (%(default)s)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    asked = parser.parse_args()
    headings = "", "flips a step", "new states", "by hand", "sterling", "ratio", "bar"
    table = Table(*headings, box=box.SIMPLE_HEAD)
    missed = failed = False
    for n, samples, bar, steps in SHAPES:
        if asked.only and n not in asked.only:
            continue
        found = measure(n, samples, steps, asked.turns)
        best, stats = found["best"], found["stats"]
        ratio = best["rival"] / best["sterling"]
        missed |= ratio < bar
        failed |= found["same"] < _COMPARED
        table.add_row(
            f"n={n} N={samples}",
            f"{stats.flips / stats.events:.1f}",
            f"{stats.states / steps:.1%}",
            *(f"{1e6 * best[name]:.2f} µs" for name in ("rival", "sterling")),
            f"{ratio:.2f}",
            f"{bar:g}" + ("" if found["same"] == _COMPARED else f" (parted after {found['same']} steps)"),
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return int(failed or (asked.strict and missed))


if __name__ == "__main__":
    sys.exit(main())
