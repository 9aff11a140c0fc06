"""Numbers as words."""

from __future__ import annotations


def counted(count: float, noun: str) -> str:
    """Return a count with its noun: "1 step", "1,000 steps", "2.5 steps"."""
    return f"{count:,.10g} {noun}" if count == 1 else f"{count:,.10g} {noun}s"
