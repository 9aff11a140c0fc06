"""The step engine equals the dense one to the last bit, and both equal PyTorch in float64.

Optimisers, sizes, noise, surrogates, schedules and batches are drawn. Some latents start at zero, at a
threshold, or equal to one another, so that several weights turn at once or sit exactly on a tie.
"""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling.dynamics.motion import motion_of
from sterling.model.signal import signal_of
from sterling.optimizers.batch import as_batch
from sterling.surrogates import get_surrogate
from tests.support import PIECEWISE

_CASES = 160
_STEPS = 150


def _case(number: int) -> tuple:
    """Return data and the arguments of `train` for a random case."""
    rng = np.random.default_rng((18, number))
    n, m = int(rng.choice([2, 5, 8, 17, 31, 48, 65, 70])), int(rng.choice([1, 1, 2, 3]))
    samples = int(rng.integers(4, 12 * n))
    kind = rng.random()
    if kind < 0.3:  # small whole numbers: gradients and latents tie; or features of unlike scales
        inputs = rng.integers(-2, 3, (samples, m, n)).astype(float)
        inputs[0], inputs[1] = -2, 2
        if kind < 0.15:
            inputs = inputs * 2.0 ** rng.integers(0, 17, n) + rng.integers(-5, 5, n)
        teacher = rng.choice([-1, 1], n)
        labels = (inputs @ teacher > 0).sum(axis=1)
        labels = np.where(rng.random(samples) < 0.2, rng.integers(0, m + 1, samples) * 0.3, labels)
        known = {"teacher": teacher} if rng.random() < 0.6 else {}
        instance = st.Instance(inputs, labels, precision=str(rng.choice(["int16", "int32"])), **known)
    else:
        noise = float(rng.choice([0.0, 0.5, 1.0]))
        instance = st.Problem(n=n, samples=samples, m=m, noise=noise).draw(seed=number)
    surrogate = str(rng.choice(PIECEWISE))
    latent = rng.normal(size=n) / np.sqrt(n)
    if rng.random() < 0.25:
        latent[:] = rng.choice([0.0, 0.125, -0.125], n)
    while True:
        optimizer, batch = _optimizer(rng), _batch(rng, samples)
        signal = signal_of(instance, get_surrogate(surrogate))
        if optimizer.uses_signal and not signal > 0:
            continue
        if motion_of(optimizer, as_batch(batch, samples), 1.0) is None:  # else the event engine takes it
            break
    rate = float(rng.choice([0.02, 0.1, 0.3])) * (0.1 if optimizer.scale_free else 1.0)
    if optimizer.damping:
        rate = min(rate, 0.3 / (optimizer.damping * signal + 0.05))
    schedule = [
        st.Constant(rate),
        st.Power(rate, float(rng.choice([0.25, 0.5, 1.0]))),
        st.Table([rate * float(part) for part in rng.random(int(rng.integers(1, 40)))] + [rate / 2]),
    ][int(rng.integers(3))]
    options = {
        "schedule": None if optimizer.name == "bop" else schedule,
        "surrogate": surrogate,
        "init": latent,
        "optimizer": optimizer,
        "batch": batch,
        "seed": number,
    }
    return instance, options


def _optimizer(rng: np.random.Generator) -> st.Optimizer:
    clip, decay, damping, band, momentum = (
        float(value) if rng.random() < 0.3 else 0.0
        for value in (rng.choice([0.05, 0.5]), 0.05, 0.5, rng.choice([0.125, 5.0]), rng.choice([0.5, 0.9]))
    )
    kind = rng.random()
    if kind < 0.4:
        return st.SGD(momentum=momentum, clip=clip or None, decay=decay, damping=damping, band=band)
    if kind < 0.6:
        betas = (0.0, 0.5) if rng.random() < 0.3 else (0.9, 0.999)
        return st.Adam(betas=betas, clip=clip or None, decay=decay, damping=damping)
    if kind < 0.75:
        return st.Lion(decay=decay)
    if kind < 0.85:
        return st.SignSGD()
    return st.Bop(gamma=float(rng.choice([0.01, 0.4, 0.9])), threshold=float(rng.choice([0.1, 0.5])))


def _batch(rng: np.random.Generator, samples: int) -> st.Batch | None:
    if rng.random() < 0.25:
        return None
    size = int(rng.choice([1, 3, 8, 32, samples]))
    return st.Batch(min(size, samples), replace=bool(rng.random() < 0.4))


def _same(one: st.Orbit, other: st.Orbit, about: object) -> None:
    """Check that two runs agree in all that they report, except the work that they took."""
    assert np.array_equal(one.flips, other.flips), about
    assert one.latent.tobytes() == other.latent.tobytes(), about
    assert one.ergodic_mean.tobytes() == other.ergodic_mean.tobytes(), about
    assert (one.verdict, one.certified) == (other.verdict, other.certified), about
    for mine, yours in zip(one._course.state[1:], other._course.state[1:], strict=True):
        assert mine.tobytes() == yours.tobytes(), about
    work = [3, 15]  # evaluations, entries read
    assert np.array_equal(*(np.delete(orbit._course.state.clock, work) for orbit in (one, other))), about
    assert one._course.gradient.tobytes() == other._course.gradient.tobytes(), about


@pytest.mark.parametrize("first", range(0, _CASES, 20))
def test_step_equals_dense(first):
    """Each case also stops in the middle, on the step engine, and goes on from there."""
    flips = 0
    for number in range(first, first + 20):
        instance, options = _case(number)
        about = number, instance, options
        dense = st.train(instance, _STEPS, engine="dense", **options)
        step = st.train(instance, _STEPS, engine="step", **options)
        _same(step, dense, about)
        half = st.train(instance, _STEPS // 3, engine="step", **options)
        _same(st.resume(half, instance, _STEPS - _STEPS // 3), step, about)
        flips += len(dense.flips)
    assert flips > 1000
