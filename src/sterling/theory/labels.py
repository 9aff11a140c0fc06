"""The label that says how sure a statement is: theorem, exact or mean-field."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

#: What the labels mean, for tables and reports.
KINDS = {
    "theorem": "proved in the paper",
    "exact": "follows by a short proof, or is computed from the data without approximation",
    "mean-field": "a heuristic that simulation supports; not proved",
}

#: Every labelled function, by name.
FUNCTIONS: dict[str, Callable] = {}

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def labelled(kind: str, source: str) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Give a function the attributes ``kind`` and ``source``, and list it in `FUNCTIONS`.

    Both also become the sections Notes and References of its docstring, before the examples.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}; it must be one of {', '.join(KINDS)}")

    def attach(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        function.kind = kind  # type: ignore[attr-defined]
        function.source = source  # type: ignore[attr-defined]
        text, rule, examples = inspect.cleandoc(function.__doc__ or "").partition("Examples\n--------")
        said = f"Notes\n-----\n{kind.capitalize()}: {KINDS[kind]}.\n\nReferences\n----------\n{source}."
        function.__doc__ = f"{text.rstrip()}\n\n{said}\n\n{rule}{examples}".rstrip() + "\n"
        FUNCTIONS[function.__name__] = function
        return function

    return attach
