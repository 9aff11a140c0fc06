"""Putting floats on dyadic grids: what stays exact, how large a rounding may be, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from hypothesis.extra.numpy import arrays

from sterling.exact.grid import (
    InputGrid,
    aligned_zeros,
    exact_bits,
    padded_width,
    quantise_inputs,
    vector_codes,
)


def columns(*parts):
    return np.column_stack([np.asarray(part, np.float64) for part in parts])


# ------------------------------------------------------------------------------------- exact values


@pytest.mark.parametrize(
    "values, bits",
    [
        ([0.0], 0),
        ([0.5], 1),
        ([2.0**-40], 40),
        ([2.0**-41], None),
        ([2.0**51, 1.0], 0),
        ([2.0**52], None),
    ],
)
def test_exact_bits(values, bits):
    """The coarsest grid that holds every value: too fine would waste range, too coarse would round."""
    assert exact_bits(np.array(values, np.float64)) == bits


def test_exact_values_far_from_zero_stay_exact():
    """The range fits sixteen bits though the values do not: an offset takes the rest."""
    values = columns(1e6 + np.arange(100), -(2.0**40) - np.arange(100) / 4)
    grid = quantise_inputs(values[:, :1])
    np.testing.assert_array_equal(grid.values(), values[:, :1])
    assert grid.offsets[0] != 0
    np.testing.assert_array_equal(quantise_inputs(values[:, 1:]).values(), values[:, 1:])


# ------------------------------------------------------------------------------------------ rounding


@settings(max_examples=60)
@given(
    arrays(np.float64, some.tuples(some.integers(2, 12), some.just(1)), elements=some.floats(-1, 1)),
    some.integers(-100, 100),
    some.floats(-3, 3),
)
def test_rounding_is_bounded_by_the_range(values, power, offset):
    """The promise of the documentation: at most 2^-15 of each feature's range, and `rounding` tells it."""
    values = np.ldexp(values + offset, power)
    reach = float(np.ptp(values))
    if reach < 1e-6 * max(np.abs(values).max(), 2.0**power):
        return  # hardly a range: floats themselves are too coarse
    grid = quantise_inputs(values)
    errors = np.abs(grid.values() - values).max()
    assert errors <= 2.0**-15 * reach
    assert grid.rounding[0] == errors
    assert np.abs(grid.rows).max() <= 32767


@pytest.mark.parametrize("value", (1000.0, 0.1, 1e-9))
def test_a_constant_feature_keeps_its_value(value):
    """A bias column has no range to measure its rounding by; it must not be rounded away."""
    grid = quantise_inputs(columns(np.full(5, value), [1, 2, 3, 4, 5]))
    np.testing.assert_allclose(grid.values()[:, 0], value, rtol=2.0**-15)


# --------------------------------------------------------------------------------- labels, readouts


@settings(max_examples=60)
@given(arrays(np.float64, some.integers(1, 8), elements=some.floats(-1e3, 1e3)), some.integers(12, 20))
def test_vector_codes(values, fineness):
    """Exact if a grid of that fineness can be, else rounded relative to the largest."""
    values = np.where(np.abs(values) < 1e-6, 0, values)
    codes, bits = vector_codes(values, fineness, "labels")
    top = np.abs(values).max()
    error = np.abs(np.ldexp(codes.astype(np.float64), -bits) - values).max()
    assert error <= top * 2.0**-fineness
    assert np.abs(codes).max() <= 2**fineness


# ------------------------------------------------------------------------------------------- layout


@pytest.mark.parametrize("features", (1, 31, 32, 33))
def test_rows_are_padded_and_aligned(features):
    """Vector loads rely on both, and on zeros in the padding."""
    width = padded_width(features)
    assert width >= features
    assert width % 32 == 0
    assert width - features < 32
    rows = aligned_zeros((5, width), np.int16)
    assert rows.ctypes.data % 64 == 0
    assert not rows.any()
    grid = quantise_inputs(np.random.default_rng(0).normal(size=(5, features)))
    assert grid.rows.shape == (5, width)
    assert not grid.rows[:, features:].any()


@pytest.mark.parametrize("kind", [np.int16, np.int32])
@pytest.mark.parametrize("samples", [1, 16, 17])
def test_the_reach_of_codes_is_that_of_their_extremes(samples, kind):
    rng = np.random.default_rng(samples)
    rows = aligned_zeros((samples, padded_width(5)), kind)
    rows[:, :5] = rng.integers(-900, -100, (samples, 5))  # padding and none of them lie beyond zero
    rows[:, 4] = 7
    offsets, shifts = np.array([0, 50, -50, 2000, 0]), np.array([0, 1, 2, 0, 3])
    grid = InputGrid(rows, 5, 3, shifts, offsets, np.zeros(5))
    largest = np.abs(rows[:, :5].astype(np.int64) + offsets).max(axis=0)
    assert grid.reach == (int((largest + np.abs(offsets)).max()), int((largest << shifts).sum()))
