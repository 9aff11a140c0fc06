"""Sums over the rows that change: the list of these rows, their weights, and Σ weight·row.

All sums are integers. With 16-bit codes, rows are added eight at a time in 32 bits. The totals move to 64
bits before the sum of absolute weights allows an overflow. The rows of a new list are prefetched, and the
list before it is added meanwhile.
"""

from __future__ import annotations

import numpy as np

from sterling.exact.jit import embedded, helper
from sterling.exact.machine import ADDED, add_eight, alike, clear_lowest, prefetch, trailing_zeros

#: Rows that `add_eight` takes at a time; lists have room for as many more entries.
GROUP = 8

# Cells of Scratch.held: entries in the list that waits, its absolute weights, which half it fills, and the
# absolute weights in the 32-bit sums.
WAITING, WEIGHED, HALF, CARRIED = range(4)


@embedded
def list_flips(data, after, masks, listed, weight, first, size):
    """List the rows whose sign changed, with the change of their coefficient, for one hidden unit.

    Returns the number of rows, Σ change, Σ |change| and ΔΣr². Requires ``sign_only``: the derivative is one
    on the active side and has a single value on the other.
    """
    jump, readout = data.residual[0], data.readout[0]
    resting = np.int64(data.low <= 0)
    count = 0
    balance = np.int64(0)
    load = np.int64(0)
    square = np.int64(0)
    for start in range(0, size, 64):
        mask = masks[start // 64]
        while mask != 0:
            local = start + trailing_zeros(mask)
            mask = clear_lowest(mask)
            off = -np.int64(data.labels[first + local])
            on = off + jump
            side = np.int64(1) if after[local] > 0 else np.int64(-1)
            change = side * readout * (on - off * resting)
            square += side * (on * on - off * off)
            balance += change
            load += abs(change)
            if change != 0:  # without noise it is zero for half of the rows
                listed[count] = first + local
                prefetch(data.rows, first + local)
                weight[count] = change
                count += 1
    return count, balance, load, square


@embedded
def list_changes(data, before, after, masks, listed, weight, first, size):
    """The same for any number of units and any window of the surrogate, sample by sample."""
    units = data.readout.size
    count = 0
    balance = np.int64(0)
    load = np.int64(0)
    square = np.int64(0)
    done = 0
    for start in range(0, size, 64):
        mask = masks[start // 64]
        while mask != 0:
            local = start + trailing_zeros(mask)
            mask = clear_lowest(mask)
            if local < done:
                continue  # its sample is done
            sample = first + local if units == 1 else (first + local) // units  # division is slow
            head = sample * units - first
            done = head + units
            old = -np.int64(data.labels[sample])
            new = old
            for j in range(units):
                old += data.residual[j] if before[head + j] > 0 else 0
                new += data.residual[j] if after[head + j] > 0 else 0
            square += new * new - old * old
            for j in range(units):
                x, y = before[head + j], after[head + j]
                change = new * data.readout[j] if data.low <= y and y <= data.high else np.int64(0)
                change -= old * data.readout[j] if data.low <= x and x <= data.high else np.int64(0)
                if change != 0:
                    listed[count] = first + head + j
                    weight[count] = change
                    balance += change
                    load += abs(change)
                    prefetch(data.rows, first + head + j)
                    count += 1
    return count, balance, load, square


@embedded
def list_all(data, before, listed, weight, first, size):
    """The same for a state computed from scratch: every row with a nonzero coefficient counts."""
    units = data.readout.size
    count = 0
    balance = np.int64(0)
    load = np.int64(0)
    square = np.int64(0)
    for head in range(0, size, units):
        now = -np.int64(data.labels[(first + head) // units])
        for j in range(units):
            if before[head + j] > 0:
                now += data.residual[j]
        square += now * now
        for j in range(units):
            x = before[head + j]
            coefficient = now * data.readout[j]
            if data.low <= x and x <= data.high and coefficient != 0:
                listed[count] = first + head + j
                weight[count] = coefficient
                balance += coefficient
                load += abs(coefficient)
                count += 1
    return count, balance, load, square


@embedded
def mark_counting(data, before, flags, first, size):
    """flags ← 1 where a row has a nonzero coefficient, for one hidden unit; return Σr²."""
    values, labels, marks = before[:size], data.labels[first : first + size], flags[:size]
    jump, counts = data.residual[0], data.readout[0] != 0
    square = np.int64(0)
    for i in range(size):
        now = (jump if values[i] > 0 else np.int64(0)) - np.int64(labels[i])
        square += now * now
    # These take the types of the arrays, so that one instruction handles many rows.
    jump, low, high = alike(jump, labels), alike(data.low, values), alike(data.high, values)
    zero = alike(np.int64(0), labels)
    for i in range(size):
        now = (jump if values[i] > 0 else zero) != labels[i]
        marks[i] = now & (low <= values[i]) & (values[i] <= high) & counts
    for i in range(size, min(size + 64, flags.size)):
        flags[i] = 0
    return square


@embedded
def list_marked(data, before, masks, listed, weight, first, size):
    """List the marked rows with their coefficients, for one hidden unit."""
    jump, readout = data.residual[0], data.readout[0]
    count = 0
    balance = np.int64(0)
    load = np.int64(0)
    for start in range(0, size, 64):
        mask = masks[start // 64]
        while mask != 0:
            local = start + trailing_zeros(mask)
            mask = clear_lowest(mask)
            coefficient = (jump if before[local] > 0 else np.int64(0)) - np.int64(data.labels[first + local])
            coefficient *= readout
            balance += coefficient
            load += abs(coefficient)
            listed[count] = first + local
            prefetch(data.rows, first + local)
            weight[count] = coefficient
            count += 1
    return count, balance, load


@embedded
def _add_wide(rows, listed, weight, count, sums):
    width = rows.shape[1]
    total = sums[:width]
    for q in range(count):
        row, w = rows[listed[q], :width], np.int64(weight[q])
        for k in range(width):
            total[k] += w * np.int64(row[k])


@helper
def spill(narrow, sums):
    """sums += narrow, and narrow ← 0."""
    for k in range(narrow.size):
        sums[k] += narrow[k]
        narrow[k] = 0


@helper
def _add_narrow(rows, listed, weight, first, stop, sums):
    """sums += Σ weight·row over the entries first … stop of a list, which is padded to whole groups."""
    for q in range(first, stop, GROUP):
        for column in range(0, sums.size, ADDED):
            add_eight(rows, listed, weight, q, column, sums)


@helper
def add_waiting(rows, limit, scratch, count, load):
    """Add the waiting list; the new one, with ``count`` entries of total weight ``load``, waits next."""
    held = scratch.held
    waiting, half = held[WAITING], held[HALF]
    listed, weight = scratch.listed[half], scratch.weight[half]
    if limit == 0:
        _add_wide(rows, listed, weight, waiting, scratch.sums)
    else:
        # Only if labels differ widely can one list exceed the limit; then it is added group by group.
        step = waiting if held[WEIGHED] <= limit else np.int64(GROUP)
        charge = min(held[WEIGHED], limit)
        start = np.int64(0)
        while start < waiting:
            if held[CARRIED] + charge > limit:
                spill(scratch.narrow, scratch.sums)
                held[CARRIED] = 0
            held[CARRIED] += charge
            stop = min(start + step, waiting)
            _add_narrow(rows, listed, weight, start, stop, scratch.narrow)
            start = stop
    listed, weight = scratch.listed[1 - half], scratch.weight[1 - half]
    for q in range(count, (count + GROUP - 1) // GROUP * GROUP):
        listed[q] = listed[0]
        weight[q] = 0
    held[WAITING] = count
    held[WEIGHED] = load
    held[HALF] = 1 - half
