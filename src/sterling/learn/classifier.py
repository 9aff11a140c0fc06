"""A linear classifier whose weights are codes of one bit or a few levels, with a scale for each row."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state, compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_feature_names_in,
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from sterling.base.checks import choice, integer, real
from sterling.dynamics.orbit import Orbit
from sterling.dynamics.train import train
from sterling.errors import InputError, SterlingWarning
from sterling.learn.card import Card
from sterling.learn.export import DECIDED, Exported, Predicting
from sterling.learn.points import fitted_card
from sterling.learn.training import Labelled, certainty, heads, numbers, outcome, polished, straight_through
from sterling.model.instance import Instance
from sterling.model.levels import MAX_LEVELS, level_values

_SEEDS = 2**31 - 1
_POWERS = 1.0, 0.5, 0.0  # of the standard deviations that features may be divided by
_FOLDS, _MANY = 4, 2_000  # parts for the choice of the power; of this many samples only the first is left out
_ALIKE = 1.1  # ratio of standard deviations below which there is nothing to choose


@dataclass(eq=False, repr=False)
class StraightThroughClassifier(Predicting, Exported, ClassifierMixin, BaseEstimator):
    """Linear classifier with 1-bit or low-bit weights, trained by the straight-through estimator.

    The logit of a class is scale·(x·w) + intercept, where x is a normalised sample and w has integer codes.
    Adam moves latent weights with the straight-through gradient of the joint logistic (softmax) loss.

    Parameters
    ----------
    levels : int
        Values that a weight can have, 2 to 16: 2 gives −1 and +1, 3 gives −1, 0 and +1.
    loss : "log" or "squared"
        Joint logistic loss, or the method of the paper: a network H(z·w) for each class against the rest.
    decode : "average" or "last"
        Source of the codes: their time average over the second half of the run, or its last state.
    polish : bool
        Whether single codes change after training while that lowers the loss. Up to 1,000 codes are also
        annealed; annealed codes need fewer errors, by more than two standard errors.
    normalize : "auto", "standard" or None
        "standard" divides centred features by their standard deviations. "auto" divides by these to the power
        ½ or 0 instead, if a cross-validation finds its loss lower by more than a standard error.
    bits : "bootstrap" or None
        Whether `fit` estimates `bit_probability_`.
    n_bootstraps : int
        Resampled data sets that it trains on for that.
    n_init : int
        Runs from different starts; the one of least training loss is kept.
    max_iter : int
        Steps of each run, with 64 samples each; with the loss "squared" each step takes all samples.
    early_stopping : bool
        Whether to hold samples out of the training. Their loss decides when the run stops, which average is
        decoded and how long single codes change. Scales and intercepts are fitted to all samples.
    validation_fraction : float
        Share of the samples that early stopping holds out.
    n_iter_no_change : int
        Checks in a row without a lower held-out loss after which a run stops; one check each 100 steps.
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
        With ``bits="bootstrap"``, the estimated probability that the code is right: that on the whole
        population, with the other weights of its row free to be real numbers, the weight of least loss is
        nearer to this level than to any other. The prior comes from all weights (adaptive shrinkage).
    undecided_ : bool array (rows, n)
        Where `bit_probability_` is below .975.
    n_iter_ : int
        Steps of the run that is kept.
    orbit_ : list of Orbit
        With ``loss="squared"``, the run of each row.

    References
    ----------
    Straight-through estimator and its time average: Jeong, Xin & Yin, arXiv 2505.18113. Adam: Kingma & Ba,
    arXiv 1412.6980. Adaptive shrinkage: Stephens, Biostatistics 18 (2017) 275.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sterling.learn import StraightThroughClassifier
    >>> inputs, labels = load_breast_cancer(return_X_y=True)
    >>> classifier = StraightThroughClassifier(random_state=0).fit(inputs[::2], labels[::2])
    >>> bool(classifier.score(inputs[1::2], labels[1::2]) > 0.93)
    True
    """

    levels: int = 2
    _: KW_ONLY
    loss: str = "log"
    decode: str = "average"
    polish: bool = True
    normalize: str | None = "auto"
    bits: str | None = None
    n_bootstraps: int = 60
    n_init: int = 1
    max_iter: int = 3_000
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 5
    class_weight: dict | str | None = None
    warm_start: bool = False
    random_state: Any = None

    def fit(self, X, y, sample_weight=None):
        """Train on samples. Their order does not matter, and a weight of two equals two copies.

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

        Raises
        ------
        InputError
            If settings or data cannot be used.
        """
        self._check_settings()
        X, y = validate_data(self, X, y, dtype=np.float64, ensure_min_samples=2)
        check_classification_targets(y)
        weighted = sample_weight is not None or self.class_weight is not None
        if self.loss == "squared" and (weighted or self.early_stopping):
            raise InputError('the loss "squared" takes no weights and no early stopping: use the loss "log"')
        self.classes_, codes = np.unique(y, return_inverse=True)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        sizes = compute_class_weight(self.class_weight, classes=self.classes_, y=y, sample_weight=weights)
        self._seen = seen = _labelled(np.asarray(X), codes, weights * sizes[codes], len(self.classes_))
        if len(np.unique(seen.targets, axis=0)) < 2:
            raise InputError("only one class has weights above zero; a classifier needs two or more")
        low, high = seen.inputs.min(axis=0), seen.inputs.max(axis=0)
        varies, self._reach = low < high, np.maximum(-low, high)
        if not varies.any():
            raise InputError("every feature has one value in all samples, so there is nothing to learn from")
        ends = [float(low.min()), float(high.max())]
        self._levels, self._values = self.levels, ends if np.isin(seen.inputs, ends).all() else None
        _warn_of_copies(seen.inputs[:, varies], np.flatnonzero(varies))
        generator = check_random_state(self.random_state)
        data = seen._replace(inputs=seen.inputs[:, varies])
        mean, factor = self._moments(data, generator)
        data = data._replace(inputs=(data.inputs - mean) * factor)
        self._mean, self._factor = _spread(np.stack([mean, factor]), varies)
        train, held = self._parts(data)
        latent = getattr(self, "_latent", None) if self.warm_start else None
        found, run, self.n_iter_ = self._trained(train, held, generator, latent)
        setattr(self, "orbit_" if self.loss == "squared" else "_latent", run)
        self.coef_ = _spread(found, varies)
        self.scale_, self.intercept_ = heads(data.inputs @ found.T.astype(np.float64), data)
        if self.bits == "bootstrap":
            sure = certainty(found, self._levels, self._bootstraps(train, held, generator))
            self.bit_probability_ = np.where(varies, _spread(sure, varies), 1 / self._levels)
            self.undecided_ = self.bit_probability_ < DECIDED
        return self

    def card(self, *, max_features=10, max_groups=4, max_points=5, monotone=None) -> Card:
        """Fit a scoring card for two classes to the training data: points that a person can add up.

        The card is a model of its own, so compare both on data that neither has seen.

        Parameters
        ----------
        max_features, max_groups, max_points : int
            Most features, most groups of a feature's values, and most points between neighbouring groups, at
            most 60.
        monotone : array (n,) or dict of names, optional
            1 for features whose points must not fall as their values rise, −1 for the opposite, 0 for no
            condition. Points speak for the second class.

        Returns
        -------
        Card
            The card.

        Raises
        ------
        InputError
            If there are more classes, if an argument cannot be used, or if the classifier was loaded.
        """
        check_is_fitted(self)
        if self._seen is None:
            raise InputError("a loaded classifier has no training data: fit it again for a card")
        names: Any = _check_feature_names_in(self)
        limits = max_features, max_groups, max_points
        return fitted_card(self._seen, self.classes_, list(names), *limits, monotone)

    def __getstate__(self):
        state: Any = super().__getstate__()
        return {**state, "_seen": None}  # a pickle need not carry the training data

    def _check_settings(self) -> None:
        integer(self.levels, "levels", 2, MAX_LEVELS)
        choice(self.loss, "loss", ("log", "squared"))
        choice(self.decode, "decode", ("average", "last"))
        for name, least in (("n_init", 1), ("max_iter", 2), ("n_bootstraps", 2), ("n_iter_no_change", 1)):
            integer(getattr(self, name), name, least)
        real(self.validation_fraction, "validation_fraction", above=0, below=1)
        for name, words in (("normalize", ("auto", "standard")), ("bits", ("bootstrap",))):
            if getattr(self, name) is not None:
                choice(getattr(self, name), name, words)
        if not isinstance(self.class_weight, dict | None):
            choice(self.class_weight, "class_weight", ("balanced",))

    def _parts(self, data: Labelled) -> tuple[Labelled, Labelled | None]:
        """Return the samples for training, and those held out for early stopping."""
        if not self.early_stopping:
            return data, None
        ends = np.floor(np.arange(len(data.shares) + 1) * self.validation_fraction)
        held = np.diff(ends)[numbers(data)] > 0  # evenly among the sorted samples, so in all classes
        if not held.any() or len(np.unique(data.targets[~held], axis=0)) < 2:
            raise InputError("early stopping leaves too few samples: change validation_fraction")
        return data.part(~held), data.part(held)

    def _moments(self, data: Labelled, generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the means that are subtracted from the features, and the factors."""
        inputs, shares = data.inputs, data.shares
        if self.normalize is None:
            return np.zeros(inputs.shape[1]), np.ones(inputs.shape[1])
        mean = shares @ inputs
        spread = np.sqrt(shares @ (inputs - mean) ** 2)
        if not (np.isfinite(spread) & (spread > 0)).all():
            raise InputError("a feature has values too large or too close for float64: rescale the inputs")
        if self.normalize == "standard" or self.loss == "squared" or spread.max() < _ALIKE * spread.min():
            return mean, 1 / spread
        common = np.sqrt((spread**2).mean())
        factors = [spread**-power * common ** (power - 1) for power in _POWERS]
        seed, fold = int(generator.randint(_SEEDS)), numbers(data) % _FOLDS
        tried = fold < (_FOLDS if len(shares) < _MANY else 1)
        top, steps = level_values(self.levels)[-1], max(2, self.max_iter // 6)
        start = np.random.default_rng(seed).uniform(-top, top, (data.targets.shape[1], inputs.shape[1]))
        losses = np.zeros((len(factors), len(shares)))
        for factor, row in zip(factors, losses, strict=True):
            scaled = data._replace(inputs=(inputs - mean) * factor)
            for one in np.unique(fold[tried]):
                inside, outside = scaled.part(fold != one), scaled.part(fold == one)
                codes = straight_through(inside, self.levels, start, steps, seed)[0]
                row[fold == one] = outcome(inside, codes, outside)[0]
        judge, losses = data.part(tried), losses[:, tried]
        sure, means = [judge.lower(one, losses[0]) for one in losses], losses @ judge.shares
        return mean, factors[int(np.argmin(np.where(sure, means, means[0])))]

    def _trained(self, data: Labelled, held: Labelled | None, generator, latent: Any = None) -> tuple:
        """Return the codes of least loss over several starts, the latents or orbits, and the steps."""
        top, shape = level_values(self.levels)[-1], (data.targets.shape[1], data.inputs.shape[1])
        judge, best = held or data, ()
        for _ in range(self.n_init):
            seed = int(generator.randint(_SEEDS))
            start = latent if np.shape(latent) == shape else generator.uniform(-top, top, shape)
            if self.loss == "squared":
                codes, *run = self._squared(data, seed)
            else:
                limits = self.max_iter, seed, self.decode == "last", held, self.n_iter_no_change
                codes, *run = straight_through(data, self.levels, start, *limits)
            if self.polish:
                codes = polished(data, codes, self.levels, seed, held)
            loss = judge.shares @ outcome(data, codes, judge)[0]
            if not best or loss < best[0]:
                best = loss, codes, *run
        return best[1:]

    def _squared(self, data: Labelled, seed: int) -> tuple[np.ndarray, list[Orbit], int]:
        """Return codes by the method of the paper: one network for each row, run exactly.

        A weight of k levels is the sum of k − 1 bits, copies that start a fixed distance apart and stay so.
        """
        features, bits = data.inputs.shape[1], self.levels - 1
        size = features**-0.5
        drawn = np.random.default_rng(seed).normal(scale=size, size=features)
        start = (drawn + (np.arange(bits) - (bits - 1) / 2)[:, None] * size).ravel()
        settings: Any = {"steps": self.max_iter, "surrogate": "identity", "init": start, "record": ()}
        instances = (Instance(np.tile(data.inputs, bits), labels) for labels in data.targets.T)
        runs = [train(one, **settings) for one in instances]
        signs = np.stack([one.signs if self.decode == "last" else one.ergodic_signs for one in runs])
        codes = signs.reshape(len(runs), bits, features).sum(axis=1, dtype=np.int64)
        return (codes if self.levels % 2 == 0 else codes // 2).astype(np.int8), runs, self.max_iter

    def _bootstraps(self, data: Labelled, held: Labelled | None, generator) -> Iterator:
        """Yield resampled data and the codes trained on them."""
        samples = len(data.shares)
        for _ in range(self.n_bootstraps):
            rows = np.repeat(np.arange(samples), generator.multinomial(samples, data.shares))
            again = Labelled(data.inputs[rows], data.targets[rows], np.full(samples, 1 / samples), samples)
            yield again, self._trained(again, held, generator)[0]

    def _checked(self, X) -> np.ndarray:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def _logits(self, X) -> np.ndarray:
        scores = (self._checked(X) - self._mean) * self._factor @ self.coef_.T.astype(np.float64)
        return scores * self.scale_ + self.intercept_


def _spread(values: np.ndarray, varies: np.ndarray) -> np.ndarray:
    """Return values (rows, features that vary) at their places among all features, others zero."""
    spread = np.zeros((len(values), len(varies)), values.dtype)
    spread[:, varies] = values
    return spread


def _warn_of_copies(inputs: np.ndarray, numbers: np.ndarray) -> None:
    """Name the features that equal an earlier one in all samples."""
    first: dict[bytes, int] = {}
    columns = zip(inputs.T + 0.0, numbers, strict=True)
    pairs = [(first.setdefault(one.tobytes(), k), k) for one, k in columns]
    same = [f"{other} and {k}" for other, k in pairs if other != k]
    if same:
        text = "these features are equal in all samples, so drop one of each pair: "
        warnings.warn(text + ", ".join(same[:5] + ["…"] * (len(same) > 5)), SterlingWarning, stacklevel=3)


def _labelled(inputs: np.ndarray, codes: np.ndarray, weights: np.ndarray, classes: int) -> Labelled:
    """Return the samples of weight above zero, in an order that depends on their values alone."""
    kept = weights > 0
    inputs, codes, weights = inputs[kept], codes[kept], weights[kept]
    whole = np.ascontiguousarray(np.column_stack([codes, inputs]) + 0.0)  # no negative zeros
    order = np.argsort(whole.view(f"V{whole.shape[1] * 8}").ravel(), kind="stable")
    targets, total = np.eye(classes)[codes[order], classes == 2 :], weights.sum()
    size = max(total, total**2 / (weights @ weights))  # Kish's number where all are small
    return Labelled(inputs[order], targets, weights[order] / total, size)
