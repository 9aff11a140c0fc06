"""Numbers and small tables as people read them, in messages, on terminals and in notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any


def counted(count: float, noun: str) -> str:
    """Return a count with its noun: "1 step", "1,000 steps", "2.5 steps"."""
    return f"{count:,.10g} {noun}" if count == 1 else f"{count:,.10g} {noun}s"


def readable_time(seconds: float) -> str:
    """Return a duration as people read it: 75 -> "1 min 15 s"."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest} s" if minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours / 24:.0f} days" if hours < 24 * 3650 else "years"


def shortened(value: Any, most: int = 8) -> str:
    """Return a value as text; of a long list the first few entries."""
    if not isinstance(value, list | tuple):
        return str(value)
    words = [f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in value[:most]]
    return ", ".join(words) + (f", … ({len(value)} in all)" if len(value) > most else "")


def html_table(rows: Iterable[tuple[str, Any]]) -> str:
    """Return names and values as the small HTML table that a notebook shows, both escaped."""
    escaped = ((html.escape(str(name)), html.escape(str(value))) for name, value in rows)
    cells = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td>{value}</td></tr>" for name, value in escaped
    )
    return f"<table>{cells}</table>"
