"""Laws that say how N₅₀ grows with n, as designs for the likelihood (`likelihood.py`)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sterling.study.likelihood import Model

#: How the slope β may depend on n: not at all, as a power of n, or freely.
SLOPES = ("common", "power", "free")


@dataclass(frozen=True)
class Law:
    """log N₅₀ = log C + α·log n + κ·log log n, with α free or held; ``kind`` says what speaks for it.

    A curved law lets N₅₀ of each dimension be what it is; C·n^α is then the line nearest to them.
    """

    name: str
    exponent: float | None = None
    loglog: float = 0.0
    kind: str = ""
    curved: bool = False

    def model(
        self, n: np.ndarray, slopes: str, centre: float = 0.0, dimensions: np.ndarray | None = None
    ) -> Model:
        """Return the designs for cells of dimension n; the first location parameter is log N₅₀ at e^centre.

        With a held exponent, or a log log n, the first parameter is log C whatever the centre. ``dimensions``
        are those that a curved law bends over, by default those of the cells.
        """
        log_n = np.log(n)
        location = [np.ones_like(log_n)]
        offset = np.zeros_like(log_n)
        if self.exponent is None:
            location.append(log_n - centre)
        else:
            offset = offset + self.exponent * log_n
        if self.loglog:
            offset = offset + self.loglog * np.log(log_n)
        if self.curved:
            known = np.unique(n if dimensions is None else dimensions)
            location += list(bends(known)[:, np.searchsorted(known, n)])
        return Model(np.column_stack(location), slope_design(n, slopes), offset)


POWER = Law("C n^α")
CURVED = Law("mean exponent", curved=True)
#: What the power law is compared with: laws of mean-field theory and proved bounds (docs/science, 3, 7, 8).
RIVALS = (
    Law("C n log n", 1.0, 1.0, "mean-field without noise, and for the time average"),
    Law("C n²", 2.0, 0.0, "theorem: suffices for the time average"),
    Law("C n³", 3.0, 0.0, "mean-field for the last iterate under noise"),
    Law("C n⁴", 4.0, 0.0, "theorem: suffices for visits"),
)


def bends(dimensions: np.ndarray) -> np.ndarray:
    """Return directions in which log N₅₀ may leave a line over dimensions, (k − 2, k), orthonormal.

    They are orthogonal to constants and to log n, so that the line is that of least squares.
    """
    line = np.column_stack([np.ones(len(dimensions)), np.log(dimensions)])
    return np.linalg.qr(line, mode="complete")[0][:, 2:].T


def slope_design(n: np.ndarray, slopes: str, centre: float | None = None) -> np.ndarray:
    """Return the design of log β for cells of dimension n, "power" centred at e^centre, or at their mean."""
    if slopes == "common":
        return np.ones((len(n), 1))
    if slopes == "power":
        middle = np.log(n).mean() if centre is None else centre
        return np.column_stack([np.ones(len(n)), np.log(n) - middle])
    return (n[:, None] == np.unique(n)[None, :]).astype(np.float64)
