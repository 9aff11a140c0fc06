"""The label that says how sure a statement is, from theorem to interpretation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

#: What the labels mean, for tables and reports.
KINDS = {
    "theorem": "proved in the paper",
    "exact": "follows by a short proof, or is computed from the data without approximation",
    "mean-field": "a heuristic that simulation supports; not proved",
    "measured": "seen in simulations, by the paper or by us; neither proved nor derived",
    "interpretation": "what somebody makes of other statements; not proved, and not measured there",
}

#: Every labelled function, by name.
FUNCTIONS: dict[str, Callable] = {}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def labelled(
    kind: str, source: str, checked: str = ""
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Give a function the attributes ``kind``, ``source`` and ``checked``, and list it in `FUNCTIONS`.

    ``checked`` is the range in which it was compared with runs and how well it did; outside it the law is not
    checked. All become the sections Notes and References of its docstring, before the examples.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")

    def attach(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        function.kind = kind  # type: ignore[attr-defined]
        function.source = source  # type: ignore[attr-defined]
        function.checked = checked  # type: ignore[attr-defined]
        text, rule, examples = inspect.cleandoc(function.__doc__ or "").partition("Examples\n--------")
        notes = f"{kind.capitalize()}: {KINDS[kind]}." + (
            f"\n\nChecked against runs: {checked}." if checked else ""
        )
        text, also, more = text.partition("References\n----------\n")
        references = f"{source}." + (f"\n\n{more.strip()}" if also else "")
        said = f"Notes\n-----\n{notes}\n\nReferences\n----------\n{references}"
        function.__doc__ = f"{text.rstrip()}\n\n{said}\n\n{rule}{examples}".rstrip() + "\n"
        FUNCTIONS[function.__name__] = function
        return function

    return attach
