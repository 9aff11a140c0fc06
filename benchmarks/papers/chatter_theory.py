"""The laws of chatter and of the ladder against runs: `python -m benchmarks.papers.chatter_theory [--quick]`.

share     wrong weights at a time, stationary, at a constant rate: `theory.chatter`, and the same for each
          data set by `theory.chatter_mean`
average   N at which the sign of the time average is w* in half of the data sets: `theory.samples_for_average`
iterate   N at which half of the runs are absorbed at w* within T steps: `theory.samples_for_iterate`
held      the same at other n, with both surrogates
approach  the share of wrong weights on the way from a random start
ladder    N/n at which half of the data sets are solved by other estimators: `theory/ladder.py`

A measured N is that of a probit curve in ln N fitted to the trials, with the 95 % interval of its place. All
seeds are fixed, and the data sets of one n are the same at all N as far as they reach. A quarter of an hour
without `ladder`; ``--full`` adds the iterate at 10⁵ steps for n = 128, 256 and 512, which takes far longer.

Found, with 16 data sets a cell at n = 256 and 512 and 12 at 1024: share of wrong weights, law over runs, at
α′ = 2.5, 3, 3.5, 4, 4.5:

    n = 256, identity   0.960  0.970  0.963  0.979  0.995     ReLU  1.000  0.995  0.982  1.006  1.019
    n = 512             0.994  0.983  0.983  0.992  1.003           1.011  1.010  0.999  0.999  0.997
    n = 1024            0.996  1.000  1.001  0.998  1.011

By `chatter_mean` each of the 100 data sets that were fitted lay within 2.3 % of its run, with a correlation
over the weights of at least 0.998. The means have standard errors of 2.5, 1.5 and 1 %.
The share without reaction over runs, where at least half of 16 runs had not been absorbed, at
α′ = 2, 2.5, 3, 4.5, which the explorable page shows (measured by a part that went with this option):

    n = 128, identity   0.993  1.004  0.991  –         ReLU  1.066  1.022  1.075  –
    n = 256             1.004  0.994  1.003  1.023           1.022  1.036  1.029  1.048

    N50/n                                      measured               law
    time average, ReLU     n = 128             5.81 [5.53, 6.10]      5.69
                               256             6.31 [6.03, 6.57]      6.35
                               512             6.86 [6.65, 7.09]      6.98
                              1024             7.27 [6.87, 7.69]      7.59
    time average, σ = 0.5, ReLU, n = 64        18.72 [17.37, 20.02]   19.55     (identity 11.74, law 11.43)
    iterate, 400 steps     n = 64              2.25 [2.15, 2.37]      2.10
    (identity,                128              3.90 [3.74, 4.07]      3.94
     0.5/√(t + 1))            256              6.99 [6.61, 7.34]      7.50
                              512              12.01 [11.40, 12.61]   13.62
                             1024              20.4 [18.9, 21.9]      21.5
    iterate, 10⁴ steps     n = 64              1.76 [1.68, 1.84]      1.73
    (constant rate 0.5)       128              3.49 [3.33, 3.68]      3.32
                              256              7.42 [7.10, 7.76]      7.72
    iterate, 10⁵ steps     n = 64              1.61 [1.54, 1.67]      1.49
    GAMP, n = 64, σ = 0                        1.53 [1.51, 1.56]      1.49 (n → ∞)
    GAMP, σ = 0.5                              3.79 [3.67, 3.94]      3.21 (n → ∞)
    least squares, σ = 0 and 0.5               4.13, 12.84            4.02, 12.31
    Hebb, σ = 0 and 0.5                        8.18, 16.18            8.30, 16.59
    logistic regression, σ = 0 and 0.5         2.97, 13.63
    least risk, n = 16, σ = 0                  1.41 [1.35, 1.50]      1.24 (information, n → ∞)

held, 10⁴ steps at 0.5/√(t + 1), 128 data sets a size: with ReLU the law asks for more the larger n is

                         identity, measured     law           ReLU, measured          law
    iterate    n = 64    1.86 [1.81, 1.91]      1.81          3.59 [3.49, 3.67]       3.64
                    100  2.67 [2.62, 2.75]      2.55          5.08 [4.95, 5.20]       5.16
                    150  3.78 [3.71, 3.87]      3.83          7.29 [7.12, 7.45]       7.81
                    200  5.00 [4.90, 5.11]      5.20          9.23 [9.03, 9.48]       10.91
                    300  7.51 [7.37, 7.65]      7.87          14.06 [13.74, 14.32]    16.73

At n = 64 and σ = 0 the average needs 4.05 [3.74, 4.28] where the law says 5.02: the chatter ends within the
run, and the law does not know of that.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

import sterling as st
from sterling import theory
from sterling.study import baseline_kind as baselines
from sterling.theory.chatter import _path
from sterling.theory.numbers import numbers_of

SEED = 20261125  # data sets
BURN_IN, STEPS = 500, 3000  # at a constant rate
RATE = 0.5
RATIOS = (2.5, 3.0, 3.5, 4.0, 4.5)  # α′: N/n for the identity, N/(2n) for ReLU
SPAN = (0.7, 0.85, 1.0, 1.18, 1.4)  # sizes at which a threshold is looked for, in units of the predicted one


def draw(n: int, samples: float, trial: int, **rest) -> st.Instance:
    """Return the data set of a trial."""
    return st.Problem(n=n, samples=round(samples), **rest).draw(np.random.SeedSequence([SEED, n, trial]))


def stationary(instance: st.Instance, surrogate: str, trial: int, steps: int) -> tuple[np.ndarray, st.Orbit]:
    """Return the share of the steps in which each weight is wrong, the burn-in left out, and the run."""
    schedule = st.Constant(RATE)
    begun = st.train(
        instance, BURN_IN, schedule=schedule, surrogate=surrogate, init=trial, record=(), threads=1
    )
    run = st.resume(begun, instance, steps, threads=1)
    return (run.wrong_share * run.steps - begun.wrong_share * begun.steps) / (run.steps - begun.steps), run


def threshold(sizes: list[float], solved: list[int], trials: int) -> tuple[float, float, float]:
    """Return N at which half are solved by a probit curve in ln N, and a 95 % interval by its likelihood."""
    from scipy.special import log_ndtr

    x, k = np.log(sizes), np.array(solved)
    places = np.linspace(x.min() - 0.4, x.max() + 0.4, 401)
    slopes = np.geomspace(1.5, 60, 40)
    z = slopes[None, :, None] * (x - places[:, None, None])
    likelihood = (k * log_ndtr(z) + (trials - k) * log_ndtr(-z)).sum(axis=2).max(axis=1)
    inside = places[likelihood > likelihood.max() - 1.92]
    return tuple(np.exp([places[likelihood.argmax()], inside.min(), inside.max()]).tolist())


def share(quick: bool) -> None:
    """Compare shares of wrong weights."""
    print(
        "share of wrong weights: mean of the runs ± its standard error, law, ratio; each data set by the fit"
    )
    for n, trials in ((256, 16), (512, 16), (1024, 12)):
        for ratio in RATIOS:
            for surrogate in ("identity", "relu") if n < 1024 else ("identity",):
                if quick and (n > 256 or surrogate == "relu"):
                    continue
                runs, ratios, alike = [], [], []
                samples = ratio * n * (2 if surrogate == "relu" else 1)
                for trial in range(trials // 4 if quick else trials):
                    instance = draw(n, samples, trial)
                    wrong, _ = stationary(instance, surrogate, trial, STEPS)
                    runs.append(wrong.mean())
                    if trial < 4:
                        fitted = (1 - theory.chatter_mean(instance, surrogate) * instance.teacher) / 2
                        ratios.append(fitted.mean() / wrong.mean())
                        alike.append(np.corrcoef(fitted, wrong)[0, 1])
                law = theory.chatter(st.Problem(n=n, samples=round(samples)), surrogate=surrogate).share
                mean, error = np.mean(runs), np.std(runs, ddof=1) / math.sqrt(len(runs))
                spread = f"{min(ratios):.3f} … {max(ratios):.3f}, correlation {min(alike):.4f}"
                print(
                    f"n={n:5} α′={ratio:3} {surrogate:8} {len(runs):2} sets  {mean:.4f} ± {error:.4f}  "
                    f"{law:.4f} {law / mean:6.3f}   fit/run {spread}",
                    flush=True,
                )


def average(quick: bool) -> None:
    """Compare sample sizes at which the time average decodes."""
    print("N50/n of the time average, T = 3,500 at a constant rate, 95 % interval, law, ratio")
    cells = [(n, "relu", 0.0) for n in (64, 128, 256, 512, 1024)]
    cells += [(n, "identity", 0.0) for n in (128, 512)] + [(64, "relu", 0.5), (64, "identity", 0.5)]
    for n, surrogate, noise in cells[:2] if quick else cells:
        law = theory.samples_for_average(st.Problem(n=n, samples=1, noise=noise), surrogate=surrogate)
        trials = 12 if quick or n == 1024 else 32
        solved = []
        for part in SPAN:
            right = 0
            for trial in range(trials):
                instance = draw(n, part * law, trial, noise=noise)
                wrong, _ = stationary(instance, surrogate, trial, STEPS)
                right += bool((wrong < 0.5).all())
            solved.append(right)
        report(n, f"{surrogate} σ={noise:g}", law, solved, trials)


def iterate(quick: bool, full: bool = False) -> None:
    """Compare sample sizes at which the iterate is absorbed."""
    power, constant = st.Power(RATE, 0.5), st.Constant(RATE)
    cells = [(n, 400, power) for n in (64, 128, 256, 512, 1024)]
    cells += [(n, 10_000, constant) for n in (64, 128, 256)]
    cells += [(n, 100_000, power) for n in ((64, 128, 256, 512) if full else (64,))]
    _absorbed(cells[:2] if quick else cells, "identity", 12 if quick else 32)


def held(quick: bool) -> None:
    """Compare the same at other n, with both surrogates, where no constant of the law was looked at."""
    cells = [(n, 10_000, st.Power(RATE, 0.5)) for n in (64, 100, 150, 200, 300)]
    for surrogate in ("identity", "relu"):
        _absorbed(cells[:1] if quick else cells, surrogate, 12 if quick else 128)


def _absorbed(cells: list[tuple[int, int, st.Power]], surrogate: str, most: int) -> None:
    """Compare cells of dimension, number of steps and schedule, with at most that number of data sets."""
    print(f"N50/n of the iterate ({surrogate}), 95 % interval, law, ratio")
    for n, steps, schedule in cells:
        problem = st.Problem(n=n, samples=1)
        law = theory.samples_for_iterate(problem, steps=steps, schedule=schedule, surrogate=surrogate)
        trials = min(most, 12) if n == 1024 or (n >= 256 and steps > 10_000) else most
        solved = []
        for part in SPAN:
            right = 0
            for trial in range(trials):
                instance = draw(n, part * law, trial)
                run = st.train(
                    instance,
                    steps,
                    schedule=schedule,
                    surrogate=surrogate,
                    init=trial,
                    record=(),
                    threads=1,
                )
                right += run.certified and not run.errors  # zero risk elsewhere is optimal as well
            solved.append(right)
        report(n, f"T={steps} {schedule!r}", law, solved, trials)


def report(n: int, what: str, law: float, solved: list[int], trials: int) -> None:
    """Print a row."""
    found, low, high = threshold([part * law for part in SPAN], solved, trials)
    counts = " ".join(f"{k}" for k in solved)
    print(
        f"n={n:5} {what:38} {found / n:6.2f} [{low / n:5.2f}, {high / n:5.2f}]  {law / n:6.2f} "
        f"{law / found:6.3f}   {counts} of {trials}",
        flush=True,
    )


def approach(quick: bool) -> None:
    """Compare shares of wrong weights on the way."""
    steps = (0, 1, 2, 4, 8, 12, 18, 25, 35, 50, 70, 99)
    print("share of wrong weights at the steps " + ", ".join(map(str, steps)) + " (identity): runs, law")
    for n, ratio in ((256, 3.0),) if quick else ((512, 3.0), (512, 8.0), (1024, 8.0), (1024, 12.0)):
        for schedule in (st.Power(RATE, 0.5), st.Constant(RATE)):
            paths = []
            for trial in range(8):
                instance = draw(n, ratio * n, trial)
                run = st.train(
                    instance,
                    100,
                    schedule=schedule,
                    surrogate="identity",
                    init=trial,
                    record=("flips",),
                    threads=1,
                )
                paths.append(run.distance(np.array(steps)) / n)
            problem = st.Problem(n=n, samples=round(ratio * n))
            law = _path(numbers_of(problem, "identity"), problem.samples, 100, schedule)
            print(f"n={n} α′={ratio:g} {schedule!r}")
            print("  " + " ".join(f"{value:.4f}" for value in np.mean(paths, axis=0)))
            print("  " + " ".join(f"{law[t]:.4f}" for t in steps), flush=True)


def ladder(quick: bool) -> None:
    """Measure the thresholds of other estimators at n = 64, and of `risk_minimisers` at n = 16."""
    print("N50/n of other estimators, 95 % interval, law (for GAMP: n → ∞), ratio")
    for noise in (0.0, 0.5):
        problem = st.Problem(n=64, samples=1, noise=noise)
        small = st.Problem(n=16, samples=1, noise=noise)
        least_squares = theory.samples_for_least_squares(problem)
        estimators = {
            "gamp": (64, theory.samples_for_messages(problem), 100),
            "logistic": (64, least_squares, 100),
            "least_squares": (64, least_squares, 100),
            "hebb": (64, theory.samples_for_hebb(problem), 100),
            "risk_minimisers": (16, theory.samples_for_information(small), 40),
        }
        for name, (n, law, trials) in estimators.items():
            trials = trials // 4 if quick else trials
            solved, unsettled = [], 0
            for part in SPAN:
                right = 0
                for trial in range(trials):
                    instance = draw(n, part * law, trial, noise=noise)
                    if name == "gamp":
                        found = baselines.gamp(instance.inputs, instance.labels, noise=noise)
                        unsettled += not found.settled
                        signs = found.signs
                    elif name == "risk_minimisers":
                        signs = st.landscape(instance).minimisers
                    else:
                        signs = getattr(baselines, name)(instance.inputs, instance.labels)
                    right += bool(np.all(signs == instance.teacher))
                solved.append(right)
            report(
                n,
                f"{name} σ={noise:g}" + (f" ({unsettled} unsettled)" if unsettled else ""),
                law,
                solved,
                trials,
            )


PARTS = {
    "share": share,
    "average": average,
    "iterate": iterate,
    "held": held,
    "approach": approach,
    "ladder": ladder,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.papers.chatter_theory",
        description="Laws of chatter and of the ladder against runs.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="a few small cells: a smoke test")
    parser.add_argument("--full", action="store_true", help="the iterate at 10⁵ steps for larger n as well")
    asked = parser.parse_args(arguments)
    for name in asked.parts:
        if name not in PARTS:
            parser.error(f"there is no part {name!r}; there are {', '.join(PARTS)}")
    for name in asked.parts or PARTS:
        begun = time.monotonic()
        if name == "iterate":
            iterate(asked.quick, asked.full)
        else:
            PARTS[name](asked.quick)
        print(f"{time.monotonic() - begun:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
