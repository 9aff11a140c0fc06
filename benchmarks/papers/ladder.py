"""The ladder measured, N₅₀/n of each estimator against n: `python -m benchmarks.papers.ladder [--quick]`.

Least squares, Hebb's rule, logistic regression, message passing, the least risk of all 2ⁿ states, and STE:
last iterate, time average, restart; without label noise and with σ = 1/2. ``--csv FILE`` writes the table
that `docs/gallery/ladder.py` draws; `ladder.csv` is that of the last run. One core needs some minutes; set
OPENBLAS_NUM_THREADS=1 if it has other work.

N₅₀ is that of a probit curve in ln N fitted to the trials, with the 95 % interval of its place. What counts:
the teacher in every weight; of a last iterate absorption at w*, and with label noise half of the steps there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import sterling as st
from benchmarks.papers.chatter_theory import threshold
from sterling import theory
from sterling.study import Store, Study, run

SEED = 20261210
STEPS = 12_600
SPAN = (0.6, 0.75, 0.9, 1.1, 1.35, 1.65)  # sizes, in units of a guess
COLUMNS = ("noise", "estimator", "n", "ratio", "low", "high", "trials", "steps")


@dataclass(frozen=True)
class Arm:
    """One curve: how its N₅₀ is guessed, where it is measured, and what its trials are."""

    noise: float
    name: str
    guess: Callable[[st.Problem], float]
    n: tuple[int, ...] = (16, 32, 64, 128)
    trials: int = 16
    criterion: str = "exact"
    more: dict = field(default_factory=dict)


def baseline(name: str) -> dict:
    """Return the settings of another estimator."""
    return {"kind": "baseline", "estimator": name}


def ratio(value: float) -> Callable[[st.Problem], float]:
    """Guess a number of samples for each weight."""
    return lambda problem: value * problem.n


def planned(problem: st.Problem) -> float:
    """Guess where the average is right, as `st.plan` does: where it decodes, or where the run has ended."""
    needs = st.plan(problem, steps=STEPS).needs
    return next(need.samples for need in needs if need.criterion == "ergodic")


def arms() -> list[Arm]:
    """Give all curves."""
    found, small, restart = [], (8, 12, 16, 20), str(st.Restart())
    for noise in (0.0, 0.5):
        messages, squares = (1.5, 4.0) if noise == 0 else (3.7, 12.5)
        found += [
            Arm(noise, "least risk", ratio(messages * 0.9), small, more=baseline("least_risk")),
            Arm(noise, "message passing", ratio(messages), more=baseline("gamp")),
            Arm(noise, "logistic", ratio(squares * (0.75 if noise == 0 else 1.1)), more=baseline("logistic")),
            Arm(noise, "least squares", theory.samples_for_least_squares, more=baseline("least_squares")),
            Arm(noise, "Hebb", theory.samples_for_hebb, more=baseline("hebb")),
        ]
    runs = {"steps": STEPS}
    found += [
        Arm(
            0.0,
            "STE, last iterate",
            lambda problem: theory.samples_for_iterate(problem, steps=STEPS),
            (16, 32, 64, 128, 256),
            criterion="optimal",
            more=runs,
        ),
        Arm(0.0, "STE, average", planned, (16, 32, 64, 128, 256), criterion="ergodic", more=runs),
        Arm(
            0.0,
            "STE, restart",
            ratio(3.0),
            (16, 32, 64, 128, 256, 512, 1024),
            criterion="optimal",
            more={**runs, "restart": restart},
        ),
        Arm(
            0.0,
            "STE, restart, identity",
            ratio(1.6),
            (16, 32, 64, 128, 256, 512),
            criterion="optimal",
            more={**runs, "restart": str(st.Restart(scale=0.1)), "surrogate": "identity"},
        ),
        Arm(
            0.5,
            "STE, last iterate",
            theory.samples_for_occupancy,
            (8, 16, 32),
            criterion="occupancy>=0.5",
            more={"steps": 50_000},
        ),
        Arm(
            0.5, "STE, average", theory.samples_for_average, (16, 32, 64, 128), criterion="ergodic", more=runs
        ),
        Arm(
            0.5,
            "STE, average, identity",
            lambda problem: theory.samples_for_average(problem, surrogate="identity"),
            (16, 32, 64, 128),
            criterion="ergodic",
            more={**runs, "surrogate": "identity"},
        ),
        Arm(
            0.5,
            "STE, restart",
            theory.samples_for_average,
            (16, 32, 64),
            criterion="ergodic",
            more={**runs, "restart": restart},
        ),
    ]
    return found


def measure(arm: Arm, n: int, folder: Path, quick: bool, threads: int | None) -> dict:
    """Run the trials of an arm at one n and return its row."""
    guess = arm.guess(st.Problem(n=n, samples=1, noise=arm.noise))
    sizes = sorted({max(1, round(part * guess)) for part in SPAN})
    name = "".join(letter if letter.isalnum() else "-" for letter in f"{arm.name}-{arm.noise}-{n}")
    study = Study(
        n=n,
        samples=sizes,
        noise=arm.noise,
        trials=6 if quick else arm.trials if n < 512 else arm.trials // 2,
        criteria=arm.criterion,
        seed=SEED,
        name=name,
        **arm.more,
    )
    run(study, folder / name, threads=threads)
    counts = Store(folder / name).counts(arm.criterion)
    won, trials = counts["successes"].to_list(), counts["trials"][0]
    value, low, high = (one / n for one in threshold(counts["samples"].to_list(), won, trials))
    print(
        f"σ={arm.noise:<3g} {arm.name:24} n={n:5} {value:8.3f} n [{low:.3f}, {high:.3f}]   "
        f"{' '.join(map(str, won))} of {trials}",
        flush=True,
    )
    steps = arm.more.get("steps", "")
    return dict(zip(COLUMNS, (arm.noise, arm.name, n, value, low, high, trials, steps), strict=True))


def main() -> None:
    """Measure, print, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers.ladder", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="n up to 32 and few trials: a smoke test")
    parser.add_argument("--out", type=Path, default=Path("out/ladder"), help="of the studies, kept")
    parser.add_argument("--csv", type=Path, help="where to write the table")
    parser.add_argument("--threads", type=int, help="trials at a time; all cores by default")
    asked = parser.parse_args()
    begun, rows = time.monotonic(), []
    folder = asked.out / ("quick" if asked.quick else "whole")
    for arm in arms():
        for n in arm.n:
            if n <= 32 or not asked.quick:
                rows.append(measure(arm, n, folder, asked.quick, asked.threads))
    if asked.csv:
        lines = [f"# python -m benchmarks.papers.ladder --csv FILE; seed {SEED}", ",".join(COLUMNS)]
        for row in rows:
            shown = (f"{one:.4g}" if isinstance(one, float) else str(one) for one in row.values())
            lines.append(",".join(f'"{one}"' if "," in one else one for one in shown))
        asked.csv.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
