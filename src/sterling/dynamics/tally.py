"""Filling the counts of the visits to the reference as a run goes; `returns/counts.py` says what they are.

All is counted exactly, so a run that is resumed counts as one that was not interrupted. `build` passes the
bookkeeping through a compiler for the event loop, or leaves it as it is for the dense one.
"""

from __future__ import annotations

from sterling.returns.counts import (
    BATCH_COUNTS,
    BATCHED,
    BATCHES,
    DEEPEST,
    EXACT,
    FLIPPED,
    LONGEST_RETURN,
    LONGEST_SOJOURN,
    MARK_COUNTS,
    MARKED,
    MOVED,
    NEXT,
    NEXT_BATCH,
    NEXT_MARK,
    RETURN_TIMES,
    SOJOURN_TIMES,
    SPACING,
    WRONG,
    WRONG_SUMS,
)


def build(compiler):
    """Return (returned, stayed, away, flipped, note, restart), passed through a compiler.

    The caller calls none of them with an array of size zero, which stands for "not recorded".
    """

    @compiler
    def bin_of(time):
        shift = 0
        while (time >> shift) >= EXACT:
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
    def note(cells, n, anchor, stop, occupied, visits, distance):
        """Note the counts at the marks and ends of batches within the stretch (anchor, stop].

        ``occupied`` counts the steps at the reference before the anchor, ``visits`` also the arrival at the
        beginning of the stretch, which is spent at a ``distance`` from the reference.
        """
        while cells[NEXT] <= stop:
            step = cells[NEXT]
            here = occupied + (step - anchor if distance == 0 else 0)
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
                cells[WRONG_SUMS + cells[BATCHED]] = cells[WRONG] + distance * (step - anchor)
                cells[BATCHED] += 1
                if cells[BATCHED] == BATCHES:
                    for i in range(BATCHES // 2):
                        cells[BATCH_COUNTS + 2 * i] = cells[BATCH_COUNTS + 4 * i + 2]
                        cells[BATCH_COUNTS + 2 * i + 1] = cells[BATCH_COUNTS + 4 * i + 3]
                        cells[WRONG_SUMS + i] = cells[WRONG_SUMS + 2 * i + 1]
                    for i in range(BATCHES):
                        cells[BATCH_COUNTS + BATCHES + i] = 0
                    for i in range(BATCHES // 2, BATCHES):
                        cells[WRONG_SUMS + i] = 0
                    last = FLIPPED + 3 * n + 1
                    for k in range(n):
                        cells[last + n + k] = cells[last + k]
                        cells[last + k] = cells[FLIPPED + k]
                    cells[BATCHED] = BATCHES // 2
                    cells[SPACING] *= 2
                cells[NEXT_BATCH] = (cells[BATCHED] + 1) * cells[SPACING]
            cells[NEXT] = min(cells[NEXT_MARK], cells[NEXT_BATCH])

    @compiler
    def restart(cells, n, step):
        """Forget what was counted about a former reference: the new one was never visited before the step."""
        cells[MOVED] = step
        cells[DEEPEST] = 0
        cells[LONGEST_RETURN] = 0
        cells[LONGEST_SOJOURN] = 0
        for cell in range(RETURN_TIMES, FLIPPED):
            cells[cell] = 0
        for cell in range(FLIPPED + n, FLIPPED + 3 * n + 1):
            cells[cell] = 0

    return returned, stayed, away, flipped, note, restart
