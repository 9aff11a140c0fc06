"""Symmetries of the landscape (docs/science, 5): transformed data give transformed states, bit for bit."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as some

import sterling as st
from tests.support import PIECEWISE


class Case:
    """Data to be transformed one part at a time."""

    def __init__(self, n, m, samples, noise, inputs, surrogate, seed):
        drawn = st.Problem(n, samples, m, noise, "signs", inputs).draw(seed)
        self.inputs, self.labels, self.readout = drawn.inputs, drawn.labels, drawn.readout
        self.teacher, self.surrogate = drawn.teacher, surrogate
        self.n, self.m, self.samples = n, m, samples
        self.rng = np.random.default_rng(seed)

    def visit(self, threads=1, **changed):
        """Return the landscape with some of the parts replaced; nothing may be rounded on the way in."""
        part = {**vars(self), **changed}
        instance = st.Instance(
            *(part[name] for name in ("inputs", "labels", "readout", "teacher")),
            constant="keep",
            origin={"inputs": "gaussian"},
        )
        np.testing.assert_array_equal(instance.inputs, part["inputs"])
        np.testing.assert_array_equal(instance.labels, part["labels"])
        return st.landscape(instance, self.surrogate, threads=threads)


cases = some.builds(
    Case,
    n=some.integers(1, 8),
    m=some.integers(1, 3),
    samples=some.integers(1, 40),
    noise=some.sampled_from((0.0, 0.5, 1.5)),
    inputs=some.sampled_from(("gaussian", "uniform", "exponential", "rademacher")),
    surrogate=some.sampled_from(PIECEWISE),
    seed=some.integers(0, 10**6),
)


def assert_moved(one, other, index):
    """Assert that state s of the first landscape is state index[s] of the other, bit for bit."""
    assert other.loss[index].tobytes() == one.loss.tobytes()
    for name in ("absorbing_states", "minimiser_states", "trap_states"):
        np.testing.assert_array_equal(np.sort(index[getattr(one, name)]), getattr(other, name), err_msg=name)
    assert other.reference_state == index[one.reference_state]
    assert other.trap_free == one.trap_free
    np.testing.assert_array_equal(other.distance[index], one.distance)
    assert (other.deviation, other.pull) == (one.deviation, one.pull)


@settings(max_examples=20)
@given(cases)
def test_permuting_coordinates_permutes_the_bits(case):
    order = case.rng.permutation(case.n)  # coordinate k of the new data is order[k] of the old
    states = np.arange(1 << case.n)
    index = sum(((states >> int(old)) & 1) << new for new, old in enumerate(order))
    moved = case.visit(inputs=case.inputs[:, :, order], teacher=case.teacher[order])
    assert_moved(case.visit(), moved, index)


@settings(max_examples=20)
@given(cases)
def test_mirroring_columns_flips_the_bits(case):
    mirror = case.rng.choice([-1, 1], case.n)
    flipped = int(sum(1 << k for k in range(case.n) if mirror[k] < 0))
    moved = case.visit(inputs=case.inputs * mirror, teacher=case.teacher * mirror)
    assert_moved(case.visit(), moved, np.arange(1 << case.n) ^ flipped)


@settings(max_examples=20)
@given(cases)
def test_the_order_of_samples_and_units_is_no_part_of_the_data(case):
    order, units = case.rng.permutation(case.samples), case.rng.permutation(case.m)
    one, same = case.visit(), np.arange(1 << case.n)
    assert_moved(one, case.visit(inputs=case.inputs[order], labels=case.labels[order]), same)
    assert_moved(one, case.visit(inputs=case.inputs[:, units], readout=case.readout[units]), same)
