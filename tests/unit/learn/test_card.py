"""Scoring cards: their predictions are those of a person who adds up the points."""

from __future__ import annotations

import math

import numpy as np
import pytest

import sterling as st

pytest.importorskip("sklearn", reason="needs scikit-learn")

from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.model_selection import train_test_split

from sterling.learn import StraightThroughClassifier
from sterling.learn.card import _short

SHORT = {"max_iter": 50, "random_state": 0}


@pytest.fixture(scope="module")
def cancer():
    data = load_breast_cancer(as_frame=True)
    return data.data, np.array(["malignant", "benign"])[data.target]


@pytest.fixture(scope="module")
def fitted(cancer):
    return StraightThroughClassifier(**SHORT).fit(*cancer)


def by_hand(card, frame, row):
    """Add up the points of one sample, as the frame of the card states them."""
    names = [name for name in card.frame().columns if name.startswith("points")]
    totals = [0] * len(names)
    for line in card.frame().iter_rows(named=True):
        value = frame[line["feature"]].iloc[row]
        if (line["low"] is None or value >= line["low"]) and (line["high"] is None or value < line["high"]):
            totals = [total + line[name] for total, name in zip(totals, names, strict=True)]
    return totals


def test_two_classes_are_predicted_by_adding_up_the_points(cancer, fitted):
    frame, labels = cancer
    card = fitted.card()
    predicted, shares = card.predict(frame), card.predict_proba(frame)
    for row in range(len(frame)):
        (total,) = by_hand(card, frame, row)
        assert predicted[row] == ("malignant" if total >= card.least else "benign")
        assert shares[row, 1] == pytest.approx(
            1 / (1 + math.exp(-card.scale * (total + card.start[0]) - card.intercept)), abs=1e-12
        )
        assert (shares[row, 1] > 0.5) == (total >= card.least)
    assert f"malignant from a total of {card.least}, otherwise benign" in card.text
    assert (predicted == labels).mean() > 0.95


def test_many_classes_are_predicted_by_the_highest_total():
    data = load_wine(as_frame=True)
    card = StraightThroughClassifier(**SHORT).fit(data.data, data.target).card(max_features=4)
    predicted = card.predict(data.data)
    for row in range(len(data.data)):
        totals = np.array(by_hand(card, data.data, row)) + card.start
        assert predicted[row] == card.classes_[totals.argmax()]
    np.testing.assert_array_equal(card.predict_proba(data.data).sum(axis=1).round(12), 1)
    assert (predicted == data.target).mean() > 0.9
    assert all(f" {label}" in card.text for label in card.classes_)


def test_the_logistic_of_the_points_has_the_least_loss(cancer, fitted):
    card, positive = fitted.card(max_features=4), cancer[1] == "malignant"
    totals = card.totals(cancer[0])[:, 0]

    def loss(scale, intercept):
        each = np.logaddexp(0, -np.where(positive, 1, -1) * (scale * totals + intercept))
        return each.mean() + 0.5e-4 * (scale * totals.std()) ** 2  # the ridge of all heads

    least = loss(card.scale, card.intercept)
    for factor, shift in ((1.05, 0), (0.95, 0), (1, 0.1), (1, -0.1)):
        assert loss(card.scale * factor, card.intercept + shift) > least


def test_limits_are_kept(cancer, fitted):
    for features, groups, points in ((1, 2, 1), (3, 3, 2), (10, 5, 9)):
        card = fitted.card(max_features=features, max_groups=groups, max_points=points)
        assert 1 <= len(card.items) <= features
        for item in card.items:
            assert 2 <= len(item.points) <= groups
            assert 1 <= np.abs(np.diff(item.points, axis=0)).max() <= points
            assert item.points.min() == 0


def test_points_are_monotone_where_that_is_asked(cancer, fitted):
    frame = cancer[0]
    free = fitted.card(max_features=12, max_groups=6)
    up = fitted.card(max_features=12, max_groups=6, monotone=np.ones(30, int))
    down = fitted.card(max_features=12, max_groups=6, monotone=dict.fromkeys(frame.columns, -1))
    assert all((np.diff(item.points, axis=0) >= 0).all() for item in up.items)
    assert all((np.diff(item.points, axis=0) <= 0).all() for item in down.items)
    assert up.items
    assert len(free.items) >= len(up.items)


def test_a_card_holds_on_data_that_it_has_not_seen():
    """Fixed split. Ten features in groups lose at most 3 points to the classifier of 30 weights."""
    inputs, labels = load_breast_cancer(return_X_y=True)
    train, test, first, second = train_test_split(inputs, labels, random_state=0, stratify=labels)
    found = StraightThroughClassifier(max_iter=1_000, random_state=0).fit(train, first)
    assert (found.card().predict(test) == second).mean() > found.score(test, second) - 0.03


def test_thresholds_are_as_short_as_the_data_allow():
    assert _short(1.234, 1.30) == 1.3
    assert _short(1234.0, 1781.0) == 2000.0 or _short(1234.0, 1781.0) == 1500.0
    assert _short(-0.2, 0.4) == 0.1 or _short(-0.2, 0.4) == 0.0
    assert _short(-1.0, 1.0) == 1.0 or -1 < _short(-1.0, 1.0) <= 1
    assert 1.0 < _short(1.0, math.nextafter(1.0, 2)) <= math.nextafter(1.0, 2)


def test_other_data_and_loaded_models(cancer, fitted):
    frame, labels = cancer
    again = StraightThroughClassifier.from_dict(fitted.to_dict())
    with pytest.raises(st.InputError, match="no data"):
        again.card()
    assert again.card(frame, labels).text == fitted.card().text
    with pytest.raises(st.InputError, match="not seen"):
        again.card(frame, np.where(labels == "benign", "good", labels))
    with pytest.raises(st.InputError, match="one value in all samples"):
        again.card(0 * frame, labels)


def test_texts_of_users_are_escaped(cancer):
    frame, labels = cancer
    frame = frame.iloc[:, :3].set_axis(["<b>", "a*/b", "c"], axis=1)
    labels = np.where(labels == "benign", "<i>", "</p>")
    card = StraightThroughClassifier(**SHORT).fit(frame, labels).card()
    assert "<b>" in card.text
    assert "<b>" not in card.html()
    assert "<i>" not in card.html()
    assert "*/b" not in card.to_c()


@pytest.mark.parametrize(
    "arguments, cause",
    [
        ({"max_features": 0}, "max_features"),
        ({"max_groups": 1}, "max_groups"),
        ({"max_points": 61}, "max_points"),
        ({"monotone": [1, 2]}, "monotone"),
        ({"monotone": {"radius": 1}}, "radius"),
    ],
)
def test_arguments_that_cannot_be_used_are_named(fitted, arguments, cause):
    with pytest.raises(st.InputError, match=cause):
        fitted.card(**arguments)


def test_a_card_without_points_says_the_most_frequent_class():
    inputs, labels = np.tile([[0.0], [1.0]], (30, 1)), np.arange(60) % 3
    card = StraightThroughClassifier(**SHORT).fit(inputs, labels > 0).card()
    assert card.items == ()
    assert card.predict(inputs).all()
    np.testing.assert_allclose(card.predict_proba(inputs)[:, 1], 2 / 3, atol=1e-4)
    assert "from a total of" in card.text
