"""Does the time average decode where the law says so? `python -m benchmarks.papers.average [--quick]`.

A cell has n weights, m units and label noise σ. At each of five sample sizes 120 new data sets are drawn and
trained, ReLU, full batch, 500 steps of burn-in and 3,000 steps at the constant rate 0.5. A run succeeds if
the sign of its average over the 3,000 steps is w*. A probit curve in ln N gives the measured N₅₀, and its
likelihood a 95 % interval. The law is `theory.samples_for_average` for these steps and this rate.

The bar was fixed before the data of these seeds were drawn: in each cell N₅₀ over the law lies between 0.93
and 1.07. A cell is *sure* if its interval lies wholly inside the bar or wholly beyond. Cheap cells come
first; all 32 take about two hours of one core. `average.txt` has the cells that were run.
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np

import sterling as st
from benchmarks.papers.chatter_theory import BURN_IN, RATE, SPAN, STEPS, stationary, threshold
from sterling import theory

SEED = 20261206
LOW, HIGH = 0.93, 1.07
DIMENSIONS, UNITS, NOISES = (90, 128, 180, 256), (1, 2, 3, 4), (0.0, 0.7)
SETS = 120  # data sets of a size


def measure(n: int, m: int, noise: float, sets: int) -> tuple[float, list[int]]:
    """Return the law and the number of decoded averages at each size."""
    problem = st.Problem(n=n, samples=1, m=m, noise=noise)
    law = theory.samples_for_average(problem, steps=BURN_IN + STEPS, schedule=st.Constant(RATE))
    right = []
    for part, share in enumerate(SPAN):
        problem = st.Problem(n=n, samples=round(share * law), m=m, noise=noise)
        keys = [[SEED, n, m, round(10 * noise), part, trial] for trial in range(sets)]
        runs = [
            stationary(problem.draw(np.random.SeedSequence(key)), "relu", key[-1], STEPS)[0] for key in keys
        ]
        right.append(sum(bool((wrong < 0.5).all()) for wrong in runs))
    return law, right


def main(arguments: list[str] | None = None) -> None:
    """Print a line for each cell, and the count of those inside the bar."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.papers.average",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--n", type=int, nargs="+", default=DIMENSIONS)
    parser.add_argument("--m", type=int, nargs="+", default=UNITS)
    parser.add_argument("--noise", type=float, nargs="+", default=NOISES)
    parser.add_argument("--sets", type=int, default=SETS, help="data sets at each of the five sizes")
    parser.add_argument("--quick", action="store_true", help="one small cell: a smoke test")
    asked = parser.parse_args(arguments)
    cells = list(itertools.product(asked.n, asked.m, asked.noise))
    cells = [(32, 2, 0.7)] if asked.quick else sorted(cells, key=lambda one: one[0] * one[1] * (1 + one[2]))
    sets = 8 if asked.quick else asked.sets
    print(f"N50 of the time average over the law, bar {LOW} to {HIGH}, {sets * len(SPAN)} runs a cell")
    inside = 0
    for n, m, noise in cells:
        begun = time.process_time()
        law, right = measure(n, m, noise, sets)
        ratio, low, high = (one / law for one in threshold([part * law for part in SPAN], right, sets))
        held = LOW <= ratio <= HIGH
        inside += held
        sure = (low >= LOW and high <= HIGH) or high < LOW or low > HIGH
        print(
            f"n={n:3} m={m} σ={noise:<3g} law N/n={law / n:7.2f}   {ratio:.3f} [{low:.3f}, {high:.3f}] "
            f"{'pass' if held else 'MISS'}{', sure' if sure else '':6}  {' '.join(map(str, right))}   "
            f"{time.process_time() - begun:.0f} s",
            flush=True,
        )
    print(f"inside the bar: {inside} of {len(cells)} cells")


if __name__ == "__main__":
    main()
