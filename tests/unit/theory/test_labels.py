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
