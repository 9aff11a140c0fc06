"""Limits of exact sums, and limbs of wide factors.

If no grid fits, the error names the cause: features, labels relative to outputs, or too many samples.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sterling.errors import RangeError
from sterling.exact.grid import InputGrid

EXACT = 1 << 53  # integers below are exact in float64
WHOLE = 1 << 62  # sums below this leave one spare bit in an int64

_WIDE = 1 << 23  # larger codes of inputs are the likeliest reason why sums do not fit
_MANY = 1 << 12  # fewer samples are never the reason


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


def too_wide(grid: InputGrid, samples: int) -> RangeError:
    """Return the error for features whose codes are too wide for exact sums."""
    wide, fine = int(grid.shifts.argmax()), int(grid.shifts.argmin())
    far = int(np.abs(grid.offsets).argmax())
    sums, cure = f"exact sums over {samples} samples", "standardise the inputs (normalize: standard)"
    if grid.shifts[wide] - grid.shifts[fine] >= 8:
        text = f"features {wide} and {fine} differ too much in scale for {sums}: {cure}"
        return RangeError(text, about=(wide, fine))
    if abs(int(grid.offsets[far])) >= 1 << 16:
        text = f"feature {far} lies too far from zero, compared with its spread, for {sums}: {cure}"
        return RangeError(text, about=(far,))
    return RangeError(f"precision int32 leaves too little room for {sums}: take precision int16")


def too_large(grid: InputGrid, samples: int, labels: float, outputs: float, helped: bool) -> RangeError:
    """Return the error for exact sums that would not fit, with the likeliest cause.

    ``labels`` is the largest label and ``outputs`` the largest output, Σ|v|. ``helped`` says whether the sums
    would fit with fewer samples.
    """
    if grid.reach[0] << int(grid.shifts.max()) > _WIDE:
        return too_wide(grid, samples)
    if helped and samples > _MANY:
        return RangeError(f"exact gradient sums over {samples} samples do not fit: take fewer samples")
    return RangeError(
        f"the labels reach {labels:.3g} and the outputs of this readout {outputs:.3g}, too far apart or in "
        "too fine steps for exact sums: rescale the labels or the readout to similar size near one",
        about=("labels",),
    )
