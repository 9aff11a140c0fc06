"""Limits of exact sums, and limbs of wide factors.

If no grid fits, the error names the cause: features, labels relative to outputs, or too many samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from sterling.errors import RangeError
from sterling.exact.grid import FINENESS, InputGrid

EXACT = 1 << 53  # integers below are exact in float64
WHOLE = 1 << 62  # sums below this leave one spare bit in an int64

_USUAL_ROWS = 10  # bits of the number of samples that is never blamed for sums that do not fit


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


def too_large(
    grid: InputGrid, samples: int, units: int, bits: int, labels: float, outputs: float, helped: bool
) -> RangeError:
    """Return the error for exact sums that would not fit, with the likeliest cause.

    ``bits`` is the grid of the labels, ``labels`` the largest label and ``outputs`` the largest output, Σ|v|.
    ``helped`` says whether the sums would fit with fewer samples.
    """
    tiny = math.ldexp(1.0, -bits)
    apart = abs(math.log2(max(labels, tiny) / outputs))
    fine = math.log2(max(labels, outputs) / tiny) - apart - FINENESS[-1] - math.log2(units)
    scores = {
        "features": math.log2(max(grid.reach[0], 1)) + int(grid.shifts.max()) - 15,
        "apart": apart,
        "fine": fine,
        "samples": math.log2(samples) - _USUAL_ROWS if helped else -math.inf,
    }
    cause = max(scores, key=scores.__getitem__)
    if cause == "features":
        return too_wide(grid, samples)
    if cause == "samples":
        return RangeError(f"exact gradient sums over {samples} samples do not fit: take fewer samples")
    if cause == "apart":
        return RangeError(
            f"the labels reach {labels:.3g} and the outputs of this readout {outputs:.3g}, too far apart for "
            "exact sums: rescale the labels or the readout to similar size",
            about=("labels",),
        )
    return RangeError(
        f"the labels reach {labels:.3g} in steps of {tiny:.3g}, too fine for exact sums: "
        "take larger noise, or a smaller readout",
        about=("labels",),
    )
