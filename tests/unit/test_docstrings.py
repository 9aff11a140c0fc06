"""Docstrings: every public thing says what it takes, gives and raises, and its example runs."""

from __future__ import annotations

import doctest
import inspect
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from numpydoc.validate import validate

import sterling as st

FOLDER = Path(st.__file__).parent

#: What numpydoc checks: a docstring is there, its summary is a sentence, parameters are those of the
#: signature, in its order, each described, and what comes back is told. (Not that the summary has a line of
#: its own.) PR01 does not hold for an Enum: its signature is that of the look-up, not that of its members.
CODES = {"GL07", "GL08", "SS02", "SS03", "PR01", "PR02", "PR03", "PR07", "RT01", "RT03", "YD01"}

#: Modules of the package that are public as they stand; their `__all__` is part of the interface.
MODULES = ("theory", "study", "learn", *(("torch",) if find_spec("torch") else ()))


def public():
    """Return the names and objects of the public interface: functions, classes and their own methods.

    A method without a docstring stands for the one of a parent class whose docstring it inherits.
    """
    found = {}
    for name in st.__all__:
        found[f"sterling.{name}"] = getattr(st, name)
    for module in MODULES:
        home = import_module(f"sterling.{module}")
        for name in home.__all__:
            found[f"sterling.{module}.{name}"] = getattr(home, name)
    for name, thing in list(found.items()):
        if inspect.isclass(thing) and not issubclass(thing, BaseException):
            for key, member in vars(thing).items():
                if not key.startswith("_") and callable(getattr(member, "__func__", member)):
                    owners = [base for base in thing.__mro__ if getattr(vars(base).get(key), "__doc__", "")]
                    found[f"{name}.{key}"] = getattr((owners or [thing])[0], key)
    return {name: thing for name, thing in found.items() if callable(thing)}


PUBLIC = public()


def home(thing):
    """Return the full name under which numpydoc finds an object."""
    return f"{thing.__module__}.{thing.__qualname__}"


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_the_docstring_is_complete(name):
    thing = PUBLIC[name]
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        assert inspect.getdoc(thing)
        return
    codes = CODES - {"PR01"} if inspect.isclass(thing) and issubclass(thing, Enum) else CODES
    wrong = [f"{code}: {text}" for code, text in validate(home(thing))["errors"] if code in codes]
    assert wrong == []


@pytest.mark.parametrize("name", sorted(n for n in PUBLIC if n.count(".") < (3 if "theory" in n else 2)))
def test_there_is_an_example(name):
    thing = PUBLIC[name]
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        return
    assert ">>> " in (inspect.getdoc(thing) or "")


def with_examples():
    """Return the modules of the package whose docstrings hold examples."""
    for file in sorted(FOLDER.rglob("*.py")):
        if ">>> " in file.read_text(encoding="utf-8"):
            parts = file.relative_to(FOLDER.parent).with_suffix("").parts
            if parts[1] == "torch" and "torch" not in MODULES:
                continue
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.filterwarnings("error")  # a file left open, say
@pytest.mark.parametrize("module", list(with_examples()))
def test_examples_run(module, monkeypatch, tmp_path, registries):
    """Examples may write files: they run in an empty folder."""
    monkeypatch.chdir(tmp_path)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    result = doctest.testmod(import_module(module), optionflags=flags)
    assert result.attempted > 0
    assert result.failed == 0
