"""Certificates of recurrence: how many data sets have one, how long it takes, and whether runs agree.

    python -m benchmarks.papers.certificates [--quick | --part {absences,optimizers}]

For each (n, N) with σ = 0.5 a row shows the number of data sets with proved recurrence and decoding, the
seconds of a proof (two cores, kernels warm) and of its check by the definition. Then runs from 20 starts
under 5 schedules compare the share of the mass at w* with the proved bound of one data set. No run may be
below it by more than the finite-run term of the balance (docs/science, 13). Two parts follow:

- absences: the longest absence from w* of runs at a constant rate, against its bound, for 240 data sets;
- optimizers: the occupancy of runs with batches, momentum or clipping, against bounds, for 210 data sets.

The exit code is 1 if a check or a run contradicts a proof, if the median ratio of bound to longest absence is
above 8, or if a run of a covered optimiser is below the bound of the balance by more than is allowed.
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
#: n and N of the data sets whose absences are measured; sets of each, runs on each, and steps of a run.
ABSENCES_AT = ((6, 200), (8, 400), (10, 800), (12, 1600))
ABSENCE_SETS, ABSENCE_RUNS, ABSENCE_STEPS = 60, 3, 300_000
#: The same for runs of other optimisers; each step is shorter than the clip.
COVERED_AT = ((6, 200), (7, 300), (8, 400))
COVERED_SETS, COVERED_STEPS = 70, 10_000
RATE, BLOCKS, ERRORS = 0.1, 20, 4  # errors from the means over blocks of steps
COVERED = (
    (st.SGD(momentum=0.9), None),
    (st.SGD(clip=0.5), None),
    (st.SGD(), st.Batch(16, replace=True)),
    (st.SGD(momentum=0.9), st.Batch(16, replace=True)),
)
WIDEST = 8  # bar: median over data sets of the proved bound over the longest absence


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
    largest = steepest(instance)
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


def absences(console: Console) -> bool:
    """Compare the longest absences of runs with their bounds; return whether no run is longer."""
    table = Table("n", "N", "bounded", "bound, median", "longest absence", "median ratio", "largest share")
    sound, ratios = True, []
    for n, samples in ABSENCES_AT:
        found = []
        for seed in range(ABSENCE_SETS):
            instance = st.Problem(n=n, samples=samples, noise=NOISE).draw(seed)
            certificate = st.certify(instance)
            proved = certificate.longest_absence()
            if proved and not certificate.absorbs:
                longest = 1
                for start in range(ABSENCE_RUNS):
                    orbit = st.train(instance, ABSENCE_STEPS, st.Constant(0.1), init=start, record=())
                    longest = max(longest, int(orbit.return_times.max(initial=0)))
                found.append((proved, longest))
        bounds, longest = np.array(found).T
        sound &= bool((longest <= bounds).all())
        ratios.extend(bounds / longest)
        table.add_row(
            f"{n}",
            f"{samples:,}",
            f"{len(found)} of {ABSENCE_SETS}",
            f"{np.median(bounds):g}",
            f"{np.median(longest):g}",
            f"{np.median(bounds / longest):.2f}",
            f"{(longest / bounds).max():.2f}",
        )
    console.print(
        f"Absences in {ABSENCE_RUNS} runs of {ABSENCE_STEPS:,} steps at a constant rate, σ = {NOISE}"
    )
    console.print(table)
    console.print(f"Median ratio over {len(ratios)} data sets: {np.median(ratios):.2f}; the bar is {WIDEST}.")
    return sound and float(np.median(ratios)) <= WIDEST


def optimizers(console: Console) -> bool:
    """Compare the occupancy of runs of covered optimisers with the bounds; return whether none is below."""
    table = Table("optimizer", "batch", "data sets", "below the balance", "below the bound", "least margin")
    proved = []
    for n, samples in COVERED_AT:
        for seed in range(COVERED_SETS):
            instance = st.Problem(n=n, samples=samples, noise=NOISE).draw(seed)
            certificate = st.certify(instance)
            if certificate.recurrent:
                proved.append((instance, certificate, steepest(instance)))
    sound = True
    for optimizer, batch in COVERED:
        margins = []
        for instance, certificate, largest in proved:
            orbit = st.train(instance, COVERED_STEPS, st.Constant(RATE), optimizer=optimizer, batch=batch)
            blocks = (orbit.distance(np.arange(COVERED_STEPS)) == 0).reshape(BLOCKS, -1).mean(axis=1)
            allowed = certificate.duals[0] @ slack(optimizer, orbit.start_latent, largest)
            if batch is not None:
                allowed += ERRORS * blocks.std(ddof=1) / np.sqrt(BLOCKS)
            bounds = np.array([certificate.balance_occupancy, certificate.occupancy])
            margins.append(orbit.occupancy - bounds + allowed)
        below = (np.array(margins) < 0).sum(axis=0)
        sound &= bool(below[0] == 0)
        least = np.min(margins, axis=0)[0]
        row = str(optimizer), "full" if batch is None else str(batch), str(len(proved)), *map(str, below)
        table.add_row(*row, f"{least:.4f}")
    console.print(
        f"Occupancy in runs of {COVERED_STEPS:,} steps at a constant rate, σ = {NOISE}. "
        f"Allowed below a bound: the finite-run term, and with batches {ERRORS} standard errors"
    )
    console.print(table)
    return sound


def steepest(instance: st.Instance) -> float:
    """Return the largest size of a gradient entry over all states."""
    wrong = (np.arange(1 << instance.n)[:, None] >> np.arange(instance.n)) & 1
    return max(float(np.abs(instance.gradient(instance.teacher * (1 - 2 * row))).max()) for row in wrong)


def slack(optimizer: st.SGD, start: np.ndarray, largest: float) -> np.ndarray:
    """Return the finite-run terms of the balance at a constant rate (docs/science, 13), one a weight."""
    rate = RATE / (1 - optimizer.momentum)
    apart = RATE * optimizer.momentum * largest / (1 - optimizer.momentum) ** 2
    return (np.abs(start) + rate * largest + apart) / (rate * COVERED_STEPS)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers.certificates", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two small sizes, no runs: a smoke test")
    parser.add_argument("--part", choices=("absences", "optimizers"), help="this part only")
    asked = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 120)
    if asked.part:
        return 0 if {"absences": absences, "optimizers": optimizers}[asked.part](console) else 1
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
        sound &= runs(console) & absences(console) & optimizers(console)
    console.print("No check and no run contradicts a proof." if sound else "A PROOF IS CONTRADICTED.")
    return 0 if sound else 1


if __name__ == "__main__":
    sys.exit(main())
