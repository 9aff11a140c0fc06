"""Instructions that Numba does not offer, as portable LLVM, each with a plain Python twin.

The twins define the instructions, and run where Numba is switched off (NUMBA_DISABLE_JIT=1).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from sterling.exact.jit import INTERPRETED, helper

#: Number of codes of each row that `add_eight` and `add_two` add; rows are padded to a multiple of it.
ADDED = 32

_AHEAD = 1024  # distance, in codes, at which `_mark_signs` prefetches


def _element(context, builder, signature, position, index):
    """Return the address of an element of the one-dimensional array argument at ``position``.

    ``index`` holds the values of the array and of the element's number.
    """
    array = context.make_array(signature.args[position])(context, builder, index[0])
    return builder.gep(array.data, [index[1]])


def _ask(builder, address, level):
    """Prefetch the cache line at an address, an integer: to the nearest cache (level 3) or the second (2)."""
    word, byte = ir.IntType(32), ir.IntType(8).as_pointer()
    name, kind = "llvm.prefetch.p0", ir.FunctionType(ir.VoidType(), [byte, word, word, word])
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    builder.call(function, [builder.inttoptr(address, byte), word(0), word(level), word(1)])


@intrinsic
def _times(typing_context, factor, code):
    """Product in the type of the first argument; Numba would widen 32 bits to 64."""

    def generate(context, builder, signature, args):
        wide = context.cast(builder, args[1], signature.args[1], signature.args[0])
        return builder.mul(args[0], wide)

    return factor(factor, code), generate


@intrinsic
def _plus(typing_context, total, part):
    """Sum in the type of the first argument."""

    def generate(context, builder, signature, args):
        return builder.add(args[0], context.cast(builder, args[1], signature.args[1], signature.args[0]))

    return total(total, part), generate


@intrinsic
def _alike(typing_context, value, array):
    """The value in the type of the array's elements, which must hold it."""

    def generate(context, builder, signature, args):
        return context.cast(builder, args[0], signature.args[0], signature.return_type)

    return array.dtype(value, array), generate


