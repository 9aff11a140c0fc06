"""A classifier with 1-bit or low-bit weights; several classes are separated one against the rest."""

from __future__ import annotations

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets

from sterling.errors import InputError
from sterling.learn.codes import CodedEstimator


class StraightThroughClassifier(ClassifierMixin, CodedEstimator):
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
        Whether to flip single bits after training as long as this lowers the empirical risk.
    normalize : "standard", "whiten", None or Normalizer
        Normalisation of the inputs.
    margin : float
        A weight is undecided if the time average of one of its bits lies in (−margin, margin).
    surrogate : str or Surrogate
        What replaces the derivative of the Heaviside function.
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
        In `fit`, for settings or data that cannot be used.

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
        X, y = self._training(X, y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise InputError("the labels have only one class; a classifier needs two or more")
        inputs = self._prepare(X[:, None, :])
        targets = [1] if len(self.classes_) == 2 else list(range(len(self.classes_)))
        seeds = check_random_state(self.random_state).randint(2**31 - 1, size=len(targets))
        runs = [
            self._fit_codes(inputs, (codes == one).astype(np.float64), int(seed))
            for one, seed in zip(targets, seeds, strict=True)
        ]
        self.coef_ = np.stack([run.codes for run in runs])
        self.undecided_ = np.stack([run.undecided for run in runs])
        scores = self._preactivations(X[:, None, :])[:, 0]
        fits = [LogisticRegression().fit(scores[:, [k]], codes == one) for k, one in enumerate(targets)]
        self.slope_ = np.array([fit.coef_[0, 0] for fit in fits])
        self.intercept_ = np.array([fit.intercept_[0] for fit in fits])
        orbits = [run.orbit for run in runs]
        self.orbit_ = orbits if len(targets) > 1 else orbits[0]
        self.verdict_ = [o.verdict for o in orbits] if len(targets) > 1 else orbits[0].verdict
        return self

    @staticmethod
    def _output(scores: np.ndarray) -> np.ndarray:
        return scores[:, 0]

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
        X = self._new(X)
        odds = self._preactivations(X[:, None, :])[:, 0] * self.slope_ + self.intercept_
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
            Of ``classes_``.
        """
        odds = self.decision_function(X)
        best = (odds > 0).astype(int) if odds.ndim == 1 else odds.argmax(axis=1)
        return self.classes_[best]
