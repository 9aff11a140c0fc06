"""Damping, decay, bands and Bop: the event engine equals the dense one, flip for flip.

Sizes, noise, surrogates, schedules and strengths are drawn. Some latents start at zero, at a threshold, or
equal to one another, so that several weights turn at once or sit exactly on a tie.
"""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling.model.signal import signal_of
from tests.support import PIECEWISE, assert_same_orbit, counted

_CASES = counted(120, 1000)


def _case(number: int) -> tuple:
    """Return data, options and latents of a random case."""
    rng = np.random.default_rng((3, number))
    n, m = int(rng.integers(2, 25)), int(rng.choice([1, 1, 2, 3]))
    samples = int(n * rng.integers(2, 30))
    if rng.random() < 0.25:  # small whole numbers: gradients and latents tie
        inputs, teacher = rng.integers(-2, 3, (samples, m, n)), rng.choice([-1, 1], n)
        instance = st.Instance(inputs, (inputs @ teacher > 0).sum(axis=1), teacher=teacher)
    else:
        noise = float(rng.choice([0.0, 0.5, 1.0]))
        instance = st.Problem(n=n, samples=samples, m=m, noise=noise).draw(seed=number)
    surrogate = str(rng.choice(PIECEWISE))
    latent = rng.normal(size=n) / np.sqrt(n)
    kind = rng.random()
    if kind < 0.2:
        latent[:] = rng.choice([0.0, 0.125, -0.125], n)
    optimizer = _optimizer(rng)
    rate = float(rng.choice([0.02, 0.1, 0.3]))
    schedule = [
        st.Constant(rate),
        st.Power(rate, float(rng.choice([0.25, 0.5, 1.0]))),
        st.Table([rate * float(part) for part in rng.random(int(rng.integers(1, 40)))] + [rate / 2]),
    ][int(rng.integers(3))]
    return instance, optimizer, None if optimizer.name == "bop" else schedule, surrogate, latent


def _optimizer(rng: np.random.Generator) -> st.Optimizer:
    if rng.random() < 0.2:
        gamma, threshold = rng.choice([0.01, 0.1, 0.4]), rng.choice([0.1, 0.25, 1.0])
        return st.Bop(gamma=float(gamma), threshold=float(threshold))
    while True:
        damping, decay, band = (float(rng.choice([0.0, 0.0, strength])) for strength in (0.5, 0.05, 5.0))
        if damping or decay or band:
            return st.SGD(damping=damping, decay=decay, band=band)


@pytest.mark.parametrize("first", range(0, _CASES, 40))
def test_event_equals_dense(first):
    flips = 0
    for number in range(first, first + 40):
        instance, optimizer, schedule, surrogate, latent = _case(number)
        if optimizer.uses_signal and signal_of(instance, st.get_surrogate(surrogate)) <= 0:
            continue  # no wrong weight is pulled in such tiny data, so bands and damping have no unit
        arguments = instance, 200, schedule, surrogate, latent
        event, dense = (st.train(*arguments, engine, optimizer=optimizer) for engine in ("event", "dense"))
        assert_same_orbit(event, dense)
        flips += len(event.flips)
    assert flips > 200  # the fewest of 25 groups: 320
