"""Certificates of recurrence: how many data sets have one, how long it takes, and whether runs agree.

    python -m benchmarks.certificates [--quick]

For each (n, N) with σ = 0.5 a row shows the number of data sets with proved recurrence and decoding, the
seconds of a proof (two cores, kernels warm) and of its check by the definition. Then runs from 20 starts
under 5 schedules compare the share of the mass at w* with the proved bound of one data set. No run may be
below it by more than the finite-run term of the balance (docs/science, 13). The exit code is 1 if a check or
a run contradicts a proof.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

import sterling as st

NOISE = 0.5
#: n, N, number of data sets, and whether the check by the definition is timed.
SIZES = ((8, 400, 20, True), (12, 1600, 20, True), (16, 1600, 20, True), (20, 6400, 3, False))
QUICK = ((8, 400, 5, True), (12, 1600, 3, True))
SCHEDULES = (
    st.Constant(0.05),
    st.Constant(1.0),
    st.Power(0.5, 0.5),
    st.Power(2.0, 0.9),
    st.Power(0.2, 0.1),
)
STARTS, STEPS = 20, 200_000
RUNS_AT = (12, 1600)


def prove(n: int, samples: int, count: int, checked: bool) -> tuple[list, bool]:
    """Return the row of one (n, N), and whether all checks hold."""
    st.certify(st.Problem(n=min(n, 6), samples=60, noise=NOISE).draw(0))  # warms the kernels
    found, seconds, checks, sound = [], [], [], True
    for seed in range(count):
        instance = st.Problem(n=n, samples=samples, noise=NOISE).draw(seed)
        begun = time.perf_counter()
        found.append(st.certify(instance))
        seconds.append(time.perf_counter() - begun)
        if checked:
            begun = time.perf_counter()
            sound &= found[-1].verify(instance)
            checks.append(time.perf_counter() - begun)
    row = [
        f"{n}",
        f"{samples:,}",
        f"{sum(one.recurrent for one in found)} of {count}",
        f"{sum(one.decodes for one in found)} of {count}",
        f"{np.median([one.occupancy for one in found]):.3f}",
        f"{np.median(seconds):.2f} ({max(seconds):.2f})",
        f"{np.median(checks):.2f}" if checks else "not timed",
    ]
    return row, sound


def runs(console: Console) -> bool:
    """Compare runs with the bound of one data set; return whether all agree with it."""
    n, samples = RUNS_AT
    instance = st.Problem(n=n, samples=samples, noise=NOISE).draw(0)
    certificate = st.certify(instance)
    alone = certificate.balance_occupancy
    table = st.landscape(instance)  # the largest gradient entry enters the finite-run term
    wrong = (np.arange(len(table.loss))[:, None] >> np.arange(n)) & 1
    largest = max(float(np.abs(instance.gradient(instance.teacher * (1 - 2 * row))).max()) for row in wrong)
    sound = True
    shown = Table("schedule", "share of mass at w*, least", "bound", "by the balance", "finite-run term")
    for schedule in SCHEDULES:
        rates = schedule.at(np.arange(STEPS)) / instance.readout_norm2
        least, term = 1.0, 0.0
        for start in range(STARTS):
            orbit = st.train(instance, STEPS, schedule, init=start)
            home = orbit.distance(np.arange(STEPS)) == 0
            share = float(rates[home].sum() / rates.sum())
            slack = (np.abs(orbit.start_latent) + rates.max() * largest) / rates.sum()
            finite = float(certificate.duals[0] @ slack)
            sound &= share >= certificate.balance_occupancy - finite
            least, term = min(least, share), max(term, finite)
        shown.add_row(
            str(schedule), f"{least:.4f}", f"{certificate.occupancy:.4f}", f"{alone:.4f}", f"{term:.4f}"
        )
    console.print(f"{STARTS} starts each, {STEPS:,} steps, n = {n}, N = {samples:,}", highlight=False)
    console.print(shown)
    return sound


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.certificates", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two small sizes, no runs: a smoke test")
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    table = Table(
        "n",
        "N",
        "recurrence proved",
        "average proved",
        "median bound",
        "seconds (most)",
        "check, s",
        box=box.SIMPLE_HEAD,
    )
    sound = True
    for size in QUICK if asked.quick else SIZES:
        row, holds = prove(*size)
        table.add_row(*row)
        sound &= holds
    console.print(table)
    if not asked.quick:
        sound &= runs(console)
    console.print("No check and no run contradicts a proof." if sound else "A PROOF IS CONTRADICTED.")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
