"""Recurrence under label noise, predicted and measured: `python -m benchmarks.papers.prediction [--quick]`.

Problems are drawn at random: n from 16 to 128 (other n with ``--n``), m from 1 to 8, readout of ones or of
signs, σ from 0.1 to 2 on a logarithmic scale, and N by the law (`theory.samples_for_occupancy`) for an
occupancy drawn from 0.05 to 0.95. The measured occupancy decides which data sets count: those in that range.
The seeds are used nowhere else, so nothing was tuned on these data sets.

A run starts at the teacher with latents next to zero, so that every weight that drifts outwards is at the
border at once, and its first fifth is left out. What is compared are the stationary values.

law       exp(−n √(V/2πN)/S), docs/science, 7 in four numbers, no data
law+      `theory.expected_occupancy`, the law with what wrong weights do to others
signal    Π(1 − p_k), p_k = push/S, docs/science, 7 for the data set
linear    `theory.balance` without exact gradients at more than one wrong weight (states=0)
balance   `theory.balance`
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import sterling as st
from sterling import theory
from sterling.base.files import write_atomically
from sterling.theory.numbers import numbers_of
from sterling.theory.typical import variance

ROOT = 20261124  # seed of the problems
RANGE = (0.05, 0.95)  # of the measured occupancy
MEDIAN, TAIL, CORRELATION = 0.10, 0.25, 0.9  # the bars
BURN_IN = 0.2
START = 1e-6  # size of the first latents
LARGEST = 6e6  # input entries of a data set; larger ones take minutes a run
FEWEST = 16  # samples
WIDTHS = (16, 24, 32, 48, 64, 96, 128)

#: Data sets and steps of each surrogate. Smooth ones take every step, at some 30 microseconds.
PLAN = {
    "relu": (32, 100_000),
    "identity": (16, 100_000),
    "clipped_relu": (16, 100_000),
    "hard_tanh": (16, 100_000),
    "sigmoid": (4, 30_000),
    "approx_sign": (4, 30_000),
    "swish_sign": (4, 30_000),
}
METHODS = ("law", "law+", "signal", "linear", "balance")
OF_WEIGHTS = ("signal", "linear", "balance")  # those that predict each weight


def problems(surrogate: str, widths: tuple[int, ...]) -> Iterator[tuple[st.Problem, int]]:
    """Yield problems and seeds without end."""
    place = list(st.SURROGATES).index(surrogate)
    own = () if widths == WIDTHS else widths
    rng = np.random.default_rng(np.random.SeedSequence(ROOT, spawn_key=(place, *own)))
    while True:
        n, m = int(rng.choice(widths)), int(rng.choice([1, 2, 4, 8]))
        noise = float(np.exp(rng.uniform(math.log(0.1), math.log(2))))
        rho, readout = rng.uniform(*RANGE), str(rng.choice(["ones", "signs"]))
        seed = int(rng.integers(1 << 62))
        problem = st.Problem(n=n, samples=1, m=m, noise=noise, readout=readout)
        samples = round(theory.samples_for_occupancy(problem, occupancy=rho, surrogate=surrogate))
        if samples >= FEWEST and samples * m * n <= LARGEST:
            yield replace(problem, samples=samples), seed


def measure(problem: st.Problem, seed: int, surrogate: str, steps: int) -> dict:
    """Run one data set and predict it in all ways."""
    instance = problem.draw(seed)
    assert instance.teacher is not None
    begun = time.perf_counter()
    early = round(BURN_IN * steps)
    start = st.train(
        instance, early, surrogate=surrogate, init=START * instance.teacher, record=(), threads=1
    )
    run = st.resume(start, instance, steps - early, threads=1)
    seconds = time.perf_counter() - begun
    late = steps - early
    occupancy = (run.occupancy * steps - start.occupancy * early) / late
    shares = (run.wrong_share * steps - start.wrong_share * early) / late
    begun = time.perf_counter()
    predicted = predictions(instance, problem, surrogate)
    return {
        "surrogate": surrogate,
        **problem.to_dict(),
        "seed": seed,
        "steps": steps,
        "occupancy": occupancy,
        "shares": shares.tolist(),
        "predicted": {name: value for name, (value, _) in predicted.items()},
        "predicted_shares": {name: p.tolist() for name, (_, p) in predicted.items() if p is not None},
        "run_seconds": seconds,
        "prediction_seconds": time.perf_counter() - begun,
    }


def predictions(instance: st.Instance, problem: st.Problem, surrogate: str) -> dict:
    """Return occupancy and wrong shares (None for the laws) by each method."""
    n = problem.n
    drift_variance = variance(numbers_of(instance, surrogate))
    pull = theory.signal(instance, surrogate=surrogate)
    law = math.exp(-n * math.sqrt(drift_variance / (2 * math.pi * problem.samples)) / pull)
    more = theory.expected_occupancy(instance, surrogate=surrogate)
    single = theory.wrong_share(instance, method="signal", surrogate=surrogate)
    out = {"law": (law, None), "law+": (more, None), "signal": (float(np.prod(1 - single)), single)}
    for name, options in (("linear", {"states": 0}), ("balance", {})):
        try:
            found = theory.balance(instance, surrogate=surrogate, **options)
            out[name] = (found.occupancy, found.wrong_share)
        except st.InputError:  # the formula says that w* is not held
            out[name] = (0.0, np.full(n, 0.5))
    return out


def score(rows: list[dict], method: str) -> dict:
    """Return errors and correlations of one method over data sets."""
    errors = np.array([abs(row["predicted"][method] / row["occupancy"] - 1) for row in rows])
    out = {"median": float(np.median(errors)), "tail": float(np.quantile(errors, 0.9))}
    if method in OF_WEIGHTS:
        pairs = [(row["predicted_shares"][method], row["shares"]) for row in rows]
        each = [_correlation(*pair) for pair in pairs]
        out["correlation"] = _correlation(*(np.concatenate(part) for part in zip(*pairs, strict=True)))
        out["correlation_low"] = float(np.quantile(each, 0.1))
    return out


def _correlation(one, other) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def passes(found: dict) -> bool:
    """Whether a method meets the bars on these data sets."""
    return (
        found["median"] <= MEDIAN
        and found["tail"] <= TAIL
        and min(found["correlation"], found["correlation_low"]) >= CORRELATION
    )


def collect(
    surrogate: str, widths: tuple[int, ...], count: int, steps: int, threads: int
) -> tuple[list[dict], int]:
    """Return the rows that count, in the order of the draws, and how many fell outside of the range."""
    rows: list[dict] = []
    outside = 0
    source = problems(surrogate, widths)
    with ThreadPoolExecutor(threads) as pool:
        while len(rows) < count:
            batch = [next(source) for _ in range(count - len(rows))]
            for row in pool.map(lambda drawn: measure(*drawn, surrogate, steps), batch):
                if RANGE[0] <= row["occupancy"] <= RANGE[1]:
                    rows.append(row)
                else:
                    outside += 1
    return rows, outside


def table(surrogate: str, rows: list[dict], outside: int, scores: dict[str, dict]) -> Table:
    """Return the scores of one surrogate."""
    seconds = np.median([row["run_seconds"] for row in rows])
    title = f"{surrogate}: {len(rows)} data sets ({outside} more outside of the range), {seconds:.2g} s a run"
    out = Table(title=title, title_justify="left", title_style="bold")
    out.add_column("method")
    for name in ("median error", "90th percentile", "correlation", "its 10th percentile"):
        out.add_column(name, justify="right")
    out.add_column("bars")
    for method, found in scores.items():
        line = [method, f"{found['median']:.1%}", f"{found['tail']:.1%}"]
        if method in OF_WEIGHTS:
            line += [f"{found['correlation']:.3f}", f"{found['correlation_low']:.3f}"]
            line.append("met" if passes(found) else "missed")
        out.add_row(*line)
    return out


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; return 1 with --strict where a bar is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.papers.prediction", description="Predicted against measured recurrence."
    )
    parser.add_argument("--quick", action="store_true", help="a few short runs: a smoke test")
    parser.add_argument("--only", nargs="+", choices=tuple(PLAN), default=list(PLAN), metavar="SURROGATE")
    parser.add_argument("--n", nargs="+", type=int, default=WIDTHS, help="other numbers of weights")
    parser.add_argument("--threads", type=int, default=2, help="data sets at a time (%(default)s)")
    parser.add_argument("--output", type=Path, help="JSON file with every data set")
    parser.add_argument("--strict", action="store_true", help="exit 1 where ReLU misses a bar")
    asked = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 110)
    begun = time.monotonic()
    everything: list[dict] = []
    scores: dict[str, dict] = {}
    for surrogate in asked.only:
        count, steps = PLAN[surrogate]
        if asked.quick:
            count, steps = max(2, count // 8), steps // 10
        rows, outside = collect(surrogate, tuple(asked.n), count, steps, max(1, asked.threads))
        scores[surrogate] = {method: score(rows, method) for method in METHODS}
        console.print(table(surrogate, rows, outside, scores[surrogate]))
        everything += rows
    console.print(
        f"Bars: median error ≤ {MEDIAN:.0%}, 90th percentile ≤ {TAIL:.0%}, correlation of the wrong shares ≥ "
        f"{CORRELATION}, pooled and in nine of ten data sets. {time.monotonic() - begun:.0f} s.",
        highlight=False,
    )
    if asked.output:
        text = json.dumps({"scores": scores, "data_sets": everything}, indent=1)
        write_atomically(asked.output, lambda stream: stream.write(text.encode()))
    return int(asked.strict and "relu" in scores and not passes(scores["relu"]["balance"]))


if __name__ == "__main__":
    sys.exit(main())
