"""What both engines write down when weights flip: visits to the reference, averages, records.

`build` compiles the functions for the event engine, or leaves them as they are for the dense one. An
*interval* is a span of steps in which no weight flips; it starts at the anchor.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from functools import cache
from typing import Any

from sterling.dynamics.state import (
    ANCHOR,
    ARRIVED,
    BEST,
    CARRY,
    CURRENT,
    DISTANCE,
    EVENTS,
    FIRST_HIT,
    FLIPS,
    LEFT,
    LOGGED,
    LOGGED_RETURNS,
    LOGGED_SOJOURNS,
    OCCUPIED,
    RETURNS,
    SEEKING,
    SOJOURNS,
    TOTAL,
    VISITS,
)
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

#: Functions that change a `RunState` and a `Log`.
Bookkeeping = namedtuple("Bookkeeping", "look close spend flip turn rest full")


def _note(cells, n, anchor, stop, occupied, visits, distance):
    """Note the counts at the marks and ends of batches within the interval (anchor, stop].

    ``occupied`` counts the steps at the reference before the anchor; ``visits`` includes an arrival at
    the anchor. ``distance`` is the distance from the reference throughout the interval.
    """
    while cells[NEXT] <= stop:
        step = cells[NEXT]
        here = occupied + (step - anchor if distance == 0 else 0)
        if step == cells[NEXT_MARK]:
            index = MARK_COUNTS + 2 * cells[MARKED]
            cells[index] = here
            cells[index + 1] = visits
            cells[MARKED] += 1
            following = cells[MARKED]
            eighth = max(following - 7, 0)
            cells[NEXT_MARK] = following + 1 if following < 8 else (8 + eighth % 8) << (eighth // 8)
        if step == cells[NEXT_BATCH]:
            index = BATCH_COUNTS + 2 * cells[BATCHED]
            cells[index] = here
            cells[index + 1] = visits
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


def build(helper: Callable[[Callable], Any], embedded: Callable[[Callable], Any]) -> Bookkeeping:
    """Return the functions, each compiled by ``helper`` or by ``embedded``, which inlines it."""

    @helper
    def bin_of(time):
        shift = 0
        while (time >> shift) >= EXACT:
            shift += 1
        return 32 * shift + (time >> shift)

    @helper
    def returned(cells, n, time):
        """Count a completed absence of ``time`` steps."""
        cells[RETURN_TIMES + bin_of(time)] += 1
        cells[LONGEST_RETURN] = max(cells[LONGEST_RETURN], time)
        cells[FLIPPED + 2 * n + cells[DEEPEST]] += 1
        cells[DEEPEST] = 0

    @helper
    def stayed(cells, time):
        """Count a completed stay of ``time`` steps; an absence begins."""
        cells[SOJOURN_TIMES + bin_of(time)] += 1
        cells[LONGEST_SOJOURN] = max(cells[LONGEST_SOJOURN], time)
        cells[DEEPEST] = 0

    @helper
    def away(cells, distance):
        """Note the distance in an interval away from the reference."""
        cells[DEEPEST] = max(cells[DEEPEST], distance)

    @helper
    def flipped(cells, n, k, leaving):
        """Count the flip of weight k; ``leaving`` says whether this flip leaves the reference."""
        cells[FLIPPED + k] += 1
        if leaving:
            cells[FLIPPED + n + k] += 1

    note = helper(_note)

    @helper
    def restart(cells, n, step):
        """Discard the counts of a former reference: the new one was never visited before the step."""
        cells[MOVED] = step
        cells[DEEPEST] = 0
        cells[LONGEST_RETURN] = 0
        cells[LONGEST_SOJOURN] = 0
        for cell in range(RETURN_TIMES, FLIPPED):
            cells[cell] = 0
        for cell in range(FLIPPED + n, FLIPPED + 3 * n + 1):
            cells[cell] = 0

    @embedded
    def look(run, log, square):
        """Note the loss of the current state; while seeking, make it the reference if it is the best so far.

        Returns whether it became the reference; all counts of visits then start at zero. Nothing is lost: a
        state of strictly lower risk than all before has not been visited before.
        """
        clock = run.clock
        clock[CURRENT] = square
        if clock[SEEKING] and square < clock[BEST]:
            clock[BEST] = square
            for k in range(run.signs.size):
                run.reference[k] = run.signs[k]
            clock[DISTANCE] = 0
            clock[VISITS] = 0
            clock[FIRST_HIT] = -1
            clock[OCCUPIED] = 0
            clock[ARRIVED] = -1
            clock[LEFT] = -1
            clock[RETURNS] = 0
            clock[SOJOURNS] = 0
            if run.tally.size:
                restart(run.tally, run.signs.size, clock[ANCHOR])
            log.counts[LOGGED_RETURNS] = 0  # records of the former reference are void
            log.counts[LOGGED_SOJOURNS] = 0
            return True
        return False

    @embedded
    def close(run, log, step):
        """Count the steps from the anchor to ``step`` (excluded), in which no weight flipped."""
        clock = run.clock
        anchor, occupied, counting = clock[ANCHOR], clock[OCCUPIED], run.tally.size > 0
        present = clock[DISTANCE] == 0
        if present:
            if clock[ARRIVED] < 0:
                clock[ARRIVED] = anchor
                clock[VISITS] += 1
                if clock[FIRST_HIT] < 0:
                    clock[FIRST_HIT] = anchor
                if clock[LEFT] >= 0:
                    clock[RETURNS] += 1
                    if log.returns.size:
                        log.returns[log.counts[LOGGED_RETURNS]] = anchor - clock[LEFT]
                        log.counts[LOGGED_RETURNS] += 1
                    if counting:
                        returned(run.tally, run.signs.size, anchor - clock[LEFT])
            clock[OCCUPIED] += step - anchor
        elif clock[ARRIVED] >= 0:
            clock[SOJOURNS] += 1
            if log.sojourns.size:
                log.sojourns[log.counts[LOGGED_SOJOURNS]] = anchor - clock[ARRIVED]
                log.counts[LOGGED_SOJOURNS] += 1
            if counting:
                stayed(run.tally, anchor - clock[ARRIVED])
            clock[LEFT] = anchor
            clock[ARRIVED] = -1
        if counting:
            if not present:
                away(run.tally, clock[DISTANCE])
            if run.tally[NEXT] <= step:
                note(run.tally, run.signs.size, anchor, step, occupied, clock[VISITS], clock[DISTANCE])
            run.tally[WRONG] += clock[DISTANCE] * (step - anchor)

    @embedded
    def spend(run, mass):
        """Add the mass of an interval; return the sum so far, of which two floats keep the last digits."""
        total, carry = run.mass[TOTAL], run.mass[CARRY]
        part = mass + carry
        new = total + part
        run.mass[TOTAL], run.mass[CARRY] = new, part - (new - total)
        return new

    @embedded
    def change(run, log, step, total, k, level, leaving):
        """Give weight k another sign or level; ``total`` is the mass up to the step, ``leaving`` as above."""
        clock, old, home = run.clock, run.signs[k], run.reference[k]
        run.balance[k] += old * (total - run.since_mass[k])
        run.since[k] = step
        run.since_mass[k] = total
        clock[DISTANCE] += int(old == home) - int(level == home)
        run.signs[k] = level
        clock[FLIPS] += 1
        if log.flips.size:
            record = log.flips[log.counts[LOGGED]]
            record["step"] = step
            record["coordinate"] = k
            record["sign"] = level
            log.counts[LOGGED] += 1
        if run.tally.size:
            flipped(run.tally, run.signs.size, int(k), leaving)

    @embedded
    def flip(run, log, step, total, k, leaving):
        """Flip weight k of two levels at a step."""
        sign = run.signs[k]
        run.plus[k] += (step - run.since[k]) * (sign > 0)  # a branch would be predicted wrongly
        change(run, log, step, total, k, -sign, leaving)

    @embedded
    def turn(run, log, step, total, k, values, index, leaving):
        """Move weight k to the level ``values[index]`` at a step."""
        before = (run.signs[k] - values[0]) // (values[1] - values[0])
        run.plus[k * values.size + int(before)] += step - run.since[k]
        change(run, log, step, total, k, values[index], leaving)

    @embedded
    def rest(run, step):
        """Begin the next interval."""
        run.clock[ANCHOR] = step
        run.clock[EVENTS] += 1

    @embedded
    def full(log, n):
        """Return whether the log may be too full for one more event."""
        counts = log.counts
        return (
            (log.flips.size > 0 and counts[LOGGED] + n > log.flips.size)
            or (log.returns.size > 0 and counts[LOGGED_RETURNS] >= log.returns.size)
            or (log.sojourns.size > 0 and counts[LOGGED_SOJOURNS] >= log.sojourns.size)
        )

    return Bookkeeping(look, close, spend, flip, turn, rest, full)


#: The functions as plain Python.
plain = build(lambda function: function, lambda function: function)


@cache
def last_close() -> Callable:
    """Return `close` for the end of a run: plain Python, but for the marks of a long interval."""
    from sterling.exact.jit import njit

    def chosen(function: Callable) -> Any:
        return njit(function) if function is _note else function

    return build(chosen, lambda function: function).close
