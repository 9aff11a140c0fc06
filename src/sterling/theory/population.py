"""The infinite sample: the mean of the STE gradient for Gaussian inputs.

Let w and w* be unit vectors with correlation c = w·w*, s = √(1 − c²), and let the rows z of an input be
independent standard Gaussian vectors. In E G(w) = E Σ_l v_l (H(z_l·w) − H(z_l·w*)) Σ_j v_j μ′(z_j·w) z_j the
terms with l ≠ j vanish, since H(z_l·w) − H(z_l·w*) has mean 1/2 − 1/2 and is independent of row j. There
remains ‖v‖² E (H(z·w) − H(z·w*)) μ′(z·w) z of one row. Write a = z·w and z·w* = ca + sb, where b = z·e with
e = (w* − cw)/s is standard Gaussian and independent of a. Given a, H(ca + sb) has mean Φ(ca/s) and
b·H(ca + sb) has mean φ(ca/s), so the row's mean is A·w − sβ·e with

    A = E a μ′(a) (H(a) − Φ(ca/s)) = ∫₀^∞ (μ′(a) + μ′(−a)) a φ(a) Φ(−ca/s) da
    β = E μ′(a) φ(ca/s)/s          = φ(0) ∫₀^∞ (μ′(st) + μ′(−st)) φ(t) dt        (φ(a)φ(ca/s) = φ(0)φ(a/s))

    E G(w) = ‖v‖² (α w − β w*),   α = A + cβ.

For a window μ′ = 1 on (−g, h) both integrals are elementary. With the sum over the two ends x ∈ {g, h}

    α = Σ_x [φ(0)/2 − φ(x) Φ(−cx/s)],   β = φ(0) Σ_x [Φ(x/s) − 1/2],

each of which is 1/(2√(2π)) at (0, ∞), the ReLU, and twice that at (−∞, ∞), the identity: Yin et al. 2019.
"""

from __future__ import annotations

import math

import numpy as np

from sterling.base.arrays import check_signs
from sterling.base.checks import real
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.problem import Problem
from sterling.model.signal import coefficients, pull_of, signal_of
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.labels import labelled
from sterling.theory.numbers import Numbers, numbers_of

_DERIVED = "sterling.theory.population, after Yin et al. 2019, arXiv 1903.05662"


@labelled("exact", _DERIVED)
def population_coefficients(correlation: float, surrogate: str | Surrogate = "relu") -> tuple[float, float]:
    """Return α and β in E G(w) = ‖v‖² (α w − β w*), for Gaussian inputs and w·w* = correlation.

    A surrogate with a window has a closed form. For a smooth one the function uses quadrature, with an error
    below 10⁻¹⁰.

    Parameters
    ----------
    correlation : float
        w·w*, from −1 to 1: if d of n weights are wrong, it is 1 − 2d/n.

    Returns
    -------
    (float, float)
        α and β.

    Examples
    --------
    >>> alpha, beta = population_coefficients(0.5)
    >>> round(alpha, 4), round(beta, 4)
    (0.1995, 0.1995)
    """
    return coefficients(real(correlation, "correlation", -1, 1), get_surrogate(surrogate))


@labelled("exact", _DERIVED)
def population_gradient(
    of: Problem | Instance, signs, *, teacher=None, surrogate: str | Surrogate = "relu"
) -> np.ndarray:
    """Return E G(w) at w = signs/√n for Gaussian inputs.

    Label noise has mean zero and is independent of the inputs, so it does not appear. For ReLU and identity
    the mean is a multiple of w − w*, as Yin et al. proved; other surrogates add a part along w alone.

    Parameters
    ----------
    signs : array (n,) of −1 and +1
        The state.
    teacher : array (n,) of −1 and +1, optional
        Signs of w*; by default those of the instance.

    Returns
    -------
    float64 (n,)
        The expected gradient.

    Examples
    --------
    >>> problem = Problem(n=4, samples=100)
    >>> population_gradient(problem, [1, -1, 1, 1], teacher=[1, 1, 1, 1]).round(4)
    array([ 0.    , -0.1995,  0.    ,  0.    ])
    """
    numbers = numbers_of(of, surrogate)
    if teacher is None:
        teacher = of.teacher if isinstance(of, Instance) else None
        if teacher is None:
            raise InputError("the teacher is unknown: give teacher=…, the signs of w*")
    b, t = check_signs(signs, numbers.n, "signs"), check_signs(teacher, numbers.n, "teacher")
    distance = int(np.count_nonzero(b != t))
    alpha, beta = population_coefficients(1 - 2 * distance / numbers.n, numbers.surrogate)
    return _scale(numbers) * (alpha * b - beta * t)


def profile(numbers: Numbers) -> np.ndarray:
    """Return b*_k E G_k at Hamming distance d of w*, float64 (2, n + 1): row 0 right k, row 1 wrong k.

    Positive values push away from w*_k. The formula also fills the impossible pairs: wrong k at d = 0, right
    k at d = n.
    """
    n, scale = numbers.n, _scale(numbers)
    pairs = [population_coefficients(1 - 2 * d / n, numbers.surrogate) for d in range(n + 1)]
    return np.array([[scale * (alpha - beta) for alpha, beta in pairs],
                     [scale * (-alpha - beta) for alpha, beta in pairs]])  # fmt: skip


@labelled("exact", "docs/science, 4")
def signal(of: Problem | Instance, *, surrogate: str | Surrogate = "relu") -> float:
    """Return S, the mean pull on one wrong coordinate while all others are right.

    S is the unit of damping, bands and thresholds. For Gaussian inputs and two levels S = ‖v‖² (α + β)/√n at
    w·w* = 1 − 2/n: ‖v‖²/√(2πn) for ReLU, twice that for the identity. For an instance with other inputs or
    more levels, and for users' data, S is the mean over k of b_k G_k at the teacher with weight k turned, or
    one level off; without a teacher, which nobody can turn, the Gaussian formula stays. More levels subtract
    the gradient at the teacher.

    Returns
    -------
    float
        S, in units of a gradient entry; for an instance the number that its runs use.

    Examples
    --------
    >>> round(signal(Problem(n=64, samples=4096)), 5)
    0.04987
    >>> round(signal(Problem(n=64, samples=4096, inputs="rademacher").draw(seed=0)), 4)
    0.0482
    """
    if isinstance(of, Instance):
        return signal_of(of, get_surrogate(surrogate))
    return pull(numbers_of(of, surrogate))


def pull(numbers: Numbers) -> float:
    """Return S."""
    return pull_of(numbers.n, numbers.norm2, numbers.surrogate)


def _scale(numbers: Numbers) -> float:
    return numbers.norm2 / math.sqrt(numbers.n)