@intrinsic
def _trailing_zeros(typing_context, word):
    """Position of the lowest set bit of a non-zero 64-bit word."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _ones(typing_context, word):
    """Number of set bits of a 64-bit word."""

    def generate(context, builder, signature, args):
        return builder.ctpop(args[0])

    return types.int64(types.uint64), generate


@intrinsic
def _byte_mask(typing_context, flags, start):
    """Bit i of the result says whether flags[start + i] is not zero; 64 bytes are read."""

    def generate(context, builder, signature, args):
        lanes = ir.VectorType(ir.IntType(8), 64)
        address = builder.bitcast(_element(context, builder, signature, 0, args), lanes.as_pointer())
        vector = builder.load(address, align=1)
        return builder.bitcast(builder.icmp_unsigned("!=", vector, ir.Constant(lanes, None)), ir.IntType(64))

    return types.uint64(flags, types.int64), generate


@intrinsic
def _prefetch(typing_context, rows, row, offset):
    """Prefetch the cache line ``offset`` bytes into one row of a C-contiguous matrix."""

    def generate(context, builder, signature, args):
        matrix = context.make_array(signature.args[0])(context, builder, args[0])
        stride = builder.extract_value(matrix.strides, 0)
        start = builder.add(builder.ptrtoint(matrix.data, stride.type), builder.mul(args[1], stride))
        _ask(builder, builder.add(start, args[2]), 2)
        return context.get_dummy_value()

    return types.void(rows, types.int64, types.int64), generate


def _eights(context, builder, signature, args, start):
    """Return the addresses of the eight doubles from ``start`` on in the first two array arguments."""
    lanes = ir.VectorType(ir.DoubleType(), 8).as_pointer()
    entries = (_element(context, builder, signature, i, (args[i], start)) for i in (0, 1))
    return [builder.bitcast(entry, lanes) for entry in entries]


def _shuffled(builder, one, two, order):
    """Return lanes of two vectors, joined, in a new order."""
    return builder.shuffle_vector(one, two, ir.Constant(ir.VectorType(ir.IntType(32), len(order)), order))


def _pair_products(builder, one, two):
    """Return the 16 sums of two neighbouring products of 32 codes, by AVX-512BW."""
    kind = ir.FunctionType(ir.VectorType(ir.IntType(32), 16), [one.type, two.type])
    name = "llvm.x86.avx512.pmaddw.d.512"
    function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
    return builder.call(function, [one, two])


@intrinsic
def _subtract_and_compare(typing_context, target, source, factor, start):
    """Eight lanes of target −= factor·source (two roundings); bit i says that lane i crossed zero."""

    def generate(context, builder, signature, args):
        lanes, bits = ir.VectorType(ir.DoubleType(), 8), ir.VectorType(ir.IntType(1), 8)
        address, other = _eights(context, builder, signature, args, args[3])
        before = builder.load(address, align=8)
        spread = builder.insert_element(ir.Constant(lanes, ir.Undefined), args[2], ir.IntType(32)(0))
        spread = _shuffled(builder, spread, spread, [0] * 8)
        after = builder.fsub(before, builder.fmul(spread, builder.load(other, align=8)))
        builder.store(after, address, align=8)
        zero = ir.Constant(lanes, [0.0] * 8)
        changed = builder.xor(
            builder.fcmp_ordered(">=", before, zero), builder.fcmp_ordered(">=", after, zero)
        )
        assert changed.type == bits
        return builder.zext(builder.bitcast(changed, ir.IntType(8)), ir.IntType(64))

    return types.uint64(target, source, types.float64, types.int64), generate


@intrinsic
def _largest_ratio(typing_context, top, bottom, start):
    """max of top/bottom over eight entries; infinite if some bottom is zero."""

    def generate(context, builder, signature, args):
        lanes = ir.VectorType(ir.DoubleType(), 8)
        addresses = _eights(context, builder, signature, args, args[2])
        above, below = (builder.load(address, align=8) for address in addresses)
        zero = builder.fcmp_ordered("==", below, ir.Constant(lanes, [0.0] * 8))
        ratio = builder.select(zero, ir.Constant(lanes, [float("inf")] * 8), builder.fdiv(above, below))
        for half in (4, 2, 1):
            other = _shuffled(builder, ratio, ratio, [(i + half) % 8 for i in range(8)])
            ratio = builder.select(builder.fcmp_ordered(">", ratio, other), ratio, other)
        return builder.extract_element(ratio, ir.IntType(32)(0))

    return types.float64(top, bottom, types.int64), generate


class _Codes:
    """Code that `_adder` and `_mark_signs` share: sums of weight times row, for 32 codes of 16 bits.

    If the processor has AVX-512BW, two rows at a time are interleaved, and one instruction multiplies and
    adds their pairs of codes. The sums are then out of order; `ordered` restores the order.
    """

    word, half, long = ir.IntType(32), ir.IntType(16), ir.IntType(64)
    codes, products = ir.VectorType(half, ADDED), ir.VectorType(word, ADDED)
    parts = ir.VectorType(word, 16)

    def __init__(self, context, builder, signature, args):
        """Take the rows, the list of row numbers, and their weights from arguments 0, 1 and 2."""
        self.context, self.builder, self.signature, self.args = context, builder, signature, args
        self.matrix = context.make_array(signature.args[0])(context, builder, args[0])
        self.stride = builder.extract_value(self.matrix.strides, 0)
        self.paired = "+avx512bw" in context.codegen().magic_tuple()[2]

    def entry(self, position, index, kind):
        """Load an entry of the list that is argument ``position``, aligned to at least 16 bits."""
        address = _element(self.context, self.builder, self.signature, position, (self.args[position], index))
        return self.builder.load(self.builder.bitcast(address, kind.as_pointer()), align=kind.width // 16)

    def address(self, index, column):
        builder = self.builder
        listed = ir.IntType(self.signature.args[1].dtype.bitwidth)
        start = builder.mul(builder.sext(self.entry(1, index, listed), self.long), self.stride)
        start = builder.add(builder.ptrtoint(self.matrix.data, self.long), start)
        return builder.add(start, builder.mul(column, self.long(2)))

    def row(self, index, column, ahead=0):
        """Load 32 codes of the row at ``index`` in the list, and prefetch those ``ahead`` codes later."""
        address = self.address(index, column)
        if ahead:
            _ask(self.builder, self.builder.add(address, self.long(2 * ahead)), 3)
        return self.builder.load(self.builder.inttoptr(address, self.codes.as_pointer()), align=2)

    def spread(self, scalar, lanes):
        kind = ir.VectorType(scalar.type, lanes)
        single = self.builder.insert_element(ir.Constant(kind, ir.Undefined), scalar, self.word(0))
        return _shuffled(self.builder, single, single, [0] * lanes)

    def nothing(self):
        """Return empty sums."""
        kinds = [self.parts] * 2 if self.paired else [self.products]
        return [ir.Constant(kind, None) for kind in kinds]

    def add_pair(self, totals, index, column, ahead=0):
        """Return the sums with the rows at ``index`` and ``index`` + 1 added."""
        builder = self.builder
        rows = [self.row(builder.add(index, self.long(i)), column, ahead) for i in (0, 1)]
        if not self.paired:
            (total,) = totals
            for i, row in enumerate(rows):
                weight = self.entry(2, builder.add(index, self.long(i)), self.half)
                weight = self.spread(builder.sext(weight, self.word), ADDED)
                total = builder.add(total, builder.mul(builder.sext(row, self.products), weight))
            return [total]
        pair = builder.bitcast(self.spread(self.entry(2, index, self.word), 16), self.codes)
        added = []
        for half, total in enumerate(totals):  # interleaving takes one half of each 128 bits
            order = [e + 4 * half + k + r for e in range(0, ADDED, 8) for k in range(4) for r in (0, ADDED)]
            product = _pair_products(builder, _shuffled(builder, rows[0], rows[1], order), pair)
            added.append(builder.add(total, product))
        return added

    def slots(self):
        """Return memory for sums, which are zero."""
        return [cgutils.alloca_once_value(self.builder, total) for total in self.nothing()]

    def add_rows(self, sums, columns, first, last, ahead=0):
        """Add the listed rows first … last, an even number, to sums in memory, each from its column on."""
        with cgutils.for_range_slice(self.builder, first, last, self.long(2)) as (index, _):
            for slots, column in zip(sums, columns, strict=True):
                totals = self.add_pair([self.builder.load(slot) for slot in slots], index, column, ahead)
                for slot, total in zip(slots, totals, strict=True):
                    self.builder.store(total, slot)

    def ordered(self, totals):
        """Return the 32 sums in the order of the codes."""
        if not self.paired:
            return totals[0]
        eights = range(0, ADDED, 8)
        order = [e // 2 + 16 * half + k for e in eights for half in (0, 1) for k in range(4)]
        return _shuffled(self.builder, totals[0], totals[1], order)

    def sums_at(self, position, index):
        """Return the address of 32 sums in the array that is argument ``position``."""
        address = _element(self.context, self.builder, self.signature, position, (self.args[position], index))
        return self.builder.bitcast(address, self.products.as_pointer())


def _adder(count):
    """Return the intrinsic that adds ``count`` listed rows, an even number, to 32 sums."""

    @intrinsic
    def add(typing_context, rows, listed, weights, first, column, sums):
        """sums[column : column + 32] += Σ weight·code of the listed rows, in 32 bits (modulo 2^32)."""

        def generate(context, builder, signature, args):
            codes = _Codes(context, builder, signature, args)
            totals = codes.nothing()
            for q in range(0, count, 2):
                totals = codes.add_pair(totals, builder.add(args[3], codes.long(q)), args[4])
            address = codes.sums_at(5, args[4])
            total = builder.add(builder.load(address, align=4), codes.ordered(totals))
            builder.store(total, address, align=4)
            return context.get_dummy_value()

        return types.void(rows, listed, weights, types.int64, types.int64, sums), generate

    return add


@intrinsic
def _mark_signs(typing_context, columns, flips, weights, lead, stop, row, source, target, lead_more, more):
    """target ← source + more + Σ weight·column over the flips 0 … stop, in rows row … row + 64.

    The known state is source + lead_more + Σ weight·column over the flips 0 … lead. Returns a word with a bit
    for each row whose sign differs from the known state. ``lead`` and ``stop`` are even. Sums of columns stay
    in registers throughout, so each pre-activation is read and written once.
    """

    def generate(context, builder, signature, args):
        codes = _Codes(context, builder, signature, args)

        def positive(half, more):
            total = codes.ordered([builder.load(slot) for slot in sums[half]])
            constant = codes.spread(builder.trunc(more, codes.word), ADDED)
            total = builder.add(builder.add(values[half], total), constant)
            return total, builder.icmp_signed(">", total, ir.Constant(codes.products, None))

        starts = [builder.add(args[5], codes.long(half * ADDED)) for half in (0, 1)]
        sums = [codes.slots() for _ in starts]
        values = [builder.load(codes.sums_at(6, start), align=4) for start in starts]
        codes.add_rows(sums, starts, codes.long(0), args[3], _AHEAD)
        known = [positive(half, args[8])[1] for half in (0, 1)]
        codes.add_rows(sums, starts, args[3], args[4], _AHEAD)
        words = []
        for half in (0, 1):
            after, now = positive(half, args[9])
            builder.store(after, codes.sums_at(7, starts[half]), align=4)
            differs = builder.bitcast(builder.xor(known[half], now), codes.word)
            words.append(builder.zext(differs, codes.long))
        return builder.or_(words[0], builder.shl(words[1], codes.long(ADDED)))

    integer = types.int64
    kinds = columns, flips, weights, integer, integer, integer, source, target, integer, integer
    return types.uint64(*kinds), generate


@intrinsic
def _atomic_add(typing_context, board, index, amount):
    """Add to an int64 cell shared between threads; return the value before."""

    def generate(context, builder, signature, args):
        return builder.atomic_rmw("add", _element(context, builder, signature, 0, args), args[2], "acq_rel")

    return types.int64(board, types.int64, types.int64), generate


@intrinsic
def _atomic_load(typing_context, board, index):
    """Read an int64 cell shared between threads (acquire)."""

    def generate(context, builder, signature, args):
        return builder.load_atomic(_element(context, builder, signature, 0, args), "acquire", 8)

    return types.int64(board, types.int64), generate


@intrinsic
def _atomic_store(typing_context, board, index, value):
    """Write an int64 cell shared between threads (release)."""

    def generate(context, builder, signature, args):
        address = _element(context, builder, signature, 0, args)
        builder.store_atomic(args[2], address, "release", 8)
        return context.get_dummy_value()

    return types.void(board, types.int64, types.int64), generate


@helper
def _prefetch_row(rows, row):
    """Prefetch one row of a matrix, which changes no result."""
    for offset in range(0, rows.shape[1] * rows.itemsize, 64):
        _prefetch(rows, row, offset)  # pyright: ignore[reportCallIssue]  # Numba supplies the context


@helper
def _prefetch_part(rows, row, first, size):
    """Prefetch ``size`` entries of one row of a matrix."""
    for offset in range(first * rows.itemsize, (first + size) * rows.itemsize, 64):
        _prefetch(rows, row, offset)  # pyright: ignore[reportCallIssue]


@helper
def _clear_lowest(word):
    """The word without its lowest set bit."""
    return word & (word - types.uint64(1))


def _plain_byte_mask(flags, start):
    return sum(1 << i for i in range(64) if flags[start + i])


def _plain_largest_ratio(top, bottom, start):
    pairs = zip(top[start : start + 8], bottom[start : start + 8], strict=True)
    return max(float("inf") if b == 0 else a / b for a, b in pairs)


def _plain_subtract_and_compare(target, source, factor, start):
    before = target[start : start + 8].copy()
    target[start : start + 8] = before - factor * source[start : start + 8]
    return sum(1 << i for i in range(8) if (before[i] >= 0) != (target[start + i] >= 0))


def _plain_adder(count):
    def add(rows, listed, weights, first, column, sums):
        for q in range(first, first + count):
            sums[column : column + ADDED] += rows[listed[q], column : column + ADDED] * np.int32(weights[q])

    return add


def _plain_mark_signs(columns, flips, weights, lead, stop, row, source, target, lead_more, more):
    part = slice(row, row + 64)
    steps = [columns[flips[q], part] * np.int32(weights[q]) for q in range(stop)]
    old = source[part] + sum(steps[:lead]) + lead_more
    target[part] = source[part] + sum(steps) + more
    changed = (old > 0) != (target[part] > 0)
    return sum(1 << i for i in range(64) if changed[i])


def _plain_add(board, index, amount):
    board[index] += amount
    return board[index] - amount


def _choose(compiled, plain) -> Any:
    return plain if INTERPRETED else compiled


times = _choose(_times, lambda factor, code: factor * code)
plus = _choose(_plus, lambda total, part: total + part)
alike = _choose(_alike, lambda value, array: array.dtype.type(value))
trailing_zeros = _choose(_trailing_zeros, lambda word: (int(word) & -int(word)).bit_length() - 1)
ones = _choose(_ones, lambda word: int(word).bit_count())
clear_lowest = _choose(_clear_lowest, lambda word: word & (word - 1))
byte_mask = _choose(_byte_mask, _plain_byte_mask)
largest_ratio = _choose(_largest_ratio, _plain_largest_ratio)
subtract_and_compare = _choose(_subtract_and_compare, _plain_subtract_and_compare)
prefetch = _choose(_prefetch_row, lambda rows, row: None)
prefetch_part = _choose(_prefetch_part, lambda rows, row, first, size: None)
atomic_add = _choose(_atomic_add, _plain_add)
atomic_load = _choose(_atomic_load, lambda board, index: board[index])
atomic_store = _choose(_atomic_store, lambda board, index, value: board.__setitem__(index, value))
add_eight = _choose(_adder(8), _plain_adder(8))
add_two = _choose(_adder(2), _plain_adder(2))
mark_signs = _choose(_mark_signs, _plain_mark_signs)
