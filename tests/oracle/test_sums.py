"""Sums of codes: the vector instructions against NumPy, with and without them, and the spilling."""

import os
import subprocess
import sys

import numpy as np
import pytest

import sterling as st
from tests.support import assert_same_orbit

# Compares what the compiled instructions make of extreme and ordinary codes and weights.
SCRIPT = """
import numba, numpy as np
from sterling.exact.machine import ADDED, add_eight, add_two, mark_signs

@numba.njit
def run(rows, listed, weights, sums):
    for column in range(0, sums.size, ADDED):
        add_eight(rows, listed, weights, 8, column, sums)

@numba.njit
def run_two(rows, listed, weights, sums):
    for column in range(0, sums.size, ADDED):
        add_two(rows, listed, weights, 8, column, sums)

@numba.njit
def mark(rows, listed, weights, lead, stop, source, target, one, both):
    return mark_signs(rows, listed, weights, lead, stop, 32, source, target, one, both)

rng = np.random.default_rng(5)
rows = rng.integers(-2**15, 2**15, (40, 3 * ADDED)).astype(np.int16)
rows[0], rows[1] = -2**15, 2**15 - 1
listed = rng.integers(0, 40, 24)
listed[8:12] = 0, 1, 0, 1
weights = rng.integers(-300, 300, 24).astype(np.int16)
weights[8] = 300
sums = rng.integers(-9, 9, 3 * ADDED).astype(np.int32)
want = sums + weights[8:16].astype(np.int64) @ rows[listed[8:16]].astype(np.int64)
run(rows, listed, weights, sums)
assert np.array_equal(sums, want), (sums, want)
want = sums + weights[8:10].astype(np.int64) @ rows[listed[8:10]].astype(np.int64)
run_two(rows, listed, weights, sums)
assert np.array_equal(sums, want), (sums, want)

weights = rng.choice([-8, -2, 0, 2, 8], 24).astype(np.int16)
source = rng.integers(-300_000, 300_000, 3 * ADDED).astype(np.int32)
for lead, stop in (0, 0), (0, 2), (2, 2), (2, 4), (4, 14), (12, 24):
    target = np.zeros_like(source)
    word = mark(rows, listed, weights, lead, stop, source, target, -37, 5001)
    steps = weights[:, None].astype(np.int64) * rows[listed]
    old, new = source + steps[:lead].sum(0) - 37, source + steps[:stop].sum(0) + 5001
    assert np.array_equal(target[32:], new[32:])
    assert not target[:32].any()
    sign = (old > 0) != (new > 0)
    assert [int(word) >> i & 1 for i in range(64)] == sign[32:].tolist()
print("equal")
"""


@pytest.mark.parametrize("features", [None, ""], ids=["this processor", "no vector instructions assumed"])
def test_codes_are_added_alike(features, tmp_path):
    """The processor's multiply-and-add and the portable code give the sums that NumPy gives."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    if features is not None:
        environment |= {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.stdout == "equal\n", done.stderr


@pytest.mark.parametrize("bits", [6, 9, 20], ids=["carried", "group by group", "64 bits"])
def test_sums_are_spilled_in_time(bits):
    """Labels of few, more and many bits: carried over chunks, spilled within a list, and 64-bit sums."""
    rng = np.random.default_rng(bits)
    inputs = rng.standard_normal((3000, 20))
    labels = np.round(rng.standard_normal(3000) * 2**bits) / 2**bits
    instance = st.Instance(inputs, labels)
    dense = st.train(instance, 400, engine="dense")
    event = st.train(instance, 400, engine="event")
    assert_same_orbit(dense, event)
