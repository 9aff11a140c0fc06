"""Limits of exact sums, and limbs of wide factors."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sterling.errors import RangeError
from sterling.exact.grid import InputGrid

EXACT = 1 << 53  # integers below are exact in float64
WHOLE = 1 << 62  # sums below this leave one spare bit in an int64

_WIDE = 1 << 23  # larger codes of inputs are the likeliest reason why sums do not fit


def limbs(values: np.ndarray, width: int) -> Iterator[tuple[int, np.ndarray]]:
    """Split integers into limbs of ``width`` bits with their sign: values = Σ limb·2^shift.

    Yields at least one (shift, limb).
    """
    sizes = np.abs(values)
    bits = int(sizes.max(initial=0)).bit_length()
    if bits <= width:
        yield 0, values
        return
    signs = np.sign(values)
    for shift in range(0, bits, width):
        yield shift, signs * ((sizes >> shift) & ((1 << width) - 1))


def too_large(grid: InputGrid) -> RangeError:
    """Return the error for data whose exact sums would not fit."""
    wide, fine = int(grid.shifts.argmax()), int(grid.shifts.argmin())
    cure = "standardise the inputs (normalize: standard)"
    if grid.reach[0] << int(grid.shifts[wide]) > _WIDE and grid.shifts[wide] - grid.shifts[fine] >= 8:
        text = f"features {wide} and {fine} differ too much in scale for exact sums: {cure}"
        return RangeError(text, about=(wide, fine))
    return RangeError(
        f"exact sums over these data would not fit: {cure}, rescale the labels and the readout to values "
        "near one, or take precision int16 or fewer samples",
        about=("labels",),
    )
