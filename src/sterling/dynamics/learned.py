"""What a run has learned, as tables: its weights under the names of their features, and what they predict.

The weights are decoded twice, by the last iterate and by the sign of the time average.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit
    from sterling.model.instance import Instance


def weights_table(orbit: Orbit, instance: Instance) -> pl.DataFrame:
    """Return a row a weight: its feature, its sign by the last iterate, by the time average and in the
    reference, and the time average itself, in units of 1/√n, so from −1 to 1.
    """
    reference = "teacher" if orbit.reference_kind == "teacher" else "best_state_seen"
    return pl.DataFrame(
        {
            "feature": instance.feature_names or [str(k) for k in range(orbit.n)],
            "last": orbit.signs,
            "average": orbit.ergodic_signs,
            reference: orbit.reference,
            "time_average": (orbit.ergodic_mean * math.sqrt(orbit.n)).round(12),  # ±1 where it never changed
        }
    )


def predictions_table(orbit: Orbit, instance: Instance) -> pl.DataFrame:
    """Return a row a sample, in the order of the data: its label, and the network's output by both."""
    return pl.DataFrame(
        {
            "sample": np.arange(instance.samples),
            "label": instance.labels,
            "last": instance.predict(orbit.signs),
            "average": instance.predict(orbit.ergodic_signs),
        }
    )


def fit_rows(orbit: Orbit, instance: Instance) -> list[tuple[str, str]]:
    """Return how well both readings fit: how many labels are right where these are whole, else the error."""
    rows = []
    for name, signs in (("last iterate", orbit.signs), ("time average", orbit.ergodic_signs)):
        off = instance.predict(signs) - instance.labels
        if np.array_equal(instance.labels, np.rint(instance.labels)):
            rows.append((f"labels right, {name}", f"{np.sum(np.abs(off) < 0.5):,} of {off.size:,}"))
        else:
            rows.append((f"mean squared error, {name}", f"{np.mean(off**2):.4g}"))
    return rows
