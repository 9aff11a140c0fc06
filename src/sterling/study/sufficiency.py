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
    mixed, never, always, jumps = [], [], [], []
    for n in dimensions:
        one = counts.where(counts.n == n)
        if not one.successes.any():
            never.append(f"{n:g}")
        elif (one.successes == one.trials).all():
            always.append(f"{n:g}")
        elif overlaps(one):
            mixed.append(f"{n:g}")
        else:
            jumps.append(f"{n:g}")
    if len(mixed) < 2:
        reasons = []
        if never:
            reasons.append(f"no success at n = {', '.join(never)} (take larger samples)")
        if always:
            reasons.append(f"no failure at n = {', '.join(always)} (take smaller samples)")
        if jumps:
            reasons.append(
                f"a jump from failure to success at n = {', '.join(jumps)} (take samples in between)"
            )
        raise FitError("fewer than two dimensions have successes and failures that overlap: "
                       + "; ".join(reasons))  # fmt: skip
    guess = Model(np.column_stack([np.ones(len(counts.n)), np.log(counts.n)]), np.ones((len(counts.n), 1)),
                  np.zeros(len(counts.n)))  # fmt: skip
    start = first_guess(counts, guess)
    if start[-1] <= math.log(0.0501):
        raise FitError(
            "success does not become more frequent as the samples grow: there is no threshold here"
        )
