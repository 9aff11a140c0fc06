"""Instances: loss and gradient by exact fractions, and every kind of bad data with its own message."""

from __future__ import annotations

import operator
from fractions import Fraction

import numpy as np
import pytest

import sterling as st
from sterling.base import resources
from tests.oracle import naive
from tests.support import PIECEWISE, SMOOTH


def by_fractions(instance, signs, surrogate):
    """Return L(w) and G(w) as fractions, from the definition."""
    n, m, samples = instance.n, instance.m, instance.samples
    z = [[[Fraction(x) for x in row] for row in sample] for sample in instance.inputs.tolist()]
    y, v = ([Fraction(x) for x in part.tolist()] for part in (instance.labels, instance.readout))
    loss, gradient = Fraction(0), [Fraction(0)] * n
    for i in range(samples):
        a = [sum(z[i][j][k] * int(signs[k]) for k in range(n)) for j in range(m)]
        r = sum(v[j] for j in range(m) if a[j] > 0) - y[i]
        loss += r * r / (2 * samples)
        for j in range(m):
            inside = {
                "relu": a[j] > 0,
                "identity": True,
                "clipped_relu": a[j] > 0 and a[j] ** 2 < n,
                "hard_tanh": a[j] ** 2 <= n,
            }[surrogate]
            if inside:
                for k in range(n):
                    gradient[k] += r * v[j] * z[i][j][k] / samples
    return loss, gradient


def odd_instance(seed, precision="int16"):
    """Features with grids of their own, a readout and labels that are no small integers."""
    rng = np.random.default_rng(seed)
    inputs = rng.normal(size=(8, 2, 4)) * [1, 20, 0.1, 1] + [0, 300, 0, -2]
    return st.Instance(inputs - [0, 290, 0, 0], rng.normal(size=8), rng.normal(size=2), precision=precision)


INSTANCES = {
    "gaussian": lambda: st.Problem(n=5, samples=16, m=3, noise=0.5, readout="gaussian").draw(1),
    "ties": lambda: st.Problem(n=4, samples=16, m=2, noise=0.5, inputs="rademacher").draw(1),
    "odd": lambda: odd_instance(0),
    "odd-int32": lambda: odd_instance(1, "int32"),
    "large-products": lambda: st.Instance(
        np.random.default_rng(2).normal(size=(4, 9)), [0.1234567, -0.7654321, 0.999, 0.5555], [0.7654321]
    ),
}


@pytest.mark.parametrize("surrogate", PIECEWISE)
@pytest.mark.parametrize("name", INSTANCES)
def test_loss_and_gradient_by_fractions(name, surrogate):
    """The sums are exact integers, rounded once at the end: not even the last bit may differ."""
    instance = INSTANCES[name]()
    rng = np.random.default_rng(0)
    for _ in range(8):
        signs = rng.choice([-1, 1], instance.n)
        loss, gradient = by_fractions(instance, signs, surrogate)
        assert instance.loss(signs) == pytest.approx(float(loss), rel=1e-15)
        assert instance._square(signs) == loss * 2 * instance.samples * 4**instance.label_bits
        found = instance.gradient(signs, surrogate)
        assert instance.samples & (instance.samples - 1) == 0  # then dividing by N does not round
        if instance.gradient_bound < 1 << 53:
            assert found.tolist() == [float(g) for g in gradient]
        else:  # the sum is rounded before it is divided
            np.testing.assert_allclose(found, [float(g) for g in gradient], rtol=2.0**-52)


WIDE = {
    "float-labels": ((500, 1, 20), 1.0, [0.7654321], "int16"),
    "float-labels-int32": ((300, 2, 9), 1.0, [0.7123, -0.311], "int32"),
    "far-labels": ((500, 1, 9), 1e5, [0.7654321], "int16"),
    "whole-labels": ((500, 1, 20), 0.0, [1.0], "int16"),
}


