"""Fits scoring cards: thresholds at quantiles, a choice of a few of them, and whole points."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from sterling.base.arrays import check_signs
from sterling.base.checks import integer, shown
from sterling.errors import InputError
from sterling.learn.card import Card, Item
from sterling.learn.training import Labelled, descended, heads, loss_of, numbers, probabilities

_CUTS = 15  # thresholds tried for each feature
_CELLS = 2**26  # of the table of thresholds; more samples than fit are not used
_FOLDS, _PASSES = 4, 2  # of the cross-validation, and of exchanges
_RIDGE = 1e-3  # on coefficients before rounding, so that separable classes have finite ones
_EXACT = {"ftol": 1e-5}  # of the regressions; the points have the last word
_MOST_POINTS = 60


class Thresholds(NamedTuple):
    """Thresholds of features. Where they are used, inputs are float32 (N, M): 1 at or above a threshold."""

    feature: np.ndarray  # int64 (M,)
    edge: np.ndarray  # float64 (M,)
    sign: np.ndarray  # int8 (M,): 1 or −1 where points must have this sign, or 0
    limits: tuple[int, int]  # most features and most groups


class Choice(NamedTuple):
    """Some thresholds, with their logistic regression."""

    chosen: list[int]
    values: np.ndarray  # float64 (k + 1,), the coefficients and the intercept
    loss: float

    def logits(self, data: Labelled) -> np.ndarray:
        """Return the logits (N, 1) of samples."""
        return (data.inputs[:, self.chosen] @ self.values[:-1] + self.values[-1])[:, None]


def fitted_card(
    data: Labelled, labels: np.ndarray, names: list[str], max_features, max_groups, max_points, monotone
) -> Card:
    """Return the card of samples with inputs as they are; of very many it takes evenly spaced ones."""
    if len(labels) > 2:
        raise InputError(f"a card needs two classes, and the classifier has {len(labels)}")
    limits = integer(max_features, "max_features", 1), integer(max_groups, "max_groups", 2)
    integer(max_points, "max_points", 1, _MOST_POINTS)
    if isinstance(monotone, dict):
        if unknown := set(monotone) - set(names):
            raise InputError(f"monotone names {shown(unknown.pop())}, which is not a feature")
        monotone = [monotone.get(name, 0) for name in names]
    signs = [0] * len(names) if monotone is None else monotone
    signs = check_signs(signs, len(names), "monotone", (-1, 0, 1))
    data = data.part(np.arange(0, len(data.inputs), -(-data.inputs.size * _CUTS // _CELLS)))
    fold, (steps, data) = numbers(data) % _FOLDS, _thresholds(data, signs, limits)
    choice = _chosen(data, steps, fold)
    sample = data._replace(inputs=data.inputs[:, choice.chosen].astype(np.float64))
    codes = _rounded(sample, choice.values[:-1], steps.sign[choice.chosen], max_points)
    (scale,), (intercept,) = heads(sample.inputs @ codes.T.astype(np.float64), sample)
    feature, edge, codes = steps.feature[choice.chosen], steps.edge[choice.chosen], codes[0].astype(np.int64)
    items = []
    for one in dict.fromkeys(feature[codes != 0].tolist()):
        own = [k for k in np.argsort(edge) if feature[k] == one and codes[k]]
        points = np.append(0, codes[own].cumsum())
        intercept += scale * points.min()
        items.append(Item(one, names[one], edge[own], points - points.min()))
    return Card(labels, tuple(items), float(scale), float(intercept), len(fold), len(names))


def _thresholds(data: Labelled, signs: np.ndarray, limits: tuple[int, int]) -> tuple[Thresholds, Labelled]:
    """Return thresholds at quantiles, each between two neighbouring values and as short as possible."""
    found, wanted = [], np.arange(1, _CUTS + 1) / (_CUTS + 1)
    for k, values in enumerate(data.inputs.T):
        order = np.argsort(values, kind="stable")
        ranked, mass = values[order], np.cumsum(data.shares[order])
        ends = np.flatnonzero(np.diff(ranked) > 0)  # each the last sample below a possible threshold
        if len(ends) > _CUTS:
            ends = np.unique(ends[np.abs(mass[ends][:, None] - wanted).argmin(axis=0)])
        found += [(k, _short(ranked[end], ranked[end + 1])) for end in ends]
    reached = np.stack([data.inputs[:, k] >= edge for k, edge in found], axis=1)
    feature, edge = map(np.array, zip(*found, strict=True))
    return Thresholds(feature, edge, signs[feature], limits), data._replace(inputs=reached.astype(np.float32))


def _short(low: float, high: float) -> float:
    """Return the number above low, at most high, that has the fewest digits."""
    middle, least = float(low + (high - low) / 2), -int(np.log10(max(-low, high, 1e-300))) - 1
    for digits in range(least, least + 18):
        if low < (rounded := round(middle, digits)) <= high:
            return rounded + 0.0  # never −0
    return float(high)


def _chosen(data: Labelled, steps: Thresholds, fold: np.ndarray) -> Choice:
    """Return the choice whose length has the least loss in cross-validation, improved by exchanges."""
    path = _path(data, steps)
    losses = np.zeros(len(path))
    for one in range(_FOLDS):
        others, held = _path(data.part(fold != one), steps), data.part(fold == one)
        losses += [loss_of(others[min(k, len(others) - 1)].logits(held), held) for k in range(len(path))]
    best = path[int(losses.argmin())]
    for _ in range(_PASSES * len(best.chosen)):  # exchange the first, or put it last
        chosen, values = best.chosen[1:], best.values[1:]
        other = _extended(data, steps, _regression(data, steps, chosen, values))
        if other is None or other.loss >= best.loss:
            values = np.insert(values, len(chosen), best.values[0])
            other = Choice([*chosen, best.chosen[0]], values, best.loss)
        best = other
    return best


def _path(data: Labelled, steps: Thresholds) -> list[Choice]:
    """Return choices of no threshold, of one, of two and so on, as long as another pays by AIC."""
    path, price = [_regression(data, steps, [], np.zeros(1))], 1 / len(data.shares)
    while (longer := _extended(data, steps, path[-1])) and path[-1].loss - longer.loss > price:
        path.append(longer)
    return path


def _extended(data: Labelled, steps: Thresholds, choice: Choice) -> Choice | None:
    """Return the choice with one more threshold, the best by the score test, or None if no other fits."""
    share = probabilities(choice.logits(data))[:, 0]
    slope = ((data.targets[:, 0] - share) * data.shares).astype(np.float32) @ data.inputs
    bend = (share * (1 - share) * data.shares).astype(np.float32)
    mass = bend @ data.inputs
    gain = slope**2 / (mass * (1 - mass / bend.sum()) + 1e-6)
    groups = np.bincount(steps.feature[choice.chosen], minlength=steps.feature[-1] + 1) + 1
    full, groups = (groups > 1).sum() >= steps.limits[0], groups[steps.feature]
    gain[(slope * steps.sign < 0) | (groups >= steps.limits[1]) | (full & (groups == 1))] = 0
    gain[choice.chosen] = 0
    chosen = [*choice.chosen, int(gain.argmax())]
    start = np.insert(choice.values, len(chosen) - 1, 0.0)
    return _regression(data, steps, chosen, start) if gain.any() else None


def _regression(data: Labelled, steps: Thresholds, chosen: list[int], start: np.ndarray) -> Choice:
    """Return the logistic regression on chosen thresholds, with coefficients of the given signs."""
    inputs = data.inputs[:, chosen].astype(np.float64)

    def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
        weights, logits = values[:-1], (inputs @ values[:-1] + values[-1])[:, None]
        residual = (probabilities(logits) - data.targets)[:, 0] * data.shares
        loss = loss_of(logits, data) + 0.5 * _RIDGE * weights @ weights
        return float(loss), np.append(residual @ inputs + _RIDGE * weights, residual.sum())

    limits = [(0 if sign > 0 else None, 0 if sign < 0 else None) for sign in [*steps.sign[chosen], 0]]
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=limits, options=_EXACT)
    return Choice(chosen, found.x, float(found.fun))


def _rounded(sample: Labelled, weights: np.ndarray, signs: np.ndarray, most: int) -> np.ndarray:
    """Return whole numbers (1, k) of least loss: weights rounded at each scale, then changed one by one."""
    best, largest = (np.inf, np.zeros((1, len(weights)), np.int8)), np.abs(weights).max(initial=0.0)
    for top in range(1, most + 1) if largest > 0 else ():
        codes = np.rint(weights * (top / largest)).astype(np.int8)[None]
        codes = descended(sample, codes, 2 * most + 1, signs)
        scale, intercept = heads(scores := sample.inputs @ codes.T.astype(np.float64), sample)
        if scale[0] > 0 and (loss := loss_of(scores * scale + intercept, sample)) < best[0]:
            best = loss, codes
    return best[1]
