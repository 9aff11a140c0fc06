"""Horizons of time averages, in steps: the defaults, and the choice of one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sterling.base.checks import real, shown
from sterling.errors import InputError

#: Defaults; infinity is the average over all steps since the start.
HORIZONS = (16.0, 64.0, 256.0, 1024.0, math.inf)
#: The default horizon is the one nearest to the steps so far divided by this.
SETTLED = 16


def checked(horizons: Any) -> tuple[float, ...]:
    """Return horizons in ascending order."""
    given = list(horizons) if isinstance(horizons, Iterable) else []
    values = {h if h == math.inf else real(h, "a horizon", least=1) for h in given}
    if not values or len(values) != len(given):
        raise InputError(f"horizons is {shown(horizons)}; give at least one number of steps, each once")
    return tuple(sorted(values))


def settled(horizons: Sequence[float], steps: int) -> float:
    """Return the finite horizon nearest to steps/`SETTLED`, by ratio; infinity if there is no other."""
    finite = [one for one in horizons if one < math.inf]
    return nearest(finite or horizons, max(1.0, steps / SETTLED))


def nearest(horizons: Sequence[float], wanted: float) -> float:
    """Return the horizon nearest to a number of steps, by ratio."""
    return min(horizons, key=lambda one: abs(math.log(one / wanted)))