@pytest.mark.parametrize("surrogate", SMOOTH)
@pytest.mark.parametrize("name", WIDE)
def test_smooth_gradients_keep_their_digits_on_all_data(name, surrogate):
    """However many bits labels and inputs take: what relu accepts is not refused, nor made coarse."""
    shape, scale, readout, precision = WIDE[name]
    rng = np.random.default_rng(3)
    labels = scale * rng.normal(size=shape[0]) if scale else rng.integers(0, 2, shape[0])
    instance = st.Instance(rng.normal(size=shape), labels, readout, precision=precision)
    for _ in range(3):
        signs = rng.choice([-1, 1], instance.n)
        data = instance.inputs, instance.labels, instance.readout
        _, expected = naive.loss_and_gradient(*data, signs, surrogate)
        error = np.abs(instance.gradient(signs, surrogate) - expected).max()
        assert error <= 2e-6 * np.abs(expected).max()  # half a step of 2^-20, where the sum is small
        assert error <= 1e-6 * np.abs(expected).max() or name != "float-labels"
    assert st.train(instance, 20, surrogate=surrogate).steps == 20


@pytest.mark.parametrize(
    "signs",
    ([1, 1, 1], [[1, 1, 1, 1]], 1, [1, 1, 0, 1], [1, np.nan, 1, 1], ["+", "-", "+", "+"], [[1], [1, 2]]),
)
def test_bad_signs(signs):
    instance = st.Problem(n=4, samples=10).draw(0)
    for call in (instance.loss, instance.gradient, instance.predict):
        with pytest.raises(st.InputError, match="signs must"):
            call(signs)


# ------------------------------------------------------------ data of one's own

X = np.random.default_rng(0).normal(size=(6, 3))
Y = np.array([0, 1, 0, 1, 1, 0])


def with_value(array, index, value):
    array = np.array(array, np.float64)
    array[index] = value
    return array


