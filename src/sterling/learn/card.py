"""Scoring cards: a few features in a few groups with whole points, which a person can add up.

`points.py` fits them; this module predicts with them and shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, repeat
from typing import Any, NamedTuple

import numpy as np

from sterling.base.arrays import real_array
from sterling.base.text import percent
from sterling.learn.export import Exported, c_header, rendered
from sterling.learn.training import probabilities

_BITS = 30  # of the largest edge in C, for inputs of 32 bits
_FINEST = 0.001  # probability in words
_SHOWN = 16  # rows of probabilities between the first and the last


class Item(NamedTuple):
    """A feature of a card: groups of its values, and the points of each group.

    Group 0 is below ``edges[0]``, the last is at or above the last edge; an edge belongs to the group above.
    """

    feature: int
    name: str
    edges: np.ndarray  # float64 (groups − 1,), rising
    points: np.ndarray  # int64 (groups,), the least is 0


@dataclass(frozen=True)
class Card(Exported):
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
        The fitted logistic: the second class has the log-odds scale·total + intercept; the scale is positive.
    samples : int
        Samples that the card was fitted to. Texts and tables show no probability nearer to 0 or 1 than
        1/samples or 0.1 %.
    n_features_in_ : int
        Features of the data, most of which the card does not use.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sterling.learn import StraightThroughClassifier
    >>> data = load_breast_cancer(as_frame=True)
    >>> card = StraightThroughClassifier(max_iter=100, random_state=0).fit(data.data, data.target).card(
    ...     max_features=3
    ... )
    >>> len(card.items), card.frame().columns
    (3, ['feature', 'group', 'low', 'high', 'points'])
    >>> bool((card.predict(data.data) == data.target).mean() > 0.93)
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
        return int((self._log_odds(self._totals()) <= 0).sum())

    @property
    def text(self) -> str:
        """The card as plain text."""
        rows = self._rows()
        first, second = (max(len(row[k]) for row in rows) for k in (0, 1))
        lines = [f"{name:{first}}  {group:{second}}  {points:>6}" for name, group, points in rows]
        lines.insert(1, "-" * len(lines[0]))
        risks = ", ".join(f"{total} → {share}" for total, share in self._risks())
        return "\n".join([*lines, self._rule(), f"Probability of {self.classes_[1]} by total: {risks}."])

    def __str__(self) -> str:
        return self.text

    def html(self) -> str:
        """Return the card as HTML tables with its rule, all texts escaped, without style or script.

        Returns
        -------
        str
            A ``div``.
        """
        values = {"groups": self._rows()[1:], "risks": self._risks(), "label": self.classes_[1]}
        return rendered("card.html", rule=self._rule(), **values)

    _repr_html_ = html

    def frame(self) -> Any:
        """Return the points as a Polars frame.

        Returns
        -------
        polars.DataFrame
            A row for each group: feature, group in words, ``low`` and ``high``, and its points. The group has
            the value ``low`` but not ``high``.
        """
        import polars as pl

        schema = {"feature": pl.String, "group": pl.String, "low": pl.Float64, "high": pl.Float64}
        return pl.DataFrame(self._groups(), schema | {"points": pl.Int64}, orient="row")

    def _logits(self, X) -> np.ndarray:
        X = self._checked(X)
        totals = np.zeros(len(X), np.int64)
        for item in self.items:
            totals += item.points[np.searchsorted(item.edges, X[:, item.feature], side="right")]
        return self._log_odds(totals)[:, None]

    def _log_odds(self, totals: np.ndarray) -> np.ndarray:
        return self.scale * totals + self.intercept

    def _checked(self, X) -> np.ndarray:
        shape = *np.shape(X)[:1], self.n_features_in_
        return real_array(X, "X", ("sample", "feature"), shape, "this card")

    @property
    def _shifts(self) -> np.ndarray:
        shifts = np.zeros(self.n_features_in_, np.int64)
        for item in self.items:
            shifts[item.feature] = _BITS - np.frexp(np.abs(item.edges).max())[1]
        return shifts

    def _header(self) -> str:
        shifted = [np.ceil(np.ldexp(item.edges, self._shifts[item.feature])) for item in self.items]
        items = [(item, cuts.astype(int).tolist()) for item, cuts in zip(self.items, shifted, strict=True)]
        values = {"what": "scoring card", "remark": "Its totals are exact.", "least": self.least}
        return c_header(self, {one.feature: one.name for one in self.items}, "card.h", items=items, **values)

    def _totals(self) -> np.ndarray:
        """Return all whole numbers from zero to the most points that a sample can get."""
        return np.arange(sum(int(item.points.max()) for item in self.items) + 1)

    def _groups(self) -> list[tuple[str, str, float | None, float | None, int]]:
        """Return the rows of `frame`."""
        rows = []
        for item in self.items:
            cuts = [f"{edge:.12g}" for edge in item.edges]
            inner = [f"{low} to below {high}" for low, high in pairwise(cuts)]
            words, ends = [f"below {cuts[0]}", *inner, f"{cuts[-1]} or more"], [None, *item.edges, None]
            rows += zip(repeat(item.name), words, ends, ends[1:], item.points.tolist(), strict=False)
        return rows

    def _rows(self) -> list[tuple[str, str, str]]:
        rows = [("" if low is not None else name, group, str(k)) for name, group, low, _, k in self._groups()]
        return [("feature", "value", "points"), *rows]

    def _rule(self) -> str:
        no, yes = self.classes_
        return f"Add the points. A total of {self.least} or more predicts {yes}, otherwise {no}."

    def _risks(self) -> list[tuple[str, str]]:
        """Return ranges of totals and their probabilities of the second class, in words."""
        totals, finest = self._totals(), max(1 / self.samples, _FINEST)
        shares = probabilities(self._log_odds(totals)[:, None])[:, 0]
        # Rounding must not move a share across one half.
        words = [percent(max(one, 0.501) if one > 0.5 else min(one, 0.499), 1) for one in shares]
        first, end = np.searchsorted(shares, finest), np.searchsorted(shares, 1 - finest, side="right")
        rows = [(_between("0", str(first - 1)), f"below {percent(finest, 1)}")] if first else []
        step = max(1, -(-int(end - first) // _SHOWN))
        for low in range(first, end, step):
            high = min(low + step, end) - 1
            rows.append((_between(str(low), str(high)), _between(words[low], words[high])))
        above = (_between(str(end), str(totals[-1])), f"above {percent(1 - finest, 1)}")
        return [*rows, above] if end < len(totals) else rows


def _between(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"
