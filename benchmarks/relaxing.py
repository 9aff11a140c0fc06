"""The time of an event with damping, decay or a band, over that of a plain one, in one run.

Run with ``python -m benchmarks.relaxing``. It fails if a damped event takes more than 1.15 times a plain one.
The strengths are so small that all runs pass through nearly the same states, so only the kernels differ.
Processor time counts, the best of several turns, with one thread.
"""

from __future__ import annotations

import sys
import time

import sterling as st

TURNS = 5
STEPS = 400_000
BAR = 1.15
CASES = ((48, 4_000, 0.5), (48, 1_000, 0.2), (100, 20_000, 0.5))  # n, N, σ
RULES = {
    "plain": st.SGD(),
    "damped": st.SGD(damping=1e-4),
    "decayed": st.SGD(decay=1e-6),
    "band": st.SGD(band=1e-9),
}


def event_times(instance: st.Instance) -> dict[str, float]:
    """Return nanoseconds of an event for each rule, the best of interleaved turns."""
    best: dict[str, float] = {}
    for _ in range(TURNS):
        for name, rule in RULES.items():
            begun = time.process_time()
            orbit = st.train(instance, STEPS, st.Constant(0.05), optimizer=rule, init=1, record=(), threads=1)
            spent = 1e9 * (time.process_time() - begun) / orbit.stats.events
            best[name] = min(spent, best.get(name, spent))
    return best


if __name__ == "__main__":
    worst = 0.0
    for n, samples, noise in CASES:
        found = event_times(st.Problem(n=n, samples=samples, noise=noise).draw(seed=0))
        ratios = {name: value / found["plain"] for name, value in found.items()}
        worst = max(worst, ratios["damped"])
        shown = "  ".join(f"{name} {found[name]:,.0f} ns ({ratios[name]:.2f})" for name in RULES)
        print(f"n={n} N={samples:,} σ={noise:g}  {shown}", flush=True)
    print(f"damped over plain: at most {worst:.2f} (bar {BAR})")
    sys.exit(worst > BAR)
