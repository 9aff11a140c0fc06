"""Certificates and the optimisers that they cover (docs/science, 13).

Momentum and clipping are exact: no false alarm. With batches the proof is about T → ∞. There the seeds are
fixed, the bounds lie 0.1 below what runs do, and the standard error is below 0.01, so a false alarm has a
chance below 10⁻²⁰. A rule that balances signs instead of means would be found (the last test).
"""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st

STEPS, RATE = 20_000, 0.1


@pytest.fixture(scope="module")
def proved():
    """Data sets with a w* that is not absorbing and a proof that leaves room."""
    drawn = [st.Problem(n=7, samples=300, noise=0.5).draw(seed) for seed in (1, 3, 4, 5)]
    return [(instance, st.certify(instance)) for instance in drawn]


def run(instance, optimizer, batch=None):
    """Return the orbit of a run at a constant rate that starts with every weight wrong."""
    start = -0.2 * instance.teacher.astype(float)
    return st.train(instance, STEPS, st.Constant(RATE), optimizer=optimizer, batch=batch, init=start)


def steepest(instance):
    """Return the largest entry of the gradient over all states."""
    wrong = (np.arange(1 << instance.n)[:, None] >> np.arange(instance.n)) & 1
    signs = instance.teacher * (1 - 2 * wrong)
    return max(float(np.abs(instance.gradient(row)).max()) for row in signs)


@pytest.mark.parametrize("momentum", [0.5, 0.9])
def test_momentum(proved, momentum):
    """The balance holds with the rate η/(1 − β) and the term r = ηβB̄/(1 − β)²."""
    for instance, certificate in proved:
        orbit, largest = run(instance, st.SGD(momentum=momentum)), steepest(instance)
        rate, apart = RATE / (1 - momentum), RATE * momentum * largest / (1 - momentum) ** 2
        slack = (np.abs(orbit.start_latent) + rate * largest + apart) / (rate * STEPS)
        assert certificate.recurrent
        assert orbit.occupancy >= certificate.balance_occupancy - certificate.duals[0] @ slack


def test_clipping_where_no_step_is_longer_than_the_clip(proved):
    """The term is 2κ/H, and absences keep their bound."""
    for instance, certificate in proved:
        clip = 1.01 * RATE * steepest(instance)
        orbit = run(instance, st.SGD(clip=clip))
        slack = certificate.duals[0].sum() * 2 * clip / (RATE * STEPS)
        assert orbit.occupancy >= certificate.balance_occupancy - slack
        assert orbit.return_times.max() <= certificate.longest_absence()


def test_batches_with_replacement(proved):
    for optimizer in (st.SGD(), st.SGD(momentum=0.9)):
        for instance, certificate in proved:
            orbit = run(instance, optimizer, st.Batch(16, replace=True))
            assert orbit.occupancy > certificate.balance_occupancy


def test_clipping_that_cuts_every_step_is_not_covered(proved):
    """The condition is needed: these latents repeat the signs of the last gradient, and stay away from w*."""
    orbits = [(run(instance, st.SGD(clip=1e-3)), certificate) for instance, certificate in proved]
    assert any(orbit.occupancy < certificate.balance_occupancy - 0.1 for orbit, certificate in orbits)
