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
_SOURCES = (
    "_jit.py",
    "sampling.py",
    "mass.py",
    "dynamics/walk.py",
    "dynamics/passes.py",
    "dynamics/kernels.py",
)


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


def _element(context, builder, signature, position, index):
    """Return the address of an element of the one-dimensional array argument at ``position``.

    ``index`` holds the values of the array and of the element's number.
    """
    array = context.make_array(signature.args[position])(context, builder, index[0])
    return builder.gep(array.data, [index[1]])


@intrinsic
def _times(typing_context, factor, code):
    def generate(context, builder, signature, args):
        wide = context.cast(builder, args[1], signature.args[1], signature.args[0])
        return builder.mul(args[0], wide)

    return factor(factor, code), generate


@intrinsic
def _plus(typing_context, total, part):
    def generate(context, builder, signature, args):
        return builder.add(args[0], context.cast(builder, args[1], signature.args[1], signature.args[0]))

    return total(total, part), generate


@intrinsic
def _trailing_zeros(typing_context, word):
    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _ones(typing_context, word):
    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

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
def _subtract_and_compare(typing_context, target, source, factor, start):
    """Eight lanes of target −= factor·source (two roundings); bit i says that lane i changed side of zero."""

    def generate(context, builder, signature, args):
        lanes, bits = ir.VectorType(ir.DoubleType(), 8), ir.VectorType(ir.IntType(1), 8)
        place, other = (
            builder.bitcast(
                _element(context, builder, signature, position, (args[position], args[3])), lanes.as_pointer()
            )
            for position in (0, 1)
        )
        before = builder.load(place, align=8)
        spread = builder.insert_element(ir.Constant(lanes, ir.Undefined), args[2], ir.IntType(32)(0))
        spread = builder.shuffle_vector(
            spread, spread, ir.Constant(ir.VectorType(ir.IntType(32), 8), [0] * 8)
        )
        after = builder.fsub(before, builder.fmul(spread, builder.load(other, align=8)))
        builder.store(after, place, align=8)
        zero = ir.Constant(lanes, [0.0] * 8)
        changed = builder.xor(
            builder.fcmp_ordered(">=", before, zero), builder.fcmp_ordered(">=", after, zero)
        )
        assert changed.type == bits
        return builder.zext(builder.bitcast(changed, ir.IntType(8)), ir.IntType(64))

    return types.uint64(target, source, types.float64, types.int64), generate


@intrinsic
def _largest_ratio(typing_context, top, bottom, start):
    """max of top/bottom over eight places; infinite if some bottom is zero."""

    def generate(context, builder, signature, args):
        lanes = ir.VectorType(ir.DoubleType(), 8)
        above, below = (
            builder.load(
                builder.bitcast(
                    _element(context, builder, signature, position, (args[position], args[2])),
                    lanes.as_pointer(),
                ),
                align=8,
            )
            for position in (0, 1)
        )
        zero = builder.fcmp_ordered("==", below, ir.Constant(lanes, [0.0] * 8))
        ratio = builder.select(zero, ir.Constant(lanes, [float("inf")] * 8), builder.fdiv(above, below))
        for half in (4, 2, 1):
            order = ir.Constant(ir.VectorType(ir.IntType(32), 8), [(i + half) % 8 for i in range(8)])
            other = builder.shuffle_vector(ratio, ratio, order)
            ratio = builder.select(builder.fcmp_ordered(">", ratio, other), ratio, other)
        return builder.extract_element(ratio, ir.IntType(32)(0))

    return types.float64(top, bottom, types.int64), generate


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

    def times(factor, code):
        return factor * code

    def plus(total, part):
        return total + part

    def trailing_zeros(word):
        return (int(word) & -int(word)).bit_length() - 1

    def ones(word):
        return int(word).bit_count()

    def byte_mask(flags, start):
        return sum(1 << i for i in range(64) if flags[start + i])

    def clear_lowest(word):
        return word & (word - 1)

    def largest_ratio(top, bottom, start):
        pairs = zip(top[start : start + 8], bottom[start : start + 8], strict=True)
        return max(float("inf") if b == 0 else a / b for a, b in pairs)

    def subtract_and_compare(target, source, factor, start):
        before = target[start : start + 8].copy()
        target[start : start + 8] = before - factor * source[start : start + 8]
        return sum(1 << i for i in range(8) if (before[i] >= 0) != (target[start + i] >= 0))

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
    def times(factor, code):
        """Product in the type of the first argument: Numba alone would widen 32 bits to 64."""
        return _times(factor, code)

    @helper
    def plus(total, part):
        """Sum in the type of the first argument."""
        return _plus(total, part)

    @helper
    def trailing_zeros(word):
        """Position of the lowest set bit of a non-zero 64-bit word."""
        return _trailing_zeros(word)

    @helper
    def ones(word):
        """Number of set bits of a 64-bit word."""
        return _ones(word)

    @helper
    def byte_mask(flags, start):
        """Bit i of the result says whether flags[start + i] is not zero; 64 bytes are read."""
        return _byte_mask(flags, start)

    @helper
    def clear_lowest(word):
        """The word without its lowest set bit."""
        return word & (word - types.uint64(1))

    @helper
    def largest_ratio(top, bottom, start):
        """Largest top/bottom in eight places from start; infinite if some bottom is zero."""
        return _largest_ratio(top, bottom, start)

    @helper
    def subtract_and_compare(target, source, factor, start):
        """target −= factor·source in eight places from start; bit i says that place i changed sign."""
        return _subtract_and_compare(target, source, factor, start)

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
