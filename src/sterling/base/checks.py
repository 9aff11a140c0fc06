"""Checks of single arguments; Python's and NumPy's numbers are both accepted.

Every function returns the plain value. A wrong type raises `InputTypeError` (a ValueError and a TypeError),
a wrong value `InputError`; the message names the argument, its value and the accepted values. Arrays are
checked in `arrays.py`.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np

from sterling.errors import InputError, InputTypeError

T = TypeVar("T")

_SHOWN = 60  # letters of a wrong value that a message repeats
_BITS = 200  # of an integer shown in full

_MULTIPLES = str.maketrans({"k": "e3", "M": "e6", "G": "e9"})


def whole_number(text: str) -> int:
    """Read a whole number: 1000000, 1_000_000, 1e6 or 1M; ValueError if it is none."""
    with suppress(ValueError):
        return int(text)
    value = float(text.translate(_MULTIPLES))
    if not value.is_integer():
        raise ValueError(text)
    return int(value)


def integer(value: Any, name: str, least: int | None = None, most: int | None = None) -> int:
    """Return an integer within [least, most]; booleans are refused."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | np.integer):
        raise InputTypeError(f"{name} is {shown(value)}; it must be an integer", argument=name)
    number = int(value)
    if (least is not None and number < least) or (most is not None and number > most):
        raise InputError(f"{name} is {shown(number)}; it must be {_within(least, most)}", argument=name)
    return number


def real(
    value: Any,
    name: str,
    least: float | None = None,
    most: float | None = None,
    above: float | None = None,
    below: float | None = None,
) -> float:
    """Return a finite number within [least, most] and strictly between above and below."""
    if not is_number(value):
        raise InputTypeError(f"{name} is {shown(value)}; it must be a number", argument=name)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{name} is {shown(value)}; it must be a finite number", argument=name)
    too_low = (least is not None and number < least) or (above is not None and number <= above)
    too_high = (most is not None and number > most) or (below is not None and number >= below)
    if too_low or too_high:
        bounds = [_within(least, most)] if least is not None or most is not None else []
        bounds += [f"above {above:g}"] if above is not None else []
        bounds += [f"below {below:g}"] if below is not None else []
        raise InputError(f"{name} is {shown(value)}; it must be {' and '.join(bounds)}", argument=name)
    return number


def choice(value: Any, name: str, options: Collection[str]) -> str:
    """Return a text that is one of the options; the error names the nearest option."""
    known = ", ".join(options)
    if not isinstance(value, str):
        raise InputTypeError(f"{name} is {shown(value)}; it must be one of {known}", argument=name)
    if value not in options:
        near = difflib.get_close_matches(value, options, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{name} is {shown(value)}; it must be one of {known}{hint}", argument=name)
    return value


def flag(value: Any, name: str) -> bool:
    """Return a boolean of Python or NumPy as Python's."""
    if not isinstance(value, bool | np.bool_):
        raise InputTypeError(f"{name} is {shown(value)}; it must be True or False", argument=name)
    return bool(value)


def instance_of(value: Any, kind: type[T], name: str, advice: str) -> T:
    """Return a value that is of a class; the advice says how to make one."""
    if not isinstance(value, kind):
        raise InputTypeError(f"{name} is of the type {type(value).__name__}; give {advice}", argument=name)
    return value


def seed(value: Any, name: str = "seed") -> int | np.random.SeedSequence:
    """Return a seed as a non-negative integer or a SeedSequence; a Generator gives one drawn from it."""
    if isinstance(value, np.random.SeedSequence):
        return value
    if isinstance(value, np.random.Generator):
        return int(value.integers(1 << 63))
    return integer(value, name, 0)


def is_number(value: Any) -> bool:
    """Return whether a value is a real number of Python or NumPy; booleans are not."""
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def shown(value: Any) -> str:
    """Return a value for a message: cut where it is long, and on one line."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, int) and plain.bit_length() > _BITS:
        return "an integer of many digits"  # Python refuses to write the longest
    text = " ".join(repr(plain).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _within(least: float | None, most: float | None) -> str:
    if least is not None and most is not None:
        return f"between {_plain(least)} and {_plain(most)}"
    return f"at least {_plain(least)}" if least is not None else f"at most {_plain(most)}"


def _plain(bound: float | None) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:g}"
