"""Coverage of the batch-means intervals, on series whose truth is known.

Seeds are fixed. The bounds leave each test a false-alarm rate of 10⁻⁴ (exact binomial), had it been run with
a fresh seed.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import sterling as st
from sterling.returns.batch_means import LEVEL, coarsen, interval, ratio_of_halves

ALARM = 1e-4
TRIALS = 400
BATCHES, SKIPPED = 64, 16


def renewals(rng, steps, stay, away):
    """Return whether a series is at home at each step: geometric stays and absences, so it is stationary."""
    count = int(2 * steps / (stay + away)) + 60
    lengths = np.empty(2 * count, int)
    lengths[0::2], lengths[1::2] = rng.geometric(1 / stay, count), rng.geometric(1 / away, count)
    return np.repeat(np.tile([True, False], count), lengths)[:steps]


@pytest.fixture(scope="module", params=[(2**13, 8, 12), (2**15, 60, 30), (2**15, 2, 40)], ids=str)
def trials(request):
    """What the estimators say of each series, as `sterling.returns.recurrence` calls them."""
    steps, stay, away = request.param
    rng = np.random.default_rng([2024, *request.param])
    said = []
    for _ in range(TRIALS):
        home = renewals(rng, steps, stay, away)
        arrivals = np.diff(home, prepend=False) & home
        shape = BATCHES, steps // BATCHES
        occupancy, visits = (x.reshape(shape).mean(axis=1)[SKIPPED:] for x in (home, arrivals))
        means, length = coarsen(occupancy, shape[1], 10 / visits.mean())
        rates, _ = coarsen(visits, shape[1], 10 / visits.mean())
        said.append((interval(means, length), ratio_of_halves(rates, length)))
    return stay / (stay + away), said


def at_least(share, count):
    """Return the number of successes below which a success rate of ``share`` is refuted."""
    return stats.binom.ppf(ALARM, count, share)


def test_coverage_of_the_long_run_occupancy(trials):
    """Nominal 95 %; merging after a look at the data may cost a little, so 94 % must not be refuted."""
    truth, said = trials
    held = [estimate.low <= truth <= estimate.high for estimate, _ in said if estimate is not None]
    assert len(held) >= TRIALS * 0.9
    assert at_least(LEVEL - 0.01, len(held)) <= sum(held) < len(held)


def test_coverage_of_the_ratio_of_halves(trials):
    said = [ratio for _, ratio in trials[1] if ratio is not None]
    assert len(said) > TRIALS // 2
    held = sum(ratio.low <= 1 <= ratio.high for ratio in said)
    assert held >= at_least(LEVEL - 0.01, len(said))


def test_runs_with_decaying_step_sizes():
    """The interval of default runs against the stationary value, over 12 data sets.

    Weights arrive by mass, which such runs have little of: leaving out one quarter and allowing for no
    arrivals held in fewer than half. A coverage of 90 % must not be refuted; the false-alarm rate is 10⁻⁴.
    """
    held = []
    for seed in range(12):
        instance = st.Problem(n=32, samples=12_800, noise=0.5).draw(400 + seed)
        known = st.train(instance, 100_000, init=seed, record=("recurrence",)).recurrence().long_run
        # What is stationary depends on neither rates nor start: begin at the teacher, latents next to zero.
        early = st.train(instance, 100_000, st.Constant(0.1), init=1e-6 * instance.teacher, record=())
        whole = st.resume(early, instance, 400_000)
        truth = (whole.occupancy * 500_000 - early.occupancy * 100_000) / 400_000
        held.append(known.low <= truth <= known.high)
    assert sum(held) >= at_least(0.9, len(held))
