"""One data set: its drift at the teacher, and the share of the time in which each weight is wrong.

**The balance.** A weight that never stops flipping has a bounded latent, so its gradient averages to zero
over the run: Σ_D π(D) G_k(D) = 0, where D is the set of wrong weights and π(D) its share of the time. A
weight that rests at w*_k has Σ_D π(D) b*_k G_k(D) ≤ 0. This is exact for infinite mass. Two assumptions
make it a formula. (1) Given their number, wrong weights are independent, π(D) ∝ Π p_k Π (1 − p_k). (2) The
gradient at D is its best linear prediction from those at w* and at its n neighbours (`response.py`). Exact
gradients at a few hundred states then correct the prediction. `shares.py` solves for shares and occupancy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sterling.base.arrays import check_signs
from sterling.base.checks import choice, instance_of, integer
from sterling.base.text import Result, percent
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.levels import level_values, require_two
from sterling.surrogates import Surrogate
from sterling.theory.averages import chatter_mean
from sterling.theory.labels import labelled
from sterling.theory.numbers import numbers_of
from sterling.theory.population import profile, pull
from sterling.theory.response import Response
from sterling.theory.shares import refine, solve
from sterling.theory.slopes import mean_square_slope, mean_square_turned
from sterling.theory.typical import angle

METHODS = ("balance", "signal")

_COMPARED = "n = 4 to 128, m = 1 to 8, σ = 0.1 to 2, occupancies of 0.05 to 0.95, 10⁵ steps"
#: How well the method "signal" agreed with runs.
SIGNAL_ERRORS = (
    "the relative error of the occupancy has the median 6 to 15 % and the 90th percentile 26 to 145 %"
)
#: How well `balance` agreed with runs, and in which range.
BALANCE_CHECKED = (
    f"{_COMPARED}; ReLU, identity, clipped ReLU and hard tanh: the relative error of the occupancy has the "
    "median 0.3 to 3.4 % and the 90th percentile 2 to 43 % (at most 0.9 % and 9 % from n = 16 on)"
)
_LEVELS = (
    "3 and 4 levels, n = 32 and 48, m = 1 and 2, σ = 0.3 and 0.5, N/n = 60 to 600, mean error of a "
    "share 0.002 to 0.005; 3 to 5 levels, n = 16, σ = 0.5, occupancies of 0.35 to 0.85: within 0.06"
)
_BOTH = f"{BALANCE_CHECKED}. Method signal: {SIGNAL_ERRORS}. {_LEVELS}"

_STATES = 200  # draws for the correction by exact gradients
_FEWEST = 50  # fewer draws would add more noise than they correct
_ENTRIES = 2e9  # input entries read for the correction, at most
_STILL = 1e-4  # largest last change of a share in an iteration that has converged


@labelled("exact", "definition; docs/science, 7")
def drift(instance: Instance, *, surrogate: str | Surrogate = "relu", reference=None) -> np.ndarray:
    """Return G(w*), which moves the latents while the weights are at the teacher.

    Without label noise it is zero. Weights with b*_k G_k > 0 are pushed outwards; the gradient holds all
    others while every weight is right.

    Returns
    -------
    float64 (n,)
        The gradient at the teacher.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=4, samples=100).draw(seed=0)
    >>> bool(drift(instance).any())
    False
    """
    signs = _reference(instance, reference)  # checks the instance
    return instance.gradient(signs, surrogate)


def neighbours(instance: Instance, surrogate: Surrogate, start: np.ndarray) -> np.ndarray:
    """Return the gradients at the states with one wrong weight, float64 (n, n); row l: l flipped."""
    if not surrogate.piecewise_constant:
        flipped = start * (1 - 2 * np.eye(instance.n, dtype=np.int64))
        return np.array([instance.gradient(signs, surrogate) for signs in flipped])
    # A flip changes the coefficients of few rows; sums of integers over these rows are exact.
    low, high = surrogate._thresholds(instance.unit_squared)
    grid = instance.grid

    def coefficients(before: np.ndarray) -> np.ndarray:
        residuals = (before > 0) @ instance.residual_codes - instance.label_codes
        inside = (before >= low) & (before <= high)
        return (residuals[:, None] * instance.readout_codes * inside).ravel()

    here = instance._preactivations(start)
    coefficient = coefficients(here)
    base, total = instance._weigh_rows(coefficient), int(coefficient.sum())
    out = np.empty((instance.n, instance.n))
    for k in range(instance.n):
        column = instance.columns[k].astype(np.int64) + grid.offsets[k]
        there = here - (2 * int(start[k]) * (column << grid.shifts[k])).reshape(here.shape)
        change = coefficients(there) - coefficient
        rows = np.flatnonzero(change)
        part = change[rows] @ grid.rows[rows, : instance.n].astype(np.int64)
        sums = base + part + grid.offsets * (total + int(change[rows].sum()))
        out[k] = (sums << grid.shifts) / instance.unit
    return out


@dataclass(frozen=True, eq=False)
class Balance(Result):
    """Predictions of `balance` for a long run.

    Parameters
    ----------
    wrong_share : float64 (n,)
        Share of the iterates in which each weight is wrong.
    occupancy : float
        Share of the iterates at w*.
    states : int
        Number of distinct states, except w* and its neighbours, whose exact gradients were used.

    Examples
    --------
    >>> import sterling as st
    >>> balance(st.Problem(n=4, samples=200, noise=0.5).draw(seed=0)).to_dict()["states"]
    0
    """

    wrong_share: np.ndarray
    occupancy: float
    states: int = 0

    def _rows(self) -> list[tuple[str, str]]:
        return [
            ("occupancy", f"{self.occupancy:.3g}"),
            ("the worst weight is wrong", f"{percent(self.wrong_share.max(initial=0.0), 2)} of the steps"),
            ("corrected at", f"{self.states:,} states"),
        ]


@labelled("mean-field", "sterling.theory.recurrence", BALANCE_CHECKED)
def balance(
    instance: Instance, *, surrogate: str | Surrogate = "relu", reference=None, states: int = _STATES
) -> Balance:
    """Predict wrong shares and occupancy of a long run from gradients at w* and at states near it.

    The values are stationary: they hold once every latent that drifts outwards has reached zero. The
    derivation is at the top of `sterling.theory.recurrence`. Inputs should be nearly Gaussian; their scale
    does not matter.

    Parameters
    ----------
    states : int
        Number of states drawn for the correction by exact gradients; 0 is faster. Above N·m·n = 10⁷ fewer are
        drawn, and above 4·10⁷ none, because the prediction then needs no correction.

    Returns
    -------
    Balance
        The predicted shares, and the number of states used.

    Examples
    --------
    >>> import sterling as st
    >>> found = balance(st.Problem(n=8, samples=400, noise=0.5).draw(seed=0))
    >>> round(found.occupancy, 2)
    0.83
    """
    states = integer(states, "states", 0)
    signs = _reference(instance, reference)
    numbers = numbers_of(instance, surrogate, gaussian=False)
    chosen = numbers.surrogate
    push = signs * drift(instance, surrogate=chosen, reference=signs)
    change = signs * neighbours(instance, chosen, signs) - push
    response = Response(push, change, profile(numbers), _own_part(instance, chosen, signs))
    affordable = min(states, int(_ENTRIES / (instance.samples * instance.m * instance.n)))

    def exact(wrong: np.ndarray) -> np.ndarray:
        return signs * instance.gradient(np.where(wrong, -signs, signs), chosen)

    enough = states > 0 and affordable >= min(states, _FEWEST)
    shares, alone, moved, used = refine(response, exact, affordable) if enough else (*solve(response), 0)
    if shares.mean() > 0.5:
        raise InputError("runs do not return to this reference: most weights would be wrong most of the time")
    if not moved <= _STILL:
        raise InputError("the predicted shares do not converge on these data: take more samples")
    return Balance(shares, float(alone), used)


@labelled("mean-field", "sterling.theory.recurrence; signal: docs/science, 7", _BOTH)
def wrong_share(
    instance: Instance, *, method: str = "balance", surrogate: str | Surrogate = "relu", reference=None
) -> np.ndarray:
    """Return the predicted share of the iterates in which each weight is wrong.

    Parameters
    ----------
    method : "balance" or "signal"
        "balance" includes the effect of the other weights' flips, see `balance`. "signal" ignores it and
        takes p_k = max(0, b*_k G_k(w*))/S: one gradient is enough, but the inputs must be Gaussian with unit
        variance. With more than two levels "balance" stands for the distance of `chatter_mean` from w*_k, in
        units of the distance between levels: a weight alternates between the levels next to its average.

    Returns
    -------
    float64 (n,)
        One share for each weight, from 0 to 1.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=4, samples=100, noise=0.5).draw(seed=0)
    >>> wrong_share(instance, method="signal").round(2)
    array([0.09, 0.08, 0.  , 0.  ])
    """
    chosen = choice(method, "method", METHODS)
    instance_of(instance, Instance, "the first argument", "an Instance, such as problem.draw(0)")
    if instance.levels > 2 and chosen == "balance":
        levels = level_values(instance.levels)
        teacher = _reference(instance, reference, levels)
        gap = levels[1] - levels[0]
        return np.clip(np.abs(chatter_mean(instance, surrogate) - teacher) / gap, 0, 1)
    if chosen == "balance":
        return balance(instance, surrogate=surrogate, reference=reference).wrong_share
    signs = _reference(instance, reference)
    push = signs * drift(instance, surrogate=surrogate, reference=signs)
    return np.clip(push / pull(numbers_of(instance, surrogate)), 0, 1)


@labelled("mean-field", "sterling.theory.recurrence; signal: docs/science, 7", _BOTH)
def occupancy(
    instance: Instance, *, method: str = "balance", surrogate: str | Surrogate = "relu", reference=None
) -> float:
    """Return the predicted share of the iterates at w*.

    Parameters
    ----------
    method : "balance" or "signal"
        "signal" takes Π_k (1 − p_k), as if weights were wrong independently. "balance" also models that wrong
        weights cluster, see `balance`; with more than two levels it takes that product as well.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=8, samples=400, noise=0.5).draw(seed=0)
    >>> round(occupancy(instance), 2)
    0.83
    """
    instance_of(instance, Instance, "the first argument", "an Instance, such as problem.draw(0)")
    if choice(method, "method", METHODS) == "balance" and instance.levels == 2:
        return balance(instance, surrogate=surrogate, reference=reference).occupancy
    shares = wrong_share(instance, method=method, surrogate=surrogate, reference=reference)
    return float(np.prod(1 - shares))


def _reference(instance: Instance, reference, levels: tuple[int, ...] = (-1, 1)) -> np.ndarray:
    """Return the signs of the reference, or its levels if more than two are given, int64 (n,)."""
    instance_of(instance, Instance, "the first argument", "an Instance, such as problem.draw(0)")
    if len(levels) == 2:
        require_two(instance, "the law is")
    if reference is not None:
        return check_signs(reference, instance.n, "reference", levels).astype(np.int64)
    if instance.teacher is None:
        raise InputError("the instance has no teacher: give reference=…, such as the reference of an orbit")
    return instance.teacher.astype(np.int64)


def _own_part(instance: Instance, surrogate: Surrogate, signs: np.ndarray) -> float:
    """Return γ, the share of the turning row itself in the variance of a response."""
    # When unit l of a sample turns, the residual changes by ±v_l. The coefficient of its own row changes by
    # v_l·(μ′·v_l), or by v_l·(v_l − ξ) or v_l·ξ where μ′ jumps; that of another row j by v_l·v_j·μ′.
    noise2 = float(np.mean((instance.labels - instance.predict(signs)) ** 2))
    v2 = instance.readout**2
    left, right = (float(surrogate.derivative(x)) for x in (-1e-9, 1e-9))
    jump = (right - left) ** 2
    turned = mean_square_turned(surrogate, float(angle(instance.n, 1)))
    own = float((v2 * (v2 * turned + jump * noise2)).sum())
    others = float((v2 * (v2.sum() - v2)).sum()) * mean_square_slope(surrogate)
    return own / (own + others) if own > 0 else 0.0
