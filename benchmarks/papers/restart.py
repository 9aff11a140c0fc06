"""Ergodic restart, measured: `python -m benchmarks.papers.restart [PART …] [--quick] [--out FOLDER]`.

settings    share of the runs that end at w*, by `every` and `scale`, at n = 64, 256, 1024
schedules   the same by the decay of the step sizes, and for the identity
scaling     N₅₀/n at n = 64 … 1024, and the slope of log N₅₀ against log n
small       N₅₀/n at n = 16 and 32
four        N = 4n: how many runs are certified, after how many steps
conditions  N₅₀/n with restart and without, by hidden units, surrogates, inputs, and at small n
noise       label noise: data sets whose time average is right, for restart, its variants and plain STE

Found, ReLU, m = 1, no label noise, within 12,600 steps. Shares at N = 3.2 n, n = 64 | 256, of 60 runs each:

    every \\ scale     0.02         0.035        0.05         0.07         0.1          0.15
             75     0.57 | 0.03  0.63 | 0.37  0.65 | 0.60  0.58 | 0.40  0.45 | 0.12  0.07 | 0.00
            150     0.58 | 0.03  0.62 | 0.45  0.70 | 0.55  0.57 | 0.38  0.43 | 0.10  0.18 | 0.02
            300     0.60 | 0.05  0.60 | 0.45  0.63 | 0.55  0.57 | 0.42  0.47 | 0.15  0.23 | 0.03
            600     0.62 | 0.07  0.65 | 0.42  0.65 | 0.48  0.58 | 0.42  0.52 | 0.18  0.33 | 0.05
    plain STE       0.30 | 0.00

    n = 1024, stopped after so many of so many runs, every = 75, 150, 300, 600:
    scale 0.035: 2/13 6/18 4/11 2/18;  0.05: 3/4 16/19 12/15 5/12;  0.07: 2/4 10/20 3/7 9/18;  0.1: 2 of 60;
    0.02 and 0.15: none of 104

    N50/n, every = 300, scale = 0.05: n = 64    3.078 [3.050, 3.106]
                                      128       3.180 [3.160, 3.201]
                                      256       3.164 [3.146, 3.183]
                                      512       3.149 [3.133, 3.165]
                                      1024      3.128 [3.108, 3.147]
    slope 1.003 [1.000, 1.007], 10,100 runs; the edge of message passing is 2.985

    The identity, scale = 0.1:        n = 64    1.563 [1.526, 1.603]
                                      128       1.616 [1.566, 1.693]
                                      256       1.556 [1.522, 1.591]
    slope 0.995 [0.970, 1.019], 480 runs; the edge is 1.493

    N = 4n, certified:  n = 64    22 of 24 (plain 17)   after 386 steps (median)
                        128       23 of 24 (plain 1)    625
                        256       23 of 24 (plain 0)    1,201
                        512       24 of 24 (plain 0)    1,203
                        1024      12 of 12 (plain 0)    1,208

    N50/n, n = 128, 12 runs a size    restart               plain
    m = 4                             3.17 [2.83, 3.55]     4.73 [4.35, 5.16]
    exponential inputs                3.35 [3.05, 3.67]     5.83 [5.20, 6.53]
    Rademacher inputs                 2.84 [2.72, 3.23]     7.61 [6.74, 9.68]
    Student inputs, 5 degrees         3.07 [2.76, 3.42]     6.13 [5.50, 6.87]
    AR(1) inputs, 0.5                 3.78 [3.31, 3.98]     6.96 [5.94, 9.03]
    identity, scale 0.1, mean 0.5     1.81 [1.39, 2.15]     2.77 [2.35, 3.23]
    clipped ReLU                      2.99 [2.84, 3.48]     6.53 [5.83, 7.41]
    hard tanh                         1.92 [1.66, 1.99]     3.44 [3.09, 3.86]
    n = 32                            2.59 [2.32, 2.86]     2.62 [2.31, 2.94]
    n = 16                            2.31 [1.99, 2.67]     2.24 [1.95, 2.56]

    Label noise, n = 64: data sets whose average over all is right, in brackets that since the last restart
                           σ = 0.1       0.2           0.3           0.5
    of                     24            24            24            34
    plain                  11            21            14            21
    restart                22 (22)       20 (20)       16 (16)       20 (20)
    scale / 4              13 (14)       19 (19)       17 (16)       21 (20)
    scale × 4              17 (17)       20 (20)       17 (17)       21 (21)
    every × 7              18 (21)       21 (20)       17 (17)       20 (20)
    |w̄| ≥ 1/2 only         14 (16)       19 (18)       16 (16)       20 (18)
    |w̄| ≥ 0.9 only         11 (10)       18 (18)       15 (16)       21 (20)

At small n (part `small`, 2,000 runs each): 2.723 [2.660, 2.789] at n = 16, 2.831 [2.781, 2.883] at n = 32.

The decay of the step sizes, n = 256, N = 3.4 n, 16 runs each, share by scale:

                      0.02  0.035   0.05   0.07    0.1   0.15
    0.5, constant     0.25   0.69   0.88   0.75   0.56   0.31
    0.5/(t+1)^0.25    0.12   0.69   0.81   0.62   0.50   0.19
    0.5/(t+1)^0.5     0.06   0.69   0.81   0.56   0.19   0.06
    0.5/(t+1)^0.75    0.00   0.62   0.81   0.50   0.12   0.00
    0.5/(t+1)         0.00   0.25   0.81   0.56   0.12   0.00
    identity, 1.7 n   0.00   0.00   0.25   0.62   0.88   0.81

So 0.05 is best or level with a neighbour for every decay; with 16 runs more cannot be said.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

import sterling as st
from benchmarks.papers.chatter_theory import threshold
from sterling.study import Cell, ExponentFit, Store, Study, fit_exponent, run
from sterling.study.trial import trial_seeds

STEPS = 12_600
#: Roots of the seeds, one a part.
SEEDS = {
    name: 20261201 + place
    for place, name in enumerate(("settings", "schedules", "scaling", "four", "conditions", "noise"))
}

EVERY = (75, 150, 300, 600)
SCALE = (0.02, 0.035, 0.05, 0.07, 0.1, 0.15)
DECAYS = ("constant:0.5", "power:0.5,0.25", "power:0.5,0.5", "power:0.5,0.75", "power:0.5,1")
DIMENSIONS = (64, 128, 256, 512, 1024)
RATIOS = (2.8, 2.95, 3.1, 3.25, 3.45)
SMALL_RATIOS = (1.5, 2.0, 2.5, 3.0, 3.6)
WIDE = (1.4, 2.0, 2.8, 4.0, 5.6, 8.0)
SLOPE, EDGE = 0.03, 1.2  # the bars

CONDITIONS = {
    "ReLU, Gaussian, m = 1": {},
    "m = 4": {"m": 4},
    "identity, scale = 0.1": {"surrogate": "identity", "scale": 0.1},
    "clipped ReLU": {"surrogate": "clipped_relu"},
    "hard tanh": {"surrogate": "hard_tanh"},
    "Rademacher inputs": {"inputs": "rademacher"},
    "exponential inputs": {"inputs": "exponential"},
    "Student inputs, 5 degrees": {"inputs": "student_t:5"},
    "AR(1) inputs, 0.5": {"inputs": "ar1:0.5"},
    "the same, inputs of mean 0.5": {"surrogate": "identity", "scale": 0.1, "inputs": "shifted:0.5"},
    "n = 16": {"n": 16},
    "n = 32": {"n": 32},
}


class Asked:
    """What was asked for: where studies lie, how large they are, and on how many threads they run."""

    def __init__(self, folder: Path, quick: bool, threads: int | None):
        self.folder, self.quick, self.threads = folder, quick, threads

    def counts(self, name: str, trials: int, **more) -> pl.DataFrame:
        """Run a study, or what is left of it, and count the runs that are absorbed at w*."""
        study = Study(
            **{"steps": STEPS, "criteria": "optimal", "name": name, **more},
            trials=max(4, trials // 10) if self.quick else trials,
        )
        run(study, self.folder / name, threads=self.threads)
        return Store(self.folder / name).counts("optimal")


def settings(asked: Asked) -> None:
    """Find the defaults at N = 3.2 n.

    The rule: of the settings whose least share over n lies within one standard error of the best, the one
    with the fewest restarts; of several the better one.
    """
    restarts = {(every, scale): str(st.Restart(every, scale)) for every in EVERY for scale in SCALE}
    least = dict.fromkeys(restarts, (1.0, 0.0))  # the smallest share over n, and its standard error
    for n in (64,) if asked.quick else (64, 256, 1024):
        rows = asked.counts(
            f"settings-{n}",
            60 if n < 1024 else 12,
            n=n,
            samples={"c": [3.2], "a": 1},
            restart=["none", *restarts.values()],
            seed=SEEDS["settings"],
        )
        found = {row["restart"]: (row["successes"] / row["trials"], row["trials"]) for row in rows.to_dicts()}
        print(f"n = {n}, N = 3.2 n: share of {rows['trials'][0]} runs; plain STE {found['none'][0]:.2f}")
        print("every \\ scale " + "".join(f"{scale:7g}" for scale in SCALE))
        for every in EVERY:
            shares = [found[restarts[every, scale]][0] for scale in SCALE]
            print(f"{every:13} " + "".join(f"{one:7.2f}" for one in shares), flush=True)
        for place, name in restarts.items():
            share, count = found[name]
            least[place] = min(least[place], (share, math.sqrt(share * (1 - share) / count)))
    best = max(least, key=lambda place: least[place])
    near = [place for place, (share, _) in least.items() if share >= least[best][0] - least[best][1]]
    print("least share of " + ", ".join(f"{restarts[one]}: {least[one][0]:.2f}" for one in near))
    print(f"best {restarts[best]}; by the rule {restarts[max(near, key=lambda one: (one[0], least[one]))]}")


def schedules(asked: Asked) -> None:
    """Vary the decay and the surrogate at n = 256; by symmetry the rate decides on the start alone."""
    scales = {scale: str(st.Restart(scale=scale)) for scale in SCALE}
    for name, ratio, column, values in (
        ("schedules", 3.4, "schedule", list(DECAYS)),
        ("schedules-identity", 1.7, "surrogate", ["identity"]),
    ):
        rows = asked.counts(
            name,
            16,
            n=64 if asked.quick else 256,
            samples={"c": [ratio], "a": 1},
            restart=list(scales.values()),
            seed=SEEDS["schedules"],
            **{column: values},
        )
        won = {(row[column], row["restart"]): row["successes"] / row["trials"] for row in rows.to_dicts()}
        print(f"n = {rows['n'][0]}, N = {ratio} n, by scale: share of {rows['trials'][0]} runs")
        print(f"{column:16}" + "".join(f"{scale:7g}" for scale in SCALE))
        for one in rows[column].unique(maintain_order=True):
            print(f"{one:16}" + "".join(f"{won[one, restart]:7.2f}" for restart in scales.values()))


def scaling(asked: Asked) -> None:
    """Fit N₅₀ of ReLU with the defaults, and of the identity, whose pull is twice as large."""
    trials = {64: 600, 128: 600, 256: 400, 512: 300, 1024: 120}
    _scaling(asked, "relu", st.Restart(), 1.0, dict(list(trials.items())[:3]) if asked.quick else trials)
    _scaling(asked, "identity", st.Restart(scale=0.1), 0.5, {64: 50, 128: 30, 256: 16})


def small(asked: Asked) -> None:
    """Fit N₅₀ of ReLU with the defaults where traps and not chatter catch runs."""
    trials = {16: 100, 32: 100} if asked.quick else {16: 400, 32: 400}
    _thresholds(asked, "relu", st.Restart(), 1.0, trials, SMALL_RATIOS)


def _scaling(asked: Asked, surrogate: str, restart: st.Restart, part: float, trials: dict[int, int]) -> None:
    fit, edge = _thresholds(asked, surrogate, restart, part, trials, RATIOS)
    print(f"slope {fit.exponent:.3f} [{fit.exponent_low:.3f}, {fit.exponent_high:.3f}]; {fit!r}")
    flat = abs(fit.exponent_low - 1) <= SLOPE and abs(fit.exponent_high - 1) <= SLOPE
    low = all(one.samples <= EDGE * edge * one.n for one in fit.thresholds)
    print(
        f"slope within 1 ± {SLOPE}: {flat}; N50 at most {EDGE} times the edge {edge:.3f} n: {low}", flush=True
    )


def _thresholds(
    asked: Asked,
    surrogate: str,
    restart: st.Restart,
    part: float,
    trials: dict[int, int],
    ratios: tuple[float, ...],
) -> tuple[ExponentFit, float]:
    """Print N₅₀ of each n in units of n; return the fit, and the edge of message passing in these units."""
    tables = [
        asked.counts(
            f"scaling-{n}" if surrogate == "relu" else f"scaling-{surrogate}-{n}",
            count,
            n=n,
            samples={"c": [part * ratio for ratio in ratios], "a": 1},
            restart=str(restart),
            surrogate=surrogate,
            seed=SEEDS["scaling"],
        )
        for n, count in trials.items()
    ]
    rows = pl.concat(tables)
    fit = fit_exponent(*(rows[name].to_numpy() for name in ("n", "samples", "trials", "successes")))
    edge = 2 * part * st.theory.samples_for_messages(st.Problem(1000, 1)) / 1000
    print(f"N50/n, {surrogate}, {restart!r}, within {STEPS:,} steps; N/n = {part:g} times {ratios}")
    for one in fit.thresholds:
        value, low, high = (at / one.n for at in (one.samples, one.low, one.high))
        table = rows.filter(pl.col("n") == one.n)
        print(
            f"n={one.n:5} {value:6.3f} [{low:.3f}, {high:.3f}], {value / edge:.3f} of the edge   "
            f"{' '.join(map(str, table['successes']))} of {table['trials'][0]}",
            flush=True,
        )
    return fit, edge


def four(asked: Asked) -> None:
    """Count certified runs at N = 4n, and the steps to w*."""
    for n in (64, 128) if asked.quick else DIMENSIONS:
        rows = asked.counts(
            f"four-{n}",
            24 if n < 1024 else 12,
            n=n,
            samples={"c": [4], "a": 1},
            restart=["none", str(st.Restart())],
            seed=SEEDS["four"],
        )
        trials = Store(asked.folder / f"four-{n}").trials(["restart", "first_hit", "certified"])
        for row in rows.sort("restart", descending=True).to_dicts():
            mine = trials.filter((pl.col("restart") == row["restart"]) & pl.col("certified"))
            steps = (
                "" if mine.is_empty() else f", at w* after {mine['first_hit'].median():,.0f} steps (median)"
            )
            counts = f"{row['successes']:3} of {row['trials']}"
            print(f"n={n:5} N={4 * n:5} restart {row['restart']:9} certified {counts}{steps}", flush=True)


def conditions(asked: Asked) -> None:
    """Measure N₅₀ with and without restart in other settings, at n = 128 unless said otherwise."""
    print(f"N50/n within {STEPS:,} steps [95 %]; * beyond the sizes that were tried")
    for place, (name, given) in enumerate(CONDITIONS.items()):
        given = {"n": 64 if asked.quick else 128, **given}
        restart = str(st.Restart(scale=given.pop("scale", st.Restart().scale)))
        rows = asked.counts(
            f"conditions-{place}",
            12,
            samples={"c": list(WIDE), "a": 1},
            restart=["none", restart],
            seed=SEEDS["conditions"],
            **given,
        )
        n, said = given["n"], []
        for arm in (restart, "none"):
            mine = rows.filter(pl.col("restart") == arm).sort("samples")
            sizes, won = mine["samples"].to_list(), mine["successes"].to_list()
            value, low, high = (one / n for one in threshold(sizes, won, mine["trials"][0]))
            mark = "*" if 2 * won[-1] < mine["trials"][0] else ""
            said.append(f"{value:6.2f}{mark} [{low:.2f}, {high:.2f}] ({' '.join(map(str, won))})")
        print(f"{name:30} restart {said[0]:55} plain {said[1]}", flush=True)


Step = Callable[[np.ndarray, st.Orbit], np.ndarray]


def averages(instance: st.Instance, every: int, begin: Step, init: int) -> tuple[np.ndarray, np.ndarray]:
    """Restart by any rule; return the mean of all iterates' averages and the average since the last restart.

    ``begin`` gets scale-free Σ η_t w_t and the finished stretch, and returns the latents to go on from.
    """
    mass = float(st.Power(0.5, 0.5).mass(every))
    start, means = init, []
    for _ in range(STEPS // every):
        orbit = st.train(instance, every, init=start, record=(), threads=1)
        means.append(orbit.ergodic_mean)
        start = begin(mass * orbit.ergodic_mean, orbit)
    return np.mean(means, axis=0), means[-1]


def rule(scale: float, certain: float = 0.0) -> Step:
    """Return the restart by Σ η w, of those weights alone whose average is at least so certain."""

    def begin(total: np.ndarray, orbit: st.Orbit) -> np.ndarray:
        sure = np.abs(orbit.ergodic_mean) * math.sqrt(len(total)) >= certain
        return np.where(sure, scale * total, orbit.latent)

    return begin


def noise(asked: Asked) -> None:
    """Try variants under label noise, on the same data sets, where plain STE succeeds in about half."""
    usual = st.Restart()
    variants = {
        "restart": (usual.every, rule(usual.scale)),
        "scale / 4": (usual.every, rule(usual.scale / 4)),
        "scale × 4": (usual.every, rule(usual.scale * 4)),
        "every × 7": (usual.every * 7, rule(usual.scale)),
        "certain weights only (|w̄| ≥ 1/2)": (usual.every, rule(usual.scale, 0.5)),
        "certain weights only (|w̄| ≥ 0.9)": (usual.every, rule(usual.scale, 0.9)),
    }
    for sigma, trials in {0.1: 24, 0.2: 24, 0.3: 24, 0.5: 34}.items():
        n = 64
        law = st.theory.samples_for_average(st.Problem(n, 1, noise=sigma))
        problem = st.Problem(n, round(law), noise=sigma)
        trials = 6 if asked.quick else trials
        right = {name: np.zeros(2, int) for name in variants}
        right["plain"] = np.zeros(1, int)
        for number in range(trials):
            seed = trial_seeds(SEEDS["noise"], Cell("train", problem), number).data
            instance = problem.draw(seed, threads=1)
            plain = st.train(instance, STEPS, init=seed, record=(), threads=1)
            right["plain"] += plain.ergodic_errors == 0
            for name, (every, begin) in variants.items():
                means = averages(instance, every, begin, seed)
                right[name] += [bool(np.all((mean >= 0) == (instance.teacher > 0))) for mean in means]
        print(f"n = {n}, σ = {sigma:g}, N = {problem.samples / n:.1f} n: of {trials} data sets")
        for name, count in right.items():
            last = f", that since the last restart in {count[1]:3}" if len(count) > 1 else ""
            print(f"  {name:34} the average of all is right in {count[0]:3}{last}", flush=True)


PARTS = {
    "settings": settings,
    "schedules": schedules,
    "scaling": scaling,
    "small": small,
    "four": four,
    "conditions": conditions,
    "noise": noise,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.papers.restart", description="Ergodic restart, measured."
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a few small cells: a smoke test")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("out/restart"),
        help="of the studies; finished trials are not repeated",
    )
    parser.add_argument("--threads", type=int, help="trials at a time; all cores by default")
    given = parser.parse_args(arguments)
    for name in given.parts:
        if name not in PARTS:
            parser.error(f"there is no part {name!r}; there are {', '.join(PARTS)}")
    asked = Asked(given.out / ("quick" if given.quick else "whole"), given.quick, given.threads)
    for name in given.parts or PARTS:
        begun = time.monotonic()
        PARTS[name](asked)
        print(f"{name}: {time.monotonic() - begun:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
