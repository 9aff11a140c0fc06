"""Exact sampling of discrete distributions on an integer grid: the same bits on every machine.

A distribution is a table of 2^16 integer codes with weights that sum to 2^32. It is sampled by Walker's alias
method (A. J. Walker, ACM TOMS 3, 1977) from 32 random bits, with integer operations only.
The input families define what the codes mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sterling.exact.jit import embedded, njit

CODES = 1 << 16
TOTAL = 1 << 32
LOWEST = -(1 << 15)


class AliasTable(NamedTuple):
    """A distribution over the codes -32768 … 32767. Of the 65536 shares of column i, the first ``keep[i]``
    give the code i + LOWEST; the others give ``alias[i]``.
    """

    keep: np.ndarray  # uint32 (65536,)
    alias: np.ndarray  # int16 (65536,)


@njit
def _fill_alias(left, keep, alias, small, large):
    """Divide weights that sum to 2^32 among 65536 columns of 65536 shares with at most two codes each.

    ``left`` holds the weights and is overwritten; ``small`` and ``large`` are buffers for as many indices.
    """
    share = 65536
    smalls = larges = 0
    for i in range(left.size):
        if left[i] < share:
            small[smalls] = i
            smalls += 1
        else:
            large[larges] = i
            larges += 1
    while smalls > 0 and larges > 0:
        smalls -= 1
        poor, rich = small[smalls], large[larges - 1]
        keep[poor] = left[poor]
        alias[poor] = rich - 32768
        left[rich] -= share - left[poor]
        if left[rich] < share:
            larges -= 1
            small[smalls] = rich
            smalls += 1
    for i in range(larges):  # the weights are integers, so each that is left fills exactly one column
        keep[large[i]] = share
        alias[large[i]] = large[i] - 32768


@njit
def _look_up(words, keep, alias, out):
    """Turn random 64-bit words into two codes each; ``out`` is a flat int16 array."""
    for i in range(out.size // 2):
        word = words[i]
        for half in range(2):
            bits = np.int64((word >> np.uint64(32 * half)) & np.uint64(0xFFFFFFFF))
            column = bits >> 16
            code = column - 32768
            if (bits & 0xFFFF) >= keep[column]:
                code = alias[column]
            out[2 * i + half] = code
    if out.size % 2:
        bits = np.int64(words[out.size // 2] & np.uint64(0xFFFFFFFF))
        column = bits >> 16
        code = column - 32768
        if (bits & 0xFFFF) >= keep[column]:
            code = alias[column]
        out[out.size - 1] = code


@njit
def transpose_block(rows, columns, first, last):
    """Copy ``rows[first:last]`` (row major, may be padded) into ``columns[:, first:last]``, tile by tile."""
    tile = 32
    count = columns.shape[0]
    for top in range(first, last, tile):
        bottom = min(top + tile, last)
        for left in range(0, count, tile):
            right = min(left + tile, count)
            for k in range(left, right):
                target = columns[k, top:bottom]
                for r in range(bottom - top):
                    target[r] = rows[top + r, k]


@njit
def _indices(halves, count, out):
    """Turn random 32-bit words into integers below ``count``, at most 2^31; none is likelier by 2^-32."""
    for i in range(out.size):
        out[i] = (np.uint64(halves[i]) * np.uint64(count)) >> np.uint64(32)


@embedded
def _swap(order, halves, i):
    """Exchange entry i with one at a random index up to i. Unsigned indices need no test of their sign."""
    j = (np.uint64(halves[i]) * (i + np.uint64(1))) >> np.uint64(32)
    order[i], order[j] = order[j], order[i]


@njit
def _shuffle(halves, out):
    """Fill each row of ``out`` with a random order of its indices (Fisher and Yates).

    Two orders are drawn at a time, since the swaps of one wait for one another.
    """
    orders, count = out.shape
    for row in range(orders):
        for i in range(count):
            out[row, i] = i
    pairs = orders // 2 * 2
    for row in range(0, pairs, 2):
        order, other = out[row], out[row + 1]
        words, more = halves[row], halves[row + 1]
        for i in range(count - 1, 0, -1):
            _swap(order, words, np.uint64(i))
            _swap(other, more, np.uint64(i))
    for row in range(pairs, orders):
        for i in range(count - 1, 0, -1):
            _swap(out[row], halves[row], np.uint64(i))


def alias_table(cumulative: np.ndarray) -> AliasTable:
    """Build the table of a distribution from P(code < -32768 + i), float64 (65537,), rounded to 2^-32."""
    edges = np.rint(np.asarray(cumulative, np.float64) * TOTAL).astype(np.int64)
    edges[0], edges[-1] = 0, TOTAL
    weights = np.diff(edges)
    if weights.size != CODES or weights.min() < 0:
        raise ValueError("cumulative must hold 65537 non-decreasing values")
    keep = np.zeros(CODES, np.uint32)
    alias = np.zeros(CODES, np.int16)
    _fill_alias(weights, keep, alias, np.empty_like(weights), np.empty_like(weights))
    return AliasTable(keep, alias)


def words(seed: np.random.SeedSequence, count: int) -> np.ndarray:
    """Return ``count`` random 64-bit words of the PCG64 stream of this seed."""
    return np.random.PCG64(seed).random_raw(count)


def _halves(seed: np.random.SeedSequence, count: int) -> np.ndarray:
    """Return ``count`` random 32-bit words: of each 64-bit word the lower half, then the upper one."""
    return words(seed, (count + 1) // 2).astype("<u8", copy=False).view("<u4").astype(np.uint32, copy=False)


def draw_codes(table: AliasTable, seed: np.random.SeedSequence, shape: tuple[int, ...]) -> np.ndarray:
    """Draw independent int16 codes from the distribution of the table."""
    out = np.empty(int(np.prod(shape)), np.int16)
    _look_up(words(seed, (out.size + 1) // 2), table.keep, table.alias, out)
    return out.reshape(shape)


def draw_indices(seed: np.random.SeedSequence, size: int, count: int) -> np.ndarray:
    """Draw integers from 0 to ``count`` − 1, independent, int32 (size,)."""
    out = np.empty(size, np.int32)
    _indices(_halves(seed, size), count, out)
    return out


def draw_orders(seed: np.random.SeedSequence, orders: int, count: int) -> np.ndarray:
    """Draw random orders of the integers from 0 to ``count`` − 1, one after the other, int32."""
    out = np.empty((orders, count), np.int32)
    _shuffle(_halves(seed, orders * count)[: orders * count].reshape(out.shape), out)
    return out.ravel()
