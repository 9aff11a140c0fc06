"""The landscape against brute force in NumPy, to the last bit, for n ≤ 12."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import sterling as st
from sterling.landscapes.landscape import landscape, number_of, signs_of
from sterling.model.signal import signal_of
from sterling.surrogates import get_surrogate
from sterling.theory import population_coefficients
from tests.oracle.naive import loss_and_gradient
from tests.support import PIECEWISE


def brute_force(instance, surrogate, by_definition):
    """Return losses, absorbing states and all gradients, state by state."""
    states = signs_of(np.arange(1 << instance.n), instance.n)
    data = instance.inputs, instance.labels, instance.readout
    pairs = []
    for signs in states:
        if by_definition:
            pairs.append(loss_and_gradient(*data, signs, surrogate))
        else:
            pairs.append((instance.loss(signs), instance.gradient(signs, surrogate)))
    loss, gradient = (np.array(part) for part in zip(*pairs, strict=True))
    return loss, np.flatnonzero(np.all(states * gradient <= 0, axis=1)), gradient


def assert_equal(found, instance, surrogate, by_definition=True):
    loss, absorbing, gradient = brute_force(instance, surrogate, by_definition)
    assert found.loss.dtype == np.float64
    assert found.loss.tobytes() == loss.tobytes()
    np.testing.assert_array_equal(found.absorbing_states, absorbing)
    np.testing.assert_array_equal(found.minimiser_states, np.flatnonzero(loss == loss.min()))
    if found.deviation is None:
        return
    n, teacher = instance.n, instance.teacher
    states = signs_of(np.arange(1 << n), n)
    pairs = np.array([population_coefficients(1 - 2 * d / n, surrogate) for d in range(n + 1)])
    alpha, beta = pairs[np.count_nonzero(states != teacher, axis=1)].T[:, :, None]
    mean = instance.readout_norm2 / np.sqrt(n) * (alpha * states - beta * teacher)
    off = np.abs(gradient - mean).max(axis=1)
    assert found.deviation == off.max()
    assert number_of(found.farthest) == int(np.argmax(off))


@settings(max_examples=40)
@given(
    some.integers(1, 7),
    some.integers(1, 4),
    some.integers(1, 40),
    some.sampled_from((0.0, 0.3, 1.0)),
    some.sampled_from(("ones", "signs", "gaussian")),
    some.sampled_from(("gaussian", "rademacher", "student_t:3", "exponential", "shifted:0.7", "ar1:0.6")),
    some.sampled_from(PIECEWISE),
    some.integers(0, 1000),
    some.integers(1, 3),
)
def test_drawn_instances(n, m, samples, noise, readout, inputs, surrogate, seed, threads):
    instance = st.Problem(n, samples, m, noise, readout, inputs).draw(seed)
    found = landscape(instance, surrogate, threads=threads)
    assert (found.deviation is None) == (inputs != "gaussian")
    assert_equal(found, instance, surrogate)


@settings(max_examples=25)
@given(
    some.integers(1, 6),
    some.integers(1, 3),
    some.integers(2, 30),
    some.sampled_from(PIECEWISE),
    some.sampled_from(("int16", "int32")),
    some.sampled_from((0, 30)),
    some.integers(0, 1000),
)
def test_arrays_with_odd_scales_and_offsets(n, m, samples, surrogate, precision, coarse, seed):
    """Grids with a shift and an offset for each feature; the exact sums of Instance are the oracle.

    At a scale of 2^30 the grids are coarser than one.
    """
    rng = np.random.default_rng(seed)
    scale = 2.0 ** (coarse + rng.uniform(-4, 4, n))
    inputs = rng.normal(size=(samples, m, n)) * scale + 3 * rng.normal(size=n)
    labels, readout = (
        np.rint(64 * rng.normal(size=samples)) / 64,
        np.rint(8 * rng.normal(size=m)) / 8 + 1 / 16,
    )
    instance = st.Instance(inputs, labels, readout, precision=precision)
    assert_equal(landscape(instance, surrogate), instance, surrogate, by_definition=False)


@pytest.mark.parametrize("surrogate, m, noise", [("relu", 1, 0.5), ("hard_tanh", 3, 0.0)])
def test_n_12(surrogate, m, noise):
    """Large enough for several intervals and threads."""
    instance = st.Problem(n=12, samples=50, m=m, noise=noise, readout="gaussian").draw(m)
    found = landscape(instance, surrogate, threads=2)
    assert_equal(found, instance, surrogate)
    alone = landscape(instance, surrogate, threads=1)
    assert alone.loss.tobytes() == found.loss.tobytes()
    np.testing.assert_array_equal(alone.absorbing_states, found.absorbing_states)
    assert alone.deviation == found.deviation
    np.testing.assert_array_equal(alone.farthest, found.farthest)


def test_sums_of_64_bits():
    """Labels so fine that products do not fit 32 bits."""
    problem = st.Problem(n=6, samples=30, m=2)
    inputs = problem.draw(1).inputs
    labels = np.random.default_rng(0).normal(size=30)
    instance = st.Instance(inputs, labels, np.array([0.7310294, -1.30192]))
    assert (1 << 31) // (2 * instance.coefficient_bound * instance.code_bound) < 4
    assert_equal(landscape(instance, "relu"), instance, "relu", by_definition=False)


@pytest.mark.parametrize("surrogate", ["relu", "identity"])
@pytest.mark.parametrize("damping", [0.1, 1.5])
def test_damped_absorption_is_that_of_the_definition(surrogate, damping):
    """b_k·G_k ≤ θS for every k, state by state; and a run from each absorbing state stays there."""
    counts = []
    for seed in range(4):
        inputs = "rademacher" if seed % 2 else "gaussian"
        instance = st.Problem(n=6, samples=40, noise=0.5, inputs=inputs).draw(seed)
        hold = damping * signal_of(instance, get_surrogate(surrogate))
        found = st.landscape(instance, surrogate, damping=damping)
        expected = [
            state
            for state in range(64)
            if (found.signs(state) * instance.gradient(found.signs(state), surrogate) <= hold).all()
        ]
        assert found.absorbing_states.tolist() == expected
        counts.append(len(expected))
        for state in expected[:3]:
            start = found.signs(state) * 0.01
            optimizer = st.SGD(damping=damping)
            orbit = st.train(instance, 3000, surrogate=surrogate, init=start, optimizer=optimizer)
            assert orbit.verdict.absorbed
            assert orbit.stats.flips == 0
    assert max(counts) > 0 or damping < 1
