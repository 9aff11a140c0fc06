"""Runs of more than two levels: when they rest, what they refuse, their files, words and pictures."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import sterling as st
from sterling.dynamics.options import Options, first_state, initial_latent
from sterling.dynamics.steps import rest_of
from sterling.model.levels import Quantiser
from sterling.model.signal import pull_of, signal_of
from sterling.surrogates import get_surrogate
from tests.support import assert_same_orbit

RELU = get_surrogate("relu")
NOISY = st.Problem(n=10, samples=80, noise=0.5, levels=3)


def rest_at(levels, gradient, optimizer=st.SGD(), velocity=None, latent=None):  # noqa: B008
    """Return the verdict on weights of three levels with this gradient; S is 1."""
    n = len(levels)
    instance = st.Problem(n=n, samples=5, levels=3).draw(0)
    quantiser = Quantiser(3, n)
    middle = quantiser.latents(np.array(levels)) if latent is None else np.array(latent, float)
    state = first_state(middle, None, levels=3)
    if velocity is not None:
        state = state._replace(moments=np.array(velocity, float))
    options = Options(schedule=st.Constant(0.1), optimizer=optimizer, signal=1.0, levels=3)
    return rest_of(instance, options, state, np.array(gradient, float), 0)


def test_inner_levels_rest_where_the_gradient_is_zero_and_outer_ones_where_it_pushes_outwards():
    assert rest_at([-1, 0, 1], [0, 0, 0]) == 2
    assert rest_at([-1, 0, 1], [3, 0, -3]) == 2  # the step is against the gradient
    assert rest_at([-1, 0, 1], [-3, 0, 0]) == 0
    assert rest_at([-1, 0, 1], [0, 0, 1e-300]) == 0
    assert rest_at([-1, 0, 1], [0, 1e-300, 0]) == 0
    assert rest_at([-1, 0, 1], [0, -1e-300, 0]) == 0


def test_damping_holds_a_level_up_to_its_threshold_and_decay_does_not_hold_outer_ones():
    damped = st.SGD(damping=0.5)
    assert rest_at([-1, 0, 1], [-0.4999, 0.4999, 0.4999], damped) == 2
    for k in range(3):
        gradient = np.zeros(3)
        gradient[k] = -0.5001 if k == 0 else 0.5001
        assert rest_at([-1, 0, 1], gradient, damped) == 0
    assert rest_at([-1, 0, 1], [0, 0, 0], st.SGD(decay=0.1)) == 0  # outer latents decay towards zero
    assert rest_at([0, 0, 0, 1], [0, 0, 0, -5], st.SGD(decay=0.1)) == 2


def test_momentum_and_other_optimisers_prove_less():
    heavy = st.SGD(momentum=0.9)
    assert rest_at([-1, 0, 1], [0, 0, 0], heavy, [0, 0, 0]) == 2
    assert rest_at([-1, 0, 1], [0, 0, 0], heavy, [1, 0, -1]) == 2  # outwards
    half = Quantiser(3, 3).half
    reach = half / (0.1 * 9)  # the velocity that still travels half a step at the rate 0.1
    assert rest_at([-1, 0, 1], [0, 0, 0], heavy, [0, 0.9 * reach, 0]) == 2
    assert rest_at([-1, 0, 1], [0, 0, 0], heavy, [0, -1.1 * reach, 0]) == 0
    assert rest_at([-1, 0, 1], [0, 0, 0], replace(heavy, damping=0.5), [0, 0, 0]) == 1
    assert rest_at([-1, 0, 1], [0, 0, 0], st.Adam(), np.zeros(6)) == 1


@pytest.mark.parametrize("levels", [3, 4])
def test_without_noise_a_run_rests_at_the_teacher_for_ever(levels):
    instance = st.Problem(n=24, samples=1200, levels=levels).draw(1)
    orbit = st.train(instance, 4000)
    assert orbit.verdict is st.Verdict.OPTIMAL
    assert orbit.certified
    assert np.array_equal(st.resume(orbit, instance, 500).flips, orbit.flips)


def test_each_sample_alone_must_leave_the_weights_alone():
    instance = st.Problem(n=24, samples=1200, levels=3).draw(1)
    orbit = st.train(instance, 4000, st.Constant(0.1), batch=64)
    assert (orbit.verdict, orbit.certified) == (st.Verdict.OPTIMAL, True)
    noisy = st.Problem(n=24, samples=1200, levels=3, noise=0.3).draw(1)
    assert not st.train(noisy, 300, st.Constant(0.1), batch=16).certified


def test_what_needs_two_levels_says_so():
    for options in (
        {"restart": 10},
        {"engine": "event"},
        {"optimizer": "bop"},
        {"optimizer": st.SGD(band=1.0)},
    ):
        with pytest.raises(st.InputError, match="for weights of two levels only, and these have 3"):
            st.train(NOISY.draw(0), 10, **options)


def test_a_clip_must_leave_room_for_the_outer_levels():
    outermost = Quantiser(3, 10).thresholds[-1]
    instance = NOISY.draw(0)
    with pytest.raises(st.InputError, match="give a larger clip"):
        st.train(instance, 10, optimizer=st.SGD(clip=outermost))
    orbit = st.train(instance, 200, optimizer=st.SGD(clip=1.001 * outermost))
    assert set(np.unique(orbit.signs)) <= {-1, 0, 1}


def test_a_start_is_never_all_zero():
    for seed in range(30):  # at n = 1 each is all zero in the first draw with probability .38
        assert Quantiser(3, 1).quantise(initial_latent(1, seed, 3)).any()
    assert (initial_latent(9, 4, 3) == initial_latent(9, 4)).all()
    with pytest.raises(st.InputError, match="every weight zero"):
        st.train(NOISY.draw(0), 10, init=np.zeros(10))


def test_the_signal_is_the_pull_on_a_weight_one_level_off():
    drawn = st.Problem(n=48, samples=20_000, noise=0.5, levels=4).draw(1)
    unknown = st.Instance(drawn.inputs, drawn.labels, levels=4)
    # The teacher's mean square differs from that of all levels by about a tenth of it.
    assert signal_of(drawn, RELU) == pytest.approx(signal_of(unknown, RELU), rel=0.15)
    assert signal_of(unknown, RELU) == pytest.approx(pull_of(48, 1.0, RELU) / np.sqrt(5))


def test_a_damped_run_has_a_rate_in_units_of_its_levels():
    instance = NOISY.draw(0)
    orbit = st.train(instance, 10, optimizer=st.SGD(damping=0.5))
    half = Quantiser(3, 10).half
    assert orbit.schedule.rate == pytest.approx(half / (30 * 0.5 * signal_of(instance, RELU)))
    with pytest.raises(st.InputError, match="must stay below"):
        st.train(instance, 10, st.Constant(0.6 * half / signal_of(instance, RELU)), optimizer="sgd:damping=1")


@pytest.mark.parametrize("optimizer", ["sgd:momentum=0.9", "adam"])
def test_a_saved_run_goes_on_to_the_same_bits(optimizer, tmp_path):
    instance = NOISY.draw(3)
    whole = st.train(instance, 300, optimizer=optimizer, batch=8)
    st.train(instance, 120, optimizer=optimizer, batch=8).save(tmp_path / "run.orbit")
    loaded = st.Orbit.load(tmp_path / "run.orbit")
    assert_same_orbit(st.resume(loaded, instance, 180), whole)
    with pytest.raises(st.CheckpointError, match="another instance"):
        st.resume(loaded, replace(NOISY, levels=2).draw(3), 10)
