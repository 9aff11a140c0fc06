"""Instructions for steps on batches: pre-activations and coefficients of listed rows, and which latents lie
above a bound.

Like those of `machine.py`, each has a plain Python twin.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from sterling.exact.machine import ADDED, _choose, _Codes, _eights, _element, _pair_products, _shuffled

#: Rows that `preactivate` takes at a time; lists and results have room for as many.
TAKEN = 16


@intrinsic
def _preactivate(typing_context, rows, listed, first, weights, sums):
    """sums[first : first + 16] ← Σ code·weight over the listed rows first … first + 16, modulo 2^32.

    Rows and weights have 16 bits, and the same length, a multiple of 32. Each row is added up in 16 parts.
    Then four rounds add the parts of all rows at once, as a tournament of pairs.
    """

    def generate(context, builder, signature, args):
        word, half, long = ir.IntType(32), ir.IntType(16), ir.IntType(64)
        codes, parts = ir.VectorType(half, ADDED), ir.VectorType(word, TAKEN)
        wide = ir.VectorType(word, ADDED)
        matrix = context.make_array(signature.args[0])(context, builder, args[0])
        stride = builder.extract_value(matrix.strides, 0)
        width = builder.extract_value(matrix.shape, 1)
        start = builder.ptrtoint(matrix.data, long)
        paired = "+avx512bw" in context.codegen().magic_tuple()[2]

        def load(address):
            return builder.load(builder.inttoptr(address, codes.as_pointer()), align=2)

        def product(row, weight):
            if paired:
                return _pair_products(builder, row, weight)
            both = builder.mul(builder.sext(row, wide), builder.sext(weight, wide))
            halves = (list(range(first, first + TAKEN)) for first in (0, TAKEN))
            return builder.add(*(_shuffled(builder, both, both, half) for half in halves))

        addresses, totals = [], []
        for i in range(TAKEN):
            index = builder.load(
                _element(context, builder, signature, 1, (args[1], builder.add(args[2], long(i))))
            )
            addresses.append(builder.add(start, builder.mul(builder.sext(index, long), stride)))
            totals.append(cgutils.alloca_once_value(builder, ir.Constant(parts, None)))
        with cgutils.for_range_slice(builder, long(0), width, long(ADDED)) as (column, _):
            offset = builder.mul(column, long(2))
            address = _element(context, builder, signature, 3, (args[3], column))
            weight = load(builder.ptrtoint(address, long))
            for slot, row in zip(totals, addresses, strict=True):
                more = product(load(builder.add(row, offset)), weight)
                builder.store(builder.add(builder.load(slot), more), slot)
        sums = [builder.load(slot) for slot in totals]
        size = 1
        while len(sums) > 1:  # entry i of the result of a round belongs to row i modulo 2·size
            blocks = range(0, TAKEN, 2 * size)
            evens = [b + i + r for b in blocks for r in (0, TAKEN + size) for i in range(size)]
            odds = [e ^ size for e in evens]
            pairs = zip(sums[::2], sums[1::2], strict=True)
            sums = [
                builder.add(*(_shuffled(builder, *pair, order) for order in (evens, odds))) for pair in pairs
            ]
            size *= 2
        result = builder.sext(sums[0], ir.VectorType(long, TAKEN))
        target = _element(context, builder, signature, 4, (args[4], args[2]))
        builder.store(result, builder.bitcast(target, result.type.as_pointer()), align=8)
        return context.get_dummy_value()

    return types.void(rows, listed, types.int64, weights, sums), generate


@intrinsic
def _weigh(typing_context, before, listed, first, left, targets, numbers, rows, factors, kept):
    """Append to rows and factors, from ``kept`` on, the listed samples first … first + 16 of one hidden unit.

    ``numbers`` are a constant, low, high and jump. With x = before + constant, a factor is
    jump·[x > 0] − target where low ≤ x ≤ high, else zero. Samples of factor zero, and those from
    ``left`` on, are left out. All numbers have 32 bits, factors 16. Returns how many samples are kept; up to
    16 entries after them are overwritten.
    """

    def generate(context, builder, signature, args):
        word, half, long = ir.IntType(32), ir.IntType(16), ir.IntType(64)
        lanes, wide = ir.VectorType(word, TAKEN), ir.VectorType(long, TAKEN)
        zero = ir.Constant(lanes, None)

        def spread(value):
            single = builder.insert_element(zero, builder.trunc(value, word), word(0))
            return _shuffled(builder, single, single, [0] * TAKEN)

        constant, low, high, jump = (spread(builder.extract_value(args[5], i)) for i in range(4))

        def element(position, index):
            return _element(context, builder, signature, position, (args[position], index))

        def load(position, kind):
            return builder.load(builder.bitcast(element(position, args[2]), kind.as_pointer()), align=4)

        samples, target = load(1, lanes), zero
        for i in range(TAKEN):
            sample = builder.sext(builder.extract_element(samples, word(i)), long)
            one = builder.load(element(4, sample))
            target = builder.insert_element(target, builder.trunc(one, word), word(i))
        value = builder.add(builder.trunc(load(0, wide), lanes), constant)
        weighed = builder.sub(builder.select(builder.icmp_signed(">", value, zero), jump, zero), target)
        number = ir.Constant(lanes, list(range(TAKEN)))
        for part in (
            builder.icmp_signed(">=", value, low),
            builder.icmp_signed("<=", value, high),
            builder.icmp_signed("<", number, spread(args[3])),
        ):
            weighed = builder.select(part, weighed, zero)
        counts, kept = builder.icmp_signed("!=", weighed, zero), args[8]
        if "+avx512bw" in context.codegen().magic_tuple()[2]:
            kind = ir.FunctionType(lanes, [lanes, lanes, counts.type])
            name = "llvm.x86.avx512.mask.compress.v16i32"
            pack = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
            chosen = builder.call(pack, [samples, zero, counts])
            packed = builder.trunc(builder.call(pack, [weighed, zero, counts]), ir.VectorType(half, TAKEN))
            for position, vector in ((6, chosen), (7, packed)):
                target = builder.bitcast(element(position, kept), vector.type.as_pointer())
                builder.store(vector, target, align=2)
            number = builder.ctpop(builder.bitcast(counts, half))
            return builder.add(kept, builder.zext(number, long))
        for i in range(TAKEN):  # stored also where it is not kept, instead of a branch
            builder.store(builder.extract_element(samples, word(i)), element(6, kept))
            factor = builder.extract_element(weighed, word(i))
            builder.store(builder.trunc(factor, half), element(7, kept))
            kept = builder.add(kept, builder.zext(builder.extract_element(counts, word(i)), long))
        return kept

    integer = types.int64
    kinds = before, listed, integer, integer, targets, numbers, rows, factors, integer
    return integer(*kinds), generate


@intrinsic
def _add_rows(typing_context, rows, listed, weights, first, last, sums):
    """sums[:] ← Σ weight·code over the listed rows first … last, an even number, in 32 bits."""

    def generate(context, builder, signature, args):
        codes = _Codes(context, builder, signature, args)
        width = builder.extract_value(codes.matrix.shape, 1)
        wide = ir.VectorType(codes.long, ADDED)

        def add(columns):
            slots = [codes.slots() for _ in columns]
            codes.add_rows(slots, columns, args[3], args[4])
            for column, parts in zip(columns, slots, strict=True):
                total = builder.sext(codes.ordered([builder.load(slot) for slot in parts]), wide)
                address = _element(context, builder, signature, 5, (args[5], column))
                builder.store(total, builder.bitcast(address, wide.as_pointer()), align=8)

        both = builder.and_(width, codes.long(-2 * ADDED))
        with cgutils.for_range_slice(builder, codes.long(0), both, codes.long(2 * ADDED)) as (column, _):
            add([column, builder.add(column, codes.long(ADDED))])
        with cgutils.for_range_slice(builder, both, width, codes.long(ADDED)) as (column, _):
            add([column])
        return context.get_dummy_value()

    return types.void(rows, listed, weights, types.int64, types.int64, sums), generate


@intrinsic
def _at_least(typing_context, values, bounds, start):
    """Bit i of the result says whether values[start + i] ≥ bounds[start + i], for eight entries."""

    def generate(context, builder, signature, args):
        addresses = _eights(context, builder, signature, args, args[2])
        value, bound = (builder.load(address, align=8) for address in addresses)
        bits = builder.bitcast(builder.fcmp_ordered(">=", value, bound), ir.IntType(8))
        return builder.zext(bits, ir.IntType(64))

    return types.uint64(values, bounds, types.int64), generate


@intrinsic
def _put_signs(typing_context, target, sizes, start, bits):
    """Store sizes[start : start + 32], negated where the bit is 0, in ``target``; both have 16 bits."""

    def generate(context, builder, signature, args):
        half, bit = ir.VectorType(ir.IntType(16), ADDED), ir.VectorType(ir.IntType(1), ADDED)
        places = (_element(context, builder, signature, i, (args[i], args[2])) for i in (0, 1))
        place, origin = (builder.bitcast(one, half.as_pointer()) for one in places)
        signs = builder.bitcast(builder.trunc(args[3], ir.IntType(ADDED)), bit)
        size = builder.load(origin, align=2)
        builder.store(builder.select(signs, size, builder.neg(size)), place, align=2)
        return context.get_dummy_value()

    return types.void(target, sizes, types.int64, types.uint64), generate


def _plain_put_signs(target, sizes, start, bits):
    positive = np.array([int(bits) >> i & 1 for i in range(ADDED)], bool)
    part = slice(start, start + ADDED)
    target[part] = np.where(positive, sizes[part], -sizes[part])


def _plain_preactivate(rows, listed, first, weights, sums):
    chosen = rows[listed[first : first + TAKEN]].astype(np.int32)
    sums[first : first + TAKEN] = (chosen * weights).sum(axis=1, dtype=np.int32)


def _plain_weigh(before, listed, first, left, targets, numbers, rows, factors, kept):
    constant, low, high, jump = numbers
    part = slice(first, first + min(left, TAKEN))
    value = before[part] + constant
    weighed = (jump * (value > 0) - targets[listed[part]]) * ((low <= value) & (value <= high))
    count = np.count_nonzero(weighed)
    rows[kept : kept + count] = listed[part][weighed != 0]
    factors[kept : kept + count] = weighed[weighed != 0]
    return kept + count


def _plain_add_rows(rows, listed, weights, first, last, sums):
    sums[:] = rows[listed[first:last]].astype(np.int64).T @ weights[first:last].astype(np.int64)


def _plain_at_least(values, bounds, start):
    return sum(1 << i for i in range(8) if values[start + i] >= bounds[start + i])


preactivate = _choose(_preactivate, _plain_preactivate)
weigh = _choose(_weigh, _plain_weigh)
add_rows = _choose(_add_rows, _plain_add_rows)
put_signs = _choose(_put_signs, _plain_put_signs)
at_least = _choose(_at_least, _plain_at_least)
