"""The one file that configures Numba: the decorators, and the folder in which compiled kernels are kept.

Numba's own cache writes and reads the kernels. This file adds three checks. The folder is named by all
sources, so no kernel is stale; each file has a digest, so no damaged one runs; only the user can write there.
Copies of the package with equal sources share the kernels, wherever they lie.
Instructions that Numba does not offer are in `machine.py`.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import os
import platform
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba import config
from numba.core import event

from sterling.base.files import printable
from sterling.errors import SterlingWarning

#: True when Numba runs kernels as plain Python (NUMBA_DISABLE_JIT=1), as one test job does.
INTERPRETED = bool(vars(config)["DISABLE_JIT"])  # made at run time, out of sight of type checkers

# Files whose text decides what the kernels compute; their digest names the folder of compiled kernels. Numba
# checks only the file of the outermost function.
_SOURCES = (
    "exact/jit.py",
    "exact/machine.py",
    "exact/sampling.py",
    "exact/mass.py",
    "exact/relaxation.py",
    "exact/batches.py",
    "optimizers/base.py",
    "optimizers/sgd.py",
    "optimizers/adam.py",
    "optimizers/lion.py",
    "optimizers/signsgd.py",
    "optimizers/bop.py",
    "returns/counts.py",
    "dynamics/bookkeeping.py",
    "dynamics/state.py",
    "dynamics/sums.py",
    "dynamics/passes.py",
    "dynamics/lookup.py",
    "dynamics/kernels.py",
    "dynamics/relax.py",
    "dynamics/step_kernels.py",
    "landscapes/kernels.py",
)
_FILES = "*.nb[ci]"  # Numba's data and index files
_SOUND = "sound"  # folder of empty files, each named by the digest of a file that Numba wrote
_SELDOM = 100_000  # new objects between two searches for garbage while kernels compile

# Options of Numba's target, for speed: kernels allocate nothing, so arrays need no reference counts (they
# would cost more than the work), and division follows IEEE instead of raising.
_KERNEL: dict = {"_nrt": False, "error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
_INNER: dict = _KERNEL | {"no_cpython_wrapper": True}  # Python never calls them


def _load_array_functions() -> None:
    """Load Numba's array functions without SciPy's linear algebra, which they import and no kernel uses.

    That import takes as long as all imports of ours for a run. If someone compiles a product of matrices,
    Numba still imports it then.
    """
    from numba.np import linalg

    ensure, linalg.ensure_blas = linalg.ensure_blas, lambda: None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = ensure


if not INTERPRETED:
    _load_array_functions()


def njit(function) -> Any:
    """Compile in nopython mode, without the GIL, cached on disk; no fast-math, so results follow IEEE 754."""
    if INTERPRETED:
        return function
    folder = cache_folder()
    # Numba cannot cache code that checks bounds.
    kept = folder is not None and not vars(config)["BOUNDSCHECK"] and _refusal(folder) is None
    with _numba_keeps_in(folder):
        compiled = numba.njit(cache=kept, **_KERNEL)(function)
    _kernels.append(compiled)
    return _Kernel(compiled, folder if kept else None)


def helper(function):
    """Compile a function that only other kernels call; it is cached as a part of them."""
    return function if INTERPRETED else numba.njit(**_INNER)(function)


def embedded(function):
    """Inline a function with one or two callers into them, which saves one compilation; else like `helper`.

    Numba copies the body of the caller as well, so a large function in a large one takes seconds to compile.
    """
    return function if INTERPRETED else numba.njit(inline="always", **_INNER)(function)


class _Kernel:
    """A compiled function for Python to call. A call never fails because of the disk."""

    def __init__(self, compiled: Any, folder: Path | None):
        self.compiled, self._folder = compiled, folder
        self._compilations = 0

    def __call__(self, *arguments) -> Any:
        try:
            result = self.compiled(*arguments)
        except OSError as problem:  # Numba could not write the kernel, but has compiled it
            _warn_not_kept(problem)
            return self.compiled(*arguments)
        compilations = len(self.compiled.stats.cache_misses)
        if self._folder is not None and compilations > self._compilations:
            self._compilations = compilations
            self._note_digests(self._folder)
        return result

    def _files(self) -> list[Path]:
        """Return the files that Numba has written for this kernel."""
        function = self.compiled.py_func
        name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}-"
        files = self._folder.rglob(_FILES) if self._folder is not None else ()
        return [file for file in files if file.name.startswith(name)]

    def _note_digests(self, folder: Path) -> None:
        """Note the digests of the files that Numba has just written for this kernel."""
        try:
            for file in self._files():
                (folder / _SOUND).mkdir(mode=0o700, exist_ok=True)
                (folder / _SOUND / _digest(file)).touch()
        except OSError as problem:
            _warn_not_kept(problem)


# what is kept


def _name_of_folder() -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name in _SOURCES:
        digest.update((Path(__file__).parent.parent / name).read_bytes())
    digest.update(f"{numba.__version__} {llvmlite.__version__} {platform.python_version()}".encode())
    digest.update(f"{vars(config)['OPT']}".encode())
    return f"kernels-{digest.hexdigest()}"


_FOLDER = _name_of_folder()  # at import, since the sources imported now are those compiled later


def cache_folder() -> Path | None:
    """Return the folder in which compiled kernels are kept, never beside the sources; None without a home.

    It is in ``NUMBA_CACHE_DIR`` if that is set, else in the user's cache folder.
    """
    root = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(root).expanduser() / "sterling" / _FOLDER
    except RuntimeError:  # the user has no home, as in some containers
        return None


def kept_kernels() -> list[Path]:
    """Return the files of compiled kernels."""
    folder = cache_folder()
    return [] if folder is None else sorted(folder.rglob("*.nbc"))


def drop_damaged(folder: Path | None = None) -> int:
    """Remove files of compiled kernels that changed since they were written, and return their number.

    Raises
    ------
    OSError
        If one cannot be removed.
    """
    folder = folder or cache_folder()
    if folder is None:
        return 0
    damaged = [file for file in folder.rglob(_FILES) if not (folder / _SOUND / _digest(file)).exists()]
    for file in damaged:
        file.unlink(missing_ok=True)
    return len(damaged)


def why_not_kept() -> str | None:
    """Return why compiled kernels cannot be kept in their folder, None if they can."""
    folder = cache_folder()
    return "there is no home folder" if folder is None else _refusal(folder)


@cache
def _refusal(folder: Path) -> str | None:
    """Return why a folder cannot keep kernels, None if it can; make it, and remove damaged files from it.

    Numba unpickles the files that it finds. So only this user may be able to write to the folder or to
    replace it.
    """
    try:
        folder.parent.parent.mkdir(parents=True, exist_ok=True)
        for part in (folder.parent, folder):
            part.mkdir(mode=0o700, exist_ok=True)
        root, parent, own = (part.stat().st_mode for part in (folder.parent.parent, folder.parent, folder))
        if hasattr(os, "getuid"):
            owners = {part.lstat().st_uid for part in (folder.parent, folder)}
            movable = root & stat.S_IWOTH and not root & stat.S_ISVTX
            if owners != {os.getuid()} or movable or parent & 0o022 or own & 0o077:
                return f"other users can write to {printable(folder)}"
        if drop_damaged(folder):
            _warn_once(
                f"damaged compiled kernels in {printable(folder)} were removed; they are compiled again"
            )
    except OSError as problem:
        return str(problem)
    return None


class Locator:
    """Where Numba keeps a kernel: by room and line, since the digest of all sources names the folder.

    Numba's usual place depends on the path of the source, so that each copy of the package compiles anew.
    """

    def __init__(self, function: Callable, file: str):
        self.path = os.path.join(vars(config)["CACHE_DIR"], Path(file).parent.name)
        self.line = function.__code__.co_firstlineno

    @classmethod
    def from_function(cls, function: Callable, file: str) -> Locator:
        return cls(function, file)

    def ensure_cache_path(self) -> None:
        os.makedirs(self.path, exist_ok=True)

    def get_cache_path(self) -> str:
        return self.path

    def get_source_stamp(self) -> str:
        return _FOLDER

    def get_disambiguator(self) -> str:
        return str(self.line)


@contextmanager
def _numba_keeps_in(folder: Path | None) -> Iterator[None]:
    """Let Numba keep the kernels decorated in this context in our folder; others go to Numba's usual one.

    Versions of Numba without a choice of locators keep them in our folder by the path of the source.
    """
    usual = {name: vars(config).get(name, "") for name in ("CACHE_DIR", "CACHE_LOCATOR_CLASSES")}
    try:
        for name, value in zip(usual, (str(folder), f"{__name__}.{Locator.__name__}"), strict=True):
            setattr(config, name, value)
        yield
    finally:
        for name, value in usual.items():
            setattr(config, name, value)


def _digest(file: Path) -> str:
    try:
        return hashlib.blake2b(file.read_bytes(), digest_size=16).hexdigest()
    except IsADirectoryError:
        return "a folder"


# what is said

#: Functions called before this process compiles its first kernel; the argument says whether it can be kept.
on_compiling: list[Callable[[bool], Any]] = []

_said: set[str] = set()
_kernels: list[Any] = []  # as Numba's dispatchers


class _Watcher(event.Listener):
    """Listens to Numba's compilations, including those of other packages."""

    def __init__(self):
        self._thresholds: list[tuple[int, int, int]] = []

    def on_start(self, event: event.Event) -> None:
        if not _is_ours(event):
            return
        # Nearly all objects that a compilation makes live until it ends.
        usual = gc.get_threshold()
        self._thresholds.append(usual)
        gc.set_threshold(usual[0] and max(usual[0], _SELDOM), *usual[1:])
        if "compiling" not in _said:
            _said.add("compiling")
            reason = why_not_kept()
            if reason is not None:
                _warn_not_kept(reason)
            for say in on_compiling:
                say(reason is None)

    def on_end(self, event: event.Event) -> None:
        if _is_ours(event):
            gc.set_threshold(*self._thresholds.pop())


def _is_ours(event: event.Event) -> bool:
    return any((event.data or {}).get("dispatcher") is kernel for kernel in _kernels)


event.register("numba:compile", _Watcher())


def _warn_not_kept(reason: object) -> None:
    _warn_once(
        f"compiled kernels cannot be kept, so each start compiles them again ({reason}): set NUMBA_CACHE_DIR "
        "to a folder of yours"
    )


def _warn_once(text: str) -> None:
    kind = text.split(" (")[0]
    if kind not in _said:
        _said.add(kind)
        warnings.warn(text, SterlingWarning, stacklevel=2)
