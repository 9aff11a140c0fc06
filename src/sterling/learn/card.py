"""Scoring cards: a few features in a few groups with whole points, which a person can add up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any, NamedTuple

import numpy as np

from sterling.base.arrays import real_array
from sterling.base.text import percent
from sterling.learn.export import TEMPLATES, Predicting
from sterling.learn.training import probabilities

_FINEST = 0.001  # probability in words
_SHOWN = 16  # rows of probabilities between the first and the last


class Item(NamedTuple):
    """A feature of a card, with groups of its values and their points; an edge belongs to the group above."""

    feature: int
    name: str
    edges: np.ndarray  # float64 (groups − 1,), rising
    points: np.ndarray  # int64 (groups,), the least is 0


@dataclass(frozen=True)
class Card(Predicting):
    """A scoring card for two classes: whole points for groups of values of a few features.

    `StraightThroughClassifier.card` makes it. A sample gets the points of its group in each feature. The card
    predicts the second class if their total is at least ``least``.

    Parameters
    ----------
    classes_ : array (2,)
        The labels.
    items : tuple of Item
        The features with their groups and points.
    scale, intercept : float
        The second class has the log-odds scale·total + intercept; the scale is positive.
    samples : int
        Samples that the card was fitted to. It shows no probability nearer to 0 or 1 than 1/samples or 0.1 %.
    n_features_in_ : int
        Features of the data, most of which the card does not use.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sterling.learn import StraightThroughClassifier
    >>> inputs, labels = load_breast_cancer(return_X_y=True)
    >>> card = StraightThroughClassifier(max_iter=99, random_state=0).fit(inputs, labels).card(max_features=3)
    >>> bool((card.predict(inputs) == labels).mean() > 0.93)
    True
    """

    classes_: np.ndarray
    items: tuple[Item, ...]
    scale: float
    intercept: float
    samples: int
    n_features_in_: int

    @property
    def least(self) -> int:
        """The least total for which the card predicts the second class."""
        return int((self._log_odds() <= 0).sum())

    def __str__(self) -> str:
        """The card as plain text."""
        rows = [("feature", "value", "points"), *self._rows()]
        first, second = (max(len(row[k]) for row in rows) for k in (0, 1))
        lines = [f"{name:{first}}  {group:{second}}  {points:>6}" for name, group, points in rows]
        lines.insert(1, "-" * len(lines[0]))
        risks = ", ".join(f"{total} → {share}" for total, share in self._risks())
        return "\n".join([*lines, self._rule(), f"Probability of {self.classes_[1]} by total: {risks}."])

    text = property(__str__)

    def html(self) -> str:
        """Return the card in HTML.

        Returns
        -------
        str
            A ``div`` with tables, all texts escaped, without style or script.
        """
        values = {"groups": self._rows(), "risks": self._risks(), "label": self.classes_[1]}
        return TEMPLATES.get_template("card.html").render(rule=self._rule(), **values)

    _repr_html_ = html

    def frame(self) -> Any:
        """Return the points as a Polars frame.

        Returns
        -------
        polars.DataFrame
            A row for each group: feature, group in words, the ends ``low ≤ value < high``, and its points.
        """
        import polars as pl

        rows = []
        for item in self.items:
            cuts = [f"{edge:.12g}" for edge in item.edges]
            inner = [f"{low} to below {high}" for low, high in pairwise(cuts)]
            words, ends = [f"below {cuts[0]}", *inner, f"{cuts[-1]} or more"], [None, *item.edges, None]
            rows += zip(repeat(item.name), words, ends, ends[1:], item.points.tolist(), strict=False)
        names = ["feature", "group", "low", "high", "points"]
        return pl.DataFrame(rows, names, orient="row", infer_schema_length=None)

    def _logits(self, X) -> np.ndarray:
        shape = *np.shape(X)[:1], self.n_features_in_
        X = real_array(X, "X", ("sample", "feature"), shape, "this card")
        totals = np.zeros(len(X), np.int64)
        for item in self.items:
            totals += item.points[np.searchsorted(item.edges, X[:, item.feature], side="right")]
        return self._log_odds()[totals, None]

    def _log_odds(self) -> np.ndarray:
        """Return the log-odds of all totals, from zero to the most points that a sample can get."""
        most = sum(int(item.points.max()) for item in self.items)
        return self.scale * np.arange(most + 1) + self.intercept

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = self.frame().iter_rows()
        return [("" if low is not None else name, group, str(points)) for name, group, low, _, points in rows]

    def _rule(self) -> str:
        no, yes = self.classes_
        return f"Add the points. A total of {self.least} or more predicts {yes}, otherwise {no}."

    def _risks(self) -> list[tuple[str, str]]:
        """Return ranges of totals and their probabilities of the second class, in words."""
        shares, finest = probabilities(self._log_odds()[:, None])[:, 0], max(1 / self.samples, _FINEST)
        words = [_in_words(one, finest) for one in shares.tolist()]
        first, end = np.searchsorted(shares, finest), np.searchsorted(shares, 1 - finest, side="right")
        step = max(1, -(-int(end - first) // _SHOWN))
        ends = pairwise(sorted({0, *range(first, end, step), int(end), len(shares)}))
        return [
            (_between(str(low), str(after - 1)), _between(words[low], words[after - 1]))
            for low, after in ends
        ]


def _in_words(share: float, finest: float) -> str:
    if not finest <= share <= 1 - finest:
        return f"below {percent(finest, 1)}" if share < finest else f"above {percent(1 - finest, 1)}"
    return percent(max(share, 0.501) if share > 0.5 else min(share, 0.499), 1)  # not rounded across one half


def _between(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
