"""Input families: distributions of the entries of the inputs, each of unit variance.

Every family is a table of integer codes (`sampling.py`), so a draw has the same bits on every machine.
Normalisation of drawn and given data is in `normalise.py`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from sterling.base.checks import real, shown
from sterling.base.registry import Registry
from sterling.base.text import Described
from sterling.errors import InputError, InputTypeError

#: Grid of the inputs: 2^-12, or coarser where the family needs the range.
FINEST_BITS = 12
#: Probability of entries beyond a family's grid. They are drawn as the last code.
TAIL = 1e-7
#: Largest difference from 1 of the variance of a user's distribution.
_VARIANCE_OFF = 0.05

_RECTIFIED_DEVIATION = math.sqrt(0.5 - 0.5 / math.pi)  # of max(0, z) for a standard normal z


@dataclass(frozen=True, repr=False)
class Family(Described):
    """A distribution of unit variance with independent entries.

    A subclass is a frozen dataclass with at most one parameter, a ``name``, ``reach`` and ``cumulative``;
    `register` makes it usable by name. At most a share of 10^-7 of the entries is larger than ``reach``.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> import numpy as np
    >>> import sterling as st
    >>> @st.register
    ... @dataclass(frozen=True)
    ... class Triangular(st.Family):
    ...     name = "triangular"
    ...     reach = 2.45
    ...
    ...     def cumulative(self, x):
    ...         u = np.clip(x / np.sqrt(6), -1, 1)
    ...         return 0.5 + u - u * np.abs(u) / 2
    >>> float(st.Problem(n=4, samples=5000, inputs="triangular").draw(seed=0).inputs.std().round(1))
    1.0
    """

    name: ClassVar[str] = ""

    #: Largest size of nearly all entries: a number, or a property.
    reach: ClassVar[Any]

    def cumulative(self, x: np.ndarray) -> np.ndarray:
        """Return P(entry < x).

        Parameters
        ----------
        x : float64 array
            Values.

        Returns
        -------
        float64 array
            Probabilities, in the shape of x.
        """
        raise NotImplementedError

    def _correlate(self, codes: np.ndarray) -> np.ndarray:
        """Correlate the entries of each row of independent codes, int16 (rows, n)."""
        return codes

    @property
    def bits(self) -> int:
        """The grid of the family is 2^-bits, as fine as 16 bits allow, at most 2^-12."""
        reach = real(self.reach, f"the reach of the input family {self.name!r}", above=0)
        return min(FINEST_BITS, 15 - math.ceil(math.log2(reach)))

    def __str__(self) -> str:
        if FAMILIES.get(self.name) is not type(self):
            raise InputError(
                f"the input family {type(self).__name__} has no registered name: use sterling.register"
            )
        parameters = fields(self)
        return f"{self.name}:{getattr(self, parameters[0].name)!r}" if parameters else self.name

    def __repr__(self) -> str:
        return f"get_family({str(self)!r})"

    def to_dict(self) -> dict:
        return {"family": self.name, **asdict(self)}


class Gaussian(Family):
    """Standard normal entries, the paper's setting."""

    name = "gaussian"
    reach = 7.99  # the 2^-12 grid reaches 8; the tail beyond has probability 1e-15

    def cumulative(self, x):
        return _normal(x)


class Rademacher(Family):
    """Entries −1 and +1 with equal probability."""

    name = "rademacher"
    reach = 1.5

    def cumulative(self, x):
        return 0.5 * (x > -1) + 0.5 * (x > 1)


class Uniform(Family):
    """Entries uniform on [−√3, √3]."""

    name = "uniform"
    reach = math.sqrt(3)

    def cumulative(self, x):
        return np.clip((x + math.sqrt(3)) / math.sqrt(12), 0, 1)


