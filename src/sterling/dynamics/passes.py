"""Passes over the data: the change of loss and gradient sums from a known state to a new one.

The base is a state whose pre-activations are kept for every row. One column for each differing sign leads
from it to the known state nearest to the new one, and a few more columns lead on to the new state. Then only
the rows whose activations differ between these two are read. If fewer rows have a nonzero coefficient, the
base moves with the run, and those rows are read instead. All sums are integers, so threads can share chunks
of rows in any order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sterling.dynamics.sums import (
    CARRIED,
    HALF,
    add_waiting,
    list_all,
    list_changes,
    list_flips,
    list_marked,
    mark_counting,
    spill,
)
from sterling.exact.jit import embedded, helper, njit
from sterling.exact.machine import (
    ADDED,
    add_eight,
    add_two,
    atomic_add,
    atomic_load,
    atomic_store,
    byte_mask,
    mark_signs,
    plus,
    prefetch_part,
    times,
)

#: Rows in a chunk: its buffers fit the nearest cache.
CHUNK = 2048
_FEW = 16  # up to this many columns are best added row by row, all at once

# Cells of Job.info
FULL, LEAD, COUNT, LEAD_CONSTANT, CONSTANT, MOVE, DIRECT, PADDED = range(8)
# Cells of the board that threads share, one cache line apart: chunks claimed, chunks claimed by helper
# threads, chunks done, and a flag that ends the helpers.
CLAIMED, BACK, FINISHED, STOP = 0, 8, 16, 24
BOARD = 32


# Cells of Scratch.sums after the sums: Σ c, Σ r², input entries read, rows listed.
BALANCE, SQUARE, ENTRIES, LISTED = range(4)
TOTALS = 4


class PassData(NamedTuple):
    """An instance and a surrogate, as the passes read them."""

    rows: np.ndarray  # int16|int32 (R, width), R = N·m
    columns: np.ndarray  # the same codes (n, R)
    labels: np.ndarray  # int16|int32 (N,)
    residual: np.ndarray  # int64 (m,), the readout in units of the labels
    readout: np.ndarray  # int64 (m,)
    shifts: np.ndarray  # int64 (n,), one code of a column is 2^shift units of a pre-activation
    offsets: np.ndarray  # int64 (n,), added to the codes of a column
    low: int  # the surrogate's derivative is one for low <= pre-activation <= high, else zero
    high: int
    sign_only: int  # 1 where a row's coefficient can change only with the sign of its pre-activation
    limit: int  # Σ |weight| that 32-bit sums hold; 0 means that sums need 64 bits throughout
    chunk: int  # rows in a chunk, a multiple of m
    paired: int  # 1 where pairs of columns can be multiplied by their steps in 16 bits and added in 32
    threads: int


class Base(NamedTuple):
    """The base: the state from which jobs start."""

    before: np.ndarray  # int32|int64 (R,), pre-activations
    signs: np.ndarray  # int8 (n,)


class Job(NamedTuple):
    """The work that all threads share now."""

    flips: np.ndarray  # int64 (2n + 2,), LEAD weights from base to known state, COUNT from there to the new
    steps: np.ndarray  # type of Base.before, length of flips: what one code of the column adds
    weights: np.ndarray  # int16, the same steps, if `paired`
    info: np.ndarray  # int64 (8,)
    board: np.ndarray  # int64 (BOARD,)


class Scratch(NamedTuple):
    """Buffers of the threads; `_own` selects those of one thread."""

    known: np.ndarray  # like Base.before (threads, chunk), pre-activations of the known state
    after: np.ndarray  # the same, of the new state
    flags: np.ndarray  # uint8 (threads, chunk + 64), 1 for each row to list
    masks: np.ndarray  # uint64 (threads, chunk / 64 + 1), the same in bits
    listed: np.ndarray  # int64 (threads, 2, chunk + GROUP), rows to add; one half waits while the other fills
    weight: np.ndarray  # int16|int64, the same shape, their weights
    held: np.ndarray  # int64 (threads, 4), see `sums.py`
    narrow: np.ndarray  # int32 (threads, width)
    sums: np.ndarray  # int64 (threads, width + TOTALS): Σ c·code, then the cells above


@embedded
def _own(scratch, thread):
    return Scratch(
        scratch.known[thread],
        scratch.after[thread],
        scratch.flags[thread],
        scratch.masks[thread],
        scratch.listed[thread],
        scratch.weight[thread],
        scratch.held[thread],
        scratch.narrow[thread],
        scratch.sums[thread],
    )


@embedded
def copy_into(target, source, size):
    """target[:size] ← source[:size]; written out, since slices cannot be assigned without allocation."""
    for i in range(size):
        target[i] = source[i]


@embedded
def _move_rows(data, job, source, target, first, size, start, stop, constant):
    """target ← source with the signs of the job's flips start … stop changed, in rows from first on.

    The next column is prefetched, also that of the move which follows.
    """
    last = job.info[LEAD] + job.info[COUNT]
    column = data.columns[job.flips[start], first : first + size]
    step = job.steps[start]
    if start + 1 < last:
        prefetch_part(data.columns, job.flips[start + 1], first, size)
    for i in range(size):
        target[i] = plus(plus(source[i], constant), times(step, column[i]))
    for j in range(start + 1, stop):
        column = data.columns[job.flips[j], first : first + size]
        step = job.steps[j]
        if j + 1 < last:
            prefetch_part(data.columns, job.flips[j + 1], first, size)
        for i in range(size):
            target[i] = plus(target[i], times(step, column[i]))


@embedded
def _move_rows_paired(data, job, target, first, size, start, stop, constant):
    """The same in place, many columns in one pass over the pre-activations; start and stop are even."""
    columns = data.columns[:, first : first + size]
    whole = size // ADDED * ADDED
    if constant != 0:
        for i in range(size):
            target[i] = plus(target[i], constant)
    j = start
    while j + 8 <= stop:
        for r in range(0, whole, ADDED):
            add_eight(columns, job.flips, job.weights, j, r, target)
        j += 8
    while j < stop:
        for r in range(0, whole, ADDED):
            add_two(columns, job.flips, job.weights, j, r, target)
        j += 2
    if whole < size:
        for q in range(start, stop):
            column, step = columns[job.flips[q]], job.steps[q]
            for i in range(whole, size):
                target[i] = plus(target[i], times(step, column[i]))


@embedded
def _flag_rows(data, before, after, flags, size):
    """flags ← 1 where the sign or the derivative of a row changed."""
    old, new, out = before[:size], after[:size], flags[:size]
    if data.sign_only:
        for i in range(size):
            out[i] = (old[i] > 0) != (new[i] > 0)
    else:
        low, high = data.low, data.high
        for i in range(size):
            inside = (old[i] >= low) & (old[i] <= high)
            now = (new[i] >= low) & (new[i] <= high)
            out[i] = ((old[i] > 0) != (new[i] > 0)) | (inside != now)
    for i in range(size, min(size + 64, flags.size)):
        flags[i] = 0


@helper
def _pack(flags, masks, size):
    """masks ← flags, 64 to a word."""
    for word in range((size + 63) // 64):
        masks[word] = byte_mask(flags, 64 * word)


@helper
def _move_and_mark(data, job, before, after, flags, masks, first, size):
    """Move via the known state to the new one, and masks ← rows whose sign changed, for few columns at once.

    Each row is read once: its pre-activations stay in registers on the way from the base to the new state.
    """
    info = job.info
    lead, stop = info[LEAD], info[LEAD] + info[COUNT]
    one = info[LEAD_CONSTANT]
    both = one + info[CONSTANT]
    columns = data.columns[:, first : first + size]
    whole = size // 64 * 64
    for r in range(0, whole, 64):
        masks[r // 64] = mark_signs(columns, job.flips, job.weights, lead, stop, r, before, after, one, both)
    if whole < size:
        for i in range(whole, size):
            old = np.int64(before[i]) + one
            for q in range(lead):
                old += np.int64(job.weights[q]) * columns[job.flips[q], i]
            new = old + info[CONSTANT]
            for q in range(lead, stop):
                new += np.int64(job.weights[q]) * columns[job.flips[q], i]
            after[i] = new
            flags[i - whole] = (old > 0) != (new > 0)
        for i in range(size - whole, 64):
            flags[i] = 0
        masks[whole // 64] = byte_mask(flags, 0)


@embedded
def _fill_rows(data, base, job, first, last):
    """before ← pre-activations from scratch; the job's steps are the weights of all columns."""
    count = data.columns.shape[0]
    for r in range(first, last):
        row = data.rows[r, :count]
        total = job.info[CONSTANT]
        for k in range(count):
            total += job.steps[k] * row[k]
        base.before[r] = total


