"""One law for optimisers that keep the mean: runs of other optimisers against the balance and full-batch SGD.

    python -m benchmarks.papers.optimizers [PART ...] [--quick]

balance   share of the steps in which each weight is wrong, against `theory.balance`
average   N₅₀ of the sign of the time average, over that of full-batch SGD on the same data sets

Rules, fixed before the data of these seeds were drawn; earlier trials with other seeds were known.

balance   n = 48, N = 1,000, σ = 0.5, ReLU, 20 data sets, a burn-in of 5,000 steps and 100,000 after it. Over
          all weights the mean |Δp| is at most 0.006 and the correlation at least 0.995. The sign of the
          full-batch gradient balances the median, so it is predicted to fail.
average   n = 64, σ = 0.5, ReLU, five N with 40 data sets each, 5,000 steps. The ratio of N₅₀ lies in 0.90 to
          1.10. Its 95 % interval is a bootstrap (100 draws) over the data sets, which all rules share.

SGD has the constant rate 0.5, momentum 0.05, Adam 0.01, Lion and SignSGD 0.003. `optimizers.txt` has the
tables of the last runs.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

import sterling as st
from benchmarks.papers.chatter_theory import threshold
from sterling import theory

SEED = 20261204
PLAIN = st.Constant(0.5)
SLOW, ADAM, SIGN = st.Constant(0.05), st.Constant(0.01), st.Constant(0.003)
SHUFFLED, DRAWN = st.Batch(32), st.Batch(32, replace=True)
RULES = {
    "SGD, full batch": (st.SGD(), None, PLAIN),
    "momentum 0.9, full": (st.SGD(momentum=0.9), None, SLOW),
    "clip 0.5, full": (st.SGD(clip=0.5), None, PLAIN),
    "SGD, batch 8": (st.SGD(), st.Batch(8), PLAIN),
    "SGD, batch 32": (st.SGD(), SHUFFLED, PLAIN),
    "SGD, batch 32, replaced": (st.SGD(), DRAWN, PLAIN),
    "momentum 0.9, batch 32": (st.SGD(momentum=0.9), SHUFFLED, SLOW),
    "Adam, batch 32": (st.Adam(), SHUFFLED, ADAM),
    "Adam, clip 1, batch 32": (st.Adam(clip=1.0), SHUFFLED, ADAM),
    "Lion, batch 32": (st.Lion(), SHUFFLED, SIGN),
    "Lion, full batch": (st.Lion(), None, SIGN),
    "sign, batch 32": (st.SignSGD(), SHUFFLED, SIGN),
    "sign, full batch": (st.SignSGD(), None, SIGN),
}
COMPARED = (
    "SGD, batch 32",
    "Adam, clip 1, batch 32",
    "SGD, batch 8",
    "Lion, batch 32",
    "momentum 0.9, full",
)
BURN_IN, STEPS, AVERAGED = 5_000, 100_000, 5_000
SPAN = (0.7, 0.85, 1.0, 1.18, 1.4)  # sizes, in units of the law's


def draw(n: int, samples: float, trial: int) -> st.Instance:
    """Return the data set of a trial."""
    seed = np.random.SeedSequence([SEED, n, round(samples), trial])
    return st.Problem(n=n, samples=round(samples), noise=0.5).draw(seed)


def train(rule: str, instance: st.Instance, steps: int, trial: int) -> st.Orbit:
    """Run a rule."""
    optimizer, batch, schedule = RULES[rule]
    return st.train(
        instance,
        steps,
        schedule,
        init=trial,
        record=(),
        optimizer=optimizer,
        batch=batch,
        seed=trial,
        threads=1,
    )


def balance(quick: bool) -> None:
    """Compare shares of wrong steps."""
    sets = 3 if quick else 20
    instances = [draw(48, 1000, trial) for trial in range(sets)]
    laws = np.array([theory.balance(instance).wrong_share for instance in instances])
    print(f"wrong shares against the balance, {sets} data sets: mean |Δp|, most, correlation, within the bar")
    for rule in RULES:
        shares = []
        for trial, instance in enumerate(instances):
            begun = train(rule, instance, BURN_IN, trial)
            orbit = st.resume(begun, instance, STEPS, threads=1)
            shares.append(
                (orbit.wrong_share * orbit.steps - begun.wrong_share * begun.steps)
                / (orbit.steps - begun.steps)
            )
        apart = np.abs(np.array(shares) - laws)
        alike = np.corrcoef(np.ravel(shares), laws.ravel())[0, 1]
        held = "yes" if apart.mean() <= 0.006 and alike >= 0.995 else "no"
        print(f"{rule:24} {apart.mean():.4f}  {apart.max():.3f}  {alike:.4f}  {held}", flush=True)


def average(quick: bool) -> None:
    """Compare N₅₀ of the time average."""
    sets, n = 6 if quick else 40, 64
    law = theory.samples_for_average(st.Problem(n=n, samples=1, noise=0.5))
    sizes = [part * law for part in SPAN]
    data = [[draw(n, samples, trial) for trial in range(sets)] for samples in sizes]
    print(f"N50/n of the time average, {sets * len(sizes)} data sets, law {law / n:.2f}; ratio to plain SGD")
    base, rng = np.zeros(0), np.random.default_rng(SEED)
    chosen = rng.integers(sets, size=(20 if quick else 100, len(sizes), sets))
    for rule in ("SGD, full batch", *COMPARED):
        right = np.array(
            [
                [train(rule, one, AVERAGED, trial).ergodic_errors == 0 for trial, one in enumerate(row)]
                for row in data
            ]
        )
        value, low, high = threshold(sizes, right.sum(axis=1).tolist(), sets)
        resampled = np.take_along_axis(right[None], chosen, axis=2).sum(axis=2)
        places = np.array([threshold(sizes, counts.tolist(), sets)[0] for counts in resampled])
        if not base.size:
            base, first = places, value
        ends = np.quantile(places / base, (0.025, 0.975))
        print(
            f"{rule:24} {value / n:6.2f} [{low / n:.2f}, {high / n:.2f}]   ratio {value / first:.3f} "
            f"[{ends[0]:.3f}, {ends[1]:.3f}]   {' '.join(map(str, right.sum(axis=1)))}",
            flush=True,
        )


PARTS = {"balance": balance, "average": average}


def main(arguments: list[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.papers.optimizers")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--quick", action="store_true", help="few data sets: a smoke test")
    asked = parser.parse_args(arguments)
    for name in asked.parts:
        if name not in PARTS:
            parser.error(f"there is no part {name!r}; there are {', '.join(PARTS)}")
    for name in asked.parts or PARTS:
        begun = time.monotonic()
        PARTS[name](asked.quick)
        print(f"{time.monotonic() - begun:.0f} s\n", flush=True)


if __name__ == "__main__":
    main()
