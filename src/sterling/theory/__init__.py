"""Predictions without a run, for a `Problem` or for one data set, an `Instance`; see docs/science, 3 to 8.

Every function carries ``kind`` (one of `KINDS`), ``source`` and ``checked``, the range in which it was
compared with runs, for tables and reports: an exact statement has a proof in its docstring or in the source,
a mean-field one is a heuristic that simulation supports (`benchmarks/papers/prediction.py` measures how well)
and no theorem.

`population.py` holds the infinite sample, `recurrence.py` (with `response.py` and `shares.py`) one data set,
`laws.py` (with `typical.py`, `clusters.py` and `slopes.py`) the case of no data yet; `numbers.py` reads what
these need of a problem, `quadrature.py` has their nodes. `chatter.py` (with `box.py`) is about weights that
keep each other wrong, `ladder.py` about what is possible at all.
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
    "expected_deviation",
    "expected_occupancy",
    "expected_wrong",
    "neighbours",
    "occupancy",
    "population_coefficients",
    "population_gradient",
    "samples_for_average",
    "samples_for_hebb",
    "samples_for_information",
    "samples_for_iterate",
    "samples_for_least_squares",
    "samples_for_messages",
    "samples_for_occupancy",
    "samples_proved",
    "signal",
    "state_evolution",
    "wrong_share",
]
