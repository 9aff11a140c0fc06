"""The small table that a notebook shows of an object."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Any


def shortened(value: Any, most: int = 8) -> str:
    """Return a value as text; of a long list the first few entries."""
    if not isinstance(value, list | tuple):
        return str(value)
    words = [f"{entry:g}" if isinstance(entry, float) else str(entry) for entry in value[:most]]
    return ", ".join(words) + (f", … ({len(value)} in all)" if len(value) > most else "")


def html_table(rows: Iterable[tuple[str, Any]]) -> str:
    """Return names and values as an HTML table, both escaped."""
    escaped = ((html.escape(str(name)), html.escape(str(value))) for name, value in rows)
    cells = "".join(
        f"<tr><th style='text-align:left'>{name}</th><td>{value}</td></tr>" for name, value in escaped
    )
    return f"<table>{cells}</table>"