@dataclass(frozen=True, repr=False)
class StudentT(Family):
    """Student's t with ``df`` > 2 degrees of freedom, scaled to unit variance: heavy tails."""

    name: ClassVar[str] = "student_t"
    df: float = 5.0

    def __post_init__(self):
        # Below that the variance is infinite.
        object.__setattr__(self, "df", real(self.df, "the degrees of freedom of student_t", above=2))

    @property
    def reach(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        from scipy.special import stdtrit

        return -float(stdtrit(self.df, TAIL)) * math.sqrt((self.df - 2) / self.df)

    def cumulative(self, x):
        from scipy.special import stdtr

        return stdtr(self.df, x * math.sqrt(self.df / (self.df - 2)))


class Exponential(Family):
    """Exponential entries less their mean: skewed, never below −1."""

    name = "exponential"
    reach = -math.log(TAIL) - 1

    def cumulative(self, x):
        return -np.expm1(-np.maximum(x + 1, 0))


@dataclass(frozen=True, repr=False)
class Shifted(Family):
    """Entries of another family moved by ``mean``, such as "uniform+0.5"; without a base normal ones."""

    name: ClassVar[str] = "shifted"
    mean: float = 0.5
    base: Family | None = None

    def __post_init__(self):
        object.__setattr__(self, "mean", real(self.mean, "the mean of shifted inputs", -100, 100) + 0.0)
        if isinstance(self.base, AutoRegressive | Shifted):
            raise InputError(f"{self.base} takes no mean: give a distribution of independent entries, once")

    @property
    def reach(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        return abs(self.mean) + (6 if self.base is None else self.base.reach)

    def cumulative(self, x):
        return (self.base or Gaussian()).cumulative(x - self.mean)

    def __str__(self) -> str:
        return f"shifted:{self.mean!r}" if self.base is None else f"{self.base}+{self.mean!r}"

    def to_dict(self) -> dict:
        moved = {} if self.base is None else {"base": self.base.to_dict()}
        return {"family": self.name, "mean": self.mean, **moved}


class Rectified(Family):
    """Positive parts of normal numbers, scaled to unit variance and not centred: activations of a ReLU layer.

    Half of the entries are zero; the mean is 0.683.
    """

    name = "rectified"
    reach = 6 / _RECTIFIED_DEVIATION

    def cumulative(self, x):
        return np.where(x > 0, _normal(x * _RECTIFIED_DEVIATION), 0.0)


@dataclass(frozen=True, repr=False)
class AutoRegressive(Family):
    """Normal entries with correlation ρ^|k−l| between features k and l (AR(1) along the features).

    It is not a subclass of `Gaussian`, which stands for independent entries.
    """

    name: ClassVar[str] = "ar1"
    rho: float = 0.5
    reach = Gaussian.reach
    cumulative = Gaussian.cumulative

    def __post_init__(self):
        rho = real(self.rho, "the correlation of ar1 inputs", above=-1, below=1)
        object.__setattr__(self, "rho", rho + 0.0)  # −0.0 is 0

    def _correlate(self, codes):
        fresh = math.sqrt(1 - self.rho * self.rho)
        state = codes[:, 0].astype(np.float64)
        out = codes.copy()
        for k in range(1, codes.shape[1]):
            state = self.rho * state + fresh * codes[:, k]
            out[:, k] = np.clip(np.rint(state), -32767, 32767)
        return out


FAMILIES: Registry[type[Family]] = Registry(
    "input family",
    "sterling.families",
    lambda thing: isinstance(thing, type) and issubclass(thing, Family),
    (Gaussian, Rademacher, Uniform, StudentT, Exponential, Shifted, Rectified, AutoRegressive),
)


def get_family(spec: str | Family) -> Family:
    """Return the family of a name such as "gaussian", "student_t:4", "ar1:0.8" or "uniform+0.5".

    Parameters
    ----------
    spec : str or Family
        A name, optionally with a parameter after ":" and a shift of the mean after "+". A family is returned
        as it is.

    Returns
    -------
    Family
        The family with the given parameter, or with its default.

    Examples
    --------
    >>> import sterling as st
    >>> st.get_family("student_t:4").df
    4.0
    """
    if isinstance(spec, Family):
        return spec
    if not isinstance(spec, str):
        raise InputTypeError(f"inputs is {shown(spec)}; give a family or a name out of {', '.join(FAMILIES)}")
    base, plus, mean = spec.rpartition("+")
    if plus and not base.endswith(":"):
        return Shifted(_parameter(mean, spec), get_family(base))
    name, _, argument = spec.partition(":")
    kind = FAMILIES.get(name) or FAMILIES.find(name)
    if not argument:
        return kind()
    if not fields(kind):
        raise InputError(f"input family {name!r} takes no parameter, but {spec!r} gives one")
    return kind(**{fields(kind)[0].name: _parameter(argument, spec)})


def _parameter(text: str, spec: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"the parameter of {shown(spec)} is not a number") from None


@lru_cache(maxsize=16)
def family_table(family: Family):
    """Return the sampling table of a family; code c stands for the cell around c·2^-bits."""
    base = (family.base or family) if isinstance(family, Shifted) else family
    if base.name not in FAMILIES.built_in:
        _check_distribution(base, 2.0**-base.bits)
    return _table(family.cumulative, 2.0**-family.bits)


def _check_distribution(family: Family, step: float) -> None:
    """Raise InputError if a user's `cumulative` is no distribution function or not of unit variance."""
    edges = _edges(step)
    below = np.asarray(family.cumulative(edges), np.float64)
    if below.shape != edges.shape or not np.all(np.diff(below) >= 0) or below[0] < 0 or below[-1] > 1 + 1e-9:
        raise InputError(
            f"`cumulative` of the input family {family.name!r} must give P(entry < x) for an array x: "
            "numbers from 0 to 1 that do not fall"
        )
    centres, masses = (edges[1:] + edges[:-1]) / 2, np.diff(below)
    mean = centres @ masses
    variance = (centres - mean) ** 2 @ masses
    if abs(variance - 1) > _VARIANCE_OFF:
        raise InputError(
            f"the input family {family.name!r} has the variance {variance:.3g}; it must be 1: rescale it"
        )


@lru_cache(maxsize=16)
def normal_table(codes_per_deviation: int):
    """Return the sampling table of a normal distribution rounded to fractions of its deviation."""
    return _table(Gaussian().cumulative, 1.0 / codes_per_deviation)


def _normal(x: np.ndarray) -> np.ndarray:
    """Return the normal distribution function. SciPy's would add a third of a second to the first draw."""
    return np.array([0.5 * math.erfc(-value * math.sqrt(0.5)) for value in x.tolist()])


def _table(cumulative, step: float):
    from sterling.exact.sampling import alias_table

    return alias_table(cumulative(_edges(step)))


def _edges(step: float) -> np.ndarray:
    """Return the ends of the cells of all codes."""
    from sterling.exact.sampling import CODES, LOWEST

    return (np.arange(CODES + 1) + LOWEST - 0.5) * step
