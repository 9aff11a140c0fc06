"""The infinite sample: what the STE gradient is on average for Gaussian inputs.

Let w and w* be unit vectors with correlation c = w·w*, s = √(1 − c²), and let the rows z of an input be
independent standard Gaussian vectors. In E G(w) = E Σ_l v_l (H(z_l·w) − H(z_l·w*)) Σ_j v_j μ′(z_j·w) z_j the
terms with l ≠ j vanish, since H(z_l·w) − H(z_l·w*) has mean 1/2 − 1/2 and is independent of row j. What is
left is ‖v‖² E (H(z·w) − H(z·w*)) μ′(z·w) z of one row. Write a = z·w and z·w* = ca + sb with b, a standard
Gaussian, independent of a, along e = (w* − cw)/s. Given a, H(ca + sb) has mean Φ(ca/s) and b·H(ca + sb) has
mean φ(ca/s), so the row's mean is A·w − sβ·e with

    A = E a μ′(a) (H(a) − Φ(ca/s)) = ∫₀^∞ (μ′(a) + μ′(−a)) a φ(a) Φ(−ca/s) da
    β = E μ′(a) φ(ca/s)/s          = φ(0) ∫₀^∞ (μ′(st) + μ′(−st)) φ(t) dt        (φ(a)φ(ca/s) = φ(0)φ(a/s))

    E G(w) = ‖v‖² (α w − β w*),   α = A + cβ.

For a window μ′ = 1 on (−g, h) both integrals are elementary. With the sum over the two ends x ∈ {g, h}

    α = Σ_x [φ(0)/2 − φ(x) Φ(−cx/s)],   β = φ(0) Σ_x [Φ(x/s) − 1/2],

which is 1/(2√(2π)) for both at (0, ∞), the ReLU, and twice that at (−∞, ∞), the identity: Yin et al. 2019.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sterling.base.arrays import check_signs
from sterling.errors import InputError
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.labels import labelled

_PEAK = 1 / math.sqrt(2 * math.pi)  # φ(0)
_REACH = 12.0  # standard deviations; φ(12) is 2·10⁻³²
_DERIVED = "sterling.theory.population, after Yin et al. 2019, arXiv 1903.05662"


@labelled("exact", _DERIVED)
def population_coefficients(correlation: float, surrogate: str | Surrogate = "relu") -> tuple[float, float]:
    """Return α and β in E G(w) = ‖v‖² (α w − β w*), for Gaussian inputs and w·w* = correlation.

    Closed for surrogates with a window, by quadrature (error below 10⁻¹⁰) for smooth ones.

    Parameters
    ----------
    correlation : float
        From −1 to 1; w and w* are of norm one, so it is 1 − 2d/n with d of n weights wrong.
    surrogate : str or Surrogate

    Returns
    -------
    (float, float)

    Raises
    ------
    InputError
        If the correlation lies outside [−1, 1] or the surrogate is unknown.
    """
    number = isinstance(correlation, int | float | np.number) and not isinstance(correlation, bool)
    c = float(correlation) if number else math.nan
    if not -1 <= c <= 1:
        raise InputError(f"correlation is {correlation!r}; it must lie between -1 and 1")
    chosen = get_surrogate(surrogate)
    if chosen.window is None:
        return _by_quadrature(c, chosen.name)
    low, high = chosen.window
    parts = [_one_end(c, end) for end in (-low, high)]
    return sum(alpha for alpha, _ in parts), sum(beta for _, beta in parts)


def _one_end(c: float, x: float) -> tuple[float, float]:
    """Return the parts of α and β that belong to the window from 0 to x."""
    from scipy.special import ndtr

    if x == 0:
        return 0.0, 0.0
    s = math.sqrt((1 - c) * (1 + c))
    if math.isinf(x):
        return _PEAK / 2, _PEAK / 2
    ratio = x / s if s > 0 else math.inf
    inner = float(ndtr(-c * ratio))
    return _PEAK / 2 - _density(x) * inner, _PEAK * (float(ndtr(ratio)) - 0.5)


@lru_cache(maxsize=4096)
def _by_quadrature(c: float, name: str) -> tuple[float, float]:
    from scipy.integrate import quad
    from scipy.special import ndtr

    slope = get_surrogate(name).derivative
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
    signs, teacher, readout_norm2: float = 1.0, surrogate: str | Surrogate = "relu"
) -> np.ndarray:
    """Return E G(w) at w = signs/√n for Gaussian inputs, float64 (n,).

    Label noise has mean zero and independent of the inputs, so it does not appear. For ReLU and identity it
    is a multiple of w − w*, the part proved by Yin et al.; the other surrogates add a part along w alone.

    Parameters
    ----------
    signs, teacher : int (n,) of −1 and +1
    readout_norm2 : float
        ‖v‖² of the readout that student and teacher share.
    surrogate : str or Surrogate

    Returns
    -------
    float64 (n,)

    Raises
    ------
    InputError
        For anything but signs, or a readout of norm zero.
    """
    b = check_signs(signs, np.atleast_1d(np.asarray(signs)).shape[0], "signs")
    if not len(b):
        raise InputError("signs are empty; give one for each weight")
    t = check_signs(teacher, len(b), "teacher")
    distance = int(np.count_nonzero(b != t))
    alpha, beta = population_coefficients(1 - 2 * distance / len(b), surrogate)
    return _scale(len(b), readout_norm2) * (alpha * b - beta * t)


def profile(n: int, readout_norm2: float, surrogate: str | Surrogate) -> np.ndarray:
    """Return b*_k E G_k at Hamming distance d of w*, float64 (2, n + 1): row 0 right k, row 1 wrong k.

    Positive values push away from w*_k. Entries of impossible pairs (no wrong k at d = 0, no right one at
    d = n) are there by the formula.
    """
    scale = _scale(n, readout_norm2)
    pairs = [population_coefficients(1 - 2 * d / n, surrogate) for d in range(n + 1)]
    return np.array([[scale * (alpha - beta) for alpha, beta in pairs],
                     [scale * (-alpha - beta) for alpha, beta in pairs]])  # fmt: skip


@labelled("exact", "science.md, 4")
def signal(n: int, readout_norm2: float = 1.0, surrogate: str | Surrogate = "relu") -> float:
    """Return S, the mean pull on one wrong coordinate while all others are right.

    S = ‖v‖² (α + β)/√n at w·w* = 1 − 2/n, for Gaussian inputs: ‖v‖²/√(2πn) for ReLU, twice that for the
    identity.

    Parameters
    ----------
    n : int
        Dimension, the number of weights.
    readout_norm2 : float
        ‖v‖².
    surrogate : str or Surrogate

    Returns
    -------
    float

    Raises
    ------
    InputError
        If n is not a positive integer or the readout has norm zero.
    """
    alpha, beta = population_coefficients(1 - 2 / check_count(n, "n"), surrogate)
    return _scale(n, readout_norm2) * (alpha + beta)


def _scale(n: int, readout_norm2: float) -> float:
    return check_positive(readout_norm2, "readout_norm2") / math.sqrt(n)


def check_count(value, name: str) -> int:
    """Return a positive integer or raise InputError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} is {value!r}; it must be a positive integer")
    return int(value)


def check_positive(value, name: str, zero: bool = False) -> float:
    """Return a positive finite number (or zero, where that is allowed) or raise InputError."""
    good = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise InputError(f"{name} is {value!r}; it must be a {'non-negative' if zero else 'positive'} number")
    return float(value)
