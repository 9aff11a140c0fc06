"""Optional packages: whether they are installed, and how to install them."""

from __future__ import annotations

import re
import shlex
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

from sterling.errors import InputError


def installed(package: str) -> str | None:
    """Return the version of an installed package, without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def needed(package: str) -> Any:
    """Import an optional package."""
    if installed(package) is None:
        raise InputError(f"this needs {package}, which is not installed: pip install {package}")
    return import_module(package)


def requirements() -> dict[str, dict[str, str]]:
    """Return the packages that each extra needs, with versions; those of the core under an empty name."""
    found: dict[str, dict[str, str]] = {"": {}}
    try:
        lines = requires("sterling") or ()
    except PackageNotFoundError:  # run from its sources
        return found
    for line in lines:
        what, _, condition = line.partition(";")
        name = re.match(r"[\w.-]+", what)
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)", condition)
        if name:
            found.setdefault(extra[1] if extra else "", {})[name[0]] = what.strip()
    return found


def how_to_install(extra: str) -> str:
    """Return the command that installs the packages of an extra."""
    return shlex.join(["pip", "install", *requirements().get(extra, {}).values()])
