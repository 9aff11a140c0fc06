"""Public names that load the module where they are at home on first use.

A package lists them once, as imports for type checkers; this reads that list. What is imported here costs
every start, so it is little.
"""

from __future__ import annotations

from importlib import import_module


def lazily(package: dict):
    """Return ``__getattr__`` and ``__dir__`` of a package, given its globals, and the homes of its names.

    In its source each name stands on a line ``from module import name as name``.
    """
    own, homes = package["__name__"], {}
    for line in package["__loader__"].get_data(package["__file__"]).decode().splitlines():
        words = line.split()
        if len(words) == 6 and words[0] == "from" and words[3] == words[5]:
            homes[words[3]] = words[1]

    def load(name: str):
        if name not in homes:
            raise AttributeError(f"module {own!r} has no attribute {name!r}")
        if homes[name] == own:
            package[name] = import_module(f"{own}.{name}")
        else:
            package[name] = getattr(import_module(homes[name]), name)
        return package[name]

    return load, lambda: sorted({*package, *homes}), homes
