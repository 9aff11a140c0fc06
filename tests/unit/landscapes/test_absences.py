"""The bound on absences: it is that of the whole linear program, and no run breaks it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import linprog

import sterling as st
from tests.unit.landscapes.test_certificate import draw, pushes


def whole_program(instance, surrogate="relu"):
    """Return the least bound by one program over all states and all ways to cap their pulls; or None."""
    n, (wrong, table) = instance.n, pushes(instance, surrogate)
    table = np.where(wrong, table, np.maximum(table, 0))
    capped = (np.arange(1 << n)[:, None] >> np.arange(n)) & 1
    pairs = [(state, cap) for state in range(1, 1 << n) for cap in range(1 << n) if cap & ~state == 0]
    cuts = [np.append(table[state] * (1 - capped[cap]), -capped[cap]) for state, cap in pairs]
    found = linprog(np.append(table[0], np.ones(n)), A_ub=np.array(cuts), b_ub=-np.ones(len(cuts)))
    return found.fun if found.status == 0 else None


def absences(orbit):
    """Return the first steps and the lengths of all absences that ended within the run."""
    home = np.append(orbit.distance(np.arange(orbit.steps)) == 0, False)
    turns = np.flatnonzero(home[1:] != home[:-1]) + 1
    begins, ends = turns[~home[turns]], turns[home[turns]]
    ends = ends[ends > begins[0]] if begins.size else ends[:0]
    return begins[: len(ends)], ends - begins[: len(ends)]


@pytest.mark.parametrize(
    ("options", "surrogate"),
    [
        *(({"n": n, "samples": 60 * n, "seed": n}, "relu") for n in (1, 3, 5)),
        *(({"samples": 200, "seed": seed}, "relu") for seed in range(3)),  # nothing is proved for seed 1
        ({"n": 5, "samples": 300, "m": 3, "seed": 4}, "relu"),
        ({"n": 6, "samples": 300, "seed": 2}, "identity"),
        ({"n": 6, "samples": 600, "noise": 1.0, "seed": 3}, "hard_tanh"),
        ({"n": 4, "samples": 40, "noise": 2.0}, "clipped_relu"),
    ],
)
def test_the_bound_is_that_of_the_whole_program(options, surrogate):
    instance = draw(**options)
    certificate = st.certify(instance, surrogate)
    least = whole_program(instance, surrogate)
    if certificate.absorbs:
        assert certificate.longest_absence() == 0
    elif least is None:
        assert certificate.longest_absence() is None
        assert certificate.balance_occupancy == 0
    else:
        assert certificate.absence.sum() == pytest.approx(least, rel=1e-5)
        assert certificate.absence.sum() >= least  # a proof is never sharper than the truth
        assert certificate.longest_absence() == int(certificate.absence.sum() + 1e-6)
    assert certificate.verify(instance)


SCHEDULES = (
    st.Constant(0.1),
    st.Constant(5.0),
    st.Power(0.5, 0.5),
    st.Power(3.0, 1.0),
)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=range(len(SCHEDULES)))
def test_no_run_is_away_for_longer(schedule):
    """Exact, so no false alarm: two surrogates, 3 starts. Some runs come near the bound."""
    for seed, surrogate in ((0, "relu"), (5, "identity")):
        instance = draw(n=5, samples=60, seed=seed)
        certificate = st.certify(instance, surrogate)
        assert certificate.longest_absence() is not None
        for start in range(3):
            orbit = st.train(instance, 5_000, schedule, surrogate=surrogate, init=start)
            begins, lengths = absences(orbit)
            for after in (0, 1, 7, 50, 99, 100, 1000):
                longest = lengths[begins >= after].max(initial=0)
                assert longest <= certificate.longest_absence(schedule, after)
            rates = schedule.at(np.arange(orbit.steps))
            away, most = certificate.absence
            for begin, length in zip(begins.tolist(), lengths.tolist(), strict=True):
                inside = rates[begin : begin + length]
                assert inside.sum() <= (away * rates[begin - 1] + most * inside.max()) * (1 + 1e-9)


def test_steps_for_schedules():
    certificate = st.certify(draw())
    always = certificate.longest_absence()
    assert certificate.longest_absence(st.Constant(0.3), after=5) == always
    falling = [certificate.longest_absence(st.Power(1, 0.7), after) for after in (0, 3, 30, 10**4, 10**9)]
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > falling[-1] == always
    assert falling[:1] == [certificate.longest_absence(st.Power(1, 0.7), 1)]
    for schedule in (st.Power(0.1, -0.5), st.Table([0.3]), "constant:0.1"):
        with pytest.raises(st.InputError, match="do not grow"):
            certificate.longest_absence(schedule)
    with pytest.raises(st.InputError, match="infinite sum"):
        certificate.longest_absence(st.Power(1, 2))
    with pytest.raises(st.InputError, match="after"):
        certificate.longest_absence(after=-1)
    # From a late step on, even this finite sum exceeds the mass that an absence may take.
    assert certificate.longest_absence(st.Power(1, 2), after=1000) >= certificate.longest_absence()
