"""Scoring cards: a few features in a few groups with whole points, which a person can add up.

Cards are fitted in three stages: thresholds at quantiles; a choice of few thresholds by score tests, with
exchanges; whole points by rounding at several scales and the descent by single codes.
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize

from sterling.base.arrays import real_array
from sterling.errors import InputError
from sterling.learn.export import Exported, card_header
from sterling.learn.training import Labelled, descended, heads, loss_of, probabilities

_CUTS = 15  # thresholds tried for each feature
_SHARES = 1.0, 0.8, 0.6, 0.45, 0.3, 0.2  # largest coefficient before rounding, in parts of the most points
_CELLS = 2**26  # of the table of thresholds; more samples than fit are not used
#: Most points by which neighbouring groups can differ.
MOST_POINTS = 60
_BELOW = 1 - 1e-9  # so that no rounding turns the sign of a logit
_BITS = 30  # of the largest edge in C, for inputs of 32 bits
_PASSES = 3  # of exchanges
_RIDGE = 1e-3  # on coefficients before rounding, so that separable classes have finite ones
_SHOWN = 12  # totals with their probabilities in a text


class Item(NamedTuple):
    """A feature of a card: groups of its values, and the points of each group.

    Group 0 is below ``edges[0]``, the last is at or above the last edge; an edge belongs to the group above.
    """

    feature: int
    name: str
    edges: np.ndarray  # float64 (groups − 1,), rising
    points: np.ndarray  # int64 (groups, R), at least 0

    def groups(self) -> list[str]:
        """Return the groups in words."""
        cuts = [f"{edge:.12g}" for edge in self.edges]
        inner = [f"{low} to below {high}" for low, high in pairwise(cuts)]
        return [f"below {cuts[0]}", *inner, f"{cuts[-1]} or more"]


@dataclass(frozen=True)
class Card(Exported):
    """A scoring card: whole points for groups of values of a few features.

    `StraightThroughClassifier.card` makes it. With two classes the points say the second class if their total
    is at least ``least``. With more classes each class has points and a start, and the highest total wins,
    the first one of equals.

    Parameters
    ----------
    classes_ : array (classes,)
        The labels.
    items : tuple of Item
        The features with their groups and points.
    start : int64 array (R,)
        What is added to the points; with two classes 1 − ``least``.
    scale, intercept : float
        The fitted logistic: a second class of two has the log-odds scale·total + intercept, where total
        includes the start. More classes have the probabilities softmax(scale·totals).
    n_features_in_ : int
        Features of the data, most of which the card does not use.

    Raises
    ------
    InputError
        From its methods, if inputs have another number of features.

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
    start: np.ndarray
    scale: float
    intercept: float
    n_features_in_: int

    @property
    def least(self) -> int:
        """Points from which two-class cards say the second class."""
        return 1 - int(self.start[0])

    @property
    def text(self) -> str:
        """The card as plain text."""
        rows = self._rows()
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = []
        for first, second, *points in rows:
            numbers = "".join(f"  {cell:>{width}}" for cell, width in zip(points, wide[2:], strict=True))
            lines.append(f"{first:{wide[0]}}  {second:{wide[1]}}{numbers}")
        lines.insert(1, "-" * len(lines[0]))
        if len(self.start) == 1:
            risks = self._risks()
            odds = [f"{total} → {share:.0%}" for total, share in risks[:: -(-len(risks) // _SHOWN)]]
            lines.append(f"Probability of {self.classes_[1]} by total: {', '.join(odds)}")
        return "\n".join([*lines, self._rule()])

    def __str__(self) -> str:
        return self.text

    def html(self) -> str:
        """Return the card as HTML tables with its rule, all texts escaped, without style or script.

        Returns
        -------
        str
            A ``div``.
        """
        tables = _table("points", self._rows()) + f"<p>{html.escape(self._rule())}</p>"
        if len(self.start) == 1:
            risks = [(str(total), f"{share:.1%}") for total, share in self._risks()]
            tables += _table("risks", [("total", f"probability of {self.classes_[1]}"), *risks])
        return f"<div class='card'>{tables}</div>"

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

        names = ["points"] if len(self.start) == 1 else [f"points_{label}" for label in self.classes_]
        rows = [
            (item.name, group, low, high, *points)
            for item in self.items
            for group, low, high, points in zip(
                item.groups(), [None, *item.edges], [*item.edges, None], item.points.tolist(), strict=True
            )
        ]
        schema = {"feature": pl.String, "group": pl.String, "low": pl.Float64, "high": pl.Float64}
        return pl.DataFrame(rows, schema | dict.fromkeys(names, pl.Int64), orient="row")

    def totals(self, X) -> np.ndarray:
        """Return the sums of points of samples, start included.

        Parameters
        ----------
        X : array or frame (N, n)
            The inputs.

        Returns
        -------
        int64 array (N, 1) or (N, classes)
            With two classes, a sum above zero says the second.
        """
        X = self._checked(X)
        totals = np.tile(self.start, (len(X), 1))
        for item in self.items:
            totals += item.points[np.searchsorted(item.edges, X[:, item.feature], side="right")]
        return totals

    def _logits(self, X) -> np.ndarray:
        return self.scale * self.totals(X) + self.intercept

    def _checked(self, X) -> np.ndarray:
        X = real_array(X, "X", ("sample", "feature"))
        if X.ndim != 2 or X.shape[1] != self.n_features_in_:
            raise InputError(f"X must have the shape (samples, {self.n_features_in_}), not {X.shape}")
        return X

    def _header(self) -> str:
        return card_header(self)

    @property
    def _shifts(self) -> np.ndarray:
        found = np.zeros(self.n_features_in_, np.int64)
        for item in self.items:
            found[item.feature] = _BITS - np.frexp(np.abs(item.edges).max())[1]
        return found

    def _risks(self) -> list[tuple[int, float]]:
        """Return the totals that can occur, without the start, and the probability of the second class."""
        reach = {0}
        for item in self.items:
            reach = {total + points for total in reach for points in item.points[:, 0].tolist()}
        totals = np.array(sorted(reach))
        shares = probabilities(self.scale * (totals + self.start)[:, None] + self.intercept)[:, 0]
        return list(zip(totals.tolist(), shares.tolist(), strict=True))

    def _rows(self) -> list[tuple[str, ...]]:
        points = ["points"] if len(self.start) == 1 else [str(label) for label in self.classes_]
        rows = [("feature", "value", *points)]
        for item in self.items:
            for k, (group, points) in enumerate(zip(item.groups(), item.points.tolist(), strict=True)):
                rows.append(("" if k else item.name, group, *map(str, points)))
        if len(self.start) > 1:
            rows.append(("start", "", *map(str, self.start.tolist())))
        return rows

    def _rule(self) -> str:
        if len(self.start) > 1:
            return "Add the points of each class; the highest total wins, the first one of equals."
        return (
            f"Add the points: {self.classes_[1]} from a total of {self.least}, otherwise {self.classes_[0]}."
        )


def _table(name: str, rows: list[tuple[str, ...]]) -> str:
    """Return rows as an HTML table, the first one as its head."""
    lines = []
    for k, row in enumerate(rows):
        tag = "td" if k else "th"
        lines.append("<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row) + "</tr>")
    return f"<table class='{name}'>{''.join(lines)}</table>"


class Columns(NamedTuple):
    """The table of thresholds of all features."""

    table: np.ndarray  # float32 (N, M), one where a value is at or above the threshold
    feature: np.ndarray  # int64 (M,)
    edge: np.ndarray  # float64 (M,)
    direction: np.ndarray  # int64 (M,): 1 or −1 where coefficients must have this sign, or 0


def fit(
    data: Labelled,
    labels: np.ndarray,
    names: list[str],
    max_features: int,
    max_groups: int,
    max_points: int,
    direction: np.ndarray,
) -> Card:
    """Return the card of samples with inputs as they are; of very many evenly spaced ones."""
    kept = np.arange(0, total := len(data.shares), -(-total * data.inputs.shape[1] * _CUTS // _CELLS))
    data = data.part(kept)
    columns, rows = _columns(data, direction), data.rows
    chosen = _chosen(columns, data, max_features, max_groups)
    sample = data._replace(inputs=columns.table[:, chosen].astype(np.float64))
    signs = columns.direction[chosen]
    coefficients, _, _ = _refitted(sample, signs)
    best = np.inf, np.zeros((rows, len(chosen)), np.int8)
    largest = np.abs(coefficients).max(initial=0.0)
    for share in _SHARES if largest > 0 else ():
        codes = np.rint(coefficients * (share * max_points / largest)).astype(np.int8)
        codes = descended(sample, codes, 2 * max_points + 1, signs, shared=True)
        scale, intercept = heads(scores := sample.inputs @ codes.T.astype(float), sample, shared=True)
        if scale[0] > 0 and (loss := loss_of(scores * scale + intercept, data)) < best[0]:
            best = loss, codes
    return _written(best[1], sample, columns.feature[chosen], columns.edge[chosen], labels, names, len(names))


def _written(codes, sample: Labelled, feature, edge, labels, names, n: int) -> Card:
    """Return the card of codes (R, k) of thresholds; points of a feature begin at zero."""
    items, start = [], np.zeros(len(codes), np.int64)
    for one in dict.fromkeys(feature[codes.any(axis=0)].tolist()):
        own = np.flatnonzero((feature == one) & codes.any(axis=0))
        own = own[np.argsort(edge[own])]
        steps = np.vstack([np.zeros((1, len(codes)), np.int64), codes[:, own].T.astype(np.int64)])
        points = steps.cumsum(axis=0)
        start += (lowest := points.min(axis=0))
        items.append(Item(one, names[one], edge[own], points - lowest))
    scores = sample.inputs @ codes.T.astype(float) - start
    scale, intercept = heads(scores, sample, shared=True)
    factor = float(scale[0]) if items else 1.0
    if len(codes) == 1:
        least = int(np.floor(-intercept[0] / factor)) + 1
        rest = float(np.clip(intercept[0] + factor * (least - 1), -_BELOW * factor, 0))
        return Card(labels, tuple(items), np.array([1 - least]), factor, rest, n)
    begin = np.rint(intercept / factor).astype(np.int64)
    return Card(labels, tuple(items), begin - begin.min(), factor, 0.0, n)


def _columns(data: Labelled, direction: np.ndarray) -> Columns:
    """Return thresholds at quantiles, each between two neighbouring values and as short as possible."""
    table, feature, edges = [], [], []
    for k, values in enumerate(data.inputs.T):
        order = np.argsort(values, kind="stable")
        ranked, mass = values[order], np.cumsum(data.shares[order])
        ends = np.flatnonzero(np.diff(ranked) > 0)  # each the last sample below a possible threshold
        if len(ends) > _CUTS:
            wanted = np.arange(1, _CUTS + 1) / (_CUTS + 1)
            ends = np.unique(ends[np.abs(mass[ends][:, None] - wanted).argmin(axis=0)])
        for end in ends:
            edge = _short(ranked[end], ranked[end + 1])
            table.append((values >= edge).astype(np.float32))
            feature.append(k)
            edges.append(edge)
    feature = np.array(feature, np.int64)
    return Columns(np.stack(table, axis=1), feature, np.array(edges), direction[feature])


def _short(low: float, high: float) -> float:
    """Return the number above low, at most high, that has the fewest digits."""
    middle, least = float(low + (high - low) / 2), -int(np.log10(max(-low, high, 1e-300))) - 1
    for digits in range(least, least + 18):
        if low < (rounded := round(middle, digits)) <= high:
            return rounded
    return float(high)


def _refitted(sample: Labelled, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Return coefficients (R, k) of the given signs, intercepts (R,) and the loss of logistic regression."""
    rows, size = sample.rows, len(signs)

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        weights, intercept = values[:-rows].reshape(rows, size), values[-rows:]
        logits = sample.inputs @ weights.T + intercept
        residual = (probabilities(logits) - sample.targets) * sample.shares[:, None]
        slope = residual.T @ sample.inputs + _RIDGE * weights
        loss = loss_of(logits, sample) + 0.5 * _RIDGE * (weights**2).sum()
        return loss, np.concatenate([slope.ravel(), residual.sum(axis=0)])

    limits = [(0 if sign > 0 else None, 0 if sign < 0 else None) for sign in signs] * rows + [
        (None, None)
    ] * rows
    found = minimize(objective, np.zeros(rows * (size + 1)), jac=True, method="L-BFGS-B", bounds=limits)
    return found.x[:-rows].reshape(rows, size), found.x[-rows:], float(found.fun)


def _chosen(columns: Columns, data: Labelled, max_features: int, max_groups: int) -> list[int]:
    """Return thresholds: the best of the score test one by one while they pay (BIC), then exchanges."""
    total, chosen = len(data.shares), []
    worth = 0.5 * np.log(total) * data.rows / total

    def extended(chosen: list[int]) -> tuple[list[int], float]:
        """Return the thresholds with the best other one added, and their loss."""
        sample = data._replace(inputs=columns.table[:, chosen].astype(np.float64))
        weights, intercept, _ = _refitted(sample, columns.direction[chosen])
        share = probabilities(sample.inputs @ weights.T + intercept)
        bend = share * (1 - share) * data.shares[:, None]
        slope = ((data.targets - share) * data.shares[:, None]).T.astype(np.float32) @ columns.table
        mass = bend.T.astype(np.float32) @ columns.table
        spread = mass * (1 - mass / bend.sum(axis=0)[:, None])
        gain = np.where(slope * columns.direction < 0, 0.0, slope**2 / (spread + 1e-6)).sum(axis=0)
        used, often = np.unique(columns.feature[chosen], return_counts=True)
        shut = set(used[often >= max_groups - 1].tolist())
        full = len(used) >= max_features
        for k, one in enumerate(columns.feature.tolist()):
            if one in shut or (full and one not in used):
                gain[k] = -1.0
        gain[chosen] = -1.0
        if gain.max() <= 0:
            return chosen, np.inf
        longer = [*chosen, int(gain.argmax())]
        sample = data._replace(inputs=columns.table[:, longer].astype(np.float64))
        return longer, _refitted(sample, columns.direction[longer])[2]

    loss = _refitted(data._replace(inputs=columns.table[:, :0].astype(np.float64)), np.zeros(0))[2]
    while True:
        longer, new = extended(chosen)
        if not loss - new > worth:
            break
        chosen, loss = longer, new
    for _ in range(_PASSES):
        before = loss
        for one in list(chosen):
            other, new = extended([k for k in chosen if k != one])
            if new < loss - 1e-6:
                chosen, loss = other, new
        if loss == before:
            break
    return chosen
