"""What arrays of a user must be like: shapes, finite numbers, signs, labels that the network can output.

Each check raises an `InputError` that says what is wrong, where, and what to do.
"""

from __future__ import annotations

import numpy as np

from sterling.errors import InputError

#: Names of arrays that read as singular.
_SINGULAR = ("readout", "teacher", "init")


def check_signs(signs, n: int, what: str) -> np.ndarray:
    """Return signs as int8 (n,), or raise InputError if they are not n values −1 or +1."""
    try:
        array = np.asarray(signs)
    except ValueError:
        raise InputError(f"{what} {_have(what)} rows of different lengths; n={n} needs ({n},)") from None
    refuse_masked(signs, what)
    if array.shape != (n,):
        raise InputError(f"{what} {_have(what)} shape {array.shape}; n={n} needs ({n},)")
    if not np.isin(array, (-1, 1)).all():
        raise InputError(f"{what} must be -1 or +1; entry {int(np.argmin(np.isin(array, (-1, 1))))} is not")
    return array.astype(np.int8)


def real_array(values, what: str) -> np.ndarray:
    """Return values as float64, or raise InputError if they are no array of real numbers."""
    try:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"dtype {array.dtype}")
        refuse_masked(values, what)
        return array.astype(np.float64)
    except InputError:
        raise
    except (TypeError, ValueError) as problem:
        raise InputError(f"{what} {_be(what)} no array of real numbers ({problem})") from None


def read_only(array: np.ndarray) -> np.ndarray:
    """Return a view that cannot be written to."""
    view = array.view()
    view.flags.writeable = False
    return view


def refuse_masked(values, what: str) -> None:
    """Refuse a masked array with gaps: NumPy would hand on the values behind the mask as if they counted."""
    if np.ma.is_masked(values):
        mask = np.ma.getmaskarray(values)
        first = ", ".join(map(str, np.argwhere(mask)[0]))
        raise InputError(
            f"{what} {_have(what)} masked values ({int(mask.sum())}, the first at {first}): fill or drop them"
        )


def _have(what: str) -> str:
    return "has" if what in _SINGULAR else "have"


def _be(what: str) -> str:
    return "is" if what in _SINGULAR else "are"


def check_finite(values: np.ndarray, what: str, axes: tuple[str, ...]) -> None:
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    where = np.argwhere(bad)[0]
    place = ", ".join(f"{axis} {index}" for axis, index in zip(axes, where, strict=True))
    kind = "NaN" if np.isnan(values[tuple(where)]) else "infinity"
    hold = "holds" if what in _SINGULAR else "hold"
    count = int(bad.sum())
    about = int(where[-1]) if axes[-1] == "feature" else what
    text = f"{what} {hold} {kind} at {place} ({count} bad in all): clean or drop them first"
    raise InputError(text, about=(about,))


def refuse_constant(flat: np.ndarray) -> None:
    same = np.flatnonzero(flat.min(axis=0) == flat.max(axis=0))
    if same.size:
        raise InputError(
            f"feature {same[0]} is {flat[0, same[0]]:g} in every sample: drop it, or keep it on purpose as a "
            "bias (constant: keep; in the shell --keep-constant)",
            about=(int(same[0]),),
        )


def check_labels(labels: np.ndarray, readout: np.ndarray) -> None:
    """Refuse class labels that the network cannot output, such as −1 with a readout of one.

    Only whole-number labels and readouts are judged: real-valued labels may well carry noise.
    """
    if len(readout) > 20 or np.any(labels != np.rint(labels)) or np.any(readout != np.rint(readout)):
        return
    outputs = {0.0}
    for weight in readout.tolist():
        outputs |= {value + weight for value in outputs}
    foreign = sorted(set(labels.tolist()) - outputs)
    if foreign:
        nearest = min(outputs, key=lambda value: abs(value - foreign[0]))
        can = ", ".join(f"{value:g}" for value in sorted(outputs)[:8])
        raise InputError(
            f"the labels hold {foreign[0]:g}, and with this readout the network answers {can}: map them to "
            f"these, such as {foreign[0]:g} to {nearest:g}, or give another readout"
        )
