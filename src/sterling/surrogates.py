"""Every straight-through surrogate, once: formula, derivative, source, and exact integer thresholds.

The backward pass puts μ′ in the place of H′, the derivative of the step function H. The argument x is a
pre-activation z·w with w = signs/√n. All other parts of sterling, and its documentation, read the surrogates
from here.
"""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from numbers import Rational
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sterling.errors import InputError

__all__ = ["SURROGATES", "Surrogate", "get_surrogate"]

UNBOUNDED = 2**62  # Stands for infinity among integer pre-activations, which are far smaller.
SWISH_BETA = 5.0
_FLAT = 800.0  # exp(−800) is 0 in float64, so larger arguments change nothing.

RealFunction = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Surrogate:
    """One surrogate μ of the step function.

    Attributes
    ----------
    name : str
        Its key in `SURROGATES`.
    formula, derivative_formula : str
        μ(x) and μ′(x) in LaTeX.
    source : str
        Where it was proposed or analysed.
    piecewise_constant : bool
        Whether μ′ takes the values 0 and 1 only. The event engine needs this.
    window : (float, float) or None
        The ends of the interval on which μ′ = 1; None if μ′ is not piecewise constant.
    closed : bool
        Whether the finite ends of the window belong to it.
    """

    name: str
    formula: str
    derivative_formula: str
    source: str
    piecewise_constant: bool
    window: tuple[float, float] | None = None
    closed: bool = False
    _value: RealFunction | None = field(default=None, repr=False, compare=False)
    _derivative: RealFunction | None = field(default=None, repr=False, compare=False)

    def value(self, x: ArrayLike) -> np.ndarray:
        """Return μ(x), float64, in the shape of x. It is the antiderivative of μ′ that `formula` states."""
        x = np.asarray(x, dtype=np.float64)
        if self.window is not None:
            return np.asarray(np.clip(x, *self.window))
        assert self._value is not None
        with np.errstate(under="ignore"):
            return np.asarray(self._value(x))

    def derivative(self, x: ArrayLike) -> np.ndarray:
        """Return μ′(x), float64, in the shape of x.

        It never overflows. At the very end of a window rounding in x decides; `thresholds` is exact there.
        """
        x = np.asarray(x, dtype=np.float64)
        if self.window is not None:
            low, high = self.window
            inside = (low <= x) & (x <= high) if self.closed else (low < x) & (x < high)
            return np.asarray(inside, dtype=np.float64)
        assert self._derivative is not None
        with np.errstate(under="ignore"):
            return np.asarray(self._derivative(x))

    def thresholds(self, unit_squared: int | Fraction) -> tuple[int, int]:
        """Return (low, high) such that μ′(a/√unit_squared) = 1 exactly where low ≤ a ≤ high.

        Parameters
        ----------
        unit_squared : int or Fraction
            The square of the pre-activation that stands for x = 1: n·4^bits for inputs on the grid 2^−bits.
            It may be larger than an int64, and it is a fraction where the grid is coarser than one.

        Returns
        -------
        low, high : int
            Inclusive bounds on the integer a, exact, within ±2**62; those stand for no bound.

        Raises
        ------
        InputError
            If μ′ is not piecewise constant, or `unit_squared` is no positive integer or fraction.
        """
        if self.window is None:
            raise InputError(
                f"surrogate '{self.name}' is not piecewise constant, so it has no thresholds; "
                f"use one of {', '.join(s.name for s in SURROGATES.values() if s.piecewise_constant)}."
            )
        exact = isinstance(unit_squared, Rational | np.integer) and not isinstance(unit_squared, bool)
        if not exact or unit_squared <= 0:
            raise InputError(f"unit_squared must be a positive integer or fraction; got {unit_squared!r}.")
        square = (
            Fraction(int(unit_squared)) if isinstance(unit_squared, np.integer) else Fraction(unit_squared)
        )
        low, high = self.window
        return -_last_inside(-low, self.closed, square), _last_inside(high, self.closed, square)

    def to_dict(self) -> dict[str, Any]:
        """Return what is known about it as plain values; `get_surrogate(d["name"])` is the way back."""
        return {
            "name": self.name,
            "formula": self.formula,
            "derivative_formula": self.derivative_formula,
            "source": self.source,
            "piecewise_constant": self.piecewise_constant,
        }

    def __repr__(self) -> str:
        return f"Surrogate('{self.name}')"


def _last_inside(bound: float, closed: bool, square: Fraction) -> int:
    """Return the largest integer a with a/√square ≤ bound (closed) or < bound, for bound 0, 1, 2 … or ∞."""
    if math.isinf(bound):
        return UNBOUNDED
    reach = int(bound) ** 2 * square
    if closed:
        return min(math.isqrt(math.floor(reach)), UNBOUNDED)
    return min(math.isqrt(math.ceil(reach) - 1), UNBOUNDED) if reach else -1


def _logistic(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.minimum(np.abs(x), _FLAT))
    return np.where(x < 0.0, e, 1.0) / (1.0 + e)


