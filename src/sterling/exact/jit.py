"""The one place where Numba is configured: the decorators and the cache folder.

It knows nothing of what the kernels compute. Instructions that Numba has no name for are in `machine.py`.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import numba
from numba.core import config

_config: Any = config  # Numba makes its settings at run time, out of sight of type checkers

#: True when Numba runs kernels as plain Python (NUMBA_DISABLE_JIT=1), as one test job does.
INTERPRETED = bool(_config.DISABLE_JIT)

# Files whose text decides what the kernels compute. Numba's own cache key sees only the file of the
# outermost function, so the cache folder carries a digest of all of them.
_SOURCES = (
    "exact/jit.py",
    "exact/machine.py",
    "exact/sampling.py",
    "exact/mass.py",
    "visits/counts.py",
    "dynamics/tally.py",
    "dynamics/walk.py",
    "dynamics/bookkeeping.py",
    "dynamics/sums.py",
    "dynamics/passes.py",
    "dynamics/lookup.py",
    "dynamics/kernels.py",
    "states/kernels.py",
)


def cache_folder() -> Path:
    """Return the folder in which compiled kernels are kept, outside the repository and the package.

    ``NUMBA_CACHE_DIR`` is honoured; otherwise the user's cache folder is taken.
    """
    here = Path(__file__).parent.parent
    digest = hashlib.blake2b(digest_size=8)
    for name in _SOURCES:
        digest.update((here / name).read_bytes())
    digest.update(numba.__version__.encode())
    root = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "sterling" / f"kernels-{digest.hexdigest()}"


_CACHE = cache_folder()

# Kernels allocate nothing, so arrays need no reference counts (they would cost more than the work), and
# division follows IEEE instead of raising.
_PLAIN: dict = {"_nrt": False, "error_model": "numpy"}


def njit(function):
    """Compile in nopython mode, without the GIL, cached on disk; no fast-math, so IEEE results hold."""
    if INTERPRETED:
        return function
    previous = _config.CACHE_DIR
    _config.CACHE_DIR = str(_CACHE)  # read by Numba when the function is decorated, then put back
    try:
        return numba.njit(cache=True, nogil=True, **_PLAIN)(function)
    finally:
        _config.CACHE_DIR = previous


def helper(function):
    """Compile a function that only other kernels call; it is cached as a part of them."""
    return function if INTERPRETED else numba.njit(nogil=True, **_PLAIN)(function)


def embedded(function):
    """Like `helper`, for functions with few callers: part of their bodies, so compiled once less."""
    return function if INTERPRETED else numba.njit(nogil=True, inline="always", **_PLAIN)(function)
