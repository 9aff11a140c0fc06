"""A linear classifier whose weights are codes of one bit or a few levels, with a scale for each row."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from sterling.base.checks import choice, flag, integer, real
from sterling.errors import InputError, SterlingWarning
from sterling.learn import squared
from sterling.learn.annealing import improved
from sterling.learn.card import Card
from sterling.learn.certainty import margins, probability
from sterling.learn.export import BITS, Exported, Packed, classifier_header
from sterling.learn.files import DECIDED, Saved
from sterling.learn.points import fitted_card
from sterling.learn.training import (
    Labelled,
    descended,
    heads,
    loss_of,
    nearest,
    numbers,
    outcome,
    straight_through,
)
from sterling.model.levels import MAX_LEVELS, level_values

_SEEDS = 2**31 - 1
_POWERS = 1.0, 0.5, 0.0  # of the standard deviations that features may be divided by
_FOLDS, _MANY = 4, 2_000  # parts for the choice of the power; of this many samples only the first is left out
_ALIKE = 1.1  # ratio of standard deviations below which there is nothing to choose


class StraightThroughClassifier(Exported, Packed, Saved, ClassifierMixin, BaseEstimator):
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
        Whether to change single codes after training, and to anneal up to 1,000 of them. Annealed codes are
        kept if they have a lower loss and fewer errors, by more than two standard errors.
    normalize : "auto", "standard" or None
        Normalisation of the inputs, fitted to the training data. "standard" divides features by their
        standard deviations. "auto" divides by these to the power ½ or 0 instead, if a cross-validation
        inside the training data finds its loss lower by more than a standard error.
    bits : "bootstrap" or None
        Whether `fit` estimates `bit_probability_`. This trains `n_bootstraps` times.
    n_bootstraps : int
        Number of resampled data sets.
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
        Estimated probability that the code is right: that on the whole population, with the other weights of
        its row free to be real numbers, the weight of least loss is nearer to this level than to any other.
        Bootstraps give the mean and the standard deviation of the difference of the squared distances. The
        ratios of all weights together give the prior (adaptive shrinkage). Only with ``bits="bootstrap"``.
    undecided_ : bool array (rows, n)
        Where `bit_probability_` is below .975. Only with ``bits="bootstrap"``.
    loss_ : float
        Mean loss on the training data.
    n_iter_ : int
        Steps of the run that is kept.
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
    arXiv 1412.6980. Adaptive shrinkage: Stephens, Biostatistics 18 (2017) 275.

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
        normalize="auto",
        bits=None,
        n_bootstraps=60,
        n_init=1,
        max_iter=3_000,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=5,
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
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
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
        if self.loss == "squared" and self.early_stopping:
            raise InputError('the loss "squared" is trained to the end: leave early_stopping out')
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        weights = weights * self._of_classes(classes, codes, weights)
        self.classes_, self._levels, self.n_iter_ = classes, self.levels, self.max_iter
        self._seen = seen = _labelled(np.asarray(X), codes, weights, len(classes))
        if len(np.unique(codes[weights > 0])) < 2:
            raise InputError("only one class has weights above zero; a classifier needs two or more")
        before = self.coef_.shape if self.warm_start and hasattr(self, "_latent") else None
        low, high = seen.inputs.min(axis=0), seen.inputs.max(axis=0)
        varies, self._reach = low < high, np.maximum(-low, high)
        if not varies.any():
            raise InputError("every feature has one value in all samples, so there is nothing to learn from")
        ends = [float(low.min()), float(high.max())]
        self._values = ends if np.isin(seen.inputs, ends).all() else None
        _warn_of_copies(seen.inputs[:, varies], np.flatnonzero(varies))
        generator = check_random_state(self.random_state)
        data = seen._replace(inputs=seen.inputs[:, varies])
        mean, factor = self._moments(data, generator)
        data = data._replace(inputs=(data.inputs - mean) * factor)
        self._mean, self._factor = _spread(np.stack([mean, factor]), varies)
        if before != (data.rows, len(low)):
            self._latent = None
        train, held = self._parts(data)
        found, run = self._trained(train, held, generator, self._latent)
        if self.loss == "squared":
            self.orbit_ = run
        else:
            self._latent, self.n_iter_ = run.latent, run.steps
        self.coef_ = _spread(found, varies)
        scores = data.inputs @ found.T.astype(np.float64)
        self.scale_, self.intercept_ = heads(scores, data)
        self.loss_ = loss_of(scores * self.scale_ + self.intercept_, data)
        if self.bits == "bootstrap":
            sure = _spread(self._sure(train, held, found, generator), varies)
            self.bit_probability_ = np.where(varies, sure, 1 / self._levels)
            self.undecided_ = self.bit_probability_ < DECIDED
        return self

    def card(self, *, max_features=10, max_groups=4, max_points=5, monotone=None) -> Card:
        """Fit a scoring card to the training data: a smaller model, with points that a person can add up.

        The card is a model of its own, so compare both on data that neither has seen. It needs two classes.

        Parameters
        ----------
        max_features : int
            Most features that the card uses.
        max_groups : int
            Most groups into which the values of a feature fall.
        max_points : int
            Most points by which neighbouring groups differ, at most 60.
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
            If there are more than two classes, if the classifier was loaded and so has no training data, or
            if an argument cannot be used.
        """
        check_is_fitted(self)
        if self._seen is None:
            raise InputError("a loaded classifier has no training data: fit it again for a card")
        names = getattr(self, "feature_names_in_", [f"feature {k}" for k in range(len(self._factor))])
        limits = max_features, max_groups, max_points
        return fitted_card(self._seen, self.classes_, [str(one) for one in names], *limits, monotone)

    def __getstate__(self):
        state: Any = super().__getstate__()
        return {**state, "_seen": None}  # a pickle need not carry the training data

    def _check_settings(self) -> None:
        integer(self.levels, "levels", 2, MAX_LEVELS)
        choice(self.loss, "loss", ("log", "squared"))
        choice(self.decode, "decode", ("average", "last"))
        for name in ("polish", "warm_start", "early_stopping"):
            flag(getattr(self, name), name)
        for name, least in (("n_init", 1), ("max_iter", 2), ("n_bootstraps", 2), ("n_iter_no_change", 1)):
            integer(getattr(self, name), name, least)
        real(self.validation_fraction, "validation_fraction", above=0, below=1)
        if self.normalize is not None:
            choice(self.normalize, "normalize", ("auto", "standard"))
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
        scaled = (data._replace(inputs=(inputs - mean) * one) for one in factors)
        losses = np.stack([self._losses_out(one, fold, seed, tried) for one in scaled])
        judge = data.part(tried)
        sure = [judge.lower(one, losses[0]) for one in losses]
        return mean, factors[int(np.argmin(np.where(sure, losses @ judge.shares, losses[0] @ judge.shares)))]

    def _losses_out(self, data: Labelled, fold: np.ndarray, seed: int, tried: np.ndarray) -> np.ndarray:
        """Return the loss of each sample that is tried, by codes trained in fewer steps on other folds."""
        top, steps = level_values(self.levels)[-1], max(2, self.max_iter // 6)
        start = np.random.default_rng(seed).uniform(-top, top, (data.rows, data.inputs.shape[1]))
        losses = np.zeros(len(fold))
        for one in np.unique(fold[tried]):
            inside = data.part(fold != one)
            codes = nearest(straight_through(inside, self.levels, start, steps, seed).mean, self.levels)
            losses[fold == one] = outcome(inside, codes, data.part(fold == one))[0]
        return losses[tried]

    def _trained(
        self, data: Labelled, held: Labelled | None, generator, latent=None
    ) -> tuple[np.ndarray, Any]:
        """Return the codes of least loss over several starts, and their run or orbits."""
        shape, top = (data.rows, data.inputs.shape[1]), level_values(self.levels)[-1]
        best: tuple = ()
        for _ in range(self.n_init):
            seed = int(generator.randint(_SEEDS))
            start = latent if latent is not None else generator.uniform(-top, top, shape)
            if self.loss == "squared":
                last = self.decode == "last"
                codes, run = squared.trained(data, self.levels, self.max_iter, seed, last)
            else:
                run = straight_through(
                    data, self.levels, start, self.max_iter, seed, held, self.n_iter_no_change
                )
                codes = run.last if self.decode == "last" else nearest(run.mean, self.levels)
            if self.polish:
                codes = descended(data, codes, self.levels, held=held)
                codes = improved(data, codes, self.levels, seed, held)
            judge = data if held is None else held
            loss = judge.shares @ outcome(data, codes, judge)[0]
            if not best or loss < best[0]:
                best = loss, codes, run
        return best[1:]

    def _sure(self, data: Labelled, held: Labelled | None, codes: np.ndarray, generator) -> np.ndarray:
        """Return the probability that each code is right, from bootstraps of the whole training."""
        drawn, samples = [], len(data.shares)
        for _ in range(self.n_bootstraps):
            rows = np.repeat(np.arange(samples), generator.multinomial(samples, data.shares))
            again = Labelled(data.inputs[rows], data.targets[rows], np.full(samples, 1 / samples), samples)
            drawn.append(margins(again, self._trained(again, held, generator)[0], codes, self.levels))
        return probability(np.stack(drawn))

    def _checked(self, X) -> np.ndarray:
        check_is_fitted(self)
        return np.asarray(validate_data(self, X, dtype=np.float64, reset=False))

    def _logits(self, X) -> np.ndarray:
        scores = (self._checked(X) - self._mean) * self._factor @ self.coef_.T.astype(np.float64)
        return scores * self.scale_ + self.intercept_

    @property
    def _plain(self) -> bool:
        """Whether the inputs are taken as they are."""
        return not self._mean.any() and bool(np.isin(self._factor, (0, 1)).all())

    @property
    def _shifts(self) -> np.ndarray:
        return BITS - np.frexp(self._reach)[1]

    def _header(self) -> str:
        check_is_fitted(self)
        return classifier_header(self)


def _spread(values: np.ndarray, varies: np.ndarray) -> np.ndarray:
    """Return values (rows, features that vary) at their places among all features, others zero."""
    spread = np.zeros((len(values), len(varies)), values.dtype)
    spread[:, varies] = values
    return spread


def _warn_of_copies(inputs: np.ndarray, numbers: np.ndarray) -> None:
    """Name the features that equal an earlier one in all samples."""
    first: dict[bytes, int] = {}
    columns = zip(inputs.T, numbers.tolist(), strict=True)
    pairs = [(first.setdefault((column + 0.0).tobytes(), k), k) for column, k in columns]
    same = [f"{other} and {k}" for other, k in pairs if other != k]
    if same:
        more = f" and {len(same) - 5} more pairs" if len(same) > 5 else ""
        text = (
            f"these features are equal in all samples, so drop one of each pair: {', '.join(same[:5])}{more}"
        )
        warnings.warn(text, SterlingWarning, stacklevel=3)


def _labelled(inputs: np.ndarray, codes: np.ndarray, weights: np.ndarray, classes: int) -> Labelled:
    """Return the samples of weight above zero, in an order that depends on their values alone."""
    kept = weights > 0
    inputs, codes, weights = inputs[kept], codes[kept], weights[kept]
    whole = np.ascontiguousarray(np.column_stack([codes, inputs]) + 0.0)  # no negative zeros
    order = np.argsort(whole.view(f"V{whole.shape[1] * 8}").ravel(), kind="stable")
    targets = np.eye(classes)[codes[order]]
    return Labelled(
        inputs[order],
        targets[:, 1:] if classes == 2 else targets,
        weights[order] / weights.sum(),
        max(weights.sum(), weights.sum() ** 2 / (weights @ weights)),  # Kish's number where all are small
    )
