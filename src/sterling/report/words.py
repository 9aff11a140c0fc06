"""Numbers as people read them, the same on pages and in terminals: the interval decides the digits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sterling.claims.finding import Measured, Reference

_LEADING = 3
_DIGITS = 4  # significant ones, of a number without an interval


def number(value: float, decimals: int | None = None) -> str:
    """Return a number in words: four significant digits, or so many decimals; 12,345 and 1.2·10⁻⁵."""
    if math.isnan(value):
        return "not known"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size < -4 or size >= 9:
        digits = _DIGITS - 1 if decimals is None else max(0, min(_DIGITS, decimals + size))
        mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
        if "." in mantissa and decimals is None:
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}·10{str(int(exponent)).translate(_RAISED)}".replace("-", "−", 1)
    if decimals is not None:
        return f"{value:,.{max(0, decimals)}f}".replace("-", "−")
    if value == int(value):
        return f"{int(value):,}".replace("-", "−")
    text = f"{value:,.{max(0, _DIGITS - 1 - size)}f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if "." in text else text


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def decimals_of(measured: Measured) -> int | None:
    """Return how many decimals the interval carries: two significant digits of its width."""
    width = measured.high - measured.low
    if not math.isfinite(width) or width <= 0:
        return None
    return 1 - math.floor(math.log10(width))


def amount(one: Measured | Reference) -> str:
    """Return a measured value or a reference with its unit, without the interval."""
    decimals = decimals_of(one) if hasattr(one, "low") else None  # type: ignore[arg-type]
    text = number(one.value, decimals)
    return f"{text}\N{NO-BREAK SPACE}{one.unit}" if one.unit else text


def interval(one: Measured) -> str:
    """Return the interval as "0.98 to 1.05"; empty where there is none."""
    if not one.has_interval:
        return ""
    decimals = decimals_of(one)
    return f"{number(one.low, decimals)} to {number(one.high, decimals)}"


def leading(references: Sequence[Reference]) -> tuple[Sequence[Reference], int]:
    """Return the references that a summary shows, the first three at most, and how many it leaves out."""
    shown = references if len(references) <= _LEADING else references[: _LEADING - 1]
    return shown, len(references) - len(shown)


def level(one: Measured) -> str:
    """Return the confidence level as "95 %"."""
    return f"{100 * one.level:g}\N{NO-BREAK SPACE}%"
