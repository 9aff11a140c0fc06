"""A linear classifier whose weights are codes of one bit or a few levels, with a scale for each row."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from sterling.base.checks import choice, flag, integer
from sterling.errors import InputError
from sterling.learn import files, squared
from sterling.learn.training import (
    Labelled,
    descended,
    heads,
    loss_of,
    nearest,
    probabilities,
    straight_through,
)
from sterling.model.levels import MAX_LEVELS, level_values
from sterling.model.normalise import NORMALIZERS, Normalizer, Standardize, check_normalize

_BATCH, _RATE = 64, 0.01
_SEEDS = 2**31 - 1
#: A bit is decided if it has at least this probability.
DECIDED = 0.975


class StraightThroughClassifier(ClassifierMixin, BaseEstimator):
    """Linear classifier with 1-bit or low-bit weights, trained by the straight-through estimator.

    The logit of a class is scale·(x·w) + intercept, where x is a normalised sample and w has integer codes.
    Adam moves latent weights with the straight-through gradient of the joint logistic (softmax) loss. Each
    weight takes the level nearest to the time average of its codes. Then single codes change as long as that
    lowers the loss.

    Parameters
    ----------
    levels : int
        Values that a weight can have, 2 to 16: 2 gives −1 and +1, 3 gives −1, 0 and +1.
    loss : "log" or "squared"
        Joint logistic loss, or the method of the paper: for each class a network H(z·w), trained against the
        rest with the squared loss. "squared" takes no sample weights.
    decode : "average" or "last"
        Source of the codes: their time average over the second half of the run, or its last state.
    polish : bool
        Whether to change single codes after training.
    normalize : "standard", "whiten", None or Normalizer
        Normalisation of the inputs, fitted to the training data.
    bits : "bootstrap" or None
        Whether `fit` estimates `bit_probability_`. This trains `n_bootstraps` times.
    n_bootstraps : int
        Number of resampled data sets.
    n_init : int
        Runs from different starts; the one of least training loss is kept.
    max_iter : int
        Steps of each run, with 64 samples each; with the loss "squared" each step takes all samples.
    class_weight : dict, "balanced" or None
        Weights of classes, as in `LogisticRegression`.
    warm_start : bool
        Whether `fit` starts from the latents of the fit before.
    random_state : int, RandomState or None
        Random seed of starts, batches and bootstraps.

    Attributes
    ----------
    classes_ : array (classes,)
        The labels.
    coef_ : int8 array (1, n) or (classes, n)
        The codes; one row if there are two classes. A constant feature has the code zero.
    scale_, intercept_ : float64 array (rows,)
        Terms of the logits scale·(x·w) + intercept.
    bit_probability_ : float64 array (rows, n)
        Estimated probability that another sample of the same size gives the same code: the share of
        bootstraps that do, (count + ½)/(n_bootstraps + 1). Only with ``bits="bootstrap"``; with fewer than
        19 bootstraps it never reaches .975.
    undecided_ : bool array (rows, n)
        Where `bit_probability_` is below .975. Only with ``bits="bootstrap"``.
    loss_ : float
        Mean loss on the training data.
    n_iter_ : int
        Steps of each run.
    orbit_ : list of Orbit
        The runs, one for each row. Only with ``loss="squared"``.
    n_features_in_ : int
        Features seen in `fit`.

    Raises
    ------
    InputError
        From `fit`, if settings or data cannot be used.

    References
    ----------
    Straight-through estimator and its time average: Jeong, Xin & Yin, arXiv 2505.18113. Adam: Kingma & Ba,
    arXiv 1412.6980.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sterling.learn import StraightThroughClassifier
    >>> inputs, labels = load_breast_cancer(return_X_y=True)
    >>> classifier = StraightThroughClassifier(random_state=0).fit(inputs[::2], labels[::2])
    >>> bool(classifier.score(inputs[1::2], labels[1::2]) > 0.93)
    True
    >>> classifier.coef_.dtype, classifier.coef_.shape
    (dtype('int8'), (1, 30))
    """

    def __init__(
        self,
        levels=2,
        *,
        loss="log",
        decode="average",
        polish=True,
        normalize: str | Normalizer | None = "standard",
        bits=None,
        n_bootstraps=60,
        n_init=1,
        max_iter=3_000,
        class_weight=None,
        warm_start=False,
        random_state=None,
    ):
        self.levels = levels
        self.loss = loss
        self.decode = decode
        self.polish = polish
        self.normalize = normalize
        self.bits = bits
        self.n_bootstraps = n_bootstraps
        self.n_init = n_init
        self.max_iter = max_iter
        self.class_weight = class_weight
        self.warm_start = warm_start
        self.random_state = random_state

    def fit(self, X, y, sample_weight=None):
        """Train on samples. The order of the samples does not matter, and a weight of two equals two copies.

        Parameters
        ----------
        X : array or frame (N, n)
            The inputs.
        y : array (N,)
            Their classes, two or more.
        sample_weight : array (N,), optional
            Weights of the samples, at least 0.

        Returns
        -------
        StraightThroughClassifier
            Itself.
        """
        self._check_settings()
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        classes, codes = np.unique(y, return_inverse=True)
        if len(classes) < 2:
            raise InputError("the labels have only one class; a classifier needs two or more")
        if self.loss == "squared" and (sample_weight is not None or self.class_weight is not None):
            raise InputError('the loss "squared" takes no weights: use the loss "log"')
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        weights = weights * self._of_classes(classes, codes, weights)
        kept = weights > 0
        X, codes, weights = _sorted(np.asarray(X)[kept], codes[kept], weights[kept])
        if len(np.unique(codes)) < 2:
            raise InputError("only one class has weights above zero; a classifier needs two or more")
        before = self.coef_.shape if self.warm_start and hasattr(self, "_latent") else None
        self.classes_, self._levels, self.n_iter_ = classes, self.levels, self.max_iter
        self._varies = np.ptp(X, axis=0) > 0
        if not self._varies.any():
            raise InputError("every feature has one value in all samples, so there is nothing to learn from")
        shares = weights / weights.sum()
        self._normalizer = self._fitted(X[:, self._varies], shares)
        targets = np.eye(len(classes))[codes]
        data = Labelled(self._normalised(X), targets[:, 1:] if len(classes) == 2 else targets, shares)
        generator = check_random_state(self.random_state)
        if before != (data.rows, X.shape[1]):
            self._latent = None
        found, self._latent = self._trained(data, generator, self._latent)
        self.coef_ = self._spread(found)
        self.scale_, self.intercept_, self.loss_ = _headed(data, found)
        if self.bits == "bootstrap":
            same = self._same(data, found, len(X), generator)
            self.bit_probability_ = np.where(self._varies, self._spread(same), 1 / self._levels)
            self.undecided_ = self.bit_probability_ < DECIDED
        return self

    def decision_function(self, X) -> np.ndarray:
        """Return the logits.

        Parameters
        ----------
        X : array or frame (N, n)
            The inputs.

        Returns
        -------
        float64 array (N,) or (N, classes)
            With two classes, the log-odds of the second.
        """
        logits = self._logits(X)
        return logits[:, 0] if len(self.classes_) == 2 else logits

    def predict_proba(self, X) -> np.ndarray:
        """Return the probability of each class.

        Parameters
        ----------
        X : array or frame (N, n)
            The inputs.

        Returns
        -------
        float64 array (N, classes)
            Each row sums to one.
        """
        found = probabilities(self._logits(X))
        return np.hstack([1 - found, found]) if found.shape[1] == 1 else found

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
        logits = self._logits(X)
        return self.classes_[
            (logits[:, 0] > 0).astype(int) if logits.shape[1] == 1 else logits.argmax(axis=1)
        ]

    def to_bits(self) -> np.ndarray:
        """Return the codes as bits. Prediction also needs the normalisation, the scales and the intercepts.

        Returns
        -------
        uint8 array (rows, bytes)
            A row for each row of ``coef_``: one plane of bits for each level but the lowest, that says where
            the code is at that level or above it. A plane has ⌈n/8⌉ bytes, the first code in the highest bit
            of the first. With two levels a constant feature, whose code is zero, has the bit 0.
        """
        check_is_fitted(self)
        planes = [np.packbits(self.coef_ >= value, axis=1) for value in level_values(self._levels)[1:]]
        return np.concatenate(planes, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return all that prediction needs, and the settings, as values that JSON can hold.

        `from_dict` makes the same classifier again. Left out are latents, runs, training data, a dictionary
        of class weights, and a random state that is not an integer.

        Returns
        -------
        dict
            Its first two entries name the format and its version.

        Raises
        ------
        InputError
            If labels are neither texts nor numbers, or the normaliser is none of sterling's.
        """
        check_is_fitted(self)
        return files.to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> StraightThroughClassifier:
        """Return the classifier of a dictionary from `to_dict`.

        Parameters
        ----------
        values : dict
            The dictionary. All of it is checked.

        Returns
        -------
        StraightThroughClassifier
            A fitted classifier with the same predictions.

        Raises
        ------
        InputError, KeyError
            If an entry is wrong or missing.
        """
        return files.from_dict(cls, values, DECIDED)

    def save(self, path) -> None:
        """Write `to_dict` as a JSON file.

        Parameters
        ----------
        path : str or path
            The file; an old one is replaced once the new one is complete.

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        files.write(path, self.to_dict())

    @classmethod
    def load(cls, path) -> StraightThroughClassifier:
        """Return the classifier of a file from `save`. Loading runs no code from the file.

        Parameters
        ----------
        path : str or path
            The file.

        Returns
        -------
        StraightThroughClassifier
            A fitted classifier with the same predictions.

        Raises
        ------
        StoreError
            If the file cannot be read, or any part of it is not as `save` writes it.
        """
        return files.read(path, cls.from_dict)

    def _check_settings(self) -> None:
        integer(self.levels, "levels", 2, MAX_LEVELS)
        choice(self.loss, "loss", ("log", "squared"))
        choice(self.decode, "decode", ("average", "last"))
        flag(self.polish, "polish")
        flag(self.warm_start, "warm_start")
        integer(self.n_init, "n_init", 1)
        integer(self.max_iter, "max_iter", 2)
        integer(self.n_bootstraps, "n_bootstraps", 1)
        if self.bits is not None:
            choice(self.bits, "bits", ("bootstrap",))

    def _of_classes(self, classes: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Return the weight of each sample's class."""
        if self.class_weight is None:
            return np.ones(len(codes))
        if isinstance(self.class_weight, str):
            choice(self.class_weight, "class_weight", ("balanced",))
            share = np.bincount(codes, weights, len(classes)) * len(classes)
            return (weights.sum() / np.where(share > 0, share, 1.0))[codes]
        return np.array([self.class_weight.get(one, 1.0) for one in classes.tolist()], np.float64)[codes]

    def _fitted(self, inputs: np.ndarray, shares: np.ndarray) -> Normalizer | None:
        """Return the normaliser, fitted to the samples; "standard" counts their weights."""
        given = check_normalize(self.normalize)
        if given == "standard":
            mean = shares @ inputs
            return Standardize(mean, 1 / np.sqrt(shares @ (inputs - mean) ** 2))
        normalizer = NORMALIZERS[given] if isinstance(given, str) else given
        return normalizer if normalizer is None or normalizer.fitted else normalizer.fit(inputs)

    def _trained(self, data: Labelled, generator, latent=None) -> tuple[np.ndarray, np.ndarray | None]:
        """Return the codes of least loss over several starts, and their latents."""
        shape, top = (data.rows, data.inputs.shape[1]), level_values(self.levels)[-1]
        best: tuple = ()
        for _ in range(self.n_init):
            seed = int(generator.randint(_SEEDS))
            start = latent if latent is not None else generator.uniform(-top, top, shape)
            if self.loss == "squared":
                self.orbit_ = [
                    squared.trained(data.inputs, column, self.levels, self.max_iter, seed)
                    for column in data.targets.T
                ]
                signs = [run.signs if self.decode == "last" else run.ergodic_signs for run in self.orbit_]
                codes, end = np.stack([squared.codes_of(one, self.levels) for one in signs]), None
            else:
                run = straight_through(data, self.levels, start, self.max_iter, _BATCH, _RATE, seed)
                codes = run.last if self.decode == "last" else nearest(run.mean, self.levels)
                end = run.latent
            if self.polish:
                codes = descended(data, codes, self.levels)
            loss = _headed(data, codes)[2]
            if not best or loss < best[0]:
                best = loss, codes, end
        return best[1:]

    def _same(self, data: Labelled, codes: np.ndarray, samples: int, generator) -> np.ndarray:
        """Return the smoothed share of bootstraps of the whole training that give each code."""
        same = np.zeros(codes.shape)
        for _ in range(self.n_bootstraps):
            drawn = generator.multinomial(samples, data.shares)
            again = data._replace(shares=drawn / samples)
            same += self._trained(again, generator)[0] == codes
        return (same + 0.5) / (self.n_bootstraps + 1)

    def _logits(self, X) -> np.ndarray:
        check_is_fitted(self)
        X = np.asarray(validate_data(self, X, dtype=np.float64, reset=False))
        scores = self._normalised(X) @ self.coef_[:, self._varies].T.astype(np.float64)
        return scores * self.scale_ + self.intercept_

    def _normalised(self, inputs: np.ndarray) -> np.ndarray:
        inputs = inputs[:, self._varies]
        return inputs if self._normalizer is None else self._normalizer.apply(inputs)

    def _spread(self, values: np.ndarray) -> np.ndarray:
        """Return values of the features that vary at their places among all."""
        spread = np.zeros((len(values), len(self._varies)), values.dtype)
        spread[:, self._varies] = values
        return spread


def _headed(data: Labelled, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return the scales, the intercepts and the loss of codes."""
    scores = data.inputs @ codes.T.astype(np.float64)
    scale, intercept = heads(scores, data)
    return scale, intercept, loss_of(scores * scale + intercept, data)


def _sorted(inputs: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return samples in an order that depends on their values alone."""
    whole = np.ascontiguousarray(np.column_stack([codes, inputs]) + 0.0)  # no negative zeros
    order = np.argsort(whole.view(f"V{whole.shape[1] * 8}").ravel(), kind="stable")
    return inputs[order], codes[order], weights[order]
