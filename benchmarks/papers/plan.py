"""What `plan` recommends, measured: `python -m benchmarks.papers.plan [--quick]`.

The grid has n = 16 to 512, m = 1 and 4, σ = 0, 0.1, 0.5 and 1. A row of a plan that is not a theorem proposes
N and a budget for success on half of the data sets; new trials with both measure the share. A row is *near*
if the share is between 0.35 and 0.65. Rows that are marked "not checked" count apart. The bar: nine of ten
checked rows with 100 trials or more are near.

Cheap rows come first. A row ends after 100 trials or at its limit of processor time. With fewer than 10
trials it says nothing, and should not be marked as checked. Seeds are fixed, so a row of 100 trials is the
same on every machine. `plan.txt` beside this file has the last run.

Found with fresh seeds once the marks stood (`--seed 20261128 --seconds 40 --trials 60`, an hour): of 102 rows
34 are marked, and 63 of the 67 others that came to ten trials were near. Far were

    n = 16, m = 1, σ = 0.1, time average     0.67 of 60
    n = 128, m = 4, σ = 0, iterate           0.73
    n = 512, m = 1, σ = 0, restart           0.73, at 1,700 samples: two figures of 1,634, which now are three
    n = 512, m = 1, σ = 0.5, time average    0.68 of 19 (0.51 of 47 with other seeds)

The runs by which the marks were set, 17 to 100 trials a row, found 64 of 67 near. Marked, for these failed or
were not run: half of the steps at w* with σ = 0.1 at n = 16 (0.38 and 0.30 of 100), beyond n = 64, and at
n = 64 with σ = 1 or m = 4 (0.72 of 40 with σ = 0.1); the iterate beyond n = 128 (at n = 256 0.83 of 60 with
m = 1, 0.97 of 60 with m = 4: the law asks for too many samples there); the time average with m = 4 and little
or no noise beyond n = 128 (n = 256: 0.67 and 0.42 of 60; n = 512: 0.40 of 48 and 0.31 of 39, with σ = 0 and
0.1), and with σ = 1 beyond n = 256 (n = 512, m = 1: 0.40 of no more than 10).
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import sterling as st
from sterling.plans.check import study_of
from sterling.stats import share_interval
from sterling.study.columns import SUCCESS, UNDECIDED
from sterling.study.kind import get_kind, parse_criterion
from sterling.study.trial import run_trial

SEED = 20261126  # used nowhere else
DIMENSIONS, UNITS, NOISES = (16, 32, 64, 128, 256, 512), (1, 4), (0.0, 0.1, 0.5, 1.0)
LOW, HIGH = 0.35, 0.65
FEWEST, ENOUGH, BAR = 10, 100, 0.9  # trials that tell something, those that the bar asks for, and the bar
LARGEST = 2e7  # input entries of a data set


def rows(dimensions=DIMENSIONS, units=UNITS, noises=NOISES):
    """Return all rows of the grid that trials can measure, cheap ones first."""
    found = []
    for n in dimensions:
        for m in units:
            for noise in noises:
                problem = st.Problem(n=n, samples=1, m=m, noise=noise)
                found += [(problem, need) for need in st.plan(problem).needs if need.criterion]
    return sorted(found, key=lambda one: one[0].n * one[0].m * one[1].proposed)


def measure(problem, need, trials: int, seconds: float, seed: int):
    """Run trials of a row; return their number, successes and undecided ones."""
    import polars as pl

    (cell,) = study_of(need, problem, {}).cells
    begun, found = time.process_time(), []
    for number in range(trials):
        found.append(run_trial(cell, number, seed, lambda: False))
        if time.process_time() - begun > seconds:
            break
    columns = {name: column.polars for name, column in get_kind("train").columns.items()}
    outcomes = pl.DataFrame(found, columns).select(parse_criterion(need.criterion).outcome())["outcome"]
    return len(found), int((outcomes == SUCCESS).sum()), int((outcomes == UNDECIDED).sum())


def main() -> None:
    """Print a line for each row, and the sums."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.papers.plan",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="n up to 64, and 3 s a row")
    parser.add_argument("--seconds", type=float, default=12.0, help="of a row")
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--n", type=int, nargs="+", default=DIMENSIONS)
    parser.add_argument("--m", type=int, nargs="+", default=UNITS)
    parser.add_argument("--noise", type=float, nargs="+", default=NOISES)
    parser.add_argument("--out", type=Path, help="a JSON file with the rows")
    asked = parser.parse_args()
    seconds = 3.0 if asked.quick else asked.seconds
    table = []
    for problem, need in rows((16, 32, 64) if asked.quick else asked.n, asked.m, asked.noise):
        kind = " restart" if need.restart else " damped" if need.optimizer else ""
        what = f"{need.criterion}{kind}"
        line = f"n={problem.n:3} m={problem.m} σ={problem.noise:<3g} {what:16} N={need.proposed:<9,}"
        line += f" T={need.steps:<9,} {'checked' if need.checked else 'not checked':11}"
        count = won = left = 0
        if problem.n * problem.m * need.proposed <= LARGEST:
            count, won, left = measure(problem, need, asked.trials, seconds, asked.seed)
        enough = count >= FEWEST
        near = enough and LOW <= won / count <= HIGH
        said = "too large to run"
        if count:
            low, high = share_interval(won, count)[1], share_interval(won + left, count)[2]
            said = f"{won / count:.2f} to {(won + left) / count:.2f} of {count} [{low:.2f}, {high:.2f}]"
        print(f"{line} {said} {'near' if near else 'FAR' if enough else '?'}", flush=True)
        table.append(
            {
                "n": problem.n,
                "m": problem.m,
                "noise": problem.noise,
                "row": what,
                "samples": need.proposed,
                "steps": need.steps,
                "checked": need.checked,
                "trials": count,
                "successes": won,
                "undecided": left,
                "near": near,
            }
        )
        if asked.out:
            asked.out.write_text(json.dumps(table, indent=1))
    checked = [row for row in table if row["checked"]]
    measured = [row for row in checked if row["trials"] >= FEWEST]
    near = sum(row["near"] for row in measured)
    print(f"checked rows near one half: {near} of {len(measured)} measured, {len(checked)} in all")
    judged = [row["near"] for row in checked if row["trials"] >= ENOUGH]
    if judged:
        passed = "pass" if sum(judged) >= BAR * len(judged) else "MISS"
        print(f"bar, with {ENOUGH} trials or more: {sum(judged)} of {len(judged)} near: {passed}")
    print(f"rows marked as not checked: {len(table) - len(checked)} of {len(table)}")


if __name__ == "__main__":
    main()
