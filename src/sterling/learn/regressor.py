"""A regressor: the two-layer network of the paper, one weight vector shared by m patches of the input."""

from __future__ import annotations

import math

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.linear_model import LinearRegression
from sklearn.utils import check_random_state

from sterling.base.checks import integer
from sterling.errors import InputError
from sterling.learn.codes import CodedEstimator


class StraightThroughRegressor(RegressorMixin, CodedEstimator):
    """Regressor that counts in how many patches of a sample a binary filter fires.

    The model is intercept + slope·Σ_j H(z_j·w), with one weight vector w of few levels for all patches z_j:
    a convolution with one filter. It has patches + 1 values, so it suits counts better than fine scales.

    Parameters
    ----------
    levels : int
        Values that a weight can have, 2 to 16: 2 gives −1 and +1, 3 gives −1, 0 and +1.
    decode : "ergodic", "last" or "best"
        What the weights are read off: the time average of the run, its last state, or the state of lowest
        empirical risk that it saw.
    undecided : "sign" or "zero"
        What becomes of weights that the run has not decided: the nearer level, or zero.
    polish : bool
        Whether to flip single bits afterwards as long as that lowers the empirical risk.
    normalize : "standard", "whiten", None or Normalizer
        What is done to the inputs first; all patches are rows of the same features.
    patches : int
        m, how many patches of equal length a sample is made of, one after the other.
    margin : float
        A weight is undecided where the time average of one of its bits lies in (−margin, margin).
    surrogate : str or Surrogate
        What replaces the derivative of the Heaviside function.
    steps : int
        Steps of the run.
    schedule : Schedule, optional
        Step sizes; ``Power(0.5, 0.5)`` by default.
    random_state : int, RandomState or None
        Where the start comes from.

    Attributes
    ----------
    coef_ : int8 array (n,)
        The weights of one patch.
    slope_, intercept_ : float
        Fitted to the counts by least squares.
    undecided_ : bool array (n,)
        Which weights the run has not decided.
    orbit_ : Orbit
        The run. Its labels were the targets moved and scaled to the mean m/2 and the variance m/4 that the
        counts of Gaussian patches have.
    verdict_ : Verdict
        What became of it.
    n_features_in_ : int
        Features seen in `fit`, m·n.

    Raises
    ------
    InputError
        In `fit`, for settings or data that cannot be used.

    References
    ----------
    The network: Jeong, Xin & Yin, arXiv 2505.18113, with a readout of ones.

    Examples
    --------
    >>> import sterling as st
    >>> from sterling.learn import StraightThroughRegressor
    >>> data = st.Problem(n=16, samples=400, m=4).draw(seed=0)
    >>> regressor = StraightThroughRegressor(patches=4).fit(data.inputs.reshape(400, 64), data.labels)
    >>> bool((regressor.coef_ == data.teacher).all())
    True
    """

    def __init__(
        self,
        levels=2,
        decode="ergodic",
        undecided="sign",
        polish=True,
        normalize="standard",
        *,
        patches=1,
        margin=0.5,
        surrogate="identity",
        steps=20_000,
        schedule=None,
        random_state=0,
    ):
        super().__init__(
            levels,
            decode,
            undecided,
            polish,
            normalize,
            margin=margin,
            surrogate=surrogate,
            steps=steps,
            schedule=schedule,
            random_state=random_state,
        )
        self.patches = patches

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True  # patches + 1 values cannot follow a fine scale
        return tags

    def fit(self, X, y):
        """Train on samples.

        Parameters
        ----------
        X : array or frame (N, m·n)
            The inputs, patch after patch.
        y : array (N,)
            What to predict.

        Returns
        -------
        StraightThroughRegressor
            Itself.
        """
        X, y = self._training(X, y, y_numeric=True)
        m = integer(self.patches, "patches", 1)
        if X.shape[1] % m:
            raise InputError(f"{X.shape[1]} features are no {m} patches of equal length: change patches")
        inputs = self._prepare(self._cut(X))
        spread = y.std()
        labels = m / 2 + (y - y.mean()) * (math.sqrt(m) / 2 / spread if spread > 0 else 0.0)
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        run = self._fit_codes(inputs, labels, seed)
        self.coef_, self.undecided_ = run.codes, run.undecided
        self.orbit_, self.verdict_ = run.orbit, run.orbit.verdict
        line = LinearRegression().fit(self._counts(X)[:, None], y)
        self.slope_, self.intercept_ = float(line.coef_[0]), float(line.intercept_)
        return self

    def predict(self, X) -> np.ndarray:
        """Return what the network says of samples.

        Parameters
        ----------
        X : array or frame (N, m·n)
            The inputs, patch after patch.

        Returns
        -------
        float64 array (N,)
            The predictions.
        """
        X = self._new(X)
        return self.intercept_ + self.slope_ * self._counts(X)

    def _cut(self, inputs: np.ndarray) -> np.ndarray:
        return inputs.reshape(len(inputs), self.patches, -1)

    def _counts(self, inputs: np.ndarray) -> np.ndarray:
        return self._output(self._preactivations(self._cut(inputs))[..., 0])

    @staticmethod
    def _output(scores: np.ndarray) -> np.ndarray:
        return (scores > 0).sum(axis=1).astype(np.float64)
