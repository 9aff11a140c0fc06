"""A landscape in words: the rows of its table, and one sentence that says whether runs can be caught."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sterling.base.text import counted

if TYPE_CHECKING:
    from sterling.landscapes.landscape import Landscape

_LISTED = 8  # distances told apart


def sentence(landscape: Landscape) -> str:
    """Return what absorption means for runs on these data, in one sentence."""
    traps, home = landscape.trap_states, "the teacher"
    if landscape.instance.teacher is None:
        home = "a minimiser"
    elif landscape.reference_state not in landscape.minimiser_states:
        home += f" ({_nearest(landscape.minimiser_states, landscape)} from the lowest loss)"
    near = _nearest(traps, landscape) if traps.size else ""
    if traps.size == 1:
        return f"One state other than {home} absorbs, {near} off: no run that comes there leaves it."
    if traps.size:
        many = f"{traps.size:,} states other than {home} absorb, the nearest {near} off"
        return f"{many}: no run that comes to one leaves it."
    if landscape.absorbing_states.size:
        return f"No state other than {home} absorbs, so no run is caught elsewhere."
    return f"No state absorbs: no run is caught, and those that come to {home} leave it again."


def summary(landscape: Landscape) -> list[tuple[str, str]]:
    """Return names and values of the results, for a table; the first row is the verdict."""
    known = landscape.instance.teacher is not None
    reference = "the teacher" if known else "the lowest minimiser"
    loss = landscape.loss
    rows = [
        ("verdict", "trap free" if landscape.trap_free else "has traps"),
        ("states", f"{len(loss):,} (2^{landscape.n}), losses from {loss.min():.4g} to {loss.max():.4g}"),
        ("lowest loss", _minimisers(landscape, reference)),
        (f"loss of {reference}", f"{loss[landscape.reference_state]:.4g}"),
        (reference.removeprefix("the "), "absorbs" if landscape.reference_absorbs else "is left again"),
        ("absorbing states", _absorbing(landscape, reference)),
    ]
    return [*rows, ("deviation", _deviation(landscape))]


def _minimisers(landscape: Landscape, reference: str) -> str:
    states = landscape.minimiser_states
    if states.size == 1 and landscape.instance.teacher is None:
        return "1 state, to which distances refer"
    at = _where(states, landscape, reference)
    return f"{counted(states.size, 'state')}: {at}"


def _absorbing(landscape: Landscape, reference: str) -> str:
    states = landscape.absorbing_states
    if not states.size:
        return "none: every state is left again"
    return f"{states.size:,}: {_where(states, landscape, reference)}{_solved(landscape)}"


def _solved(landscape: Landscape) -> str:
    """Return how many traps fit all labels, which `train` does not count as traps."""
    count = int((landscape.loss[landscape.trap_states] == 0).sum())
    if not count:
        return ""
    return f"; {counted(count, 'trap')} with zero loss: a run that ends there is called OPTIMAL"


def _where(states: np.ndarray, landscape: Landscape, reference: str) -> str:
    """Return how many of the states lie at which distance."""
    distances, counts = np.unique(landscape._distance_of(states), return_counts=True)
    parts = [
        f"{count:,} at {counted(distance, 'flip')}" if distance else reference
        for distance, count in zip(distances[:_LISTED].tolist(), counts[:_LISTED], strict=True)
    ]
    if len(distances) > _LISTED:
        parts.append(f"{counts[_LISTED:].sum():,} at {counted(int(distances[_LISTED]), 'flip')} or more")
    return ", ".join(parts) + ("" if parts == [reference] else f" from {reference}")


def _deviation(landscape: Landscape) -> str:
    """Return the deviation beside what it must stay below, and beside its estimate."""
    if landscape.deviation is None or landscape.pull is None:
        return f"unknown: {landscape.deviation_reason}"
    if landscape.pull <= 0:
        pull = "some wrong weights have no mean pull home"
    else:
        pull = f"the smallest mean pull on a wrong weight is {landscape.pull:.3g} (exact), so "
        if landscape.deviation < landscape.pull:
            pull += "no trap can exist"
        else:
            pull += "this alone leaves traps possible"
            pull += "; the look at every state finds none" if landscape.trap_free else ""
    estimate = landscape.estimated_deviation
    beside = "" if estimate is None else f"; estimated {estimate:.3g} (mean-field)"
    return f"{landscape.deviation:.3g} = sup ‖G − E G‖_∞{beside}; {pull}"


def _nearest(states: np.ndarray, landscape: Landscape) -> str:
    return counted(int(landscape._distance_of(states).min()), "flip")
