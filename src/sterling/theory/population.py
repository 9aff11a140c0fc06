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
from functools import lru_cache

import numpy as np

from sterling.base.arrays import check_signs
from sterling.base.checks import real
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.problem import Problem
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.labels import labelled
from sterling.theory.numbers import Numbers, numbers_of

_PEAK = 1 / math.sqrt(2 * math.pi)  # φ(0)
_REACH = 12.0  # end of integrals, in standard deviations; φ(12) is 2·10⁻³²
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
    c = real(correlation, "correlation", -1, 1)
    chosen = get_surrogate(surrogate)
    if chosen.window is None:
        return _by_quadrature(c, chosen)
    low, high = chosen.window
    parts = [_one_end(c, end) for end in (-low, high)]
    return sum(alpha for alpha, _ in parts), sum(beta for _, beta in parts)


def _one_end(c: float, x: float) -> tuple[float, float]:
    """Return the parts of α and β from the window (0, x), an odd function of x."""
    from scipy.special import ndtr

    if x < 0:
        alpha, beta = _one_end(c, -x)
        return -alpha, -beta
    if x == 0:
        return 0.0, 0.0
    s = math.sqrt((1 - c) * (1 + c))
    if math.isinf(x):
        return _PEAK / 2, _PEAK / 2
    ratio = x / s if s > 0 else math.inf
    inner = float(ndtr(-c * ratio))
    return _PEAK / 2 - _density(x) * inner, _PEAK * (float(ndtr(ratio)) - 0.5)


@lru_cache(maxsize=4096)
def _by_quadrature(c: float, surrogate: Surrogate) -> tuple[float, float]:
    from scipy.integrate import quad
    from scipy.special import ndtr

    slope = surrogate.derivative
    s = math.sqrt((1 - c) * (1 + c))

    def both(x: float) -> float:
        return float(slope(x) + slope(-x))

    def outer(a: float) -> float:
        share = float(ndtr(-c * a / s)) if s > 0 else float(c < 0)
        return both(a) * a * _density(a) * share

    def inner(t: float) -> float:
        return both(s * t) * _density(t)

    # Kinks of μ′ at 1, and the width s of the step in `outer`.
    cuts = sorted({min(1.0, _REACH), min(6 * s, _REACH)})
    a = sum(
        quad(outer, low, high, epsabs=1e-13, limit=200)[0]
        for low, high in zip([0.0, *cuts], [*cuts, _REACH], strict=True)
    )
    cut = min(1 / s, _REACH) if s > 0 else _REACH
    b = sum(quad(inner, low, high, epsabs=1e-13, limit=200)[0] for low, high in ((0.0, cut), (cut, _REACH)))
    beta = _PEAK * b
    return a + c * beta, beta


def _density(x: float) -> float:
    return _PEAK * math.exp(-x * x / 2)


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

    S = ‖v‖² (α + β)/√n at w·w* = 1 − 2/n, for Gaussian inputs: ‖v‖²/√(2πn) for ReLU, twice that for the
    identity.

    Returns
    -------
    float
        S, in units of a gradient entry.

    Examples
    --------
    >>> round(signal(Problem(n=64, samples=4096)), 5)
    0.04987
    """
    return pull(numbers_of(of, surrogate))


def pull(numbers: Numbers) -> float:
    """Return S."""
    alpha, beta = population_coefficients(1 - 2 / numbers.n, numbers.surrogate)
    return _scale(numbers) * (alpha + beta)


def _scale(numbers: Numbers) -> float:
    return numbers.norm2 / math.sqrt(numbers.n)
