"""Predictions without a run, for a `Problem` or for one data set, an `Instance`; see docs/science, 3 to 8.

Every function has the attributes ``kind`` (one of `KINDS`), ``source`` and ``checked``, the range in which
it was compared with runs. `population.py` is about the infinite sample, `recurrence.py` (with `response.py`
and `shares.py`) about one data set, `laws.py` (with `typical.py` and `slopes.py`) about the
typical one. `chatter.py` (with `box.py`) is about weights that keep each other wrong, `threshold.py` about
damping, `ladder.py` about the limits of every method.
"""

from __future__ import annotations

from sterling.theory.chatter import (
    Chatter,
    approach,
    chatter,
    chatter_mean,
    samples_for_average,
    samples_for_iterate,
)
from sterling.theory.labels import FUNCTIONS, KINDS
from sterling.theory.ladder import (
    samples_for_hebb,
    samples_for_information,
    samples_for_least_squares,
    samples_for_messages,
    state_evolution,
)
from sterling.theory.laws import (
    expected_deviation,
    expected_occupancy,
    expected_wrong,
    samples_for_occupancy,
    samples_proved,
)
from sterling.theory.population import population_coefficients, population_gradient, signal
from sterling.theory.recurrence import Balance, balance, drift, neighbours, occupancy, wrong_share
from sterling.theory.threshold import expected_absorbed, expected_last, expected_traps, samples_for_last
from sterling.theory.typical import drift_variance

__all__ = [
    "FUNCTIONS",
    "KINDS",
    "Balance",
    "Chatter",
    "approach",
    "balance",
    "chatter",
    "chatter_mean",
    "drift",
    "drift_variance",
    "expected_absorbed",
    "expected_deviation",
    "expected_last",
    "expected_occupancy",
    "expected_traps",
    "expected_wrong",
    "neighbours",
    "occupancy",
    "population_coefficients",
    "population_gradient",
    "samples_for_average",
    "samples_for_hebb",
    "samples_for_information",
    "samples_for_iterate",
    "samples_for_last",
    "samples_for_least_squares",
    "samples_for_messages",
    "samples_for_occupancy",
    "samples_proved",
    "signal",
    "state_evolution",
    "wrong_share",
]
