"""The recurrence statistics of a run in words, as rows of a table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sterling.base.text import counted
from sterling.visits.batch_means import BURN_IN, DRIFT_LEVEL, Estimate

if TYPE_CHECKING:
    from sterling.visits.recurrence import Recurrence, Times

_NAMED = 5  # weights that are named


def summary(found: Recurrence) -> list[tuple[str, str]]:
    """Return (name, text) pairs; only what the run can tell."""
    home = "teacher" if found.reference_kind == "teacher" else "best state seen"
    rows = [(f"visits to the {home}", visits(found))]
    if found.visits:
        rows.append((f"occupancy of the {home}", occupancy(found)))
    if found.sojourns.count:
        rows += [
            ("escapes", f"{found.escapes:.4g} per 1,000 steps, {found.sojourns.count:,} in all"),
            ("stays", times(found.sojourns)),
            ("weights that leave", leavers(found)),
        ]
    if found.returns.count:
        rows += [
            ("absences", times(found.returns)),
            ("long absences", f"{sentence(found.returns.tail.reason)}"),
            ("distance reached", distances(found)),
        ]
    if found.recurs:
        rows.append(("number of visits over time", growth(found)))
        if found.drift is not None:
            rows.append(("stationary", stationary(found)))
    if found.arrivals:
        rows.append(("still to come", arrivals(found)))
    return rows


def visits(found: Recurrence) -> str:
    if not found.visits:
        return f"none in {counted(found.steps, 'step')}"
    over = ", and the run is over" if found.certified else ""
    return f"{found.visits:,} in {counted(found.steps, 'step')}{over}"


def occupancy(found: Recurrence) -> str:
    measured = f"{found.occupancy:.4g} of the steps"
    if found.long_run is None:
        return f"{measured}; no interval: {found.long_run_note}"
    known = found.long_run
    coming = f", and {counted(len(found.arrivals), 'weight')} still to come" if found.arrivals else ""
    doubt = "; batches are still correlated, so it may be too narrow" if known.correlated else ""
    return (
        f"{measured}; in the long run {centre(known)} ({bounds(known)}, {known.level:.0%} by "
        f"{known.batches} batch means of {known.length:,} steps after {left_out(found)}{coming}{doubt})"
    )


def left_out(found: Recurrence) -> str:
    """Return the part of the run that the interval leaves out."""
    return "the first quarter" if found.burn_in == BURN_IN else "the first three quarters"


def bounds(estimate: Estimate) -> str:
    """Return the ends of an interval with as many digits as tell them apart."""
    digits = _digits(estimate)
    return f"{estimate.low:.{digits}f} to {estimate.high:.{digits}f}"


def centre(estimate: Estimate) -> str:
    """Return the value with as many digits as its interval."""
    return f"{estimate.value:.{_digits(estimate)}f}"


def _digits(estimate: Estimate) -> int:
    width = estimate.high - estimate.low
    return 2 if width <= 0 else max(0, 1 - math.floor(math.log10(width)))


def times(found: Times) -> str:
    parts = [f"in steps: mean {found.mean:.4g}"]
    for share, name in ((0.5, "median"), (0.99, "99 % quantile")):
        parts.append(f"{name} {found.quantile(share):.4g}")
    return f"{', '.join(parts)}, longest {found.longest:,}"


def leavers(found: Recurrence) -> str:
    ranked = found.leavers()
    named = ", ".join(f"{k} ({share:.0%})" for k, share in ranked[:_NAMED])
    more = f" and {len(ranked) - _NAMED} more" if len(ranked) > _NAMED else ""
    return f"{len(ranked)} of {len(found.first)} ever start an absence: {named}{more} (share of departures)"


def distances(found: Recurrence) -> str:
    common = int(found.reached.argmax())
    share = int(found.reached[common]) / found.returns.count
    farthest = int(found.reached.nonzero()[0][-1])
    return f"{counted(common, 'weight')} in {_percent(share)} of the absences, {farthest} at most"


def _percent(share: float) -> str:
    """Return a share of one or less that is not shown as all where it is not."""
    return "all" if share == 1 else f"{share:.0%}" if share < 0.995 else f"{share:.2%}"


def growth(found: Recurrence) -> str:
    parts = []
    if found.growth is not None:
        parts.append(f"grows like T^{found.growth:.3f} over the last two decades")
    if found.halves is not None:
        parts.append(
            f"after the first quarter of the run, later half over earlier half {centre(found.halves)} "
            f"({bounds(found.halves)}, {found.halves.level:.0%})"
        )
    if not parts:
        return "too few to say"
    return f"{'; '.join(parts)}. {thinning(found)}"


def thinning(found: Recurrence) -> str:
    """Return what the growth says of "infinitely often", and no more."""
    if found.halves is None:
        return "The run is too short to say whether they get rarer"
    if found.halves.high < 1:
        return f"They get rarer within the run, by {1 - found.halves.value:.2%} from one half to the next"
    return "No sign that they get rarer; a finite run cannot prove that they never do"


def stationary(found: Recurrence) -> str:
    assert found.drift is not None
    holds = found.drift >= DRIFT_LEVEL
    return (
        f"{'no drift is seen' if holds else 'drifts'} after {left_out(found)} of the run (Geweke's test over "
        f"batch means, p = {found.drift:.2g}, level {DRIFT_LEVEL:g})"
    )


def arrivals(found: Recurrence) -> str:
    k, step = found.arrivals[0]
    count = len(found.arrivals)
    when = "beyond all steps" if math.isinf(step) else f"near step {step:.2g}"
    return (
        f"{counted(count, 'weight')} {'has' if count == 1 else 'have'} never flipped but "
        f"{'comes' if count == 1 else 'come'} closer to it; at the mean speed of this run weight {k} is the "
        f"first, {when}. Each will lower the occupancy; only the lower end of its interval allows for that"
    )


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"
