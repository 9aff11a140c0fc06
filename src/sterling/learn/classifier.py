"""A classifier with 1-bit or low-bit weights; several classes are separated one against the rest.

A weight of k levels is the sum of k − 1 bits. Its feature is repeated k − 1 times, and the copies start a
fixed distance apart. They see the same gradient, so they stay that far apart: k − 1 thresholds on one latent.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from sterling.base.checks import choice, flag, integer, real
from sterling.dynamics.orbit import Orbit
from sterling.dynamics.train import train
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.normalise import NORMALIZERS, check_normalize

_MOST_LEVELS = 16
_GAIN = 1e-9  # smaller gains may be rounding


class _Fitted(NamedTuple):
    """One weight vector: its codes, which of them are undecided, and the run that they come from."""

    codes: np.ndarray
    undecided: np.ndarray
    orbit: Orbit


class StraightThroughClassifier(ClassifierMixin, BaseEstimator):
    """Linear classifier whose weights are 1-bit (or k levels), trained by the straight-through estimator.

    For each class it trains one network H(z·w), which predicts whether a sample belongs to the class. The
    weights come from the time average of the run. Logistic regression then fits a slope and an intercept to
    the scores z·w, so that classes have comparable probabilities.

    Parameters
    ----------
    levels : int
        Values that a weight can have, 2 to 16: 2 gives −1 and +1, 3 gives −1, 0 and +1.
    decode : "ergodic", "last" or "best"
        Source of the weights: the time average of the run, its last state, or the state of lowest empirical
        risk that it saw.
    undecided : "sign" or "zero"
        Value of weights that the run has not decided: the nearer level, or zero.
    polish : bool
        Whether to flip single bits after training until no flip lowers the empirical risk.
    normalize : "standard", "whiten", None or Normalizer
        Normalisation of the inputs.
    margin : float
        A weight is undecided if the time average of one of its bits lies in (−margin, margin).
    surrogate : str or Surrogate
        Surrogate gradient: a name or a `Surrogate`.
    steps : int
        Steps of each run.
    schedule : Schedule, optional
        Step sizes; ``Power(0.5, 0.5)`` by default.
    random_state : int, RandomState or None
        Random seed of the starts.

    Attributes
    ----------
    classes_ : array (classes,)
        The labels.
    coef_ : int8 array (1, n) or (classes, n)
        The weights; one row if there are two classes. A constant feature has the weight zero.
    slope_, intercept_ : float64 array (rows,)
        Terms of the decision function slope·(z·w) + intercept.
    undecided_ : bool array (rows, n)
        Which weights the run has not decided.
    orbit_ : Orbit, or list of Orbit
        The runs; a list if there are more than two classes.
    verdict_ : Verdict, or list of Verdict
        How the runs ended.
    n_features_in_ : int
        Features seen in `fit`.

    Raises
    ------
    InputError
        From `fit`, if settings or data cannot be used.

    References
    ----------
    Time averages as weights: Jeong, Xin & Yin, arXiv 2505.18113. Thresholds of several levels and the
    polishing are sterling's own.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sterling.learn import StraightThroughClassifier
    >>> inputs, labels = load_breast_cancer(return_X_y=True)
    >>> classifier = StraightThroughClassifier(steps=5_000).fit(inputs[::2], labels[::2])
    >>> bool(classifier.score(inputs[1::2], labels[1::2]) > 0.93)
    True
    >>> classifier.to_bits().nbytes  # thirty weights
    4
    """

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

    def fit(self, X, y):
        """Train on samples.

        Parameters
        ----------
        X : array or frame (N, n)
            The inputs.
        y : array (N,)
            Their classes, two or more.

        Returns
        -------
        StraightThroughClassifier
            Itself.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        X = np.asarray(X)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError("the labels have only one class; a classifier needs two or more")
        inputs = self._prepare(X)
        targets = [1] if len(self.classes_) == 2 else list(range(len(self.classes_)))
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=len(targets))
        runs = [
            self._fit_codes(inputs, (codes == one).astype(np.float64), int(seed))
            for one, seed in zip(targets, seeds, strict=True)
        ]
        self.coef_ = np.stack([run.codes for run in runs])
        self.undecided_ = np.stack([run.undecided for run in runs])
        scores = self._scores(X)
        fits = [LogisticRegression().fit(scores[:, [k]], codes == one) for k, one in enumerate(targets)]
        self.slope_ = np.array([fit.coef_[0, 0] for fit in fits])
        self.intercept_ = np.array([fit.intercept_[0] for fit in fits])
        orbits = [run.orbit for run in runs]
        self.orbit_ = orbits if len(targets) > 1 else orbits[0]
        self.verdict_ = [o.verdict for o in orbits] if len(targets) > 1 else orbits[0].verdict
        return self

    def decision_function(self, X) -> np.ndarray:
        """Return the log-odds of each class.

        Parameters
        ----------
        X : array or frame (N, n)
            The inputs.

        Returns
        -------
        float64 array (N,) or (N, classes)
            Log-odds; those of the second class if there are two.
        """
        odds = self._scores(self._new(X)) * self.slope_ + self.intercept_
        return odds[:, 0] if len(self.classes_) == 2 else odds

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array or frame (N, n)
            The inputs.

        Returns
        -------
        float64 array (N, classes)
            Each row sums to one. With more than two classes, these are the probabilities of each class
            against the rest, divided by their sum.
        """
        odds = self.decision_function(X)
        own = 0.5 * (1.0 + np.tanh(0.5 * odds))  # the logistic function, without overflow
        if own.ndim == 1:
            return np.stack([1.0 - own, own], axis=1)
        return own / own.sum(axis=1, keepdims=True)

    def predict(self, X) -> np.ndarray:
        """Return the most probable class of each sample.

        Parameters
        ----------
        X : array or frame (N, n)
            The inputs.

        Returns
        -------
        array (N,)
            Labels from ``classes_``.
        """
        odds = self.decision_function(X)
        best = (odds > 0).astype(int) if odds.ndim == 1 else odds.argmax(axis=1)
        return self.classes_[best]

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

    def _new(self, X) -> np.ndarray:
        """Return checked samples with the features that `fit` saw."""
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def _values(self) -> list[int]:
        """Return the values that a weight can have, in order: −1, 1; −1, 0, 1; −3, −1, 1, 3; …"""
        top = self.levels - 1
        values = set(range(-top, top + 1, 2)) if top % 2 else set(range(-top // 2, top // 2 + 1))
        return sorted(values | {0}) if self.undecided == "zero" or 0 in self.coef_ else sorted(values)

    def _prepare(self, inputs: np.ndarray) -> np.ndarray:
        """Check the settings and fit the normaliser; return the features that vary, normalised.

        A feature with one value carries no information: its weight is zero.
        """
        integer(self.levels, "levels", 2, _MOST_LEVELS)
        choice(self.decode, "decode", ("ergodic", "last", "best"))
        choice(self.undecided, "undecided", ("sign", "zero"))
        flag(self.polish, "polish")
        real(self.margin, "margin", 0.0, 1.0)
        self._varies = np.ptp(inputs, axis=0) > 0
        if not self._varies.any():
            raise InputError("every feature has one value in all samples, so there is nothing to learn from")
        given = check_normalize(self.normalize)
        normalizer = NORMALIZERS[given] if isinstance(given, str) else given
        if normalizer is not None and not normalizer.fitted:
            normalizer = normalizer.fit(inputs[:, self._varies])
        self._normalizer = normalizer
        return self._normalised(inputs)

    def _normalised(self, inputs: np.ndarray) -> np.ndarray:
        inputs = inputs[:, self._varies]
        return inputs if self._normalizer is None else self._normalizer.apply(inputs)

    def _scores(self, inputs: np.ndarray) -> np.ndarray:
        """Return z·w for raw inputs (N, n): (N, rows)."""
        return self._normalised(inputs) @ self.coef_[:, self._varies].T.astype(np.float64)

    def _fit_codes(self, inputs: np.ndarray, labels: np.ndarray, seed: int) -> _Fitted:
        """Train on normalised inputs (N, n) and decode."""
        features = inputs.shape[1]
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
        signs = polished(instance.inputs[:, 0], labels, found) if self.polish else found
        codes = signs.reshape(bits, features).sum(axis=0, dtype=np.int64)
        if bits % 2 == 0:
            codes //= 2
        if self.undecided == "zero":
            codes[unsure] = 0
        return _Fitted(self._spread(codes.astype(np.int8)), self._spread(np.asarray(unsure)), orbit)

    def _spread(self, values: np.ndarray) -> np.ndarray:
        """Return values of the features that vary at their places among all."""
        spread = np.zeros(len(self._varies), values.dtype)
        spread[self._varies] = values
        return spread


def polished(inputs: np.ndarray, labels: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """Flip the bit that raises the squared correlation of score and label most, until no flip raises it.

    Slope and intercept are fitted afterwards, so the correlation is what counts. Inputs are (N, n), labels
    (N,), signs (n,); of equal flips the first is taken.
    """
    signs = signs.copy()
    moved = labels - labels.mean()
    scores = inputs @ signs.astype(np.float64)
    reached = _follows(scores, moved)
    while True:
        found = [_follows(scores - 2.0 * signs[k] * inputs[:, k], moved) for k in range(len(signs))]
        best = int(np.argmax(found))
        if found[best] <= reached * (1 + _GAIN):
            return signs
        reached = found[best]
        scores -= 2.0 * signs[best] * inputs[:, best]
        signs[best] = -signs[best]


def _follows(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the squared correlation with centred labels, up to their variance; 0 if it is negative."""
    centred = scores - scores.mean()
    square = centred @ centred
    return max(centred @ labels, 0.0) ** 2 / square if square > 0 else 0.0
