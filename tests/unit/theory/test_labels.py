"""Every function states its kind (theorem, exact, mean-field) in an attribute and in its documentation."""

from __future__ import annotations

import inspect

import pytest

from sterling import theory

PUBLIC = [name for name in theory.__all__ if inspect.isfunction(getattr(theory, name))]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_function_is_labelled(name):
    function = getattr(theory, name)
    assert function.kind in theory.KINDS
    assert function.source
    assert theory.FUNCTIONS[name] is function


@pytest.mark.parametrize("name", PUBLIC)
def test_the_documentation_says_it(name):
    """The sections Notes and References: what kind of statement, in the words of KINDS, and its source."""
    function = getattr(theory, name)
    text = inspect.getdoc(function)
    assert text is not None
    _, notes = text.split("Notes\n-----\n")
    notes, references = notes.split("References\n----------\n")
    said = f"{function.kind.capitalize()}: {theory.KINDS[function.kind]}."
    if function.checked:
        said += f"\n\nChecked against runs: {function.checked}."
    assert notes.strip() == said
    assert references.startswith(f"{function.source}.")
    assert ">>> " in references  # the example comes last
