"""A threshold on the mean gradient: does the last iterate stay at w*? Bars and laws against runs.

    python -m benchmarks.papers.threshold [PART ...] [--quick]

factorial   runs that end at w*, without label noise: plain, leak alone, band alone, leak and band
absorbed    share of the data sets in which w* absorbs under damping ½, and share of the runs that end there,
            against `theory.expected_absorbed` and `theory.expected_last`
exponent    growth of N₅₀ of the last iterate with n, under damping ½
strengths   N₅₀ of the last iterate for damping 0.1 to 0.6 at label noise 0 to 1
again       the cell of `absorbed` that missed its bar, and its two neighbours, with 400 fresh data sets each

Rules, fixed before the data of these seeds were drawn; earlier trials with other seeds were known.

factorial   n = 128, 16 data sets. One setting has ReLU, N = 4n, full batch and 6,000 steps; the other has
            the identity, N = 2.5n, batches of 16 and 20,000 steps. SGD at the constant rate 1; the leak is a
            decay of 0.01, so a latent loses 1/100 a step; the band is 25 S. The number of runs whose last
            iterate is w*: leak and band at least 14; leak alone and band alone at most 3 each.
absorbed    N where `expected_absorbed` is 0.3, 0.6 and 0.9, σ = 0.5 and 1, both surrogates. In each cell the
            share of the data sets in which b*_k G_k(w*) ≤ θS for all k is within 0.08 of the law, and the
            share of the full-batch runs that end at w* (constant rate 1/(30 θS), 30,000 steps) within 0.12
            of `expected_last`. A true law misses 0.08 in one cell of 100 data sets with probability 0.10 at a
            share of 0.6, and 0.11 at most.
exponent    n = 32, 64, 128, 256, five N at each n. Success: absorbed at w*. The exponent of N₅₀ = C·n^α lies
            in 1.28 ± 0.15.
strengths   All strengths see the same data sets. The best strength has the least N₅₀; a strength whose
            interval reaches below that N₅₀ is not told apart from it. Where fewer than half of the runs
            succeed at every N, the value is no measurement but the end of the search.
again       n = 384, σ = 0.5, ReLU, N = 9,016, 10,892 and 14,408, of which 10,892 had 0.51 of 100 where the
            law says 0.60. Whether w* absorbs needs no run. The miss was chance if with 400 data sets of
            another seed the share at 10,892 is within 0.08 of the law; a true law misses with probability
            0.001. The law is refuted there if its value lies outside the interval of level 0.95.

`threshold.txt` and `strengths.txt` have the tables of the last runs. Intervals have level 0.95: Jeffreys for
shares, profile likelihood for N₅₀ and exponents.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time

import numpy as np

import sterling as st
from benchmarks.papers.chatter_theory import threshold
from sterling import theory
from sterling.stats import share_interval
from sterling.study import Study, fit_store, run

SEED, AGAIN = 20261203, 20261204
RULES = {
    "plain": st.SGD(),
    "leak alone": st.SGD(decay=0.01),
    "band alone": st.SGD(band=25.0),
    "leak and band": st.SGD(decay=0.01, band=25.0),
}
DAMPING, DAMPED = 0.5, 30_000  # θ, and steps of a damped run
SHARES = (0.3, 0.6, 0.9)
SETS = {96: 200, 192: 150, 384: 100}  # data sets of a cell
FIRST = {0.5: 6.55, 1.0: 26.2}  # a guess of N₅₀/n^1.28 (ReLU) by σ
RISE = 1.28
SPAN = (0.65, 0.8, 1.0, 1.2, 1.5)  # sizes, in units of the guess
STRENGTHS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
GUESS = {0.0: 3.0, 0.25: 7.0, 0.5: 21.0, 1.0: 85.0}  # N₅₀/n at n = 64, ReLU, by σ
WIDE = (0.6, 0.8, 1.0, 1.3, 1.7)


def draw(n: int, samples: float, trial: int, noise: float = 0.0, seed: int = SEED) -> st.Instance:
    """Return the data set of a trial."""
    size = round(samples)
    return st.Problem(n=n, samples=size, noise=noise).draw(np.random.SeedSequence([seed, n, size, trial]))


def held(instance: st.Instance, surrogate: str) -> bool:
    """Return whether w* absorbs: b*_k G_k(w*) ≤ θS for every k."""
    push = instance.teacher * instance.gradient(instance.teacher, surrogate)
    return bool((push <= DAMPING * theory.signal(instance, surrogate=surrogate)).all())


def interval(hits: int, trials: int) -> str:
    """Return a share with its interval, as text."""
    _, low, high = share_interval(hits, trials)
    return f"{hits / trials:.3f} [{low:.3f}, {high:.3f}]"


def factorial(asked: argparse.Namespace) -> None:
    """Count the runs that end at w* under each rule."""
    sets = 4 if asked.quick else asked.sets or 16
    print(f"runs that end at w*, of {sets}, n = 128; in brackets those certified to stay")
    for surrogate, ratio, batch, steps in (("relu", 4.0, None, 6_000), ("identity", 2.5, 16, 20_000)):
        instances = [draw(128, ratio * 128, trial) for trial in range(sets)]
        for name, rule in RULES.items():
            runs = [
                st.train(
                    instance,
                    steps,
                    st.Constant(1.0),
                    surrogate,
                    trial,
                    record=(),
                    optimizer=rule,
                    batch=batch,
                    seed=trial,
                    threads=1,
                )
                for trial, instance in enumerate(instances)
            ]
            ended = [one for one in runs if one.errors == 0]
            sure = sum(one.certified for one in ended)
            what = f"{surrogate}, N = {ratio:g}n, {'full batch' if batch is None else f'batch {batch}'}"
            print(
                f"{what:28} {name:14} {len(ended):2} ({sure:2})   share {interval(len(ended), sets)}",
                flush=True,
            )


def sized(n: int, noise: float, surrogate: str, share: float) -> int:
    """Return N at which w* absorbs in this share of the data sets, by the law."""
    low, high = math.log(n), math.log(1e4 * n)
    for _ in range(40):
        middle = (low + high) / 2
        problem = st.Problem(n=n, samples=round(math.exp(middle)), noise=noise)
        below = theory.expected_absorbed(problem, damping=DAMPING, surrogate=surrogate) < share
        low, high = (middle, high) if below else (low, middle)
    return round(math.exp(high))


def absorbed(asked: argparse.Namespace) -> None:
    """Compare shares with the two laws."""
    print("w* absorbs: law, share; the run ends at w*: law, share (damping ½; * beyond 0.08 or 0.12)")
    cells = [
        (n, noise, surrogate, share)
        for n in asked.n or SETS
        for noise in asked.noise or (0.5, 1.0)
        for surrogate in asked.surrogate or ("identity", "relu")
        for share in SHARES
    ]
    outside, chi = np.zeros(2, int), np.zeros(2)
    for n, noise, surrogate, share in cells[:2] if asked.quick else cells:
        samples, sets = sized(n, noise, surrogate, share), asked.sets or SETS.get(n, 100)
        problem = st.Problem(n=n, samples=samples, noise=noise)
        laws = np.array(
            [
                law(problem, damping=DAMPING, surrogate=surrogate)
                for law in (theory.expected_absorbed, theory.expected_last)
            ]
        )
        hits = np.zeros(2, int)
        for trial in range(sets):
            instance = draw(n, samples, trial, noise)
            hits[0] += held(instance, surrogate)
            orbit = st.train(
                instance,
                DAMPED,
                None,
                surrogate,
                trial,
                record=(),
                optimizer=st.SGD(damping=DAMPING),
                threads=1,
            )
            hits[1] += orbit.errors == 0
        missed = np.abs(hits / sets - laws) > (0.08, 0.12)
        outside += missed
        chi += (hits / sets - laws) ** 2 / (laws * (1 - laws) / sets)
        row = [
            f"{law:.3f} {interval(k, sets)}{'*' if far else ' '}"
            for law, k, far in zip(laws, map(int, hits), missed, strict=True)
        ]
        print(
            f"n={n:4} σ={noise:<4g} {surrogate:8} N={samples:6} {sets} sets   {row[0]}   {row[1]}", flush=True
        )
    count = 2 if asked.quick else len(cells)
    print(f"beyond the bars: {outside[0]} and {outside[1]} of {count} cells")
    print(f"sum of squared deviations over their variances: {chi[0]:.1f} and {chi[1]:.1f} for {count} cells")


def again(asked: argparse.Namespace) -> None:
    """Count the data sets in which w* absorbs once more, where `absorbed` missed its bar."""
    print("w* absorbs: law, share (n = 384, σ = 0.5, ReLU, damping ½; * beyond 0.08)")
    for samples in (9_016, 10_892, 14_408):
        sets = 4 if asked.quick else asked.sets or 400
        problem = st.Problem(n=384, samples=samples, noise=0.5)
        law = theory.expected_absorbed(problem, damping=DAMPING)
        hits = sum(held(draw(384, samples, trial, 0.5, AGAIN), "relu") for trial in range(sets))
        missed = "*" if abs(hits / sets - law) > 0.08 else ""
        print(f"N={samples:6} {sets} sets   {law:.3f} {interval(hits, sets)}{missed}", flush=True)


def exponent(asked: argparse.Namespace) -> None:
    """Fit the growth of N₅₀."""
    print("exponent of N50 of the last iterate in n, damping ½, ReLU, full batch")
    for noise in asked.noise or (0.5, 1.0):
        with tempfile.TemporaryDirectory() as folder:
            study = Study(
                n=asked.n or ((16, 32) if asked.quick else (32, 64, 128, 256)),
                samples={"c": [part * FIRST[noise] for part in SPAN], "a": RISE},
                noise=noise,
                steps=DAMPED,
                trials=8 if asked.quick else 25,
                schedule="auto",
                optimizer=f"sgd:damping={DAMPING}",
                criteria="optimal",
                seed=SEED,
            )
            run(study, folder, threads=asked.threads)
            series = fit_store(folder, "optimal")[0]
        for row in series.cells.iter_rows(named=True):
            print(
                f"σ={noise:<4g} n={row['n']:4} N={row['samples']:6}   {row['successes']} of {row['trials']}"
            )
        if series.fit is None:
            print(series.refusal)
            continue
        for one in series.fit.thresholds:
            row = f"{one.samples / one.n:7.2f} [{one.low / one.n:.2f}, {one.high / one.n:.2f}]"
            if asked.law:
                law = theory.samples_for_last(st.Problem(n=one.n, samples=1, noise=noise), damping=DAMPING)
                row += f"   law {law / one.n:.2f}"
            print(f"σ={noise:<4g} n={one.n:4} N50/n {row}")
        fit = series.fit
        print(
            f"σ={noise:<4g} exponent {fit.exponent:.3f} [{fit.exponent_low:.3f}, {fit.exponent_high:.3f}]   "
            f"curvature p = {fit.p_value:.2f}",
            flush=True,
        )


def strengths(asked: argparse.Namespace) -> None:
    """Compare strengths on the same data sets."""
    n, trials = (asked.n or [64])[0], 6 if asked.quick else asked.trials
    surrogate = (asked.surrogate or ["relu"])[0]
    where = "full batch" if asked.batch is None else f"batch {asked.batch}"
    print(f"N50/n of the last iterate at w*, n = {n}, {surrogate}, {where}, {trials} data sets a size")
    for noise in asked.noise or GUESS:
        guess = GUESS[noise] * n * (n / 64) ** (RISE - 1) / (2 if surrogate == "identity" else 1)
        sizes = [round(part * guess) for part in WIDE]
        ended = np.zeros((len(STRENGTHS), len(sizes)), int)
        for column, samples in enumerate(sizes):
            for trial in range(trials):
                instance = draw(n, samples, trial, noise)
                for row, theta in enumerate(STRENGTHS):
                    orbit = st.train(
                        instance,
                        10_000,
                        None,
                        surrogate,
                        trial,
                        record=(),
                        optimizer=st.SGD(damping=theta),
                        batch=asked.batch,
                        seed=trial,
                        threads=1,
                    )
                    ended[row, column] += orbit.errors == 0
        found = [threshold(sizes, list(map(int, counts)), trials) for counts in ended]
        best = min(one[0] for one in found)
        for theta, (value, low, high), counts in zip(STRENGTHS, found, ended, strict=True):
            mark = "best" if value == best else "not told apart" if low <= best else ""
            if 2 * counts.max() < trials:
                mark = "no measurement"
            print(
                f"σ={noise:<4g} θ={theta:<4g} {value / n:7.2f} [{low / n:.2f}, {high / n:.2f}]   "
                f"{' '.join(map(str, counts))}   {mark}",
                flush=True,
            )


PARTS = {
    "factorial": factorial,
    "absorbed": absorbed,
    "exponent": exponent,
    "strengths": strengths,
    "again": again,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers.threshold")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="few trials and cells: a smoke test")
    parser.add_argument("--n", type=int, nargs="+", help="numbers of weights, not for factorial")
    parser.add_argument("--noise", type=float, nargs="+", help="σ, one or several of those of the part")
    parser.add_argument("--surrogate", nargs="+", help="of absorbed; the first one for strengths")
    parser.add_argument("--batch", type=int, help="of strengths; full by default")
    parser.add_argument("--trials", type=int, default=16, help="data sets a size, of strengths")
    parser.add_argument("--sets", type=int, help="data sets of a cell, of factorial, absorbed and again")
    parser.add_argument("--law", action="store_true", help="`samples_for_last` beside N₅₀, of exponent: slow")
    parser.add_argument("--threads", type=int, help="trials at a time, of exponent; all cores by default")
    asked = parser.parse_args(arguments)
    for name in asked.parts:
        if name not in PARTS:
            parser.error(f"there is no part {name!r}; there are {', '.join(PARTS)}")
    for name in asked.parts or PARTS:
        begun = time.monotonic()
        PARTS[name](asked)
        print(f"{time.monotonic() - begun:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
