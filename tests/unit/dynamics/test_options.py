"""What a run refuses about optimisers and batches, its default rates, and when a verdict is proved."""

from __future__ import annotations

import pytest

import sterling as st
from sterling.model.signal import signal_of
from sterling.surrogates import get_surrogate

CLEAN = st.Problem(n=8, samples=120).draw(seed=0)
NOISY = st.Problem(n=8, samples=100, noise=0.5).draw(seed=0)


@pytest.mark.parametrize(
    ("more", "cause"),
    [
        ({"batch": 8, "restart": 300}, "restart"),
        ({"optimizer": "bop", "schedule": st.Constant(0.1)}, "schedule"),
        ({"optimizer": st.SGD(damping=0.5), "schedule": st.Constant(100.0)}, "below 0.5"),
        ({"optimizer": st.SGD(damping=1e-320)}, "give more, or a schedule"),
        ({"optimizer": st.SGD(decay=0.5), "schedule": st.Power(0.1, -0.5)}, "exponent"),
        ({"optimizer": st.SGD(momentum=0.5), "engine": "event"}, "event engine"),
        ({"batch": st.Batch(1 << 31, replace=True), "engine": "dense"}, "GiB"),
        ({"surrogate": "sigmoid", "batch": 8, "engine": "step"}, "step engine"),
    ],
)
def test_refusals(more, cause):
    with pytest.raises(st.SterlingError, match=cause):
        st.train(NOISY, 10, **more)


def test_default_rates():
    signal = st.theory.signal(st.Problem(n=8, samples=100))
    full = st.train(NOISY, 5, optimizer=st.SGD(damping=0.5))
    assert full.schedule == st.Constant(1 / (30 * 0.5 * signal))
    batches = st.train(NOISY, 5, optimizer=st.SGD(damping=0.5), batch=8)
    assert batches.schedule == st.Constant(1 / (100 * 0.5 * signal))
    assert st.train(NOISY, 5, batch=8).schedule == st.Power(0.5, 0.5)


def test_a_batch_of_all_samples_is_the_full_batch(monkeypatch):
    whole, plain = st.train(NOISY, 500, batch=120), st.train(NOISY, 500)
    assert whole.batch is None
    assert "120 samples" in whole.notes[0]
    assert plain.notes == []
    outlier = st.Instance(NOISY.inputs[:, 0] * [2.0**30, *[1] * 7], [100_000.5, *[0] * 99])
    with pytest.raises(st.InputError, match="exact sums over these data hold at most"):
        st.train(outlier, 5, batch=st.Batch(100, replace=True))
    assert whole.latent.tobytes() == plain.latent.tobytes()
    monkeypatch.setattr("sterling.dynamics.options._MOST_ROWS", 99)
    with pytest.raises(st.CapacityError, match="fewer samples"):
        st.train(NOISY, 5, batch=8)


def test_signal_of_data():
    """The mean pull at the teacher is S for many Gaussian samples, to 5 %."""
    given = st.Problem(n=8, samples=100_000, normalize="standard").draw(seed=0)
    relu = get_surrogate("relu")
    assert signal_of(given, relu) == pytest.approx(st.theory.signal(CLEAN), rel=0.05)
    assert st.theory.signal(given) == signal_of(given, relu)  # the unit of a run, not that of the formula
    assert signal_of(st.Instance(CLEAN.inputs, CLEAN.labels), relu) == st.theory.signal(CLEAN)  # no teacher


@pytest.mark.parametrize(
    ("optimizer", "batch", "proved"),
    [
        (st.SGD(damping=0.5), None, True),
        (st.SGD(momentum=0.5), None, True),
        (st.SGD(clip=0.3), 16, True),  # no noise: at the teacher every single gradient is zero
        (st.Adam(), None, False),
    ],
    ids=str,
)
def test_when_a_verdict_is_proved(optimizer, batch, proved):
    orbit = st.train(CLEAN, 4000, st.Constant(0.01), optimizer=optimizer, batch=batch, init=1)
    assert orbit.verdict is st.Verdict.OPTIMAL
    assert orbit.certified is proved
    longer = st.resume(orbit, CLEAN, steps=3000)
    assert not proved or (longer.signs == orbit.signs).all()
