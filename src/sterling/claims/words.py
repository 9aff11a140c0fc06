"""Numbers in words, the same in sentences, on pages and in terminals.

The width of the interval decides the number of digits. Rounding never moves an end of an interval across one
of `MARKS` or a reference beside it; if it would, there are more digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import polars as pl

from sterling.base.text import NO_BREAK, number
from sterling.claims.finding import Measured, Reference
from sterling.schedules import Schedule

#: Values that statements are about, such as the proved exponents.
MARKS = (-1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0)
_MORE = 4  # largest number of extra decimals of an interval


def decimals_of(measured: Measured, beside: Sequence[Reference] = ()) -> int | None:
    """Return the number of decimals of an interval; None if an end is infinite or missing.

    These are two significant digits of its width, and more if rounding would move an end across a mark or a
    reference.
    """
    width = measured.high - measured.low
    if not math.isfinite(width) or width <= 0:
        return None
    least = 1 - math.floor(math.log10(width))
    marks = (*MARKS, *(one.value for one in beside))
    for decimals in range(least, least + _MORE):
        if all(_same_side(end, mark, decimals) for end in (measured.low, measured.high) for mark in marks):
            return decimals
    return least + _MORE


def _same_side(end: float, mark: float, decimals: int) -> bool:
    shown = round(end, max(0, decimals))
    return (shown > mark, shown < mark) == (end > mark, end < mark)


def amount(one: Measured | Reference, beside: Sequence[Reference] = ()) -> str:
    """Return a measured value or a reference with its unit, without the interval; a share as a count."""
    decimals = None
    if isinstance(one, Measured):
        if one.count:
            return one.count
        decimals = decimals_of(one, beside)
    text = number(one.value, decimals)
    return f"{text}{NO_BREAK}{one.unit}" if one.unit else text


def interval(one: Measured, beside: Sequence[Reference] = ()) -> str:
    """Return the interval as "0.98 to 1.05", or an empty text; ``beside`` has the references beside it."""
    if not one.has_interval:
        return ""
    decimals = decimals_of(one, beside)
    return f"{number(one.low, decimals)} to {number(one.high, decimals)}"


def said(one: Measured, beside: Sequence[Reference] = ()) -> str:
    """Return a measured number for a sentence, as "1.01 (0.98 to 1.05)"."""
    inside = f" ({interval(one, beside)})" if one.has_interval else ""
    return f"{amount(one, beside)}{inside}"


def schedule_words(schedule: Schedule) -> str:
    """Return the formula of a schedule, such as "η = 0.5/√(t+1)"."""
    return f"η = {schedule.formula}"


def places(frame: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the rows at each n and N by label, in rising order."""
    groups = frame.sort("n", "samples", maintain_order=True).group_by("n", "samples", maintain_order=True)
    return {f"n = {n}, N = {samples:,}": one for (n, samples), one in groups}


def listed(values: Iterable[float]) -> str:
    """Return numbers as "6, 8 and 10"."""
    *most, last = map(number, values)
    return f"{', '.join(most)} and {last}" if most else last
