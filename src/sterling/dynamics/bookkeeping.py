"""What both engines write down when weights flip: visits to the reference, averages, records.

`build` passes the functions through a compiler for the event engine, or leaves them as they are for the dense
one. A *stretch* is a span of steps in which no weight flips; it starts at the anchor.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

from sterling.dynamics import tally
from sterling.dynamics.walk import (
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
from sterling.returns.counts import NEXT, WRONG

#: Functions of a `Walk` and a `Log`, which they change.
Bookkeeping = namedtuple("Bookkeeping", "look close spend flip rest full")


def build(helper: Callable[[Callable], Any], embedded: Callable[[Callable], Any]) -> Bookkeeping:
    """Return the functions, passed through a compiler: ``embedded`` ones become part of their callers."""
    returned, stayed, away, flipped, note, restart = tally.build(helper)

    @embedded
    def look(walk, log, square):
        """Note the loss of the current state; while seeking, make it the reference if it is the best so far.

        Returns whether it is: then all counts about the reference start afresh. Nothing is lost by that: a
        state of strictly lower risk than all before has not been visited before.
        """
        clock = walk.clock
        clock[CURRENT] = square
        if clock[SEEKING] and square < clock[BEST]:
            clock[BEST] = square
            for k in range(walk.signs.size):
                walk.reference[k] = walk.signs[k]
            clock[DISTANCE] = 0
            clock[VISITS] = 0
            clock[FIRST_HIT] = -1
            clock[OCCUPIED] = 0
            clock[ARRIVED] = -1
            clock[LEFT] = -1
            clock[RETURNS] = 0
            clock[SOJOURNS] = 0
            if walk.tally.size:
                restart(walk.tally, walk.signs.size, clock[ANCHOR])
            log.counts[LOGGED_RETURNS] = 0  # what was recorded of the former reference is void
            log.counts[LOGGED_SOJOURNS] = 0
            return True
        return False

    @embedded
    def close(walk, log, step):
        """Account for the steps from the anchor to ``step`` (excluded), in which the weights rested."""
        clock = walk.clock
        anchor, occupied, counting = clock[ANCHOR], clock[OCCUPIED], walk.tally.size > 0
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
                        returned(walk.tally, walk.signs.size, anchor - clock[LEFT])
            clock[OCCUPIED] += step - anchor
        elif clock[ARRIVED] >= 0:
            clock[SOJOURNS] += 1
            if log.sojourns.size:
                log.sojourns[log.counts[LOGGED_SOJOURNS]] = anchor - clock[ARRIVED]
                log.counts[LOGGED_SOJOURNS] += 1
            if counting:
                stayed(walk.tally, anchor - clock[ARRIVED])
            clock[LEFT] = anchor
            clock[ARRIVED] = -1
        if counting:
            if not present:
                away(walk.tally, clock[DISTANCE])
            if walk.tally[NEXT] <= step:
                note(walk.tally, walk.signs.size, anchor, step, occupied, clock[VISITS], clock[DISTANCE])
            walk.tally[WRONG] += clock[DISTANCE] * (step - anchor)

    @embedded
    def spend(walk, mass):
        """Return the mass up to the end of a stretch that has so much; two floats keep the last digits."""
        total, carry = walk.mass[TOTAL], walk.mass[CARRY]
        part = mass + carry
        new = total + part
        walk.mass[TOTAL], walk.mass[CARRY] = new, part - (new - total)
        return new

    @embedded
    def flip(walk, log, step, total, k, leaving):
        """Flip a weight at a step; ``total`` is the mass up to it, ``leaving`` means off the reference."""
        clock, signs = walk.clock, walk.signs
        sign = signs[k]
        if sign > 0:
            walk.plus[k] += step - walk.since[k]
        walk.balance[k] += sign * (total - walk.since_mass[k])
        walk.since[k] = step
        walk.since_mass[k] = total
        clock[DISTANCE] += 1 if sign == walk.reference[k] else -1
        signs[k] = -sign
        clock[FLIPS] += 1
        if log.flips.size:
            record = log.flips[log.counts[LOGGED]]
            record["step"] = step
            record["coordinate"] = k
            record["sign"] = -sign
            log.counts[LOGGED] += 1
        if walk.tally.size:
            flipped(walk.tally, signs.size, k, leaving)

    @embedded
    def rest(walk, step):
        """Begin the next stretch."""
        walk.clock[ANCHOR] = step
        walk.clock[EVENTS] += 1

    @embedded
    def full(log, n):
        """Whether one more event might not fit into the log."""
        counts = log.counts
        return (
            (log.flips.size > 0 and counts[LOGGED] + n > log.flips.size)
            or (log.returns.size > 0 and counts[LOGGED_RETURNS] >= log.returns.size)
            or (log.sojourns.size > 0 and counts[LOGGED_SOJOURNS] >= log.sojourns.size)
        )

    return Bookkeeping(look, close, spend, flip, rest, full)


#: The functions as plain Python.
plain = build(lambda function: function, lambda function: function)
