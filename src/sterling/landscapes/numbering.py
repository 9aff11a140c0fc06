"""Numbers of states: bit k of the number is set where sign k is +1."""

from __future__ import annotations

import numpy as np


def signs_of(states: np.ndarray, n: int) -> np.ndarray:
    """Return the signs of states given by number, int8 (count, n)."""
    return np.where(members(np.asarray(states, np.int64), n), 1, -1).astype(np.int8)


def number_of(signs: np.ndarray) -> int:
    """Return the number of a state."""
    return int(sum(1 << k for k, sign in enumerate(signs) if sign > 0))


def distances(states: np.ndarray, reference: int) -> np.ndarray:
    """Return the Hamming distances of states to a reference, all given by number, uint8 (count,)."""
    return np.bitwise_count(np.asarray(states).astype(np.uint32) ^ np.uint32(reference))


def members(sets: np.ndarray, n: int) -> np.ndarray:
    """Return which weights are in each set, bool (sets, n); bit k of a set's number stands for weight k."""
    return (sets[:, None] >> np.arange(n)) & 1 == 1
