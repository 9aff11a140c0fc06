"""Laws of a problem: leading orders, inverses, directions, extremes, and what is refused."""

from __future__ import annotations

import inspect
import math

import numpy as np
import pytest

import sterling as st
from sterling import theory
from sterling.theory.laws import samples_untrapped
from sterling.theory.numbers import numbers_of
from sterling.theory.typical import variance

LAWS = (
    theory.signal,
    theory.expected_occupancy,
    theory.samples_for_average,
    theory.samples_for_occupancy,
)


def test_every_function_is_labelled():
    known = {name for name in theory.__all__ if inspect.isfunction(getattr(theory, name))}
    assert known == set(theory.FUNCTIONS)
    assert all(one.kind in theory.KINDS and one.source for one in theory.FUNCTIONS.values())  # type: ignore


def problem(n=32, samples=1000, m=1, noise=0.5, norm2=None):
    readout = "ones" if norm2 is None else (math.sqrt(norm2 / m),) * m
    return st.Problem(n, samples, m, noise, readout)


@pytest.mark.parametrize("surrogate", st.SURROGATES)
def test_signal_is_the_population_pull_on_a_single_wrong_weight(surrogate):
    teacher = np.array([1, -1, 1, 1, -1])
    signs = teacher.copy()
    signs[1] *= -1
    of = problem(5, norm2=3.0)
    gradient = theory.population_gradient(of, signs, teacher=teacher, surrogate=surrogate)
    assert -signs[1] * gradient[1] != 0
    assert theory.signal(of, surrogate=surrogate) == pytest.approx(signs[1] * gradient[1], rel=1e-12)


@pytest.mark.parametrize("surrogate, share", [("relu", 0.5), ("identity", 1.0)])
def test_drift_variance_at_the_teacher(surrogate, share):
    of = problem(20, m=3, noise=0.7)
    assert variance(numbers_of(of, surrogate)) == pytest.approx(share * 0.49 * 3.0)


@pytest.mark.parametrize("surrogate, share", [("relu", 1.0), ("identity", 0.5)])
def test_leading_orders(surrogate, share):
    """docs/science, 7. A large σ makes the coupling between weights vanish beside the label noise."""
    n, noise, rho = 64, 30.0, 0.9
    found = theory.samples_for_occupancy(problem(n, m=2, noise=noise), occupancy=rho, surrogate=surrogate)
    expected = share * n**3 * noise**2 / (2 * 2 * math.log(rho) ** 2)
    assert found == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize(
    "surrogate, m, rho",
    [("relu", 1, 0.1), ("relu", 4, 0.9), ("hard_tanh", 1, 0.5), ("hard_tanh", 4, 0.1)],
)
def test_samples_for_occupancy_inverts_expected_occupancy(surrogate, m, rho):
    of = problem(24, m=m, noise=0.4)
    samples = theory.samples_for_occupancy(of, occupancy=rho, surrogate=surrogate)
    again = theory.expected_occupancy(of, samples=samples, surrogate=surrogate)
    assert again == pytest.approx(rho, abs=1e-6)


def test_a_data_set_speaks_for_its_problem():
    """Sample size, norm and noise are those of the instance; ± readouts have the norm of ones."""
    of = st.Problem(12, 300, 1, 0.4, readout="signs")
    instance = of.draw(0)
    for law in LAWS:
        assert law(instance) == law(of)
    assert theory.expected_occupancy(of) == theory.expected_occupancy(of, samples=np.int64(300))  # type: ignore


def test_without_label_noise():
    quiet = problem(16, 400, noise=0.0)
    assert theory.samples_for_occupancy(quiet) == 0
    assert theory.expected_occupancy(quiet) == 1


def test_more_samples_than_the_law_is_solved_for():
    with pytest.raises(st.InputError, match="less label noise or a smaller n"):
        theory.samples_for_occupancy(problem(10**6, noise=1.0), occupancy=0.999999)
    with pytest.raises(st.InputError, match="samples would be needed"):
        theory.samples_for_average(problem(1000, noise=1e6))


def test_samples_that_traps_leave_alone():
    """The docstring's measured thresholds, within the fit's accuracy of a quarter."""
    for n, measured in ((16, 0.93), (32, 0.81), (64, 0.76)):
        found = samples_untrapped(numbers_of(problem(n), "relu"))
        assert found / (n * math.log(n)) == pytest.approx(measured, rel=0.12)
    unit = 32 * math.log(32)
    for surrogate, m, measured in (("identity", 1, 0.43), ("hard_tanh", 1, 0.44), ("relu", 4, 0.62)):
        found = samples_untrapped(numbers_of(problem(m=m), surrogate))
        assert found / unit == pytest.approx(measured, rel=0.25)
    same = (samples_untrapped(numbers_of(problem(norm2=norm2), "relu")) for norm2 in (5.0, 1.0))
    assert next(same) == next(same)


def test_the_law_is_for_gaussian_inputs():
    """Numbers for others would look as sure as those that were compared with runs."""
    for other in ({"inputs": "student_t:4"}, {"inputs": "ar1:0.9"}, {"normalize": "whiten"}):
        of = st.Problem(8, 60, noise=0.5, **other)  # type: ignore
        (word,) = other.values()
        for law in LAWS:
            for one in (of,) if law is theory.signal else (of, of.draw(0)):
                with pytest.raises(st.InputError, match=rf"Gaussian.*{word}"):
                    law(one)


def test_data_that_do_not_know_their_noise():
    drawn = problem(8, 60).draw(0)
    given = st.Instance(drawn.inputs, drawn.labels)
    assert theory.signal(given) == theory.signal(drawn)
    for law in (theory.expected_occupancy, theory.samples_for_average):
        with pytest.raises(st.InputError, match="noise of these data is unknown"):
            law(given)


OF = problem()
REFUSED = [
    ("‖v‖²", lambda: theory.signal(st.Problem(8, 100, noise=0.5, readout=(1e-170,)))),
    ("n is", lambda: theory.expected_occupancy(problem(10**18))),
    ("occupancy is", lambda: theory.samples_for_occupancy(OF, occupancy=1.5)),
    ("confidence is", lambda: theory.samples_for_average(OF, confidence=math.nan)),
    ("samples is", lambda: theory.expected_occupancy(OF, samples=math.inf)),
    ("correlation is", lambda: theory.population_coefficients(1.01)),
    ("signs must", lambda: theory.population_gradient(problem(2), [0, 1], teacher=[1, 1])),
    ("smooth", lambda: theory.expected_occupancy(OF, surrogate="sigmoid")),
    ("teacher is unknown", lambda: theory.population_gradient(problem(2), [1, 1])),
]


@pytest.mark.parametrize("cause, call", REFUSED)
def test_refusals(cause, call):
    with pytest.raises(st.InputError, match=cause):
        call()


def test_a_name_registered_anew_is_another_surrogate(registries):
    def beta(width):
        st.register(st.Surrogate("hump", slope=lambda x, xp: xp.exp(-((x / width) ** 2))))
        return theory.population_coefficients(0.5, "hump")[1]

    assert beta(0.1) < 0.5 * beta(1.0)
