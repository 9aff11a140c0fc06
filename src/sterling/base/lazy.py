"""Public names that load the module that defines them on first use.

A package lists its public names once, as imports for type checkers, and this module reads that list. Every
start of sterling imports this file, so it imports almost nothing.
"""

from __future__ import annotations

from importlib import import_module


def lazily(package: dict):
    """Return ``__getattr__``, ``__dir__`` and ``__all__`` of a package, given its globals.

    In the package's source each name has its own line, ``from module import name as name``.
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

    return load, lambda: package["__all__"], sorted(homes)
