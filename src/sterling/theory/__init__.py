"""Predictions without a run, for a `Problem` or for one data set, an `Instance`; see docs/science, 3 to 8.

Every function has the attributes ``kind`` (one of `KINDS`), ``source`` and ``checked``, the range in which
it was compared with runs. `population.py` is about the infinite sample, `recurrence.py` (with `response.py`
and `shares.py`) about one data set, `laws.py` (with `typical.py` and `slopes.py`) about the
typical one. `chatter.py` (with `box.py`, `units.py` and `averages.py`) is about weights that keep each other
wrong, `threshold.py` about damping, `ladder.py` about the limits of every method, `proved.py` about samples
that are proved to suffice.
"""

from __future__ import annotations

from sterling.base.lazy import lazily
from sterling.theory.averages import chatter_mean as chatter_mean
from sterling.theory.chatter import Chatter as Chatter
from sterling.theory.chatter import chatter as chatter
from sterling.theory.chatter import samples_for_average as samples_for_average
from sterling.theory.chatter import samples_for_iterate as samples_for_iterate
from sterling.theory.labels import FUNCTIONS as FUNCTIONS
from sterling.theory.labels import KINDS as KINDS
from sterling.theory.ladder import samples_for_hebb as samples_for_hebb
from sterling.theory.ladder import samples_for_information as samples_for_information
from sterling.theory.ladder import samples_for_least_squares as samples_for_least_squares
from sterling.theory.ladder import samples_for_messages as samples_for_messages
from sterling.theory.laws import expected_occupancy as expected_occupancy
from sterling.theory.laws import samples_for_occupancy as samples_for_occupancy
from sterling.theory.laws import samples_proved as samples_proved
from sterling.theory.population import population_coefficients as population_coefficients
from sterling.theory.population import population_gradient as population_gradient
from sterling.theory.population import signal as signal
from sterling.theory.proved import samples_for_proof as samples_for_proof
from sterling.theory.recurrence import Balance as Balance
from sterling.theory.recurrence import balance as balance
from sterling.theory.recurrence import drift as drift
from sterling.theory.recurrence import occupancy as occupancy
from sterling.theory.recurrence import wrong_share as wrong_share
from sterling.theory.threshold import expected_absorbed as expected_absorbed
from sterling.theory.threshold import expected_last as expected_last
from sterling.theory.threshold import samples_for_last as samples_for_last

_, __dir__, __all__ = lazily(globals())  # everything is here already
