"""The map of the explorable page: how runs end over N/n and σ, before and after damping.

    nice python -m benchmarks.papers.map

Run i of a cell has the data seed i and the start seed i, so the explorable page can repeat it. At the end
of each run four things are counted:

average    the sign of the time average is the teacher
last       the last weights are the teacher
home       the run rests at the teacher: proved, it can never leave
elsewhere  the run rests at another state, in some runs with every label right

The counts of all cells go to the page, as ``templates/explore/map.json``.
"""

from __future__ import annotations

import argparse
import json
from importlib.resources import files
from pathlib import Path

import sterling as st

N = (12, 24, 48)
RATIOS = (2, 4, 8, 16, 32, 64, 128, 256, 512)  # N/n
NOISES = (0.0, 0.1, 0.25, 0.5, 1.0, 1.5, 2.0)
RUNS, STEPS = 50, 20_000
DAMPING = 0.5
SCHEDULE = st.Power(0.5, 0.5)  # of plain runs; damped ones have the default
COUNTED = ("average", "last", "home", "elsewhere")
PLACE = Path(str(files("sterling.report") / "templates" / "explore" / "map.json"))


def cell(n: int, ratio: int, noise: float, runs: int = RUNS) -> dict[str, list[int]]:
    """Count how plain and damped runs on the same data sets end: four numbers each."""
    problem = st.Problem(n=n, samples=ratio * n, noise=noise)
    counts = {"plain": [0] * len(COUNTED), "damped": [0] * len(COUNTED)}
    ways = {"plain": (SCHEDULE, st.SGD()), "damped": (None, st.SGD(damping=DAMPING))}
    for seed in range(runs):
        instance = problem.draw(seed)
        for name, (schedule, optimizer) in ways.items():
            orbit = st.train(instance, STEPS, schedule, init=seed, record=(), optimizer=optimizer, threads=1)
            rests = orbit.certified and orbit.verdict.absorbed
            right = orbit.errors == 0
            found = (orbit.ergodic_errors == 0, right, rests and right, rests and not right)
            counts[name] = [count + hit for count, hit in zip(counts[name], found, strict=True)]
    return counts


def study(runs: int) -> dict:
    """Return the settings and the counts of all cells, by n, N/n and σ."""
    known = {"command": "python -m benchmarks.papers.map", "version": st.__version__, "runs": runs}
    known |= {"steps": STEPS, "seeds": [0, runs - 1], "surrogate": "relu", "damping": DAMPING}
    known |= {"schedule": f"power:{SCHEDULE.rate},{SCHEDULE.exponent}", "counted": COUNTED}
    known |= {"n": N, "ratios": RATIOS, "noises": NOISES}
    counts: dict[str, list] = {"plain": [], "damped": []}
    for n in N:
        for rows in counts.values():
            rows.append([])
        for ratio in RATIOS:
            found = [cell(n, ratio, noise, runs) for noise in NOISES]
            for name, rows in counts.items():
                rows[-1].append([one[name] for one in found])
            print(f"n = {n}, N/n = {ratio}", flush=True)
    return known | counts


def main() -> None:
    """Run the study and write its counts."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers.map", description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="runs of a cell (%(default)s)")
    parser.add_argument("--output", type=Path, default=PLACE, help="(the data of the page)")
    asked = parser.parse_args()
    asked.output.write_text(json.dumps(study(asked.runs), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
