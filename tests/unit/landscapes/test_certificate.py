"""Certificates: bounds are those of the whole linear program, hold for runs, and can be checked and kept."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linprog

import sterling as st
from sterling.landscapes.proof import check


def draw(n=6, samples=400, noise=0.5, seed=0, **options):
    return st.Problem(n=n, samples=samples, noise=noise, **options).draw(seed)


def pushes(instance, surrogate="relu"):
    """Return all sets of wrong weights and B of each, from `Instance.gradient`; bool and float (2ⁿ, n)."""
    home = instance.teacher.astype(float)
    wrong = (np.arange(1 << instance.n)[:, None] >> np.arange(instance.n)) & 1 == 1
    return wrong, np.array([home * instance.gradient(np.where(row, -home, home), surrogate) for row in wrong])


def whole_program(instance, surrogate="relu"):
    """Return the bounds by one linear program each over all 2ⁿ states."""
    n, (wrong, balances) = instance.n, pushes(instance, surrogate)
    balances = np.where(wrong, balances, np.maximum(balances, 0))
    goals = [(wrong.sum(axis=1) == 0).astype(float), *(-wrong.T.astype(float))]
    found = [
        linprog(g, A_ub=-balances.T, b_ub=np.zeros(n), A_eq=np.ones((1, 1 << n)), b_eq=[1.0]).fun
        for g in goals
    ]
    return found[0], -np.array(found[1:])


def all_cases(instance, surrogate="relu"):
    """Return the least mass at the reference over all ways of being balanced or at rest."""
    wrong, push = pushes(instance, surrogate)
    assert (push[wrong] <= 0).all()
    least = np.inf
    for balanced in wrong:
        there = ~(wrong & ~balanced).any(axis=1)
        sides = np.vstack([np.ones(there.sum()), push[there][:, balanced].T])
        goal = (wrong[there].sum(axis=1) == 0).astype(float)
        found = linprog(goal, A_eq=sides, b_eq=np.append(1.0, np.zeros(balanced.sum())))
        if found.status == 0:  # 2: nothing is balanced like that
            least = min(least, found.fun)
    return least


@pytest.mark.parametrize(
    ("options", "surrogate"),
    [
        ({}, "relu"),
        ({"n": 1, "samples": 30}, "relu"),
        ({"n": 5, "samples": 90, "m": 3, "seed": 4}, "relu"),
        ({"n": 7, "samples": 900, "seed": 2}, "identity"),
        ({"n": 6, "samples": 60, "noise": 0.0}, "relu"),
        ({"n": 6, "samples": 25, "noise": 1.0}, "hard_tanh"),
        ({"n": 6, "samples": 300, "inputs": "rectified", "normalize": "standard"}, "clipped_relu"),
    ],
)
def test_bounds_are_those_of_the_whole_program(options, surrogate):
    instance = draw(**options)
    certificate = st.certify(instance, surrogate)
    occupancy, wrong = whole_program(instance, surrogate)
    alone = certificate.balance_occupancy
    assert alone == pytest.approx(max(0, occupancy), abs=1e-5)
    assert certificate.wrong_share == pytest.approx(wrong, abs=1e-5)
    assert alone <= occupancy + 1e-12  # a proof is never sharper than the truth
    assert certificate.occupancy >= alone - 1e-12
    assert (certificate.wrong_share >= wrong - 1e-12).all()


@pytest.mark.parametrize(
    ("options", "surrogate"),
    [
        ({"n": 1, "samples": 30}, "relu"),
        ({}, "relu"),
        ({"n": 5, "samples": 300, "m": 3, "seed": 4}, "relu"),
        ({"n": 7, "samples": 500, "seed": 2}, "identity"),
        ({"n": 6, "samples": 600, "noise": 1.0, "seed": 3}, "hard_tanh"),
        ({"n": 6, "samples": 300, "noise": 0.0}, "relu"),
    ],
)
def test_cases_come_to_the_least_of_all_ways_to_be_balanced_or_at_rest(options, surrogate):
    instance = draw(**options)
    certificate = st.certify(instance, surrogate)
    least = all_cases(instance, surrogate)
    assert len(certificate.cases)
    assert certificate.occupancy == pytest.approx(least, abs=2e-5)
    assert certificate.occupancy <= least + 1e-12


def test_cases_prove_more_than_the_balance_alone():
    """A data set for which the balance alone proves nothing, and two where it proves less."""
    for seed in (3, 4, 8):
        instance = draw(n=9, samples=260, seed=seed)
        certificate = st.certify(instance)
        assert certificate.occupancy > certificate.balance_occupancy + 0.05
        assert seed != 8 or certificate.balance_occupancy == 0
        assert st.train(instance, 200_000).occupancy > certificate.occupancy - 0.01


def test_cases_that_leave_something_out_prove_nothing():
    instance = draw()
    certificate = st.certify(instance)
    alone = certificate.balance_occupancy
    assert len(certificate.cases) > 2
    for cases, duals in (
        (certificate.cases[1:], certificate.case_duals[1:]),
        (np.repeat(certificate.cases, 2, axis=0), np.repeat(certificate.case_duals, 2, axis=0)),
        (-certificate.cases, np.abs(certificate.case_duals)),
    ):
        vectors = certificate.duals, cases, duals, certificate.absence_dual
        _, found, *_ = check(instance, "relu", instance.teacher, *vectors)
        assert found == pytest.approx(alone, abs=1e-9) or len(cases) == len(certificate.cases)
        assert not replace(certificate, cases=cases, case_duals=duals).verify(instance)
    with pytest.raises(st.InputError, match="negative"):
        replace(certificate, case_duals=-np.abs(certificate.case_duals) - 1).verify(instance)


@pytest.mark.parametrize("surrogate", ["relu", "identity"])
def test_the_search_and_the_definition_agree(surrogate):
    instance = draw(n=9, samples=700, m=2, seed=3)
    certificate = st.certify(instance, surrogate)
    proofs = certificate.duals, certificate.cases, certificate.case_duals, certificate.absence_dual
    found = check(instance, surrogate, certificate.reference, *proofs)
    assert found.balance_occupancy == pytest.approx(certificate.balance_occupancy, abs=1e-12)
    assert found.occupancy == pytest.approx(certificate.occupancy, abs=1e-9)
    assert found.wrong_share == pytest.approx(certificate.wrong_share, abs=1e-12)
    assert found.absence == pytest.approx(certificate.absence, rel=1e-12)
    assert found.absorbs is certificate.absorbs
    assert certificate.verify(instance)


def test_a_certificate_that_claims_too_much_is_found_out():
    instance = draw()
    certificate = st.certify(instance)
    assert certificate.recurrent
    more = replace(certificate, occupancy=certificate.occupancy + 1e-9)
    alone = replace(certificate, balance_occupancy=certificate.balance_occupancy + 1e-9)
    less = replace(certificate, wrong_share=certificate.wrong_share - 1e-9)
    other = replace(certificate, absorbs=True)
    shorter = replace(certificate, absence=certificate.absence - 1e-9)
    unproved = replace(certificate, absence_dual=np.zeros((2, instance.n)))
    forgeries = more, alone, less, other, shorter, unproved
    assert not any(forged.verify(instance) for forged in forgeries)
    for name in ("duals", "absence_dual"):
        with pytest.raises(st.InputError, match="negative"):
            replace(certificate, **{name: -getattr(certificate, name)}).verify(instance)
    with pytest.raises(st.InputError, match="other data"):
        certificate.verify(draw(seed=1))


def test_any_dual_vector_proves_something():
    """Weak duality: any λ ≥ 0 proves a bound below the optimum."""
    instance = draw()
    occupancy, wrong = whole_program(instance)
    generator, none = np.random.default_rng(0), (np.empty((0, 6), np.int8), np.empty((0, 6)))
    for _ in range(20):
        duals = generator.exponential(3.0, (7, 6))
        found = check(instance, "relu", instance.teacher, duals, *none, np.zeros((2, 6)))
        assert found.balance_occupancy <= occupancy
        assert (found.wrong_share >= wrong).all()
        assert np.isinf(found.absence).all()


def test_without_a_teacher_the_best_state_is_the_reference():
    drawn = draw()
    instance = st.Instance(drawn.inputs, drawn.labels, drawn.readout)
    certificate = st.certify(instance)
    assert np.array_equal(certificate.reference, st.landscape(instance).reference)
    assert certificate.verify(instance)


def test_threads_change_nothing():
    instance = draw(n=7, samples=300)
    one, two = (st.certify(instance, threads=threads) for threads in (1, 2))
    assert one.to_dict() == two.to_dict()


def test_a_surrogate_that_is_not_registered(tmp_path):
    """The certificate knows its window, so it can be verified in another process (W13)."""
    wide = st.Surrogate("never_registered", window=(-1, None))
    certificate = st.certify(draw(), wide)
    certificate.save(tmp_path / "proof.json")
    again = st.Certificate.load(tmp_path / "proof.json")
    assert again.to_dict() == certificate.to_dict()
    assert again.verify(draw())
    assert not replace(again, window=(0.0, 1.0)).verify(draw())


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.update(version=1),
        lambda facts: facts.pop("duals"),
        lambda facts: facts.update(occupancy=7),
        lambda facts: facts.update(wrong_share=[-1.0] * 6),
        lambda facts: facts.update(absence=[-1, 0]),
        lambda facts: facts["absence_dual"].pop(),
        lambda facts: facts["cases"].pop(),
        lambda facts: facts.update(cases=[[2] * 6] * len(facts["cases"])),
    ],
)
def test_other_facts_are_refused(tmp_path, change):
    facts = st.certify(draw()).to_dict()
    change(facts)
    for text in (json.dumps(facts).encode(), b"\xff\xfe", b"[" * 100_000, b"null"):
        (tmp_path / "proof.json").write_bytes(text)
        with pytest.raises(st.StoreError):
            st.Certificate.load(tmp_path / "proof.json")


def test_what_cannot_be_certified():
    with pytest.raises(st.InputError, match="24"):
        st.certify(draw(n=25, samples=50))
    with pytest.raises(st.InputError, match="smooth"):
        st.certify(draw(), "sigmoid")
    with pytest.raises(st.InputError):
        st.certify("instance")


def mass_at_home(orbit, schedule):
    """Return the share of the mass that the iterates spend at the teacher, from the recorded flips."""
    rates = schedule.at(np.arange(orbit.steps))
    distance = orbit.distance(np.arange(orbit.steps))
    return float(rates[distance == 0].sum() / rates.sum())


def finite_term(certificate, orbit, instance, schedule):
    """Return by how much a finite run may lie below the bound (docs/science, 13)."""
    largest = np.abs(pushes(instance)[1]).max()
    rates = schedule.at(np.arange(orbit.steps)) / instance.readout_norm2
    slack = (np.abs(orbit.start_latent) + rates.max() * largest) / rates.sum()
    return float(certificate.duals[0] @ slack)


@pytest.mark.parametrize("schedule", [st.Constant(2.0), st.Power(0.5, 0.5)])
def test_no_run_is_below_the_bound_by_more_than_the_finite_term(schedule):
    instance = draw(n=6, samples=300, seed=5)
    certificate = st.certify(instance)
    assert certificate.recurrent
    for start in range(4):
        orbit = st.train(instance, 5_000, schedule, init=start)
        found = mass_at_home(orbit, schedule)
        assert found >= certificate.balance_occupancy - finite_term(certificate, orbit, instance, schedule)
