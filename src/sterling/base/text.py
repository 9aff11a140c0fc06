"""Numbers as words, the same in sentences, pictures, pages and terminals; small tables for notebooks."""

from __future__ import annotations

import html
import json
import math
import re
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

#: Turns the digits of an exponent into raised ones.
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
NO_BREAK = "\N{NO-BREAK SPACE}"

_DIGITS = 4  # significant ones, of a number that comes without decimals


def counted(count: float, noun: str) -> str:
    """Return a count with its noun: "1 step", "1,000 steps", "2.5 steps"."""
    return f"{count:,.10g} {noun}" if count == 1 else f"{count:,.10g} {noun}s"


def sentence(words: str) -> str:
    """Return words as a sentence: with a capital letter and a full stop."""
    return f"{words[:1].upper()}{words[1:]}."


def readable_time(seconds: float) -> str:
    """Return a duration in words: 75 -> "1 min 15 s"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 1 else "under 1 s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest} s" if minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours / 24:.0f} days"


def in_words(label: Any) -> str:
    """Return a class as text, a number with a minus sign instead of a hyphen."""
    return str(label) if isinstance(label, str) else str(label).replace("-", "−")


def legible(text: str) -> str:
    """Return a text that can be written, with � for bytes of a name that are not UTF-8."""
    return re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)


def as_json(values: Any, **look: Any) -> str:
    """Return values as JSON; infinite and undefined numbers become null."""
    plain = json.loads(json.dumps(values), parse_constant=lambda name: None)
    return json.dumps(plain, allow_nan=False, **look)


def shortened(value: Any, most: int = 8) -> str:
    """Return a value as text; of a long list the first few entries."""
    if not isinstance(value, list | tuple):
        return f"{value:.6g}" if isinstance(value, float) else str(value)
    words = [f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in value[:most]]
    return ", ".join(words) + (f", … ({len(value)} in all)" if len(value) > most else "")


def html_table(rows: Iterable[tuple[str, Any]]) -> str:
    """Return names and values as the small HTML table that a notebook shows, both escaped."""
    escaped = ((html.escape(str(name)), html.escape(str(value))) for name, value in rows)
    row = "<tr><th style='text-align:left'>{}</th><td>{}</td></tr>"
    return f"<table>{''.join(row.format(*pair) for pair in escaped)}</table>"


class Described:
    """Base of public objects: as plain values by `to_dict`, and as a small table in a notebook."""

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, which JSON can hold.

        Returns
        -------
        dict
            A new dictionary; changing it does not change the object.
        """
        return _plain(asdict(self))  # type: ignore[call-overload]

    def _rows(self) -> list[tuple[str, str]]:
        """Return names and texts for a table."""
        return [(name, shortened(value)) for name, value in self.to_dict().items()]

    def _repr_html_(self) -> str:
        return html_table(self._rows())


class Result(Described):
    """Base of results, which can also be summarised in words."""

    def summary(self) -> str:
        """Return the main results in words.

        Returns
        -------
        str
            One result a line, its name first.
        """
        rows = self._rows()
        width = max((len(name) for name, _ in rows), default=0)
        return "\n".join(f"{name:{width}}  {text}" for name, text in rows)


def _plain(value: Any) -> Any:
    """Return dictionaries, sequences and arrays as JSON has them."""
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value.tolist() if hasattr(value, "tolist") else value


def number(value: float, decimals: int | None = None) -> str:
    """Return a number in words: four significant digits, or the given decimals; 12,345 and 1.2·10⁻⁵."""
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
        return f"{mantissa}·10{str(int(exponent)).translate(RAISED)}".replace("-", "−", 1)
    if decimals is not None:
        return f"{value:,.{max(0, decimals)}f}".replace("-", "−")
    if value == int(value):
        return f"{int(value):,}".replace("-", "−")
    text = f"{value:,.{max(0, _DIGITS - 1 - size)}f}".replace("-", "−")
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: float, decimals: int = 0) -> str:
    """Return a share as "48 %", with a space that does not break."""
    return f"{value:.{decimals}%}".replace("%", f"{NO_BREAK}%").replace("-", "−")


def share(value: float) -> str:
    """Return a share in per cent with four significant digits, 100 % only for all: 0.06099 -> "6.099 %"."""
    return f"{'over 99.99' if 0.99995 <= value < 1 else number(100 * value)}{NO_BREAK}%"


def in_figure(text: str) -> str:
    """Return a text with powers such as x^2 in raised letters; x^1.5 stays: there is no raised point."""
    return re.sub(r"\^(\d+)(?![\d.])", lambda power: power[1].translate(RAISED), text)
