"""A classifier on held-out samples, beside the majority class, logistic regression and its codes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sterling.base.text import counted, percent
from sterling.stats import Interval, share_interval

if TYPE_CHECKING:
    from sterling.learn import StraightThroughClassifier
    from sterling.learn.card import Card

_CUT = 0.7  # three levels: a coefficient below this times the mean size of its row becomes zero
_FEW = 10  # held-out samples of a class below which an AUC has no interval


class Score(NamedTuple):
    """How one method predicts the held-out samples."""

    name: str
    right: np.ndarray  # bool (N,)
    auc: Interval  # without ends where they would not be honest
    weights: Any = None  # of 1 bit or ternary

    @property
    def accuracy(self) -> Interval:
        """The share of samples that it predicts right, with its 95 % interval."""
        return share_interval(int(self.right.sum()), len(self.right))

    @property
    def cells(self) -> tuple[str, str, str]:
        """The row of a table: name, accuracy and AUC."""
        (share, least, most), (area, low, high) = self.accuracy, self.auc
        ends = "" if math.isnan(low) else f" ({low:.3f} to {high:.3f})"
        return self.name, f"{percent(share, 1)} ({100 * least:.1f} to {100 * most:.1f})", f"{area:.3f}{ends}"

    def to_dict(self) -> dict[str, Any]:
        """Return name, accuracy and AUC as plain values, with null for ends that there are not."""
        return {"name": self.name, "accuracy": self.accuracy, "auc": self.auc}


def compare(
    classifier: StraightThroughClassifier,
    card: Card | None,
    training: tuple[Any, np.ndarray],
    held: tuple[Any, np.ndarray],
) -> list[Score]:
    """Return the scores of a fitted classifier, of rivals that saw the same training samples, of its card."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    from sterling.learn.training import Labelled, heads, probabilities

    (inputs, labels), (new, truth) = training, held
    scaler = StandardScaler().fit(inputs)
    inputs, new = (np.asarray(scaler.transform(one)) for one in (inputs, new))
    full = LogisticRegression(max_iter=1000).fit(inputs, labels)
    classes, index, counts = np.unique(labels, return_inverse=True, return_counts=True)
    targets = np.eye(len(classes))[index]
    sample = Labelled(
        inputs, targets[:, len(classes) == 2 :], np.full(len(labels), 1 / len(labels)), len(labels)
    )
    size, ternary = np.abs(full.coef_), classifier.levels == 3
    codes = np.where(size >= ternary * _CUT * size.mean(axis=1, keepdims=True), np.sign(full.coef_), 0)
    scale, intercept = heads(inputs @ codes.T, sample)
    levels = "−1, 0, +1" if ternary else "−1, +1"
    coarse = f"logistic regression, cut to {levels}" if ternary else "logistic regression, its signs"

    def scored(name: str, logits: np.ndarray, weights: np.ndarray | None = None) -> Score:
        shares = probabilities(logits.reshape(len(truth), -1))
        if len(classes) == 2:
            right = classes[(shares[:, 0] > 0.5) * 1] == truth
            return Score(name, right, area(logits.ravel(), truth == classes[1]), weights)
        each = [area(one, truth == label)[0] for one, label in zip(shares.T, classes, strict=True)]
        mean = float(np.mean(each))
        return Score(name, classes[shares.argmax(axis=1)] == truth, (mean, math.nan, math.nan), weights)

    own = classifier.coef_ * np.sign(classifier.scale_)[:, None]
    found = [
        scored(f"sterling, weights {levels}", classifier.decision_function(held[0]), own),
        scored("logistic regression, float64 weights", full.decision_function(new)),
        scored(coarse, new @ codes.T * scale + intercept, codes),
        Score("majority class", truth == classes[counts.argmax()], (0.5, math.nan, math.nan)),
    ]
    if card is not None:
        name = f"card of points, {counted(len(card.items), 'column')}"
        found.append(scored(name, card.decision_function(held[0])))
    return found


def area(scores: np.ndarray, positive: np.ndarray) -> Interval:
    """Return the area under the ROC curve and its 95 % interval.

    DeLong's variance on the logit scale. There are no ends for an area of 0 or 1, where that variance is
    zero, or if a class has fewer than ten samples. Source: DeLong, DeLong & Clarke-Pearson, Biometrics 44
    (1988) 837.
    """
    from scipy.stats import rankdata

    ones, zeros = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores)
    above = (ranks[positive] - rankdata(scores[positive])) / zeros  # share of the others that are lower
    below = 1 - (ranks[~positive] - rankdata(scores[~positive])) / ones
    found = float(above.mean())
    if min(ones, zeros) < _FEW or not 0 < found < 1:
        return found, math.nan, math.nan
    deviation = math.sqrt(above.var(ddof=1) / ones + below.var(ddof=1) / zeros) / (found * (1 - found))
    ends = [1 / (1 + (1 - found) / found * math.exp(sign * 1.96 * deviation)) for sign in (1, -1)]
    return found, ends[0], ends[1]