BAD = {
    "nan": ((with_value(X, (4, 1), np.nan), Y), {}, "NaN is at sample 4, unit 0, feature 1"),
    "infinity": ((with_value(X, (0, 2), -np.inf), Y), {}, "infinity is at sample 0, unit 0, feature 2"),
    "no-samples": ((X[:0], Y[:0]), {}, r"inputs have shape \(0, 3\): there are no samples"),
    "one-axis": ((X[:, 0], Y), {}, r"inputs .* \(samples, n\) or \(samples, m, n\), not 1 axes"),
    "few-labels": ((X, Y[:5]), {}, r"labels must have shape \(6,\) for 6 samples, not \(5,\)"),
    "strings": (([["a", "b"]] * 6, Y), {}, "inputs must be an array of real numbers"),
    "complex": ((X * 1j, Y), {}, "inputs must be an array of real numbers.*complex"),
    "ragged": (([[1, 2], [3]], Y[:2]), {}, "inputs must not have rows of different lengths"),
    "readout-shape": ((X, Y), {"readout": [1, 1]}, r"readout .* \(1,\) for 1 hidden unit, not"),
    "zero-readout": ((X, Y), {"readout": [0]}, "readout is all zero"),
    "constant": ((with_value(X, (slice(None), 1), 2.5), Y), {}, "feature 1 is 2.5 in every sample.*keep"),
    "constant-word": ((X, Y), {"constant": "drop"}, "constant is 'drop'; it must be one of refuse, keep"),
    "labels-1": ((X, 2 * Y - 1), {}, "labels contain -1, .* -1 to 0"),
    "labels-7": ((np.stack([X, X], 1), Y * 7), {"readout": [2, 3]}, "labels contain 7, .* 0, 2, 3, 5"),
    "classes": ((X, np.arange(6) % 3), {}, "labels contain 2, .* choose 2 of the 3 classes"),
    "precision": ((X, Y), {"precision": "float32"}, "precision is 'float32'"),
    "normalize": ((X, Y), {"normalize": "unit"}, "normalize is 'unit'"),
    "teacher-shape": ((X, Y), {"teacher": [1, 1]}, r"teacher must have shape \(3,\) for n=3, not \(2,\)"),
    "masked": ((np.ma.masked_greater(X, 1), Y), {}, r"no masked values \(1, the first at 2, 0\)"),
    "teacher-zero": ((X, Y), {"teacher": [1, 0, 1]}, "teacher must be -1 or [+]1; entry 1 is not"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_arrays(name):
    """What is wrong, where, and what to do: each kind of bad data has its own message."""
    arguments, options, message = BAD[name]
    with pytest.raises(st.InputError, match=message):
        st.Instance(*arguments, **options)


def test_rounding_is_reported():
    """Of inputs, labels and readout, each with how much."""
    instance = st.Instance(X, Y)
    rounding = instance.rounding
    np.testing.assert_array_equal(rounding.inputs, np.abs(instance.inputs[:, 0] - X).max(axis=0))
    assert 0 < rounding.inputs.max() <= 2.0**-15 * np.ptp(X, axis=0).max()
    assert instance.to_dict()["rounding"] == {"inputs": rounding.inputs.max(), "labels": 0, "readout": 0}
    exact = st.Instance(np.rint(X * 8), Y)
    assert not any(exact.rounding.to_dict().values())
    third = st.Instance(np.rint(X * 8), Y / 3, readout=[0.1])
    assert third.rounding.labels == np.abs(third.labels - Y / 3).max() > 0
    assert third.rounding.readout == np.abs(third.readout[0] - 0.1) > 0
    drawn = st.Problem(n=3, samples=5, m=2, readout=(0.1, 1.0)).draw(0)
    assert drawn.rounding.readout == np.abs(drawn.readout - [0.1, 1.0]).max() > 0
    assert not str(st.Problem(n=3, samples=5, m=2, readout="gaussian").draw(0).rounding)


@pytest.mark.parametrize(
    "name",
    ("inputs", "columns", "label_codes", "readout_codes", "teacher", "grid.rows", "grid.offsets"),
)
@pytest.mark.parametrize("drawn", (True, False))
def test_what_is_shared_cannot_be_changed(name, drawn):
    """A run must not find other data than its fingerprint says because somebody wrote into an array."""
    instance = st.Problem(n=3, samples=6).draw(0) if drawn else st.Instance(X, Y, teacher=[1, -1, 1])
    before = instance.fingerprint
    array = operator.attrgetter(name)(instance)
    with pytest.raises(ValueError, match="read-only"):
        array[...] = 0
    assert array is operator.attrgetter(name)(instance)  # and it is made once
    instance.origin["n"] = "changed"
    instance.to_dict()["origin"]["more"] = 1
    assert "changed" not in instance.origin.values()
    assert "more" not in instance.origin
    assert instance.fingerprint == before


def test_not_enough_memory(monkeypatch):
    monkeypatch.setattr(resources, "available_memory", lambda: 100)
    with pytest.raises(st.CapacityError, match=r"n=3, m=1 needs .* only 100 bytes .*fewer samples"):
        st.Instance(X.tolist(), Y)
    with pytest.raises(st.CapacityError, match=r"shape \(6, 3\) needs"):  # before a copy is made
        st.Instance(X.astype(np.int8), Y)


RNG = np.random.default_rng(0)
OVERFLOWS = {
    "labels-far-from-readout": (X, 1e9 * RNG.normal(size=6), {"readout": [1e-9]}, "rescale the labels"),
    "labels-huge": (X, 1e12 * RNG.normal(size=6), {}, "rescale"),
    "feature-scales": (X * [1e-6, 1, 1e6], Y, {}, "features 2 and 0 differ too much in scale.*standardise"),
    "feature-far": (X + np.array([0, 1e12, 0]), Y, {}, "standardise"),
}


@pytest.mark.parametrize("name", OVERFLOWS)
def test_sums_that_could_overflow_are_refused(name):
    """Exactness is guaranteed by a bound that is checked here, or the data are refused."""
    inputs, labels, options, message = OVERFLOWS[name]
    with pytest.raises(st.CapacityError, match=message):
        st.Instance(inputs, labels, **options)


@pytest.mark.parametrize("scale", (5e-324, 1e-266, 1e-200, 1e307))
def test_extreme_units(scale):
    """Refused with a reason, or right: never a crash, and never a gradient of zeros."""
    values = np.rint(X * 3 + np.sign(X)) * scale
    try:
        instance = st.Instance(values, Y)
    except st.CapacityError:
        return
    for surrogate in PIECEWISE:
        _, expected = naive.loss_and_gradient(
            values[:, None] / scale, Y.astype(float), np.ones(1), np.array([1, -1, 1]), "identity"
        )
        found = instance.gradient([1, -1, 1], "identity")
        np.testing.assert_allclose(found / scale, expected, rtol=1e-3)
        st.train(instance, 10, surrogate=surrogate)


def test_fingerprints():
    """Anything that changes an orbit changes the fingerprint, and nothing else does."""
    base = {"inputs": X, "labels": Y - 0.5, "readout": [2.0], "teacher": [1, 1, -1]}
    prints = [st.Instance(**base).fingerprint]
    for changed in (
        {"inputs": with_value(X, (5, 2), X[5, 2] + 0.01)},
        {"inputs": X[::-1]},
        {"inputs": X[:, ::-1]},
        {"inputs": X + 1},
        {"inputs": X * 2},
        {"labels": with_value(Y - 0.5, 5, 0.25)},
        {"readout": [1.0]},
        {"teacher": [1, 1, 1]},
        {"teacher": None},
    ):
        prints.append(st.Instance(**{**base, **changed}).fingerprint)
    assert len(set(prints)) == len(prints)
    assert st.Instance(**base).fingerprint == prints[0]
    units = np.arange(24.0).reshape(4, 2, 3) % 7
    one = st.Instance(units, np.zeros(4))
    other = st.Instance(units.reshape(8, 1, 3), np.zeros(8))
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize("package", ("polars", "pandas"))
def test_frames_keep_their_names(package):
    frames = pytest.importorskip(package)
    frame = frames.DataFrame({"age": X[:, 0], "one bit": [0, 1, 1, 0, 1, 0], "c": X[:, 2].astype(np.float32)})
    instance = st.Instance(frame, frames.Series(Y))
    assert instance.feature_names == ("age", "one bit", "c")
    assert st.Instance(X, Y).feature_names is None
    expected = np.column_stack([X[:, 0], [0, 1, 1, 0, 1, 0], X[:, 2].astype(np.float32)])
    assert instance.fingerprint == st.Instance(expected, Y).fingerprint
    with pytest.raises(st.InputError, match="column 'c'"):
        st.Instance(frames.DataFrame({"a": [1.0, 2.0], "c": ["x", "y"]}), [0, 1])
    with pytest.raises(st.InputError, match="two columns named 'a'"):
        st.Instance(frames.DataFrame({"a": [1.0, 2.0], " a": [0.0, 1.0]}), [0, 1])


@pytest.mark.parametrize("normalize", (None, "standard", "whiten"))
def test_predictions_are_those_of_the_network(normalize):
    """For the data of the instance and for raw ones to come, which are normalised as those were."""
    raw = st.Problem(n=5, samples=400, m=2, readout=(1.0, -0.5), inputs="shifted:1").draw(3)
    instance = st.Instance(raw.inputs, raw.labels, raw.readout, normalize=normalize)
    signs = np.array([1, -1, 1, 1, -1])
    expected = (instance.inputs @ signs.astype(float) > 0) @ instance.readout
    np.testing.assert_array_equal(instance.predict(signs), expected)
    assert ((expected - instance.labels) ** 2).mean() / 2 == pytest.approx(instance.loss(signs))
    np.testing.assert_array_equal(instance.predict(signs, raw.inputs), expected)
    with pytest.raises(st.InputError, match="n=5 and m=2"):
        instance.predict(signs, raw.inputs[:, 0])


@pytest.mark.parametrize("normalize", (None, "standard", "whiten"))
def test_predictions_for_the_same_inputs_are_the_same_where_ties_are_common(normalize):
    """Tenths: their sums are often zero, but not in float64 (W13)."""
    rng = np.random.default_rng(1)
    inputs = rng.integers(-3, 4, (2000, 6)) / 10
    instance = st.Instance(inputs, rng.integers(0, 2, 2000), normalize=normalize)
    for signs in rng.choice([-1, 1], (8, 6)):
        np.testing.assert_array_equal(instance.predict(signs, inputs), instance.predict(signs))
