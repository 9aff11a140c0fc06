"""From a data set to integer weights: train, decode, polish. What both estimators share.

A weight of k levels is the sum of k − 1 bits. Its feature is repeated k − 1 times, and the copies start a
fixed distance apart; they see the same gradient, so they stay that far apart: k − 1 thresholds on one latent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from sterling.base.checks import choice, flag, integer, real
from sterling.dynamics.orbit import Orbit
from sterling.dynamics.train import train
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.normalise import NORMALIZERS, Normalizer, check_normalize

DECODINGS = ("ergodic", "last", "best")
MOST_LEVELS = 16
_GAIN = 1e-9  # smaller gains may be rounding


@dataclass(frozen=True)
class Fitted:
    """One weight vector: its codes, which of them are undecided, and the run that they come from."""

    codes: np.ndarray
    undecided: np.ndarray
    orbit: Orbit


class CodedEstimator(BaseEstimator):
    """The settings that both estimators share, and the way from data to codes."""

    def __init__(
        self,
        levels=2,
        decode="ergodic",
        undecided="sign",
        polish=True,
        normalize="standard",
        *,
        margin=0.5,
        surrogate="identity",
        steps=20_000,
        schedule=None,
        random_state=0,
    ):
        self.levels = levels
        self.decode = decode
        self.undecided = undecided
        self.polish = polish
        self.normalize = normalize
        self.margin = margin
        self.surrogate = surrogate
        self.steps = steps
        self.schedule = schedule
        self.random_state = random_state

    coef_: np.ndarray
    _varies: np.ndarray
    _normalizer: Normalizer | None
    _output: Any  # a function: outputs (N,) of pre-activations (N, m)

    def to_bits(self) -> np.ndarray:
        """Return the weights as bits.

        Returns
        -------
        uint8 array (rows, bytes)
            A row for each row of ``coef_``: one plane of bits for each level but the lowest, that says where
            the weight is at that level or above it. A plane has ⌈n/8⌉ bytes, the first weight in the highest
            bit of the first; two levels need n/8 bytes in all, three n/4.
        """
        check_is_fitted(self)
        rows = np.atleast_2d(self.coef_)
        planes = [np.packbits(rows >= value, axis=1) for value in self._values()[1:]]
        return np.concatenate(planes, axis=1)

    def _training(self, X, y, **how) -> tuple[np.ndarray, np.ndarray]:
        """Return checked samples and targets, and remember the features."""
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2, **how)
        return np.asarray(X), np.asarray(y)

    def _new(self, X) -> np.ndarray:
        """Return checked samples of the features that were seen in `fit`."""
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def _values(self) -> list[int]:
        """Return the values that a weight can have, in order: −1, 1; −1, 0, 1; −3, −1, 1, 3; …"""
        top = self.levels - 1
        values = set(range(-top, top + 1, 2)) if top % 2 else set(range(-top // 2, top // 2 + 1))
        return sorted(values | {0}) if self.undecided == "zero" or 0 in self.coef_ else sorted(values)

    def _prepare(self, inputs: np.ndarray) -> np.ndarray:
        """Check the settings, fit the normaliser; return the inputs of the features that vary, normalised.

        Inputs are float arrays (N, m, n). A feature of one value can tell nothing: its weight is zero.
        """
        integer(self.levels, "levels", 2, MOST_LEVELS)
        choice(self.decode, "decode", DECODINGS)
        choice(self.undecided, "undecided", ("sign", "zero"))
        flag(self.polish, "polish")
        real(self.margin, "margin", 0.0, 1.0)
        self._varies = np.ptp(inputs, axis=(0, 1)) > 0
        if not self._varies.any():
            raise InputError("every feature has one value in all samples, so there is nothing to learn from")
        given = check_normalize(self.normalize)
        normalizer = NORMALIZERS[given] if isinstance(given, str) else given
        if normalizer is not None and not normalizer.fitted:
            normalizer = normalizer.fit(inputs[..., self._varies])
        self._normalizer = normalizer
        return self._normalised(inputs)

    def _normalised(self, inputs: np.ndarray) -> np.ndarray:
        inputs = inputs[..., self._varies]
        return inputs if self._normalizer is None else self._normalizer.apply(inputs)

    def _preactivations(self, inputs: np.ndarray) -> np.ndarray:
        """Return z·w for inputs (N, m, n) as they come: (N, m, rows)."""
        return self._normalised(inputs) @ np.atleast_2d(self.coef_)[:, self._varies].T.astype(np.float64)

    def _fit_codes(self, inputs: np.ndarray, labels: np.ndarray, seed: int) -> Fitted:
        """Train on normalised inputs (N, m, n) and decode."""
        features = inputs.shape[-1]
        bits = self.levels - 1
        instance = Instance(np.tile(inputs, bits), labels)
        size = 1 / math.sqrt(features)
        drawn = np.random.default_rng(seed).normal(scale=size, size=features)
        apart = (np.arange(bits) - (bits - 1) / 2) * size
        orbit = train(
            instance,
            steps=self.steps,
            schedule=self.schedule,
            surrogate=self.surrogate,
            init=(drawn + apart[:, None]).ravel(),
            record=(),
        )
        found = {"ergodic": orbit.ergodic_signs, "last": orbit.signs, "best": orbit.reference}[self.decode]
        mean = orbit.ergodic_mean * math.sqrt(instance.n)
        unsure = np.any(np.abs(mean).reshape(bits, features) < self.margin, axis=0)
        signs = polished(instance.inputs, labels, found, self._output) if self.polish else found
        codes = signs.reshape(bits, features).sum(axis=0, dtype=np.int64)
        if bits % 2 == 0:
            codes //= 2
        if self.undecided == "zero":
            codes[unsure] = 0
        return Fitted(self._spread(codes.astype(np.int8)), self._spread(np.asarray(unsure)), orbit)

    def _spread(self, values: np.ndarray) -> np.ndarray:
        """Return values of the features that vary at their places among all."""
        spread = np.zeros(len(self._varies), values.dtype)
        spread[self._varies] = values
        return spread


def polished(inputs: np.ndarray, labels: np.ndarray, signs: np.ndarray, output) -> np.ndarray:
    """Flip the bit that makes the output follow the labels best, until no flip makes it better.

    Slope and intercept are fitted afterwards, so what counts is the squared correlation.

    Parameters
    ----------
    inputs : float array (N, m, n)
        Normalised.
    labels : float array (N,)
        What the output shall follow.
    signs : int8 array (n,)
        Where to begin.
    output : callable
        Makes outputs (N,) of pre-activations (N, m).

    Returns
    -------
    int8 array (n,)
        A state whose correlation no single flip raises; of equal flips the first is taken.
    """
    signs = signs.copy()
    moved = labels - labels.mean()
    scores = inputs @ signs.astype(np.float64)
    reached = _follows(output(scores), moved)
    while True:
        flips = (scores - 2.0 * signs[k] * inputs[:, :, k] for k in range(len(signs)))
        found = [_follows(output(flipped), moved) for flipped in flips]
        best = int(np.argmax(found))
        if found[best] <= reached * (1 + _GAIN):
            return signs
        reached = found[best]
        scores -= 2.0 * signs[best] * inputs[:, :, best]
        signs[best] = -signs[best]


def _follows(outputs: np.ndarray, labels: np.ndarray) -> float:
    """Return the squared correlation with centred labels, but for their variance; 0 against them."""
    centred = outputs - outputs.mean()
    square = centred @ centred
    return max(centred @ labels, 0.0) ** 2 / square if square > 0 else 0.0
