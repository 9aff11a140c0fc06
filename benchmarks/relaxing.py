"""An event with damping, decay or a band over a plain one, in time: `python -m benchmarks.relaxing`.

The strengths are so small that all runs pass through nearly the same states, so only the kernels differ.
Processor time counts, the best of several turns, with one thread.
"""

from __future__ import annotations

import math
import sys
import time
from functools import partial

import sterling as st
from benchmarks.report import Options, Row, main

STEPS = 400_000
BARS = {"damped": 1.15, "band": 1.15}
SHAPES = ((48, 4_000, 0.5), (48, 1_000, 0.2), (100, 20_000, 0.5))  # n, N, σ
RULES = {
    "plain": st.SGD(),
    "damped": st.SGD(damping=1e-4),
    "decayed": st.SGD(decay=1e-6),
    "band": st.SGD(band=1e-9),
}


def relaxing(n: int, samples: int, noise: float, options: Options) -> list[Row]:
    """Measure seconds of an event for each rule, in turns."""
    instance = st.Problem(n=n, samples=samples, noise=noise).draw(seed=0)
    steps = STEPS // 20 if options.quick else STEPS
    times: dict[str, list[float]] = {name: [] for name in RULES}
    for _ in range(2 * options.repeat):
        for name, rule in RULES.items():
            begun = time.process_time()
            orbit = st.train(instance, steps, st.Constant(0.05), optimizer=rule, init=1, record=(), threads=1)
            times[name].append((time.process_time() - begun) / orbit.stats.events)
    plain, *others = (min(spent) for spent in times.values())
    return [
        Row(
            title=f"an event, {name}: n={n} N={samples:,} σ={noise:g}",
            measured=spent / plain,
            unit="× plain",
            bar=BARS.get(name, math.nan),
            more_is_better=False,
            runs=times,
            note=f"{1e9 * spent:,.0f} ns",
        )
        for name, spent in zip(list(RULES)[1:], others, strict=True)
    ]


CASES = {f"n{shape[0]}-{shape[1]}": partial(relaxing, *shape) for shape in SHAPES}

if __name__ == "__main__":
    sys.exit(main("relaxing", CASES, __doc__))
