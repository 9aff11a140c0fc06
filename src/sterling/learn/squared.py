"""Codes by the method of the paper: one network H(z·w) for each row, with the squared loss, run exactly.

A weight of k levels is the sum of k − 1 bits. Its feature is repeated k − 1 times, and the copies start a
fixed distance apart. They see the same gradient, so they stay that far apart: k − 1 thresholds on one latent.
"""

from __future__ import annotations

import math

import numpy as np

from sterling.dynamics.orbit import Orbit
from sterling.dynamics.train import train
from sterling.learn.training import Labelled
from sterling.model.instance import Instance


def trained(data: Labelled, levels: int, steps: int, seed: int, last: bool) -> tuple[np.ndarray, list[Orbit]]:
    """Return the codes int8 (R, n), of the last state or of the time average, and the run of each row."""
    features, bits = data.inputs.shape[1], levels - 1
    size = 1 / math.sqrt(features)
    drawn = np.random.default_rng(seed).normal(scale=size, size=features)
    apart = (np.arange(bits) - (bits - 1) / 2) * size
    start = (drawn + apart[:, None]).ravel()
    instances = (Instance(np.tile(data.inputs, bits), labels) for labels in data.targets.T)
    runs = [train(one, steps=steps, surrogate="identity", init=start, record=()) for one in instances]
    signs = np.stack([one.signs if last else one.ergodic_signs for one in runs])
    codes = signs.reshape(len(runs), bits, features).sum(axis=1, dtype=np.int64)
    return (codes if levels % 2 == 0 else codes // 2).astype(np.int8), runs
