"""Normalisation against NumPy's moments: what is removed, to what precision, and what cannot be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import sterling as st
from sterling.errors import InputError
from sterling.exact.grid import InputGrid, aligned_zeros, quantise_inputs
from sterling.model.normalise import check_normalize
from sterling.model.normalise import normalise as normalise_grid

STEP = 2.0**-12  # the finest grid of normalised inputs


def normalise(grid, name):
    """Return the inputs alone."""
    return normalise_grid(grid, name)[0]


def skewed(rows=4000, features=5, seed=0):
    """Correlated features of odd scales, offsets and skewness."""
    rng = np.random.default_rng(seed)
    mixed = rng.exponential(size=(rows, features)) @ rng.normal(size=(features, features))
    return mixed * 10.0 ** rng.uniform(-1, 1, features) + rng.normal(size=features) * 5


@pytest.mark.parametrize("precision", ("int16", "int32"))
def test_standard(precision):
    """Each feature gets mean 0 and variance 1, and is otherwise the same."""
    values = skewed()
    found = normalise(quantise_inputs(values, precision), "standard").values()
    expected = (values - values.mean(axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(found, expected, atol=2 * STEP)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=STEP / 4)
    np.testing.assert_allclose(found.std(axis=0), 1, atol=STEP)


@pytest.mark.parametrize("precision", ("int16", "int32"))
def test_whiten(precision):
    """The covariance becomes the identity, by the inverse Cholesky factor: feature 0 is only scaled."""
    values = skewed()
    found = normalise(quantise_inputs(values, precision), "whiten").values()
    np.testing.assert_allclose(np.cov(found.T, bias=True), np.eye(5), atol=2e-3)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=5e-4)
    centred = values - values.mean(axis=0)
    factor = np.linalg.cholesky(np.cov(values.T, bias=True))
    np.testing.assert_allclose(found, np.linalg.solve(factor, centred.T).T, atol=0.01)
    np.testing.assert_allclose(found[:, 0], centred[:, 0] / centred[:, 0].std(), atol=2 * STEP)


@pytest.mark.parametrize("name", ("standard", "whiten"))
def test_the_largest_codes_do_not_overflow(name):
    """Sums of squares of the largest codes, in blocks of many rows, stay exact."""
    rows = aligned_zeros((20_000, 8), np.int16)
    rows[:, 0] = np.where(np.arange(20_000) % 2, 32767, -32768)
    rows[:, 1] = np.where(np.arange(20_000) % 3, 32767, -32767)
    found = normalise(InputGrid.plain(rows, 2, 0), name).values()
    np.testing.assert_allclose(np.cov(found.T, bias=True), np.corrcoef(found.T), atol=1e-3)
    np.testing.assert_allclose(found[:, 0], np.where(np.arange(20_000) % 2, 1, -1), atol=STEP)


@pytest.mark.parametrize("name", ("standard", "whiten"))
def test_a_constant_feature_cannot_be_normalised(name):
    values = skewed(50, 3)
    values[:, 1] = 4.0
    with pytest.raises(InputError, match="feature 1 has the same value in every sample"):
        normalise(quantise_inputs(values), name)


def test_dependent_features_cannot_be_whitened():
    values = np.rint(skewed(200, 3))
    values = np.column_stack([values, values[:, 0] - values[:, 1]])
    with pytest.raises(InputError, match="feature 3 is a linear combination"):
        normalise(quantise_inputs(values), "whiten")
    normalise(quantise_inputs(values), "standard")


@pytest.mark.parametrize("name", ("standard", "whiten"))
def test_teachers_label_the_normalised_inputs(name):
    """Labels of a problem come from what the student sees, so the teacher's risk is zero without noise."""
    instance = st.Problem(n=6, samples=800, m=2, inputs="shifted:2", normalize=name).draw(0)
    assert instance.loss(instance.teacher) == 0
    flat = instance.inputs.reshape(-1, 6)
    np.testing.assert_allclose(flat.mean(axis=0), 0, atol=1e-3)
    np.testing.assert_allclose(flat.std(axis=0), 1, atol=2e-3)


@pytest.mark.parametrize("rows, name", [(1, "standard"), (1, "whiten"), (4, "whiten")])
def test_too_few_rows(rows, name):
    """The number of rows is to blame, not a feature."""
    inputs = np.random.default_rng(0).normal(size=(rows, 4))
    with pytest.raises(st.InputError, match="too few"):
        st.Instance(inputs, np.ones(rows), normalize=name)
    with pytest.raises(st.InputError, match="too few"):
        st.Problem(n=4, samples=rows, normalize=name).draw(0)


@pytest.mark.parametrize("name", ("standard", "whiten"))
@pytest.mark.parametrize("inputs", ("gaussian", "shifted:2", "student_t:3"))
def test_new_data_become_what_they_would_have_been(name, inputs):
    """The fitted normaliser takes the raw inputs of a draw to the normalised ones, up to rounding."""
    raw = st.Problem(n=5, samples=3000, m=2, inputs=inputs)
    instance = replace(raw, normalize=name).draw(4)
    plain, fitted = raw.draw(4).inputs, instance.normalizer
    step = 2.0**-instance.grid.bits
    np.testing.assert_allclose(fitted.apply(plain), instance.inputs, rtol=0, atol=0.51 * step + 1e-5)
    with pytest.raises(InputError, match="takes 5 features"):
        fitted.apply(plain[:, :, :4])


def test_the_fitted_means_are_those_of_the_data():
    """Codes that were cut off instead of rounded moved all means down (W13)."""
    values = np.random.default_rng(0).normal(size=(20_000, 3)) + 1
    labels = np.arange(20_000) % 2
    for name in ("standard", "whiten"):
        fitted = st.Instance(values, labels, normalize=name, precision="int32").normalizer
        np.testing.assert_allclose(fitted.mean, values.mean(axis=0), rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", ["Standard", "zca", 3, True])
def test_unknown_names(name):
    with pytest.raises(InputError, match="standard, whiten"):
        check_normalize(name)
