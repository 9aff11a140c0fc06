"""Whether a run chatters: a stationary share of wrong weights, different ones at each moment.

A run that is neither absorbed nor back at its reference is either on its way (it wanders) or in the
stationary state of `theory/chatter.py`, where it stays for a time that grows exponentially with n. The rule
below tells the two apart from counts alone.

**The rule.** Over the last part of the run, half of it to three quarters (`VisitCounts.late`), (1) the mean
number of wrong weights in the later half is within 10 % of that in the earlier half, and so are both ends of
the 95 % interval of their ratio (twice as wide if even the longest batches are correlated); (2) at least
one weight is wrong on average, with the lower end of the interval; (3) at least 1.5 times as many weights
flip twice or more as are wrong at a time, so the wrong ones are not always the same; (4) a weight stays
wrong for less than a tenth of the time looked at, on average. If any part fails, the run
counts as wandering, and so does a run whose visits were not counted.

**How often it errs.** A series whose mean changes by a tenth from one half to the other is said to chatter in
at most 1.3 % of the cases where neighbouring batches are correlated up to 0.6, in up to 3.7 % at 0.8 (1,000
simulated series in each case, 24 to 100 batches). Of 204 runs at a constant rate that were not absorbed (n =
128, 256, 512, N/n = 3 and 4.5 for the identity and twice that for ReLU, σ = 0 and 0.5; 32 batches) it named
190 after 500 steps and all 204 after 2,500. With decaying step sizes the share keeps growing slowly, by less
than a tenth: 13 of 69 such runs were named after 200 steps, 65 after 1,000 and all after 5,000.
"""

from __future__ import annotations

import numpy as np

from sterling.returns.batch_means import interval, ratio_of_halves

#: Largest relative change of the number of wrong weights that counts as none.
TOLERANCE = 0.1
#: Wrong weights below which nothing is said to chatter.
FEWEST_WRONG = 1.0
#: Weights that flip, in units of the wrong ones.
FEWEST_MOVING = 1.5
#: Times that the wrong weights must have been replaced by others.
FEWEST_TURNS = 10.0

_BATCHES = 24  # below it the halves of uncorrelated series are too often taken for correlated


def chatters(wrong: np.ndarray, flips: np.ndarray, length: int) -> bool:
    """Return whether a run chatters, by its last part.

    ``wrong`` is the mean number of wrong weights in each batch, ``flips`` the number of flips of each weight,
    ``length`` the steps of a batch. Source: Geyer 1992 for batch means; the rule is ours.

    >>> rng = np.random.default_rng(0)
    >>> chatters(20 + rng.standard_normal(24), rng.poisson(300, 256), length=1000)
    True
    >>> chatters(np.linspace(30, 20, 24), rng.poisson(300, 256), length=1000)
    False
    """
    if len(wrong) < _BATCHES:
        return False
    known, change, level = interval(wrong, length), ratio_of_halves(wrong, length), float(wrong.mean())
    if known is None or change is None or known.low < FEWEST_WRONG:
        return False
    wider = 2 if change.correlated else 1
    low, high = (change.value + wider * (end - change.value) for end in (change.low, change.high))
    moving = np.count_nonzero(flips >= 2)
    turns = flips.sum() / 2 / level  # a weight that turns wrong flips once, and once more when it turns right
    steady = low >= 1 - TOLERANCE and high <= 1 + TOLERANCE
    return bool(steady and moving >= FEWEST_MOVING * level and turns >= FEWEST_TURNS)
