"""What is counted of the visits to the reference, in memory that does not grow with the run.

One int64 array of fixed size holds all of it: histograms of the times of absence and stay (exact below 64
steps, above it 32 bins to a factor of two), how far each absence went, which weights left first, how often
each flipped, and the running counts at two sets of steps: 8 to a factor of two, for growth, and equally
spaced ones, for averages over batches. When the latter are full every other one is dropped and their spacing
doubles, so between 64 and 127 batches are there, however long the run. All is counted exactly, as the run
goes, so a run that is resumed counts as one that was not interrupted.

`build` passes the bookkeeping through a compiler for the event loop, or leaves it as it is for the dense one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_EXACT = 64  # times below have a bin each
BINS = 64 + 32 * 34  # enough for times below 2^40 > 10^12 steps
MARKS = 312  # 8 to a factor of two up to 2^41
BATCHES = 128  # ends of batches that are kept, at most

# Cells of the array: single numbers, then the tables.
(
    NEXT,  # the next step at which something is noted, the smaller of the next two
    NEXT_MARK,  # the next step of the growing kind
    NEXT_BATCH,  # the next end of a batch
    MARKED,  # marks so far
    BATCHED,  # batches so far
    SPACING,  # steps of a batch, a power of two
    DEEPEST,  # largest distance in the absence under way
    LONGEST_RETURN,
    LONGEST_SOJOURN,
) = range(9)
RETURN_TIMES = 16
SOJOURN_TIMES = RETURN_TIMES + BINS
MARK_COUNTS = SOJOURN_TIMES + BINS  # (MARKS, 2): steps at the reference and visits before each mark
BATCH_COUNTS = MARK_COUNTS + 2 * MARKS  # (BATCHES, 2): the same before each end of a batch
FLIPPED = BATCH_COUNTS + 2 * BATCHES  # (n,), then FIRST (n,), then REACHED (n + 1,)


class Tally(NamedTuple):
    """The tables of the array, as views.

    Attributes
    ----------
    returns, sojourns : int64 (BINS,)
        How many absences and stays lasted so long; `bin_starts` has the smallest time of each bin.
    marks, batches : int64 (MARKS, 2), (BATCHES, 2)
        Steps at the reference and visits, among the iterates before each step.
    flipped : int64 (n,)
        Flips of each weight.
    first : int64 (n,)
        Departures from the reference in which the weight flipped.
    reached : int64 (n + 1,)
        Completed absences by their largest distance.
    """

    returns: np.ndarray
    sojourns: np.ndarray
    marks: np.ndarray
    batches: np.ndarray
    flipped: np.ndarray
    first: np.ndarray
    reached: np.ndarray


def size_of(n: int) -> int:
    """Return the number of cells for n weights."""
    return FLIPPED + 3 * n + 1


def start(n: int) -> np.ndarray:
    """Return the array at step 0."""
    cells = np.zeros(size_of(n), np.int64)
    cells[[NEXT, NEXT_MARK, NEXT_BATCH, SPACING]] = 1
    return cells


def tables(cells: np.ndarray) -> Tally:
    """Return the tables of an array that is not empty."""
    n = (cells.size - FLIPPED - 1) // 3
    return Tally(
        cells[RETURN_TIMES:SOJOURN_TIMES],
        cells[SOJOURN_TIMES:MARK_COUNTS],
        cells[MARK_COUNTS:BATCH_COUNTS].reshape(MARKS, 2),
        cells[BATCH_COUNTS:FLIPPED].reshape(BATCHES, 2),
        cells[FLIPPED : FLIPPED + n],
        cells[FLIPPED + n : FLIPPED + 2 * n],
        cells[FLIPPED + 2 * n :],
    )


def bin_starts() -> np.ndarray:
    """Return the smallest time of each bin and, last, the first time beyond all bins; int64 (BINS + 1,)."""
    index = np.arange(BINS + 1)
    shift = np.maximum(index // 32 - 1, 0)
    return (index - 32 * shift) << shift


def mark_steps() -> np.ndarray:
    """Return the steps of all marks, int64 (MARKS,): 1, 2, … 16, 18, … 32, 36, …"""
    index = np.arange(MARKS)
    eighth = np.maximum(index - 7, 0)
    return np.where(index < 8, index + 1, (8 + eighth % 8) << (eighth // 8))


def check(cells: np.ndarray, n: int, step: int) -> bool:
    """Whether an array from a file is one that a run of n weights can have at a step: kernels trust it."""
    if cells.size != size_of(n) or cells.min() < 0:
        return False
    marked, batched, spacing = (int(cells[cell]) for cell in (MARKED, BATCHED, SPACING))
    if marked >= MARKS or batched >= BATCHES or spacing < 1 or cells[DEEPEST] > n:
        return False
    mark, end = int(mark_steps()[marked]), (batched + 1) * spacing
    return cells[NEXT_MARK] == mark and cells[NEXT_BATCH] == end and step < cells[NEXT] == min(mark, end)


def build(compiler):
    """Return (returned, stayed, away, flipped, note, restart), passed through a compiler.

    The caller calls none of them with an array of size zero, which stands for "not recorded".
    """

    @compiler
    def bin_of(time):
        shift = 0
        while (time >> shift) >= _EXACT:
            shift += 1
        return 32 * shift + (time >> shift)

    @compiler
    def returned(cells, n, time):
        """Count an absence that ended after so many steps."""
        cells[RETURN_TIMES + bin_of(time)] += 1
        cells[LONGEST_RETURN] = max(cells[LONGEST_RETURN], time)
        cells[FLIPPED + 2 * n + cells[DEEPEST]] += 1
        cells[DEEPEST] = 0

    @compiler
    def stayed(cells, time):
        """Count a stay that ended after so many steps; an absence begins."""
        cells[SOJOURN_TIMES + bin_of(time)] += 1
        cells[LONGEST_SOJOURN] = max(cells[LONGEST_SOJOURN], time)
        cells[DEEPEST] = 0

    @compiler
    def away(cells, distance):
        """Note the distance of a stretch away from the reference."""
        cells[DEEPEST] = max(cells[DEEPEST], distance)

    @compiler
    def flipped(cells, n, k, leaving):
        """Count the flip of weight k; ``leaving`` says whether it is one that leaves the reference."""
        cells[FLIPPED + k] += 1
        if leaving:
            cells[FLIPPED + n + k] += 1

    @compiler
    def note(cells, anchor, stop, occupied, visits, present):
        """Note the counts at the marks and ends of batches within the stretch (anchor, stop].

        ``occupied`` counts the steps at the reference before the anchor; ``present`` says whether the
        stretch is spent there, and ``visits`` counts the arrival at its beginning.
        """
        while cells[NEXT] <= stop:
            step = cells[NEXT]
            here = occupied + (step - anchor if present else 0)
            if step == cells[NEXT_MARK]:
                place = MARK_COUNTS + 2 * cells[MARKED]
                cells[place] = here
                cells[place + 1] = visits
                cells[MARKED] += 1
                following = cells[MARKED]
                eighth = max(following - 7, 0)
                cells[NEXT_MARK] = following + 1 if following < 8 else (8 + eighth % 8) << (eighth // 8)
            if step == cells[NEXT_BATCH]:
                place = BATCH_COUNTS + 2 * cells[BATCHED]
                cells[place] = here
                cells[place + 1] = visits
                cells[BATCHED] += 1
                if cells[BATCHED] == BATCHES:
                    for i in range(BATCHES // 2):
                        cells[BATCH_COUNTS + 2 * i] = cells[BATCH_COUNTS + 4 * i + 2]
                        cells[BATCH_COUNTS + 2 * i + 1] = cells[BATCH_COUNTS + 4 * i + 3]
                    for i in range(BATCHES):
                        cells[BATCH_COUNTS + BATCHES + i] = 0
                    cells[BATCHED] = BATCHES // 2
                    cells[SPACING] *= 2
                cells[NEXT_BATCH] = (cells[BATCHED] + 1) * cells[SPACING]
            cells[NEXT] = min(cells[NEXT_MARK], cells[NEXT_BATCH])

    @compiler
    def restart(cells, n):
        """Forget what was counted about a former reference: the new one was never visited before."""
        cells[DEEPEST] = 0
        cells[LONGEST_RETURN] = 0
        cells[LONGEST_SOJOURN] = 0
        for cell in range(RETURN_TIMES, FLIPPED):
            cells[cell] = 0
        for cell in range(FLIPPED + n, FLIPPED + 3 * n + 1):
            cells[cell] = 0

    return returned, stayed, away, flipped, note, restart
