"""Codes by the method of the paper: one network H(z·w) for each row, with the squared loss, run exactly.

A weight of k levels is the sum of k − 1 bits. Its feature is repeated k − 1 times, and the copies start a
fixed distance apart. They see the same gradient, so they stay that far apart: k − 1 thresholds on one latent.
"""

from __future__ import annotations

import math

import numpy as np

from sterling.dynamics.orbit import Orbit
from sterling.dynamics.train import train
from sterling.model.instance import Instance


def trained(inputs: np.ndarray, labels: np.ndarray, levels: int, steps: int, seed: int) -> Orbit:
    """Return the run on inputs (N, n) with labels 0 and 1; it has n·(k − 1) weights."""
    features, bits = inputs.shape[1], levels - 1
    size = 1 / math.sqrt(features)
    drawn = np.random.default_rng(seed).normal(scale=size, size=features)
    apart = (np.arange(bits) - (bits - 1) / 2) * size
    start = (drawn + apart[:, None]).ravel()
    instance = Instance(np.tile(inputs, bits), labels)
    return train(instance, steps=steps, surrogate="identity", init=start, record=())


def codes_of(signs: np.ndarray, levels: int) -> np.ndarray:
    """Return the codes int8 (n,) of the bits of a run."""
    codes = signs.reshape(levels - 1, -1).sum(axis=0, dtype=np.int64)
    return (codes if levels % 2 == 0 else codes // 2).astype(np.int8)
