"""Labels for how certain a statement is, from theorem to interpretation, shown in docstrings."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import ParamSpec, TypeVar

#: What the labels mean, for tables and reports.
KINDS = {
    "theorem": "proved, in the paper unless the source names others; some are for n → ∞ only",
    "exact": "follows by a short proof, or is computed from the data without approximation",
    "mean-field": "a heuristic that simulation supports; not proved",
    "measured": "seen in simulations, by the paper or by us; neither proved nor derived",
    "interpretation": "a conclusion from other statements; not proved, and not measured there",
}

#: Every labelled function, by name.
FUNCTIONS: dict[str, Callable] = {}

_ARGUMENTS = {
    "of": "Problem or Instance\n    The distribution of the data, or a data set drawn from one.",
    "instance": "Instance\n    The data set.",
    "samples": "float, optional\n    N; by default the sample size of the problem.",
    "surrogate": "str or Surrogate\n    Surrogate gradient: a name or a `Surrogate`.",
    "reference": "array (n,) of −1 and +1, optional\n    A state to use instead of the teacher, such as "
    "``orbit.reference``.",
    "damping": "float\n    θ, the threshold on the mean gradient in units of S, as of `SGD`.",
    "schedule": "Schedule, optional\n    Step sizes, `Power(0.5, 0.5)` by default.",
}
_RAISES = """InputError
    If an argument is out of range; if the data lack what the law requires, such as Gaussian inputs, a
    known label noise, a teacher or a reference; or if the law has no solution, as with very few samples."""
_SECTIONS = ("Parameters", "Returns", "Raises", "Notes", "References", "Examples")

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def labelled(
    kind: str, source: str, checked: str = ""
) -> Callable[[Callable[Arguments, Result]], Callable[Arguments, Result]]:
    """Give a function the attributes ``kind``, ``source`` and ``checked``, and list it in `FUNCTIONS`.

    ``checked`` says in which range the law was compared with runs, and how well they agreed. The docstring
    gets the sections Notes and References from these, and the common arguments and errors.
    """

    def attach(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        function.kind = kind  # type: ignore[attr-defined]
        function.source = source  # type: ignore[attr-defined]
        function.checked = checked  # type: ignore[attr-defined]
        text, *parts = re.split(r"\n\n(\w+)\n-+\n", inspect.cleandoc(function.__doc__ or ""))
        sections = {"Raises": _RAISES, **dict(zip(parts[::2], parts[1::2], strict=True))}
        sections["Parameters"] = _parameters(function, sections.get("Parameters", ""))
        sections["Notes"] = f"{kind.capitalize()}: {KINDS[kind]}." + (
            f"\n\nChecked against runs: {checked}." if checked else ""
        )
        sections["References"] = "\n\n".join(filter(None, (f"{source}.", sections.get("References"))))
        for title in _SECTIONS:
            if sections.get(title):
                text += f"\n\n{title}\n{'-' * len(title)}\n{sections[title]}"
        function.__doc__ = f"{text}\n"
        FUNCTIONS[function.__name__] = function
        return function

    return attach


def _parameters(function: Callable, own: str) -> str:
    """Return the section Parameters: ``own``, and the common arguments that it does not describe."""
    given = dict(entry.split(" : ", 1) for entry in re.split(r"\n(?=\S)", own) if entry)
    names = list(inspect.signature(function).parameters)
    described = {name for key in given for name in key.split(", ")}
    given |= {name: _ARGUMENTS[name] for name in names if name in _ARGUMENTS and name not in described}
    if "of" in given and "samples" not in names:
        given["of"] = given["of"].removesuffix(".") + "; its sample size is not used."
    ordered = sorted(given, key=lambda key: names.index(key.split(", ")[0]))
    return "\n".join(f"{key} : {given[key].rstrip()}" for key in ordered)
