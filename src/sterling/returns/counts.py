"""What is counted of the visits to a reference, in memory that does not grow with the run.

One int64 array of fixed size holds all of it: histograms of the times of absence and stay (exact below 64
steps, above it 32 bins to a factor of two), how far each absence went, which weights left first, how often
each flipped, and the running counts at two sets of steps: 8 to a factor of two, for growth, and equally
spaced ones, for averages over batches. When the latter are full every other one is dropped and their spacing
doubles, so between 64 and 127 batches are there, however long the run. For `chatter.py` the wrong weights are
summed up to the ends of batches as well, and the flips of each weight are kept as they were at the last two
doublings.

This file names the cells of the array; `VisitCounts` has them as plain arrays. `dynamics/bookkeeping.py`
fills it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

EXACT = 64  # times below have a bin each
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
    WRONG,  # distances to the reference, summed over the steps before the anchor
    MOVED,  # step from which the reference is the present one
) = range(11)
RETURN_TIMES = 16
SOJOURN_TIMES = RETURN_TIMES + BINS
MARK_COUNTS = SOJOURN_TIMES + BINS  # (MARKS, 2): steps at the reference and visits before each mark
BATCH_COUNTS = MARK_COUNTS + 2 * MARKS  # (BATCHES, 2): the same before each end of a batch
WRONG_SUMS = BATCH_COUNTS + 2 * BATCHES  # (BATCHES,): Σ of distances before each end of a batch
# (n,), then FIRST (n,), REACHED (n + 1,), the flips at the last doubling (n,) and at the one before (n,).
FLIPPED = WRONG_SUMS + BATCHES

_KNOWN = 4  # spacing from which on the doubling before the last was one too


@dataclass(frozen=True)
class VisitCounts:
    """The counts of one run, as plain arrays."""

    steps: int  # iterates that were looked at
    visits: int  # arrivals at the reference
    occupied: int  # steps spent there
    away: int  # steps in completed absences
    stayed: int  # and in completed stays
    returns: np.ndarray  # int64 (BINS,), completed absences by their length; see `bin_starts`
    sojourns: np.ndarray  # the same of stays
    longest_return: int  # 0 without any
    longest_sojourn: int
    flips: np.ndarray  # int64 (n,), of each weight
    first: np.ndarray  # int64 (n,), departures from the reference in which the weight flipped
    reached: np.ndarray  # int64 (n + 1,), completed absences by their largest distance
    marks: np.ndarray  # int64 (marks, 2), steps at the reference and visits before each of `mark_steps`
    batches: np.ndarray  # int64 (batches, 2), the same before the end of each batch
    batch_steps: int  # steps of a batch
    wrong: np.ndarray  # int64 (batches,), Σ of distances to the reference before the end of each
    late_flips: np.ndarray  # int64 (n,), flips of each weight since `late`
    late: int  # where the last half to three quarters begin; −1: too short, or a new reference

    @classmethod
    def read(
        cls, cells: np.ndarray, *, steps: int, visits: int, occupied: int, away: int, stayed: int
    ) -> VisitCounts:
        """Return a copy of what the array holds, with the numbers that a run keeps elsewhere."""
        n = (cells.size - FLIPPED - 1) // 5
        cells = cells.copy()
        spacing = int(cells[SPACING])
        late = BATCHES // 4 * spacing  # the doubling before the last
        flips = cells[FLIPPED : FLIPPED + n]
        return cls(
            steps=steps,
            visits=visits,
            occupied=occupied,
            away=away,
            stayed=stayed,
            returns=cells[RETURN_TIMES:SOJOURN_TIMES],
            sojourns=cells[SOJOURN_TIMES:MARK_COUNTS],
            longest_return=int(cells[LONGEST_RETURN]),
            longest_sojourn=int(cells[LONGEST_SOJOURN]),
            flips=flips,
            first=cells[FLIPPED + n : FLIPPED + 2 * n],
            reached=cells[FLIPPED + 2 * n : FLIPPED + 3 * n + 1],
            marks=cells[MARK_COUNTS:BATCH_COUNTS].reshape(MARKS, 2)[: cells[MARKED]],
            batches=cells[BATCH_COUNTS:WRONG_SUMS].reshape(BATCHES, 2)[: cells[BATCHED]],
            batch_steps=spacing,
            wrong=cells[WRONG_SUMS : WRONG_SUMS + int(cells[BATCHED])],
            late_flips=flips - cells[FLIPPED + 4 * n + 1 :],
            late=late if spacing >= _KNOWN and cells[MOVED] <= late else -1,
        )

    @property
    def late_wrong(self) -> np.ndarray:
        """Mean number of wrong weights in each batch of the last part; empty without one."""
        if self.late < 0:
            return np.zeros(0)
        return np.diff(self.wrong[self.late // self.batch_steps - 1 :]) / self.batch_steps


def bin_starts() -> np.ndarray:
    """Return the smallest time of each bin and, last, the first time beyond all bins; int64 (BINS + 1,).

    >>> bin_starts()[[0, 63, 64, 65, 96]].tolist()
    [0, 63, 64, 66, 128]
    """
    index = np.arange(BINS + 1)
    shift = np.maximum(index // 32 - 1, 0)
    return (index - 32 * shift) << shift


def mark_steps() -> np.ndarray:
    """Return the steps of all marks, int64 (MARKS,): 1, 2, … 16, 18, … 32, 36, …"""
    index = np.arange(MARKS)
    eighth = np.maximum(index - 7, 0)
    return np.where(index < 8, index + 1, (8 + eighth % 8) << (eighth // 8))
