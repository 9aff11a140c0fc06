"""Checks of users' arrays: shapes, finite numbers, signs, labels that the network can output.

Each check raises an `InputError` that says what is wrong, where, and what to do.
"""

from __future__ import annotations

import numpy as np

from sterling.errors import InputError, InputTypeError


def check_signs(signs, n: int, what: str, levels: tuple[int, ...] = (-1, 1)) -> np.ndarray:
    """Return n signs, or n of other ``levels``, as int8 (n,); raise InputError for other values."""
    array = _array(signs, what)
    _check_shape(array, what, (n,), f"n={n}")
    wrong = ~np.isin(array, levels)
    if wrong.any():
        allowed = "-1 or +1" if len(levels) == 2 else f"one of {', '.join(map(str, levels))}"
        raise InputError(f"{what} must be {allowed}; entry {int(wrong.argmax())} is not", argument=what)
    return array.astype(np.int8)


def real_array(values, what: str, axes: tuple[str, ...] = (), shape=None, reason: str = "") -> np.ndarray:
    """Return values as float64, or raise InputError if they are not real numbers of the shape.

    Where axes are named, numbers must be finite too. The reason explains the shape.
    """
    array = _array(values, what)
    if array.dtype.kind not in "biuf":
        text = f"{what} must be an array of real numbers, not of the type {array.dtype}"
        raise InputTypeError(text, argument=what)
    if shape is not None:
        _check_shape(array, what, shape, reason)
    array = array.astype(np.float64)
    if axes:
        _check_finite(array, what, axes)
    return array


def real_inputs(inputs) -> np.ndarray:
    """Return inputs of shape (N, n) or (N, m, n) as float64 (N, m, n), all of them finite."""
    values = real_array(inputs, "inputs")
    if values.ndim not in (2, 3):
        text = f"inputs must have the axes (samples, n) or (samples, m, n), not {values.ndim} axes"
        raise InputError(text, argument="inputs")
    values = values[:, None, :] if values.ndim == 2 else values
    _check_finite(values, "inputs", ("sample", "unit", "feature"))
    return values


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def refuse_masked(values, what: str) -> None:
    """Refuse a masked array with gaps: NumPy would use the values behind the mask."""
    if np.ma.is_masked(values):
        mask = np.ma.getmaskarray(values)
        first = ", ".join(map(str, np.argwhere(mask)[0]))
        text = f"{what} must have no masked values ({mask.sum()}, the first at {first}): fill or drop them"
        raise InputError(text, argument=what)


def _array(values, what: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputTypeError(f"{what} must not have rows of different lengths", argument=what) from None
    refuse_masked(values, what)
    return array


def _check_shape(array: np.ndarray, what: str, shape: tuple[int, ...], reason: str) -> None:
    if array.shape != shape:
        text = f"{what} must have shape {shape} for {reason}, not {array.shape}"
        raise InputError(text, argument=what)


def _check_finite(values: np.ndarray, what: str, axes: tuple[str, ...]) -> None:
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    where = np.argwhere(bad)[0]
    position = ", ".join(f"{axis} {index}" for axis, index in zip(axes, where, strict=True))
    kind = "NaN" if np.isnan(values[tuple(where)]) else "infinity"
    about = int(where[-1]) if axes[-1] == "feature" else what
    text = f"{what} must be finite; {kind} is at {position} ({int(bad.sum())} bad in all): clean or drop them"
    raise InputError(text, about=(about,), argument=what)


def refuse_constant(flat: np.ndarray) -> None:
    """Refuse features with the same value in every sample."""
    same = np.flatnonzero(flat.min(axis=0) == flat.max(axis=0))
    if same.size:
        raise InputError(
            f"feature {same[0]} is {flat[0, same[0]]:g} in every sample: drop it, or keep it as a "
            "bias (constant: keep; in the shell --keep-constant)",
            about=(int(same[0]),),
        )


def check_labels(labels: np.ndarray, readout: np.ndarray) -> None:
    """Refuse class labels that the network cannot output, such as −1 with a readout of one.

    Only whole-number labels and readouts are checked: real-valued labels may carry noise.
    """
    if len(readout) > 20 or np.any(labels != np.rint(labels)) or np.any(readout != np.rint(readout)):
        return
    outputs = {0.0}
    for weight in readout.tolist():
        outputs |= {value + weight for value in outputs}
    classes = set(labels.tolist())
    foreign = sorted(classes - outputs)
    if foreign:
        can = ", ".join(f"{value:g}" for value in sorted(outputs)[:8])
        nearest = min(outputs, key=lambda value: abs(value - foreign[0]))
        advice = f"map labels to these, such as {foreign[0]:g} to {nearest:g}, or give another readout"
        if len(classes) > len(outputs):
            advice = f"choose {len(outputs)} of the {len(classes)} classes, or give another readout"
        raise InputError(
            f"the labels contain {foreign[0]:g}, but with this readout the network outputs {can}: {advice}"
        )
