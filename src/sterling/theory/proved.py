"""Samples that are proved to suffice, with explicit constants: the theorem of docs/science, 13.

One number of the gradient, (G(w) − E G(w))·y with ‖y‖ = 1, exceeds √(2VL/N) + cL/N with probability e^−L at
most: Bernstein's inequality for variables with E X² ≤ V and E|X|^q ≤ (q!/2) V c^(q−2). Unions over all states
give the bounds of the theorem.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from sterling.base.checks import choice, real
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.problem import Problem
from sterling.surrogates import Surrogate
from sterling.theory.labels import labelled
from sterling.theory.numbers import Numbers, numbers_of
from sterling.theory.population import pull

CLAIMS = ("ergodic", "recurrent")

_MOST_WEIGHTS = 10**5
_HALVINGS = 40  # of the interval that holds the smallest sample size, on a logarithmic scale
_ROUNDING = 1e-9  # relative, far above the errors of this computation


class Tail(NamedTuple):
    """Moments of the contribution of a sample: E X² ≤ V and E|X|^q ≤ (q!/2) V c^(q−2)."""

    variance: float
    scale: float

    def deviation(self, log: np.ndarray, samples: float) -> np.ndarray:
        """Return √(2VL/N) + cL/N for L = ``log``."""
        each = log / samples
        return np.sqrt(2 * self.variance * each) + self.scale * each

    def samples(self, log: np.ndarray, deviation: np.ndarray) -> np.ndarray:
        """Return the N at which √(2VL/N) + cL/N is a given deviation."""
        root = math.sqrt(2 * self.variance)
        each = 2 * deviation / (root + np.sqrt(root**2 + 4 * self.scale * deviation))
        return log / each**2


def tail(numbers: Numbers, reach: float) -> Tail:
    """Return V and c of X = r Σ_j v_j μ′(z_j·w) z_j·y, for |w·y| and |w*·y| of at most ``reach``."""
    relu = numbers.surrogate.name == "relu"
    if not relu and numbers.surrogate.name != "identity":
        raise InputError(
            f"the theorem is about ReLU and the identity, and the surrogate is {numbers.surrogate.name!r}"
        )
    m, norm2, rho2 = numbers.m, numbers.norm2, numbers.norm2 + numbers.sigma**2
    if m == 1:
        return Tail(norm2 * rho2 * (0.5 if relu else 1.0), math.sqrt(norm2 * rho2))
    if relu:
        omega2 = norm2 * (1 + reach * math.sqrt(m)) ** 2
        return Tail(0.5 * omega2 * rho2, 5.0 * math.sqrt(omega2 * rho2))
    return Tail(norm2 * rho2 * (1 + 4 * reach**2 / math.pi), 3.5 * math.sqrt(norm2 * rho2))


@labelled("exact", "docs/science, 13: from a sample size alone")
def samples_for_proof(
    of: Problem | Instance,
    *,
    claim: str = "ergodic",
    confidence: float = 0.95,
    surrogate: str | Surrogate = "relu",
) -> float:
    """Return a sample size from which a claim of the paper is proved, with all constants.

    For independent standard Gaussian inputs and Gaussian label noise. With at least this number of samples
    the claim holds for a share ``confidence`` of the data sets at least, there for every start and every
    bounded schedule of infinite sum. It is a guarantee, not an estimate: runs need far fewer samples, see
    `samples_for_average` and `samples_for_occupancy`.

    Parameters
    ----------
    claim : "ergodic" or "recurrent"
        In the long run the sign of the time average is w*; or the iterates visit w* infinitely often. Label
        noise is allowed in both.
    confidence : float
        Probability over data sets, strictly between 0 and 1.
    surrogate : str or Surrogate
        "relu" or "identity".

    Returns
    -------
    float
        Number of samples N. It grows like (n^2.5 ln n)^(2/3) for "ergodic" and like n³ for "recurrent".

    Examples
    --------
    >>> problem = Problem(n=64, samples=1)
    >>> round(samples_for_proof(problem)), round(samples_for_proof(problem, claim="recurrent"))
    (50875, 946234)
    """
    numbers = numbers_of(of, surrogate)
    delta = 1 - real(confidence, "confidence", above=0, below=1)
    if numbers.n > _MOST_WEIGHTS:
        raise InputError(f"n is {numbers.n}; the theorem is evaluated for n up to {_MOST_WEIGHTS:,}")
    found = _average if choice(claim, "claim", CLAIMS) == "ergodic" else _visits
    return float(found(numbers, delta)) * (1 + _ROUNDING)


def _visits(numbers: Numbers, delta: float) -> float:
    """Return the N from which Σ_k B′_k(D) < 0 for all D ≠ ∅, by the theorem, part (b)."""
    n = numbers.n
    size = np.arange(1, n + 1)  # of D and A together
    logs = _subsets(n)[1:] + np.log(size) + math.log(n * (n + 1) / (2 * delta))
    return tail(numbers, 1.0).samples(logs, pull(numbers) / np.sqrt(size)).max()


def _average(numbers: Numbers, delta: float) -> float:
    """Return the N from which a dual vector proves every wrong share below ½, by the theorem, part (a)."""
    n, strength = numbers.n, pull(numbers)
    wrong = np.arange(n + 1)
    each = _subsets(n) + math.log(2 * (n + 1) / delta)
    single, all_of_them = tail(numbers, 1 / math.sqrt(n)), tail(numbers, 1.0)
    outward = each + (n - wrong) * math.log(2)

    def proves(samples: float) -> bool:
        own = 0.5 - single.deviation(each + math.log(n), samples) / strength
        rest = math.sqrt(n) * all_of_them.deviation(outward, samples) - strength * wrong
        # b·rest < own for some b ≥ 0, at every number of wrong weights
        pushed = rest > 0
        if (own[pushed] <= 0).any() or (own[rest == 0] <= 0).any():
            return False
        most = (own[pushed] / rest[pushed]).min(initial=math.inf)
        return bool((own[~pushed] / rest[~pushed]).max(initial=0.0, where=rest[~pushed] < 0) < most)

    low = high = 1.0
    while not proves(high):
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if proves(middle) else (middle, high)
    return high


def _subsets(n: int) -> np.ndarray:
    """Return ln C(n, d) for d = 0 … n."""
    from scipy.special import gammaln

    d = np.arange(n + 1)
    return gammaln(n + 1) - gammaln(d + 1) - gammaln(n - d + 1)
