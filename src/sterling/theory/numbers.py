"""The numbers that the laws depend on, read from a `Problem` or an `Instance` and checked here."""

from __future__ import annotations

from typing import NamedTuple

from sterling.base.checks import integer, real
from sterling.errors import InputError, InputTypeError
from sterling.model.families import Gaussian
from sterling.model.instance import Instance
from sterling.model.levels import require_two
from sterling.model.problem import Problem
from sterling.surrogates import Surrogate, get_surrogate

#: Largest number of weights for which the laws are given.
MOST_WEIGHTS = 10**12
#: Range of ‖v‖² for which the laws are given: its square is still a float.
NORM_RANGE = (1e-100, 1e100)


class Numbers(NamedTuple):
    """The numbers of a problem that the laws use, hashable for caches."""

    n: int  # weights
    m: int  # hidden units, taken to have readouts of the same size
    norm2: float  # ‖v‖²
    noise: float | None  # σ; None where it is unknown
    surrogate: Surrogate
    levels: int = 2  # of a weight

    @property
    def sigma(self) -> float:
        """The label noise; InputError if it is unknown."""
        if self.noise is None:
            raise InputError("the label noise of these data is unknown: give a Problem that describes them")
        return self.noise


def numbers_of(of, surrogate: str | Surrogate, gaussian: bool = True, levels: bool = False) -> Numbers:
    """Return the numbers of a problem or an instance.

    By default refuse inputs that are not Gaussian and weights of more than two levels.
    """
    if isinstance(of, Problem):
        noise = of.noise
    elif isinstance(of, Instance):
        noise = of.origin.get("noise")
    else:
        raise InputTypeError(
            f"the first argument is of the type {type(of).__name__}; give a Problem or an Instance"
        )
    if not levels:
        require_two(of, "the law is")
    reason = unlike_gaussian(of) if gaussian else ""
    if reason:
        raise InputError(f"the law is for standard Gaussian inputs, and {reason}")
    return Numbers(
        integer(of.n, "n", 1, MOST_WEIGHTS),
        of.m,
        real(of.readout_norm2, "‖v‖²", *NORM_RANGE),
        None if noise is None else real(noise, "noise", 0),
        get_surrogate(surrogate),
        of.levels,
    )


def samples_of(of: Problem | Instance, samples: float | None) -> float:
    """Return N as given, else the sample size of the problem or the instance."""
    return real(of.samples if samples is None else samples, "samples", 1)


def window_of(surrogate: Surrogate) -> tuple[float, float]:
    """Return the window of a surrogate; InputError if it is smooth."""
    if surrogate.window is None:
        raise InputError(f"the surrogate {surrogate.name} is smooth: the law is for one with a window")
    return surrogate.window


def unlike_gaussian(of: Problem | Instance) -> str:
    """Return why the rows of the inputs are not standard Gaussian vectors; empty if they are."""
    if isinstance(of, Problem):
        plain, inputs, normalize = isinstance(of.inputs, Gaussian), of.inputs, of.normalize
    else:
        inputs, normalize = of.origin.get("inputs"), of.origin.get("normalize")
        plain = inputs in (None, "gaussian")
    if plain and normalize is None:
        return ""
    return f"these are {inputs or 'normalised'}" + (f" with normalize={normalize!r}" if normalize else "")
