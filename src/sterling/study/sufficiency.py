"""Whether counts can carry a fit at all; where they cannot, the reason and what would help."""

from __future__ import annotations

import math

import numpy as np

from sterling.errors import SterlingError
from sterling.study.likelihood import Counts, Model, first_guess


class FitError(SterlingError):
    """The data cannot carry the fit; the message says why and what would help."""


def overlaps(counts: Counts) -> bool:
    """Whether, at one n, failures are seen at a sample size as large as one with successes.

    Without that a jump between two sample sizes explains everything, and the slope has no bound.
    """
    failed = counts.samples[counts.successes < counts.trials]
    passed = counts.samples[counts.successes > 0]
    return failed.size > 0 and passed.size > 0 and len(counts.n) > 1 and failed.max() >= passed.min()


def require_information(counts: Counts) -> None:
    """Raise FitError, with the reason and a remedy, if no exponent can come out of these counts."""
    dimensions = np.unique(counts.n)
    if len(counts.n) == 0:
        raise FitError("there are no trials: run the study first")
    if len(dimensions) < 2:
        raise FitError(f"all trials have n = {dimensions[0]:g}: an exponent needs at least two dimensions")
    if dimensions[0] < 1:
        raise FitError("dimensions must be at least 1")
    obstacles: dict[str, list[str]] = {}
    for n in dimensions:
        obstacles.setdefault(_obstacle(counts.where(counts.n == n)), []).append(f"{n:g}")
    if len(obstacles.pop("", [])) < 2:
        reasons = [text.format(", ".join(places)) for text, places in obstacles.items()]
        raise FitError(
            f"fewer than two dimensions have successes and failures that overlap: {'; '.join(reasons)}"
        )
    ones = np.ones((len(counts.n), 1))
    line = Model(np.column_stack([ones, np.log(counts.n)]), ones, np.zeros(len(counts.n)))
    start = first_guess(counts, line)
    if start[-1] <= math.log(0.0501):
        raise FitError(
            "success does not become more frequent as the samples grow: there is no threshold here"
        )


def _obstacle(one: Counts) -> str:
    """Say why the counts of one dimension tell no threshold; empty if they do."""
    if not one.successes.any():
        return "no success at n = {} (take larger samples)"
    if (one.successes == one.trials).all():
        return "no failure at n = {} (take smaller samples)"
    return "" if overlaps(one) else "a jump from failure to success at n = {} (take samples in between)"
