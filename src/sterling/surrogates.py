"""The straight-through surrogates: derivative, source, and exact integer thresholds.

In the backward pass μ′ replaces H′, the derivative of the step function H. The argument x is a pre-activation
z·w with w = signs/√n. Smooth surrogates are functions of an array and its namespace (NumPy, PyTorch).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from sterling.base.checks import flag, is_number, shown
from sterling.base.registry import Registry
from sterling.base.text import Described
from sterling.errors import InputError, InputTypeError

UNBOUNDED = 2**62  # stands for infinity; integer pre-activations are far smaller
#: Bound on derivatives. A steeper surrogate is equivalent to larger steps.
STEEPEST = 8.0
SWISH_BETA = 5.0
_FLAT = 800.0  # exp(−800) is 0 in float64

_TEXTS = ("derivative_formula", "source")

#: μ′ of an array, given with its namespace: numpy, torch, or another with exp, abs, clip, tanh, where.
ArrayFunction = Callable[[Any, Any], Any]


@dataclass(frozen=True, repr=False)
class Surrogate(Described):
    """A surrogate μ of the step function, defined by its derivative μ′.

    With a ``window``, μ′ is 1 inside and 0 outside, and both engines accept it. With a ``slope``, μ′ is
    smooth, and only the dense engine accepts it. A window of another height would only rescale the step size.

    Parameters
    ----------
    name : str
        Name of letters, digits and underscores. After `register` the name stands for the surrogate.
    window : (float or None, float or None), optional
        The ends of the interval on which μ′ = 1; None for no end.
    closed : bool
        Whether the ends of the window belong to it.
    slope : function of (x, xp), optional
        μ′ of a float array x in the array namespace xp, finite and at most 8 in absolute value. If you write
        it with the functions of xp, it works with NumPy and PyTorch.
    derivative_formula : str
        μ′(x) in LaTeX.
    source : str
        Publication that proposed or analysed it.

    Attributes
    ----------
    piecewise_constant : bool
        Whether it has a window, which the event engine needs.

    Examples
    --------
    >>> import sterling as st
    >>> wide = st.Surrogate("wide", window=(-2, 2), closed=True)
    >>> wide
    Surrogate('wide', window=(-2.0, 2.0), closed=True)
    >>> wide.derivative([-3, 0.5, 2])
    array([0., 1., 1.])
    >>> bell = st.Surrogate("bell", slope=lambda x, xp: xp.exp(-x * x))
    >>> bell.derivative([0.0, 30.0])
    array([1., 0.])
    """

    name: str
    window: tuple[float, float] | None = None
    closed: bool = False
    slope: ArrayFunction | None = None
    derivative_formula: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise InputTypeError(f"name of a surrogate is {shown(self.name)}; give a string")
        object.__setattr__(self, "closed", flag(self.closed, "closed"))
        if (self.window is None) == (self.slope is None):
            raise InputError(
                f"surrogate {self.name!r} needs either a window, where its derivative is 1, or a slope"
            )
        if self.window is not None:
            object.__setattr__(self, "window", _checked_window(self.window))
            return
        try:
            self.derivative(np.array([-1e100, -30.0, -1.0, -0.1, 0.0, 0.1, 1.0, 30.0, 1e100]))
        except InputError:
            raise
        except Exception as problem:  # from the user's function
            raise InputError(f"the slope of surrogate {self.name!r} fails on an array: {problem}") from None

    @property
    def piecewise_constant(self) -> bool:
        """Whether μ′ has only the values 0 and 1, as the event engine needs."""
        return self.window is not None

    def derivative(self, x: Any, xp: Any = None) -> Any:
        """Return μ′(x).

        It never overflows. At the ends of a window its result depends on the rounding of x; the engines are
        exact there.

        Parameters
        ----------
        x : array_like
            Without a namespace it is converted to float64.
        xp : module, optional
            The array namespace of x, such as ``torch``.

        Returns
        -------
        array
            The values, in the shape of x.

        Raises
        ------
        InputError
            If a slope gives NaN or more than 8 in absolute value (checked for NumPy arrays).
        """
        if self.slope is None:
            return _evaluate(self._inside, x, xp)
        slopes = _evaluate(self.slope, x, xp)
        if xp is None and not (slopes.shape == np.shape(x) and (np.abs(slopes) <= STEEPEST).all()):
            raise InputError(
                f"the slope of surrogate {self.name!r} must be finite and within ±{STEEPEST:g} for every "
                "entry of an array"
            )
        return slopes

    def _inside(self, x: Any, xp: Any) -> Any:
        assert self.window is not None
        low, high = self.window
        inside = (low <= x) & (x <= high) if self.closed else (low < x) & (x < high)
        return xp.where(inside, xp.ones_like(x), xp.zeros_like(x))

    def _thresholds(self, unit_squared: int | Fraction) -> tuple[int, int]:
        """Return (low, high) such that μ′(a/√unit_squared) = 1 exactly where low ≤ a ≤ high.

        ``unit_squared`` is the square of the integer pre-activation for x = 1. ±2**62 means no end.
        """
        assert self.window is not None
        low, high = self.window
        square = Fraction(unit_squared)
        return -_last_inside(-low, self.closed, square), _last_inside(high, self.closed, square)

    def to_dict(self) -> dict[str, Any]:
        window = self.window
        return {
            **{word: getattr(self, word) for word in ("name", *_TEXTS)},
            "piecewise_constant": self.piecewise_constant,
            "window": None if window is None else [None if math.isinf(end) else end for end in window],
            "closed": self.closed,
        }

    def __repr__(self) -> str:
        if SURROGATES.get(self.name) == self:
            return f"get_surrogate({self.name!r})"
        if self.window is None:
            return f"<Surrogate {self.name!r}, smooth>"
        ends = ", ".join("None" if math.isinf(end) else repr(end) for end in self.window)
        parts = [f"{self.name!r}, window=({ends})"] + (["closed=True"] if self.closed else [])
        parts += [f"{word}={getattr(self, word)!r}" for word in _TEXTS if getattr(self, word)]
        return f"Surrogate({', '.join(parts)})"


def _checked_window(window: Any) -> tuple[float, float]:
    try:
        low, high = window
    except (TypeError, ValueError):
        raise InputTypeError(f"window is {shown(window)}; give two ends, each a number or None") from None
    ends = []
    for end, free in ((low, -math.inf), (high, math.inf)):
        if end is not None and not is_number(end):
            raise InputTypeError(f"an end of the window is {shown(end)}; give a number or None")
        ends.append(free if end is None else float(end))
    if not ends[0] < ends[1]:  # false for a NaN as well
        raise InputError(f"window is ({ends[0]}, {ends[1]}); the first end must lie below the second")
    return ends[0], ends[1]


def _evaluate(function: ArrayFunction, x: ArrayLike, xp: Any) -> Any:
    if xp is not None:
        return function(x, xp)
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(function(np.asarray(x, dtype=np.float64), np))


def _last_inside(bound: float, closed: bool, square: Fraction) -> int:
    """Return the largest integer a with a/√square ≤ bound (closed) or < bound, for any bound."""
    if math.isinf(bound):
        return int(math.copysign(UNBOUNDED, bound))
    reach = Fraction(bound) ** 2 * square
    most = math.isqrt(math.floor(reach))  # the largest integer up to √reach, and the largest below it
    below = math.isqrt(math.ceil(reach) - 1) if reach else -1
    if bound < 0:
        last = -1 - (below if closed else most)
    else:
        last = most if closed else below
    return max(-UNBOUNDED, min(last, UNBOUNDED))


def _logistic_derivative(x: Any, xp: Any) -> Any:
    e = xp.exp(-xp.clip(xp.abs(x), 0.0, _FLAT))
    return e / (1.0 + e) ** 2


def _approx_sign_derivative(x: Any, xp: Any) -> Any:
    return 2.0 - 2.0 * xp.clip(xp.abs(x), 0.0, 1.0)


def _swish_sign_derivative(x: Any, xp: Any) -> Any:
    y = SWISH_BETA * xp.clip(x, -_FLAT / SWISH_BETA, _FLAT / SWISH_BETA)
    # 1/(1 + cosh y) = 2σ′(y), and σ′ does not overflow.
    return SWISH_BETA * (2.0 - y * xp.tanh(0.5 * y)) * 2.0 * _logistic_derivative(y, xp)


_YIN = "Yin et al. 2019, arXiv 1903.05662"
_BENGIO = "Bengio, Léonard & Courville 2013, arXiv 1308.3432"

_ALL = (
    Surrogate(
        name="relu",
        derivative_formula=r"1\{x > 0\}",
        source=f"{_YIN}; Jeong, Xin & Yin, arXiv 2505.18113",
        window=(0.0, math.inf),
    ),
    Surrogate(
        name="identity",
        derivative_formula="1",
        source=f"Hinton 2012, Neural Networks for Machine Learning (lectures); {_BENGIO}",
        window=(-math.inf, math.inf),
    ),
    Surrogate(
        name="clipped_relu",
        derivative_formula=r"1\{0 < x < 1\}",
        source=f"Cai et al. 2017, arXiv 1702.00953; {_YIN}",
        window=(0.0, 1.0),
    ),
    Surrogate(
        name="hard_tanh",
        derivative_formula=r"1\{|x| \le 1\}",
        source="Hubara et al. 2016, arXiv 1602.02830; ste_sign in larq",
        window=(-1.0, 1.0),
        closed=True,
    ),
    Surrogate(
        name="sigmoid",
        derivative_formula=r"\sigma(x) (1 - \sigma(x))",
        source=f"{_BENGIO} (the variant with the sigmoid's derivative)",
        slope=_logistic_derivative,
    ),
    Surrogate(
        name="approx_sign",
        derivative_formula=r"2 - 2|x| \text{ for } |x| \le 1, \text{ else } 0",
        source="Liu et al. 2018, Bi-Real Net, arXiv 1808.00278; approx_sign in larq",
        slope=_approx_sign_derivative,
    ),
    Surrogate(
        name="swish_sign",
        derivative_formula=r"\beta (2 - \beta x \tanh(\beta x / 2)) / (1 + \cosh(\beta x)), \ \beta = 5",
        source="Darabi et al. 2018, BNN+, arXiv 1812.11800; swish_sign in larq",
        slope=_swish_sign_derivative,
    ),
)

SURROGATES: Registry[Surrogate] = Registry(
    "surrogate", "sterling.surrogates", lambda thing: isinstance(thing, Surrogate), _ALL
)


def get_surrogate(surrogate: "str | Surrogate") -> Surrogate:
    """Return the surrogate of that name.

    Parameters
    ----------
    surrogate : str or Surrogate
        A name, built in or registered. A `Surrogate` is returned as it is.

    Returns
    -------
    Surrogate
        The surrogate.

    Examples
    --------
    >>> import sterling as st
    >>> st.get_surrogate("hard_tanh").window
    (-1.0, 1.0)
    """
    if isinstance(surrogate, Surrogate):
        return surrogate
    found = SURROGATES.get(surrogate) if isinstance(surrogate, str) else None
    return SURROGATES.find(surrogate) if found is None else found


def surrogate_from_dict(values: Mapping[str, Any]) -> Surrogate:
    """Return the surrogate that `Surrogate.to_dict` described.

    A smooth one must be registered, because functions are not saved; else InputError is raised.
    """
    if values["window"] is None:
        return SURROGATES.find(values["name"])
    return Surrogate(**{key: values[key] for key in ("name", *_TEXTS, "window", "closed")})