def _logistic_derivative(x: np.ndarray) -> np.ndarray:
    e = np.exp(-np.minimum(np.abs(x), _FLAT))
    return e / (1.0 + e) ** 2


def _approx_sign(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, -1.0, 1.0)
    return x * (2.0 - np.abs(x))


def _approx_sign_derivative(x: np.ndarray) -> np.ndarray:
    return 2.0 - 2.0 * np.minimum(np.abs(x), 1.0)


def _swish_sign(x: np.ndarray) -> np.ndarray:
    # 2σ(y)(1 + y(1 − σ(y))) − 1 in a form that does not cancel near 0: 2σ − 1 = tanh(y/2).
    y = SWISH_BETA * np.clip(x, -_FLAT / SWISH_BETA, _FLAT / SWISH_BETA)
    return np.tanh(0.5 * y) + 2.0 * y * _logistic_derivative(y)


def _swish_sign_derivative(x: np.ndarray) -> np.ndarray:
    y = SWISH_BETA * np.clip(x, -_FLAT / SWISH_BETA, _FLAT / SWISH_BETA)
    # 1/(1 + cosh y) = 2σ′(y), and σ′ has no large number in it.
    return SWISH_BETA * (2.0 - y * np.tanh(0.5 * y)) * 2.0 * _logistic_derivative(y)


_YIN = "Yin et al. 2019, arXiv 1903.05662"
_BENGIO = "Bengio, Léonard & Courville 2013, arXiv 1308.3432"

_ALL = (
    Surrogate(
        name="relu",
        formula=r"\max(x, 0)",
        derivative_formula=r"1\{x > 0\}",
        source=f"{_YIN}; Jeong, Xin & Yin, arXiv 2505.18113",
        piecewise_constant=True,
        window=(0.0, math.inf),
    ),
    Surrogate(
        name="identity",
        formula="x",
        derivative_formula="1",
        source=f"Hinton 2012, Neural Networks for Machine Learning (lectures); {_BENGIO}",
        piecewise_constant=True,
        window=(-math.inf, math.inf),
    ),
    Surrogate(
        name="clipped_relu",
        formula=r"\min(\max(x, 0), 1)",
        derivative_formula=r"1\{0 < x < 1\}",
        source=f"Cai et al. 2017, arXiv 1702.00953; {_YIN}",
        piecewise_constant=True,
        window=(0.0, 1.0),
    ),
    Surrogate(
        name="hard_tanh",
        formula=r"\min(\max(x, -1), 1)",
        derivative_formula=r"1\{|x| \le 1\}",
        source="Hubara et al. 2016, arXiv 1602.02830; ste_sign in larq",
        piecewise_constant=True,
        window=(-1.0, 1.0),
        closed=True,
    ),
    Surrogate(
        name="sigmoid",
        formula=r"\sigma(x) = 1 / (1 + e^{-x})",
        derivative_formula=r"\sigma(x) (1 - \sigma(x))",
        source=f"{_BENGIO} (the variant with the sigmoid's derivative)",
        piecewise_constant=False,
        _value=_logistic,
        _derivative=_logistic_derivative,
    ),
    Surrogate(
        name="approx_sign",
        formula=r"2x - x|x| \text{ for } |x| \le 1, \text{ else } \mathrm{sign}(x)",
        derivative_formula=r"2 - 2|x| \text{ for } |x| \le 1, \text{ else } 0",
        source="Liu et al. 2018, Bi-Real Net, arXiv 1808.00278; approx_sign in larq",
        piecewise_constant=False,
        _value=_approx_sign,
        _derivative=_approx_sign_derivative,
    ),
    Surrogate(
        name="swish_sign",
        formula=r"2 \sigma(\beta x) (1 + \beta x (1 - \sigma(\beta x))) - 1, \ \beta = 5",
        derivative_formula=r"\beta (2 - \beta x \tanh(\beta x / 2)) / (1 + \cosh(\beta x)), \ \beta = 5",
        source="Darabi et al. 2018, BNN+, arXiv 1812.11800; swish_sign in larq",
        piecewise_constant=False,
        _value=_swish_sign,
        _derivative=_swish_sign_derivative,
    ),
)

SURROGATES: dict[str, Surrogate] = {surrogate.name: surrogate for surrogate in _ALL}


def get_surrogate(surrogate: "str | Surrogate") -> Surrogate:
    """Return the surrogate of that name; a `Surrogate` comes back as it is.

    Raises
    ------
    InputError
        If there is none of that name. The message lists the known ones and the nearest.
    """
    if isinstance(surrogate, Surrogate):
        return surrogate
    if isinstance(surrogate, str) and surrogate in SURROGATES:
        return SURROGATES[surrogate]
    near = difflib.get_close_matches(surrogate.lower(), SURROGATES, n=1) if isinstance(surrogate, str) else []
    hint = f" Did you mean '{near[0]}'?" if near else ""
    raise InputError(f"unknown surrogate {surrogate!r:.60}; known: {', '.join(SURROGATES)}.{hint}")
