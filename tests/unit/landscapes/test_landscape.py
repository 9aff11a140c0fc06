"""The landscape as users see it: arguments, refusals, agreement with runs."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

import sterling as st
from sterling.base import resources
from sterling.landscapes.landscape import landscape, number_of


@pytest.fixture(scope="module")
def instance():
    return st.Problem(n=8, samples=40, noise=0.4).draw(3)


@pytest.fixture(scope="module")
def found(instance):
    return landscape(instance)


def test_bit_k_is_set_where_sign_k_is_plus(instance, found):
    for state in (0, 1, 2, 5, 200, 255):
        signs = np.array([1 if state >> k & 1 else -1 for k in range(8)], np.int8)
        np.testing.assert_array_equal(found.signs(state), signs)
        assert number_of(signs) == state
        assert found.loss[state] == instance.loss(signs)
        assert found.distance[state] == np.count_nonzero(signs != instance.teacher)
    with pytest.raises(st.InputError, match="between 0 and 255"):
        found.signs(256)


def test_result(instance, found):
    np.testing.assert_array_equal(found.reference, instance.teacher)
    assert found.trap_free == (len(found.traps) == 0)
    assert found.reference_absorbs == np.all(instance.teacher * instance.gradient(instance.teacher) <= 0)
    assert 0 < found.deviation < 2
    plain = found.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert plain["absorbing_count"] == len(plain["absorbing"])


def test_without_a_teacher(instance):
    alone = st.Instance(instance.inputs, instance.labels)
    found = landscape(alone)
    np.testing.assert_array_equal(found.reference, found.minimisers[0])
    assert found.trap_free == (not set(found.absorbing_states) - set(found.minimiser_states))
    assert found.deviation is None
    assert "teacher" in found.deviation_reason


def test_the_mean_gradient_is_used_only_where_it_is_known(instance):
    rough = st.Problem(n=5, samples=30, inputs="rademacher").draw(0)
    assert "rademacher" in landscape(rough).deviation_reason
    white = st.Problem(n=5, samples=30, normalize="whiten").draw(0)
    assert "whiten" in landscape(white).deviation_reason
    given = st.Instance(instance.inputs, instance.labels, teacher=instance.teacher)
    assert "elsewhere" in landscape(given).deviation_reason


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((st.Problem(n=25, samples=4).draw(0),), "at most 24"),
        ((st.Problem(n=3, samples=4).draw(0), "sigmoid"), "smooth"),
        ((st.Problem(n=3, samples=4).draw(0), "relo"), "relu"),
        (([[1.0]],), "list"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(st.InputError, match=message):
        landscape(*arguments)


def test_memory_is_asked_for_first(monkeypatch):
    monkeypatch.setattr(resources, "available_memory", lambda: 100 << 20)
    big = st.Problem(n=24, samples=4).draw(0)
    with pytest.raises(st.CapacityError, match="landscape of n=24"):
        landscape(big)


def test_an_interrupt_ends_all_threads():
    """Ctrl-C reaches the main thread while it waits; here the progress callback plays it."""

    def press(_):
        raise KeyboardInterrupt

    long = st.Problem(n=22, samples=2000).draw(0)
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        landscape(long, progress=press)  # the whole would take minutes
    assert threading.active_count() == before


@pytest.mark.parametrize("surrogate", ["relu", "hard_tanh"])
def test_runs_end_where_the_landscape_says(surrogate):
    instance = st.Problem(n=9, samples=14, m=2).draw(5)
    found = landscape(instance, surrogate)
    states = set(found.absorbing_states.tolist())
    for seed in range(8):
        orbit = st.train(instance, 20_000, surrogate=surrogate, init=seed)
        if orbit.verdict.absorbed:
            assert number_of(orbit.signs) in states
            if orbit.verdict is st.Verdict.TRAPPED:
                assert not found.trap_free
        else:
            assert number_of(orbit.signs) not in states


def test_below_the_pull_no_trap_can_exist():
    """Where the deviation is smaller than the mean pull on a wrong weight, no such state absorbs (exact)."""
    seen = set()
    for samples in (10, 100, 4000):
        for seed in range(4):
            found = landscape(st.Problem(n=6, samples=samples).draw(seed))
            assert found.deviation is not None
            assert found.pull is not None
            below = found.deviation < found.pull
            assert found.trap_free or not below
            seen.add((below, found.trap_free))
    assert seen == {(True, True), (False, True), (False, False)}
    few = st.Problem(n=6, samples=10)
    assert landscape(few.draw(0)).pull == pytest.approx(st.theory.signal(few))


def test_damped_runs_end_in_the_absorbing_states_of_the_damped_landscape():
    """Every run of this damped landscape ends in an absorbing state; plain runs never do."""
    instance = st.Problem(n=8, samples=200, noise=0.5).draw(seed=0)
    found = st.landscape(instance, damping=0.8)
    assert found.damping == found.to_dict()["damping"] == 0.8
    assert found.absorbing_states.size
    assert found.sentence().startswith("At damping 0.8 ")
    for seed in range(10):
        orbit = st.train(instance, 20_000, optimizer=st.SGD(damping=0.8), init=seed)
        assert orbit.verdict.absorbed
        assert number_of(orbit.signs) in found.absorbing_states
    assert not st.landscape(instance).absorbing_states.size
