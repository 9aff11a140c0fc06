"""Visit every sign vector of a small instance in Gray-code order; the loops behind `sweep.py`.

Neighbours in that order differ in one sign. One column is added to the pre-activations, the rows whose side
of a threshold changed are listed, and only these change the integer sums of loss and gradient: no pass over
the data, and no rounding. A stretch of states belongs to one thread, so threads share nothing they write.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from sterling.exact.jit import embedded, helper, njit
from sterling.exact.machine import byte_mask, clear_lowest, plus, times, trailing_zeros

# Cells of Place.info
BALANCE, SQUARE, DISTANCE = range(3)

_LARGEST = (1 << 63) - 1


class Sample(NamedTuple):
    """An instance and a surrogate with a window, as the kernels read them."""

    rows: np.ndarray  # int16|int32 (R, width), R = N·m
    columns: np.ndarray  # the same codes (n, R)
    labels: np.ndarray  # int64 (N,)
    residual: np.ndarray  # int64 (m,), the readout in units of the labels
    readout: np.ndarray  # int64 (m,)
    shifts: np.ndarray  # int64 (n,), one code of a column is 2^shift units of a pre-activation
    offsets: np.ndarray  # int64 (n,), added to the codes of a column
    low: int  # the derivative is one for low <= pre-activation <= high, else zero
    high: int
    sign_only: int  # 1 where that changes only with the sign of the pre-activation
    flush: int  # so many products fit a 32-bit sum; 0: use 64 bits throughout


class Place(NamedTuple):
    """Where one thread stands: a state with its sums, and room to work."""

    before: np.ndarray  # int32|int64 (R,), pre-activations
    signs: np.ndarray  # int64 (n,)
    steps: np.ndarray  # like before (2,), what one code adds, and a constant
    coefficients: np.ndarray  # int64 (R,), residual·v_j·μ′ of each row
    residuals: np.ndarray  # int64 (N,)
    sums: np.ndarray  # int64 (width,), Σ coefficient·code
    info: np.ndarray  # int64 (3,), Σ coefficient, Σ residual², distance to the reference
    flags: np.ndarray  # uint8 (R + 64,)
    listed: np.ndarray  # int64 (R,), rows to add
    weight: np.ndarray  # int64 (R,), and the changes of their coefficients
    narrow: np.ndarray  # int32 (width,)


class Found(NamedTuple):
    """What the visits leave."""

    squares: np.ndarray  # int64 (2**n,), Σ residual² of every state, shared by all threads; or empty
    absorbing: np.ndarray  # int64, numbers of absorbing states; emptied by the caller when full
    filled: np.ndarray  # int64 (1,), how many
    deviation: np.ndarray  # float64 (1,), largest |G_k − E G_k| so far
    farthest: np.ndarray  # int64 (1,), number of the state where it occurs


@embedded
def _shift_rows(sample, place, bit):
    """Add the flip of one sign to all pre-activations and flag the rows whose derivative or side changed."""
    column, before, flags = sample.columns[bit], place.before, place.flags
    step, constant = place.steps[0], place.steps[1]
    if sample.sign_only:
        for i in range(before.size):
            old = before[i]
            new = plus(plus(old, constant), times(step, column[i]))
            before[i] = new
            flags[i] = (old > 0) != (new > 0)
    else:
        low, high = sample.low, sample.high
        for i in range(before.size):
            old = before[i]
            new = plus(plus(old, constant), times(step, column[i]))
            before[i] = new
            was = (old >= low) & (old <= high)
            now = (new >= low) & (new <= high)
            flags[i] = ((old > 0) != (new > 0)) | (was != now)


@embedded
def _renew_sample(sample, place, number, count):
    """Compute one sample afresh and list its rows whose coefficient changed; return how many are listed."""
    units = sample.readout.size
    first = number * units
    residual = -sample.labels[number]
    for j in range(units):
        if place.before[first + j] > 0:
            residual += sample.residual[j]
    old = place.residuals[number]
    place.info[SQUARE] += residual * residual - old * old
    place.residuals[number] = residual
    for j in range(units):
        row = first + j
        x = place.before[row]
        coefficient = np.int64(0)
        if sample.low <= x and x <= sample.high:
            coefficient = residual * sample.readout[j]
        change = coefficient - place.coefficients[row]
        if change != 0:
            place.coefficients[row] = coefficient
            place.info[BALANCE] += change
            place.listed[count] = row
            place.weight[count] = change
            count += 1
    return count


@embedded
def _list_changes(sample, place):
    """List the rows whose coefficient changed, sample by sample."""
    units = sample.readout.size
    count = 0
    done = -1
    for start in range(0, place.before.size, 64):
        mask = byte_mask(place.flags, start)
        while mask != 0:
            row = start + trailing_zeros(mask)
            mask = clear_lowest(mask)
            number = row if units == 1 else row // units
            if number != done:
                count = _renew_sample(sample, place, number, count)
                done = number
    return count


@helper
def _add_rows(sample, place, count):
    """Add the listed rows times their changes to the sums, in 32 bits as far as these hold them."""
    sums, narrow, index, weight = place.sums, place.narrow, place.listed, place.weight
    width = sums.size
    if sample.flush == 0:
        for q in range(count):
            row, w = sample.rows[index[q]], weight[q]
            for k in range(width):
                sums[k] += w * np.int64(row[k])
        return
    start = 0
    while start < count:
        stop = min(count, start + sample.flush)
        q = start
        while q + 4 <= stop:
            a, b = sample.rows[index[q], :width], sample.rows[index[q + 1], :width]
            c, d = sample.rows[index[q + 2], :width], sample.rows[index[q + 3], :width]
            wa, wb = np.int32(weight[q]), np.int32(weight[q + 1])
            wc, wd = np.int32(weight[q + 2]), np.int32(weight[q + 3])
            for k in range(width):
                ab = plus(times(wa, a[k]), times(wb, b[k]))
                cd = plus(times(wc, c[k]), times(wd, d[k]))
                narrow[k] = plus(narrow[k], plus(ab, cd))
            q += 4
        while q < stop:
            a, wa = sample.rows[index[q], :width], np.int32(weight[q])
            for k in range(width):
                narrow[k] = plus(narrow[k], times(wa, a[k]))
            q += 1
        for k in range(width):
            sums[k] += narrow[k]
            narrow[k] = 0
        start = stop


@embedded
def _move(sample, place, teacher, bit):
    """Flip one sign."""
    new = -place.signs[bit]
    place.signs[bit] = new
    place.info[DISTANCE] += -1 if new == teacher[bit] else 1
    step = (2 * new) << sample.shifts[bit]
    place.steps[0] = step
    place.steps[1] = step * sample.offsets[bit]
    _shift_rows(sample, place, bit)
    _add_rows(sample, place, _list_changes(sample, place))


@embedded
def _judge(sample, place, teacher, levels, unit, found, number):
    """Note the loss of the current state, whether it absorbs, and how far its gradient is from the mean."""
    if found.squares.size > 0:
        found.squares[number] = place.info[SQUARE]
    balance = place.info[BALANCE]
    # Extremes of w*_k·G_k over the weights that agree with the reference and over those that differ.
    top_same, low_same = np.int64(-_LARGEST), np.int64(_LARGEST)
    top_other, low_other = np.int64(-_LARGEST), np.int64(_LARGEST)
    for k in range(teacher.size):
        value = teacher[k] * ((place.sums[k] + sample.offsets[k] * balance) << sample.shifts[k])
        same = place.signs[k] == teacher[k]
        top_same = max(top_same, value if same else np.int64(-_LARGEST))
        low_same = min(low_same, value if same else np.int64(_LARGEST))
        top_other = max(top_other, np.int64(-_LARGEST) if same else value)
        low_other = min(low_other, np.int64(_LARGEST) if same else value)
    if top_same <= 0 and low_other >= 0:
        found.absorbing[found.filled[0]] = number
        found.filled[0] += 1
    if levels.size > 0:
        distance = place.info[DISTANCE]
        largest = 0.0
        if distance < teacher.size:
            mean = levels[0, distance]
            largest = max(abs(top_same / unit - mean), abs(low_same / unit - mean))
        if distance > 0:
            mean = levels[1, distance]
            largest = max(largest, abs(top_other / unit - mean), abs(low_other / unit - mean))
        best = found.deviation[0]
        if largest > best or (largest == best and number < found.farthest[0]):
            found.deviation[0] = largest
            found.farthest[0] = number


@njit
def begin(sample, place, teacher, step):
    """Set the place to the state number ``step`` of the Gray code, from the data."""
    code = step ^ (step >> 1)
    constant = np.int64(0)
    place.info[DISTANCE] = 0
    for k in range(teacher.size):
        sign = np.int64(1) if (code >> k) & 1 else np.int64(-1)
        place.signs[k] = sign
        place.info[DISTANCE] += sign != teacher[k]
        constant += (sign * sample.offsets[k]) << sample.shifts[k]
    for r in range(place.before.size):
        total = constant
        for k in range(teacher.size):
            total += (place.signs[k] * np.int64(sample.rows[r, k])) << sample.shifts[k]
        place.before[r] = total
        place.coefficients[r] = 0
    for k in range(place.sums.size):
        place.sums[k] = 0
        place.narrow[k] = 0
    place.info[BALANCE] = 0
    place.info[SQUARE] = 0
    count = 0
    for number in range(place.residuals.size):
        place.residuals[number] = 0
        count = _renew_sample(sample, place, number, count)
    _add_rows(sample, place, count)


@njit
def sweep(sample, place, teacher, levels, unit, found, first, last):
    """Judge states ``first`` … ``last`` − 1 of the Gray code, moving on after each; return where it stands.

    The place must stand at ``first``. It ends early when the list of absorbing states is full.
    """
    step = first
    count = np.int64(1) << teacher.size
    while step < last and found.filled[0] < found.absorbing.size:
        _judge(sample, place, teacher, levels, unit, found, step ^ (step >> 1))
        step += 1
        if step < count:
            _move(sample, place, teacher, trailing_zeros(np.uint64(step)))
    return step


@njit
def gather(sample, place, reference, home, unit, table, first, last):
    """Write b_k·G_k of states ``first`` … ``last`` − 1 of the code, b the reference with the number ``home``.

    The row of a state is the set of weights that differ from the reference, as bits. The place must stand at
    ``first``.
    """
    count = np.int64(1) << reference.size
    for step in range(first, last):
        row = step ^ (step >> 1) ^ home
        balance = place.info[BALANCE]
        for k in range(reference.size):
            total = (place.sums[k] + sample.offsets[k] * balance) << sample.shifts[k]
            table[row, k] = (reference[k] * total) / unit
        if step + 1 < count:
            _move(sample, place, reference, trailing_zeros(np.uint64(step + 1)))
