"""The state of a monitor as tensors, numbers and strings, to save it with a checkpoint."""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from sterling.base.checks import shown
from sterling.errors import InputError, SterlingError
from sterling.torch.taps import in_one_sentence

_FORMAT = 3
#: Options that a monitor must share with the one whose state it takes.
_OPTIONS = ("horizons", "within", "momentum", "every", "sample", "seed", "details")


def saved(monitor: Any) -> dict[str, Any]:
    """Return a copy of the state; before the first quantised weight was found it has no tensors."""
    options = {name: getattr(monitor, name) for name in _OPTIONS}
    state = {"format": _FORMAT, "tensors": _tensors(monitor), "options": options}
    if monitor._tracker is None:
        return state
    return {
        **state,
        "skipped": monitor.skipped,
        "history": [dict(row) for row in monitor.history],
        "flips_before": list(monitor._flips_before),
        "totals": monitor._totals.clone(),
        "tally": monitor._tracker.state(),
    }


def load(monitor: Any, state: Any) -> None:
    """Continue from a state, or leave the monitor as it is and raise."""
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise InputError(
            "this is not the state of an OrbitMonitor of this version: give the result of `state_dict`"
        )
    if monitor._tracker is None:  # continue once the quantised weights are found
        monitor._state = state if state.get("tensors") else None
        return
    before = saved(monitor)
    try:
        with in_one_sentence("this state of an OrbitMonitor is damaged", "save it again"):
            _load(monitor, state)
    except SterlingError:
        _load(monitor, before)
        raise


def _load(monitor: Any, state: dict[str, Any]) -> None:
    for ours, theirs in zip_longest(_tensors(monitor), map(list, state["tensors"])):
        if ours != theirs:
            raise InputError(
                f"the saved monitor watched {_described(theirs)}, this model has {_described(ours)}: "
                "resume with the same model"
            )
    for name in _OPTIONS:
        if state["options"][name] != getattr(monitor, name):
            raise InputError(
                f"the saved monitor had {name}={shown(state['options'][name])}: make this one with it"
            )
    monitor._tracker.restore(state["tally"])
    monitor.skipped = int(state["skipped"])
    monitor.history = [{key: row[key] for key in ("step", "flips", "churn")} for row in state["history"]]
    monitor._flips_before = [int(one) for one in state["flips_before"]]
    monitor._totals = state["totals"].to(monitor._totals)


def _tensors(monitor: Any) -> list[list[Any]]:
    return [[one.name, list(one.shape), one.levels] for one in monitor.weights]


def _described(tensor: list[Any] | None) -> str:
    if tensor is None:
        return "no further tensor"
    name, shape, levels = tensor
    return f"{name!r} of shape {tuple(shape)} on {levels} levels"