@helper
def _move(data, job, source, target, first, size, start, stop, constant):
    if data.paired:
        if not job.info[DIRECT]:  # else source and target are the same array
            copy_into(target, source, size)
        _move_rows_paired(data, job, target, first, size, start, stop, constant)
    else:
        _move_rows(data, job, source, target, first, size, start, stop, constant)


@helper
def _do_chunk(data, base, job, scratch, chunk):
    first = chunk * data.chunk
    last = min(first + data.chunk, base.before.size)
    size = last - first
    before = base.before[first:last]
    info = job.info
    columns = info[LEAD] + info[COUNT]
    free = 1 - scratch.held[HALF]
    listed, weight = scratch.listed[free], scratch.weight[free]
    flags, masks = scratch.flags, scratch.masks
    if info[FULL] or info[DIRECT]:
        if info[FULL]:
            _fill_rows(data, base, job, first, last)
        else:  # the base itself moves, without a known state on the way
            _move(data, job, before, before, first, size, np.int64(0), columns, info[CONSTANT])
        if data.readout.size == 1:
            square = mark_counting(data, before, flags, first, size)
            _pack(flags, masks, size)
            count, balance, load = list_marked(data, before, masks, listed, weight, first, size)
        else:
            count, balance, load, square = list_all(data, before, listed, weight, first, size)
    else:
        known, after = scratch.known[:size], scratch.after[:size]
        signs_count = data.sign_only and data.readout.size == 1
        if data.paired and data.sign_only and columns <= _FEW and (signs_count or info[LEAD] == 0):
            _move_and_mark(data, job, before, after, flags, masks, first, size)
            known = before
        else:
            if info[LEAD] > 0:
                _move(data, job, before, known, first, size, np.int64(0), info[LEAD], info[LEAD_CONSTANT])
            else:
                known = before
            _move(data, job, known, after, first, size, info[LEAD], columns, info[CONSTANT])
            _flag_rows(data, known, after, flags, size)
            _pack(flags, masks, size)
        if signs_count:
            count, balance, load, square = list_flips(data, after, masks, listed, weight, first, size)
        else:
            count, balance, load, square = list_changes(
                data, known, after, masks, listed, weight, first, size
            )
        if info[MOVE]:
            copy_into(before, after, size)
    add_waiting(data.rows, data.limit, scratch, count, load)
    totals = scratch.sums[data.rows.shape[1] :]
    totals[BALANCE] += balance
    totals[SQUARE] += square
    totals[ENTRIES] += count * data.columns.shape[0] + size * (columns - info[PADDED])
    totals[LISTED] += count


