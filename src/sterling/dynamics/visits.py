"""The visits of a run to its reference: their counts, and what these say about the long run."""

from __future__ import annotations

from typing import Any

from sterling.dynamics import arrivals
from sterling.dynamics import state as cell
from sterling.errors import InputError
from sterling.returns.counts import VisitCounts
from sterling.returns.recurrence import Recurrence, recurrence

#: An `Orbit`, which itself calls the functions here.
Orbit = Any


def counts_of(orbit: Orbit) -> VisitCounts:
    """Return the counts of visits at the end of a run that counted them."""
    end = orbit._end
    away, stayed = cell.completed(end.clock, orbit.steps)
    return VisitCounts.read(
        end.tally,
        steps=orbit.steps,
        visits=orbit.visits,
        occupied=int(end.clock[cell.OCCUPIED]),
        away=away,
        stayed=stayed,
    )


def recurrence_of(orbit: Orbit) -> Recurrence:
    """Return the statistics that `Orbit.recurrence` describes."""
    if not orbit.counted:
        raise InputError('the visits to the reference were not counted: run with record=("recurrence",)')
    resting = orbit._end.since == 0
    before, now = orbit.start_latent, orbit.latent
    # After a restart no weight is on its way; other optimisers do not move in proportion to the mass.
    over = orbit.certified or orbit.restart is not None or not orbit._plain
    found = () if over else arrivals.arrivals(orbit.schedule, orbit.steps, before, now, resting)
    coming, mass = [k for k, _ in found], orbit.schedule.mass(orbit.steps)
    return recurrence(
        counts_of(orbit),
        reference_kind=orbit.reference_kind,
        certified=orbit.certified,
        burn_in=arrivals.burn_in(orbit.schedule, orbit.steps),
        since=(orbit.first_hit or 0) if orbit.reference_kind != "teacher" else 0,
        names=orbit.weight_names,
        arrivals=found,
        allowance=arrivals.allowance(orbit._course.surrogate, mass, before[coming], now[coming], orbit.n),
    )
