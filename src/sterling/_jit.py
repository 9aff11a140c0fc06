"""The one place where Numba is configured: the decorator, the cache folder and a few machine instructions.

Kernels live in ``sampling.py`` and ``dynamics/kernels.py``; this file knows nothing of what they compute.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numba
from llvmlite import ir
from numba.core import config, types
from numba.extending import intrinsic

#: True when Numba runs kernels as plain Python (NUMBA_DISABLE_JIT=1), as one test job does.
INTERPRETED = bool(config.DISABLE_JIT)

# Files whose text decides what the kernels compute. Numba's own cache key sees only the file of the
# outermost function, so the cache folder carries a digest of all of them.
_SOURCES = ("_jit.py", "sampling.py", "schedules.py", "dynamics/kernels.py")


def cache_folder() -> Path:
    """Return the folder in which compiled kernels are kept, outside the repository and the package.

    ``NUMBA_CACHE_DIR`` is honoured; otherwise the user's cache folder is taken.
    """
    here = Path(__file__).parent
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
    previous = config.CACHE_DIR
    config.CACHE_DIR = str(_CACHE)  # read by Numba when the function is decorated, then put back
    try:
        return numba.njit(cache=True, nogil=True, **_PLAIN)(function)
    finally:
        config.CACHE_DIR = previous


def helper(function):
    """Compile a function that only other kernels call; it is cached as a part of them."""
    return function if INTERPRETED else numba.njit(nogil=True, **_PLAIN)(function)


def embedded(function):
    """Like `helper`, for functions with few callers: part of their bodies, so compiled once less."""
    return function if INTERPRETED else numba.njit(nogil=True, inline="always", **_PLAIN)(function)


def ordered(function):
    """Like `helper`, for reductions over numbers that are never NaN: lets min and max use vectors."""
    return function if INTERPRETED else numba.njit(nogil=True, fastmath={"nnan", "nsz"}, **_PLAIN)(function)


def _element(context, builder, signature, position, index):
    """Return the address of element ``index`` of the one-dimensional array argument at ``position``."""
    array = context.make_array(signature.args[position])(context, builder, index[0])
    return builder.gep(array.data, [index[1]])


@intrinsic
def _trailing_zeros(typing_context, word):
    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _byte_mask(typing_context, flags, start):
    def generate(context, builder, signature, args):
        lanes = ir.VectorType(ir.IntType(8), 64)
        address = builder.bitcast(_element(context, builder, signature, 0, args), lanes.as_pointer())
        vector = builder.load(address, align=1)
        return builder.bitcast(builder.icmp_unsigned("!=", vector, ir.Constant(lanes, None)), ir.IntType(64))

    return types.uint64(flags, types.int64), generate


@intrinsic
def _prefetch(typing_context, rows, row, offset):
    """Ask for the cache line ``offset`` bytes into one row of a C-contiguous matrix."""

    def generate(context, builder, signature, args):
        matrix = context.make_array(signature.args[0])(context, builder, args[0])
        stride = builder.extract_value(matrix.strides, 0)
        word, byte = ir.IntType(32), ir.IntType(8).as_pointer()
        start = builder.add(builder.ptrtoint(matrix.data, stride.type), builder.mul(args[1], stride))
        name, kind = "llvm.prefetch.p0", ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        address = builder.inttoptr(builder.add(start, args[2]), byte)
        builder.call(function, [address, word(0), word(3), word(1)])  # read, keep in all caches, data
        return context.get_dummy_value()

    return types.void(rows, types.int64, types.int64), generate


@intrinsic
def _atomic_add(typing_context, board, index, amount):
    def generate(context, builder, signature, args):
        return builder.atomic_rmw("add", _element(context, builder, signature, 0, args), args[2], "acq_rel")

    return types.int64(board, types.int64, types.int64), generate


@intrinsic
def _atomic_load(typing_context, board, index):
    def generate(context, builder, signature, args):
        return builder.load_atomic(_element(context, builder, signature, 0, args), "acquire", 8)

    return types.int64(board, types.int64), generate


@intrinsic
def _atomic_store(typing_context, board, index, value):
    def generate(context, builder, signature, args):
        address = _element(context, builder, signature, 0, args)
        builder.store_atomic(args[2], address, "release", 8)
        return context.get_dummy_value()

    return types.void(board, types.int64, types.int64), generate


if INTERPRETED:

    def trailing_zeros(word):
        return (int(word) & -int(word)).bit_length() - 1

    def byte_mask(flags, start):
        return sum(1 << i for i in range(64) if flags[start + i])

    def clear_lowest(word):
        return word & (word - 1)

    def prefetch(rows, row):
        return None

    def atomic_add(board, index, amount):
        board[index] += amount
        return board[index] - amount

    def atomic_load(board, index):
        return board[index]

    def atomic_store(board, index, value):
        board[index] = value

else:

    @helper
    def trailing_zeros(word):
        """Position of the lowest set bit of a non-zero 64-bit word."""
        return _trailing_zeros(word)

    @helper
    def byte_mask(flags, start):
        """Bit i of the result says whether flags[start + i] is not zero; 64 bytes are read."""
        return _byte_mask(flags, start)

    @helper
    def clear_lowest(word):
        """The word without its lowest set bit."""
        return word & (word - types.uint64(1))

    @helper
    def prefetch(rows, row):
        """Ask the processor to bring one row of a matrix near; changes no result."""
        for offset in range(0, rows.shape[1] * rows.itemsize, 64):
            _prefetch(rows, row, offset)

    @helper
    def atomic_add(board, index, amount):
        """Add to an int64 cell shared between threads; return the value before."""
        return _atomic_add(board, index, amount)

    @helper
    def atomic_load(board, index):
        """Read an int64 cell shared between threads (acquire)."""
        return _atomic_load(board, index)

    @helper
    def atomic_store(board, index, value):
        """Write an int64 cell shared between threads (release)."""
        _atomic_store(board, index, value)
