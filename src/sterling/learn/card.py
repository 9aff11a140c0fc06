"""Scoring cards: a few features in a few groups with whole points, which a person can add up."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any, NamedTuple

import numpy as np

from sterling.base.arrays import real_array
from sterling.base.text import in_words, percent
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
        """The least total for which the card predicts the second class, above all totals if there is none."""
        totals, odds = self._odds()
        return int(min(totals[odds > 0], default=totals[-1] + 1))

    def __str__(self) -> str:
        """The card as plain text."""
        rows = [("feature", "value", "points"), *self._rows()]
        first, second = (max(len(row[k]) for row in rows) for k in (0, 1))
        lines = [f"{name:{first}}  {group:{second}}  {points:>6}" for name, group, points in rows]
        lines.insert(1, "-" * len(lines[0]))
        rule, label, risks = self._words()
        shares = ", ".join(f"{total} → {share}" for total, share in risks)
        words = f"Probability of {label} by total (below and above are bounds): {shares}."
        return "\n".join([*lines, rule, words])

    text = property(__str__)

    def html(self) -> str:
        """Return the card in HTML.

        Returns
        -------
        str
            A ``div`` with tables, all texts escaped, without style or script.
        """
        rule, label, risks = self._words()
        template = TEMPLATES.get_template("card.html")
        return template.render(groups=self._rows(), rule=rule, label=label, risks=risks)

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
            cuts = [f"{edge:.12g}".replace("-", "−") for edge in item.edges]
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
        return self.scale * totals[:, None] + self.intercept

    def _odds(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the totals that the points can give, rising from zero, and their log-odds."""
        totals = np.zeros(1, np.int64)
        for item in self.items:
            totals = np.unique(np.add.outer(totals, item.points))
        return totals, self.scale * totals + self.intercept

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = self.frame().iter_rows()
        return [("" if low is not None else name, group, str(points)) for name, group, low, _, points in rows]

    def _words(self) -> tuple[str, str, list[list[str]]]:
        """Return the rule, the second class, and its probabilities by ranges of totals."""
        (no, yes), (totals, odds), least = map(in_words, self.classes_), self._odds(), self.least
        rule = f"Add the points. A total of {least} or more predicts {yes}, otherwise {no}."
        if (odds > 0).all() or (odds <= 0).all():
            rule = f"The card predicts {no if least else yes} for every total."
        shares, finest = probabilities(odds[:, None])[:, 0], max(1 / self.samples, _FINEST)
        names, words = totals.astype(str), [_share(one, finest) for one in shares.tolist()]
        first, end = np.searchsorted(shares, finest), np.searchsorted(shares, 1 - finest, side="right")
        step = max(1, -(-int(end - first) // _SHOWN))
        ends = pairwise(sorted({0, *range(first, end, step), int(end), len(shares)}))
        parts = [slice(low, after, max(1, after - low - 1)) for low, after in ends]  # the first and the last
        return rule, yes, [[" to ".join(dict.fromkeys(one[k])) for one in (names, words)] for k in parts]


def _share(share: float, finest: float) -> str:
    if not finest <= share <= 1 - finest:
        return f"below {percent(finest, 1)}" if share < finest else f"above {percent(1 - finest, 1)}"
    return percent(max(share, 0.501) if share > 0.5 else min(share, 0.499), 1)  # not rounded across one half
