"""Problems: what they refuse, and that a draw depends on nothing but the problem and the seed."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest

import sterling as st
from sterling.base import resources
from sterling.model.families import get_family


def assert_same_instance(one, other):
    assert one.fingerprint == other.fingerprint
    np.testing.assert_array_equal(one.inputs, other.inputs)
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_array_equal(one.readout, other.readout)
    np.testing.assert_array_equal(one.teacher, other.teacher)


BAD = [
    *({"n": bad} for bad in (0, -3, 2.5, "4", True, None)),
    *({"m": 0}, {"samples": 0}, {"samples": 1e3}),
    *({"noise": bad} for bad in (-0.5, float("nan"), 1e7, 1e-9, "much")),
    *({"readout": bad} for bad in ("one", 3, None, (1.0, 2.0), (float("nan"),), (0.0,), ("a",), ([1.0],))),
    *({"inputs": bad} for bad in ("gausian", 5)),
    {"normalize": "zscore"},
]


@pytest.mark.parametrize("changes", BAD, ids=str)
def test_bad_parameters(changes):
    """The message names the parameter."""
    with pytest.raises(st.InputError, match=f"{next(iter(changes))}|input family"):
        st.Problem(**{"n": 4, "samples": 10, **changes})


@pytest.mark.parametrize("seed", (-1, 1.5, "0", None, True))
def test_bad_seeds(seed):
    with pytest.raises(st.InputError, match=f"seed is {seed!r}; it must be"):
        st.Problem(n=4, samples=10).draw(seed)


@pytest.mark.parametrize(
    "spec, text", [("uniform+0.5", "uniform+0.5"), ("student_t:4.123456+-1", "student_t:4.123456+-1.0")]
)
def test_a_family_may_get_a_mean(spec, text):
    family = get_family(spec)
    assert str(family) == text
    assert get_family(text) == family
    problem = st.Problem(6, 20, 2, 0.25, (1.0, -0.5), spec, "standard")
    assert st.Problem(**json.loads(json.dumps(problem.to_dict()))) == problem


@pytest.mark.parametrize(
    "spec", ["ar1:0.5+1", "uniform+0.5+0.5", "uniform+x", "+1", "nothing+1", "uniform+101"]
)
def test_a_mean_that_cannot_be_is_refused(spec):
    with pytest.raises(st.InputError):
        get_family(spec)


def test_not_enough_memory(monkeypatch):
    """Refused before anything is allocated, with the size and what to do."""
    monkeypatch.setattr(resources, "available_memory", lambda: 1 << 20)
    with pytest.raises(st.CapacityError, match=r"n=1000.*needs .* but only 1 MiB .*fewer samples"):
        st.Problem(n=1000, samples=10**6).draw(0)
    monkeypatch.setattr(resources, "available_memory", lambda: None)
    st.Problem(n=10, samples=10).draw(0)


@pytest.mark.parametrize("normalize", (None, "standard", "whiten"))
@pytest.mark.parametrize("n, samples, m", [(7, 60_000, 1), (30, 3000, 5)])
def test_the_estimate_of_memory_is_from_above(n, samples, m, normalize):
    """The peak of what a draw allocates stays below it, and is not far below."""
    asked = st.Problem(n=n, samples=samples, m=m, noise=0.5, normalize=normalize)
    st.Problem(n=n, samples=100, m=m, noise=0.5).draw(0)  # kernels and sampling tables
    tracemalloc.start()
    try:
        asked.draw(0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= asked._memory() <= 4 * peak


@pytest.mark.parametrize("readout", ("ones", "signs", "gaussian", (0.5, -2.0, 1.25)))
@pytest.mark.parametrize("noise", (0.0, 1e-3, 100.0))
def test_labels_are_what_the_teacher_says(readout, noise):
    """y = vᵀH(Zw*) + ξ, exactly without noise; and the noise has the deviation asked for."""
    instance = st.Problem(n=8, samples=3000, m=3, noise=noise, readout=readout).draw(5)
    hidden = (instance.inputs @ instance.teacher.astype(float) > 0).astype(float)
    residual = instance.labels - hidden @ instance.readout
    if noise == 0:
        assert not residual.any()
    else:
        assert residual.std() == pytest.approx(noise, rel=0.08)
        assert abs(residual.mean()) < 5 * noise / np.sqrt(3000)
        step = np.diff(np.unique(residual)).min()
        assert noise / 128 <= step <= noise / 64  # at least 64 steps to one deviation
    assert instance.loss(instance.teacher) == pytest.approx((residual**2).mean() / 2, rel=1e-12)


@pytest.mark.parametrize("inputs", ("gaussian", "ar1:0.7", "student_t:3"))
@pytest.mark.parametrize("small, large", [(4096, 4097), (4095, 9000)])
def test_samples_are_nested(inputs, small, large):
    """A larger draw of the same seed begins with the smaller one, also across the blocks of a draw."""
    one, other = (
        st.Problem(n=5, samples=count, m=2, noise=0.5, readout="gaussian", inputs=inputs).draw(9)
        for count in (small, large)
    )
    np.testing.assert_array_equal(one.inputs, other.inputs[:small])
    np.testing.assert_array_equal(one.labels, other.labels[:small])
    np.testing.assert_array_equal(one.readout, other.readout)
    np.testing.assert_array_equal(one.teacher, other.teacher)


def test_seeds():
    """Integers of any kind and size, and SeedSequences with their own spawn keys."""
    asked = st.Problem(n=6, samples=30, noise=0.5)
    assert_same_instance(asked.draw(7), asked.draw(np.int64(7)))
    assert_same_instance(asked.draw(7), asked.draw(np.random.SeedSequence(7)))
    assert_same_instance(asked.draw(2**100), asked.draw(2**100))
    assert asked.draw(2**100).fingerprint != asked.draw(2**100 + 2**64).fingerprint
    parent = np.random.SeedSequence(7)
    children = parent.spawn(2)
    prints = {asked.draw(seed).fingerprint for seed in (parent, *children, 8)}
    assert len(prints) == 4
    assert parent.n_children_spawned == 2  # a draw does not use up the caller's seed
    again = np.random.SeedSequence(7).spawn(2)
    assert_same_instance(asked.draw(children[1]), asked.draw(again[1]))
    first, second = np.random.default_rng(3), np.random.default_rng(3)  # a generator goes on
    assert_same_instance(asked.draw(first), asked.draw(int(second.integers(1 << 63))))
    assert_same_instance(asked.draw(first), asked.draw(int(second.integers(1 << 63))))


@pytest.mark.parametrize("noise, readout", [(1e4, (1e-9,)), (1e6, (2.0**-40,)), (1e-6, (3e4,))])
def test_noise_and_readout_too_far_apart(noise, readout):
    """Labels on a grid as fine as the readout would not fit 64 bits: say so, rather than wrap around."""
    with pytest.raises(st.CapacityError):
        st.Problem(n=4, samples=50, noise=noise, readout=readout).draw(0)


@pytest.mark.parametrize("noise", (0.0, 0.5))
@pytest.mark.parametrize(
    "readout",
    ((0.9, 1.1), (0.99, 1.01), (1 / 3, 2 / 3), (0.5, 0.3), (1e-3, -1.7), tuple(0.9 + 0.01 * np.arange(8))),
)
def test_a_readout_of_numbers_on_no_grid(readout, noise):
    """It is rounded as finely as exact sums allow, and the labels are those of the rounded one."""
    instance = st.Problem(n=16, samples=4096, m=len(readout), readout=readout, noise=noise).draw(0)
    np.testing.assert_allclose(instance.readout, readout, rtol=0, atol=2.0**-12 * max(map(abs, readout)))
    assert noise or instance.loss(instance.teacher) == 0


def test_a_fine_readout_keeps_its_bits():
    """What fits on the finest grid is never put on a coarser one: seeds would change their meaning."""
    instance = st.Problem(n=7, samples=9000, m=2, readout=(0.5, -2.0)).draw(3)
    assert instance.fingerprint == "a9c17cb66ec1abf6f73d488ee605a3ae"
    assert instance.readout_bits == 1
