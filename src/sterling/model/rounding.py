"""Rounding of data to their grids, and the size of the errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sterling.base.text import Described


@dataclass(frozen=True, eq=False)
class Rounding(Described):
    """Largest rounding errors of the data on their grids; zero for data that lie on them.

    Parameters
    ----------
    inputs : float64 array (n,)
        For each feature, in units of the normalised inputs.
    labels : float
        The largest error of a label.
    readout : float
        The largest error of a readout weight.

    Examples
    --------
    >>> import sterling as st
    >>> st.Instance([[0.1], [0.25]], [0, 1]).rounding
    <Rounding: inputs by at most 1.5e-06>
    """

    inputs: np.ndarray
    labels: float
    readout: float

    def any(self) -> bool:
        """Return whether anything was rounded.

        Returns
        -------
        bool
            False for drawn data, unless the readout was given in numbers.
        """
        return bool(self.inputs.any()) or self.labels > 0 or self.readout > 0

    def to_dict(self) -> dict[str, float]:
        return {"inputs": float(self.inputs.max()), "labels": self.labels, "readout": self.readout}

    def __repr__(self) -> str:
        return f"<Rounding: {self.words()}>"

    def words(self) -> str:
        """Return the errors in words.

        Returns
        -------
        str
            Such as "inputs by at most 1.5e-05", or "none".
        """
        parts = [f"{name} by at most {size:.2g}" for name, size in self.to_dict().items() if size]
        return ", ".join(parts) or "none"


def rounded(values: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """Return values (rows, n) rounded to multiples of 2^-bits, feature by feature."""
    return np.ldexp(np.rint(np.ldexp(values, bits)), -bits)


def largest_error(codes: np.ndarray, bits: int, values: ArrayLike) -> float:
    """Return the largest difference between values and their codes on the grid 2^-bits."""
    return float(np.abs(np.ldexp(codes.astype(np.float64), -bits) - values).max())
