"""The one place where Numba is configured: the decorators, and the cache of compiled kernels.

It knows nothing of what the kernels compute. Instructions that Numba has no name for are in `machine.py`.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import os
import pickle
import platform
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import caching, codegen, config, serialize
from numba.core.compiler import Compiler, CompileResult

from sterling.base.files import printable, write_atomically
from sterling.errors import SterlingWarning, StoreError

#: True when Numba runs kernels as plain Python (NUMBA_DISABLE_JIT=1), as one test job does.
INTERPRETED = bool(vars(config)["DISABLE_JIT"])  # made at run time, out of sight of type checkers

# Files whose text decides what the kernels compute; their digest names the folder of compiled ones. Numba's
# own cache would see the file of the outermost function alone.
_SOURCES = (
    "exact/jit.py",
    "exact/machine.py",
    "exact/sampling.py",
    "exact/mass.py",
    "returns/counts.py",
    "dynamics/bookkeeping.py",
    "dynamics/tally.py",
    "dynamics/walk.py",
    "dynamics/sums.py",
    "dynamics/passes.py",
    "dynamics/lookup.py",
    "dynamics/kernels.py",
    "landscapes/kernels.py",
)
_SUFFIX = ".kernel"
_DIGEST_BYTES = 16  # before the contents of each file
_ALL_BYTES = 1 << 22  # more than all kernels take

# Kernels allocate nothing, so arrays need no reference counts (they would cost more than the work), and
# division follows IEEE instead of raising.
_PLAIN: dict = {"_nrt": False, "error_model": "numpy", "nogil": True, "no_cfunc_wrapper": True}
_INNER: dict = _PLAIN | {"no_cpython_wrapper": True}  # Python never calls them


def _load_array_functions() -> None:
    """Load Numba's array functions without SciPy's linear algebra, which they look for and no kernel uses.

    It takes as long to import as all that a run needs of us. Whoever compiles a product of matrices still
    makes Numba look for it then.
    """
    from numba.np import linalg

    ensure, linalg.ensure_blas = linalg.ensure_blas, lambda: None
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        linalg.ensure_blas = ensure


if not INTERPRETED:
    _load_array_functions()


class _KernelCompiler(Compiler):
    """Spares the system what compiling would ask of it half a million times.

    Garbage is looked for seldom, for nearly all that is made stays until the end. And CPython keeps its
    frames in pieces of 16 KiB: calls that cross the end of one make and free the next each time. A frame with
    this much room brings a piece of a mebibyte, in which all calls below it find theirs.
    """

    def compile_extra(self, func):
        usual = gc.get_threshold()
        gc.set_threshold(usual[0] and max(usual[0], 20_000), *usual[1:])
        try:
            return super().compile_extra(func)
        finally:
            gc.set_threshold(*usual)

    compile_extra.__code__ = compile_extra.__code__.replace(co_stacksize=1 << 16)


def njit(function):
    """Compile in nopython mode, without the GIL, kept on disk; no fast-math, so IEEE results hold."""
    if INTERPRETED:
        return function
    compiled: Any = numba.njit(pipeline_class=_KernelCompiler, **_PLAIN)(function)
    compiled._cache = _Kept(function)
    return compiled


class _Part(codegen.JITCodeLibrary):
    """A function that only others call: a part of their machine code, without any of its own."""

    def _optimize_final_module(self):
        pass  # its callers will be, with all their parts

    def _finalize_final_module(self):
        self._finalized = True

    def get_pointer_to_function(self, name):
        return 0  # none

    @property
    def codegen(self) -> Any:  # Numba asks for it to tell machine code its environment
        return self

    def set_env(self, name, environment):
        pass


class _Loop(_Part):
    """A part that is optimised before it becomes one."""

    _optimize_final_module = codegen.JITCodeLibrary._optimize_final_module


class _PartCompiler(Compiler):
    library: type[_Part] = _Part

    def define_pipelines(self):
        state = self.state
        if state.library is None:
            state.library = self.library(state.targetctx.codegen(), state.func_id.func_qualname)
        return super().define_pipelines()


class _LoopCompiler(_PartCompiler):
    library = _Loop


def helper(function):
    """Compile a function that only other kernels call; it is kept as a part of them."""
    return function if INTERPRETED else numba.njit(pipeline_class=_PartCompiler, **_INNER)(function)


def loop(function):
    """Like `helper`, for loops over rows: they are vectorised here, as they would not be within others."""
    return function if INTERPRETED else numba.njit(pipeline_class=_LoopCompiler, **_INNER)(function)


def embedded(function):
    """Like `helper`, for functions with one caller or two: part of their bodies, so compiled once less.

    Numba copies the body of the caller as well, so large ones within large ones take seconds to compile.
    """
    return function if INTERPRETED else numba.njit(inline="always", **_INNER)(function)


# what is kept


def _name_of_folder() -> str:
    digest = hashlib.blake2b(digest_size=8)
    for name in _SOURCES:
        digest.update((Path(__file__).parent.parent / name).read_bytes())
    digest.update(f"{numba.__version__} {llvmlite.__version__} {platform.python_version()}".encode())
    return f"kernels-{digest.hexdigest()}"


_FOLDER = _name_of_folder()  # now, for what is compiled later is what is imported now


def cache_folder() -> Path | None:
    """Return the folder in which compiled kernels are kept, never beside the sources; None without a home.

    ``NUMBA_CACHE_DIR`` is honoured; otherwise the user's cache folder is taken.
    """
    root = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        return Path(root).expanduser() / "sterling" / _FOLDER
    except RuntimeError:  # of a user without a home, as in some containers
        return None


def kept_kernels() -> list[Path]:
    """Return the files of compiled kernels."""
    folder = cache_folder()
    return [] if folder is None else sorted(folder.glob(f"*{_SUFFIX}"))


def drop_damaged() -> int:
    """Remove compiled kernels whose digest does not fit, and return how many there were."""
    damaged = 0
    for file in kept_kernels():
        if _contents(file) is None:
            file.unlink(missing_ok=True)
            damaged += 1
    return damaged


def why_not_kept() -> str | None:
    """Return why compiled kernels cannot be written to their folder, None if they can."""
    folder = cache_folder()
    if folder is None:
        return "there is no home folder"
    probe = folder / f"probe-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(probe, lambda stream: stream.write(bytes(_ALL_BYTES)))
        probe.unlink()
    except (StoreError, OSError) as problem:
        return str(problem)
    return None


#: Called before this process compiles its first kernel, with whether what it compiles can be kept.
on_compiling: list[Callable[[bool], Any]] = []

_told: set[str] = set()


class _Kept(caching.NullCache):
    """The compiled forms of a function: a file for each signature, whole or absent, with a digest.

    What is damaged, or cannot be kept, is compiled again and said once; no state of the disk ends a run.
    """

    def __init__(self, function: Callable):
        self._function = f"{function.__module__}.{function.__qualname__}"

    def load_overload(self, sig, target_context) -> Any:
        target_context.refresh()
        file = self._file(sig, target_context.codegen())
        if file is not None and file.exists():
            contents = _contents(file)
            if contents is not None:
                try:
                    return CompileResult._rebuild(target_context, *pickle.loads(contents))
                except Exception:  # of another Numba that calls itself the same, say
                    pass
            _tell_once(f"the compiled kernels in {printable(file.parent)} are damaged: they are made anew")
        if "compiling" not in _told:
            _told.add("compiling")
            reason = why_not_kept()
            if reason is not None:
                _tell_not_kept(reason)
            for tell in on_compiling:
                tell(reason is None)
        return None

    def save_overload(self, sig, cres) -> None:
        file = self._file(sig, cres.codegen)
        if file is None or cres.lifted or cres.library.has_dynamic_globals:
            return
        contents = serialize.dumps(cres._reduce())
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, lambda stream: stream.write(_digest(contents) + contents))
        except (StoreError, OSError) as problem:
            _tell_not_kept(problem)

    def _file(self, sig, codegen) -> Path | None:
        folder = cache_folder()
        settings = [vars(config)[name] for name in ("OPT", "BOUNDSCHECK")]  # change the machine code
        key = _digest(repr((sig, codegen.magic_tuple(), settings)).encode()).hex()
        return None if folder is None else folder / f"{self._function}-{key}{_SUFFIX}"


def _contents(file: Path) -> bytes | None:
    """Return what a file holds, None if it is damaged."""
    try:
        data = file.read_bytes()
    except OSError:
        return None
    contents = data[_DIGEST_BYTES:]
    return contents if data[:_DIGEST_BYTES] == _digest(contents) else None


def _digest(contents: bytes) -> bytes:
    return hashlib.blake2b(contents, digest_size=_DIGEST_BYTES).digest()


def _tell_not_kept(reason: object) -> None:
    _tell_once(
        f"compiled kernels cannot be kept, so each start compiles them again ({reason}): name a folder that "
        "can be written to in NUMBA_CACHE_DIR"
    )


def _tell_once(text: str) -> None:
    kind = text.split(" (")[0]
    if kind not in _told:
        _told.add(kind)
        warnings.warn(text, SterlingWarning, stacklevel=2)