@embedded
def _share_chunks(data, base, job, scratch, thread):
    """Process chunks until all are claimed; return whether this thread claimed any.

    The main thread starts at the front and helpers at the back, so that each core reads the same rows again.
    """
    chunks = (data.rows.shape[0] + data.chunk - 1) // data.chunk
    done = np.int64(0)
    while atomic_load(job.board, CLAIMED) < chunks:
        if atomic_add(job.board, CLAIMED, 1) < chunks:
            chunk = done
            if thread > 0:
                chunk = chunks - 1 - atomic_add(job.board, BACK, 1)
            _do_chunk(data, base, job, scratch, chunk)
            done += 1
    if done > 0:
        add_waiting(data.rows, data.limit, scratch, np.int64(0), np.int64(0))
        spill(scratch.narrow, scratch.sums)
        scratch.held[CARRIED] = 0
        atomic_add(job.board, FINISHED, done)
    return done > 0


@embedded
def run_job(data, base, job, scratch):
    """Run the job with all threads that are awake; leave the totals in ``scratch.sums[0]``."""
    chunks = (data.rows.shape[0] + data.chunk - 1) // data.chunk
    own = _own(scratch, 0)
    for k in range(own.sums.size):
        own.sums[k] = 0
    atomic_store(job.board, BACK, 0)
    atomic_store(job.board, FINISHED, 0)
    atomic_store(job.board, CLAIMED, 0)  # from here on helpers may claim chunks
    _share_chunks(data, base, job, own, 0)
    while atomic_load(job.board, FINISHED) < chunks:
        pass
    for thread in range(1, data.threads):
        others = scratch.sums[thread]
        for k in range(others.size):
            own.sums[k] += others[k]
            others[k] = 0


@njit
def assist(data, base, job, scratch, thread, patience):
    """Help with each job that appears; return on STOP, or after ``patience`` idle polls in a row."""
    own = _own(scratch, thread)
    idle = 0
    while idle < patience and atomic_load(job.board, STOP) == 0:
        if _share_chunks(data, base, job, own, thread):
            idle = 0
        else:
            idle += 1
