"""From the proved mass of an absence to steps, for a schedule.

An absence consists of the steps a, …, e − 1 away from w*, with w* at steps a − 1 and e. For numbers α and ω
that hold for all absences of a data set (docs/science, 13)

    Σ_{a≤t<e} η_t ≤ α η_{a−1} + ω max_{a≤t<e} η_t ,

and likewise up to any step T < e of an absence.
"""

from __future__ import annotations

import math

import numpy as np

from sterling.errors import InputError
from sterling.exact.mass import STEP_LIMIT
from sterling.schedules import Schedule, Table

_ROUNDING = 1e-9  # relative, far above the errors of sums of step sizes
_SUMS = 2.0**-50  # errors of differences of a table's sums, relative to the largest sum


def longest(outward: float, overshoot: float, schedule: Schedule | None, after: int) -> int:
    """Return the largest number of steps of an absence whose first step is ``after`` or later.

    ``outward`` is α and ``overshoot`` is ω. Without a schedule the rate is any constant.
    """
    if schedule is None:
        return math.floor((outward + overshoot) * (1 + _ROUNDING))
    if not schedule.conditions().bounded:
        raise InputError("the step sizes of the schedule grow; give an exponent that is not negative")
    first = max(after, 1)
    if isinstance(schedule, Table):
        return _in_table(outward, overshoot, schedule, first)
    # Σ η_t/η_a over the first L steps does not fall with a, and η_{a−1}/η_a does not rise.
    mass = outward * schedule.at(first - 1) + overshoot * schedule.at(first)
    end = schedule.first_reach(first, mass * (1 + _ROUNDING))
    if end is None:
        raise _unbounded(first)
    return end - 1 - first


def _in_table(outward: float, overshoot: float, schedule: Table, first: int) -> int:
    """Return the bound for a table: the largest over all first steps."""
    rates, last = np.array(schedule.rates), schedule.rates[-1]
    found = longest(outward, overshoot, None, 0) if last > 0 else 0  # after the end of the list
    starts = np.arange(first, len(rates))
    starts = starts[rates[starts - 1] > 0]  # no weight turns after a step of size zero
    if not starts.size:
        return found
    later = np.maximum.accumulate(rates[::-1])[::-1][starts]
    mass = (outward * rates[starts - 1] + overshoot * later) * (1 + _ROUNDING)
    sums = schedule._kernel_arguments()[3][: len(rates) + 1]
    targets = sums[starts] + mass + _SUMS * (sums[-1] + mass.max())
    ends = np.searchsorted(sums, targets, side="right").astype(np.float64)
    beyond = ends > len(rates)
    with np.errstate(divide="ignore", over="ignore"):
        ends[beyond] = len(rates) + 1 + np.floor((targets[beyond] - sums[-1]) / last)
    if ends.max() > STEP_LIMIT:
        raise _unbounded(int(starts[ends.argmax()]))
    return max(found, int((ends - 1 - starts).max()))


def _unbounded(start: int) -> InputError:
    return InputError(
        f"no bound is proved: the step sizes from step {start} on sum to less than the mass that an absence "
        "may take; give a schedule of infinite sum"
    )
