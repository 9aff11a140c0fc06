"""All claims, found in the files of `sterling.claims.experiments`."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from sterling.claims import experiments
from sterling.claims.claim import Claim


def find() -> dict[str, Claim]:
    """Return every claim by key, from the files of the folder of experiments."""
    names = [one.name for one in iter_modules(experiments.__path__)]
    found = [import_module(f"{experiments.__name__}.{name}").CLAIM for name in names]
    return {claim.key: claim for claim in sorted(found, key=lambda claim: claim.key)}


#: Every claim by key, in the order of measurement: P1 to P5, then the others.
CLAIMS = find()
