"""Scoring cards: their predictions are those of a person who adds up the points."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import sterling as st

pytest.importorskip("sklearn", reason="needs scikit-learn")

from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.model_selection import train_test_split

from sterling.learn import StraightThroughClassifier

SHORT = {"max_iter": 50, "random_state": 0}


@pytest.fixture(scope="module")
def cancer():
    data = load_breast_cancer(as_frame=True)
    return data.data, np.array(["malignant", "benign"])[data.target]


@pytest.fixture(scope="module")
def fitted(cancer):
    return StraightThroughClassifier(**SHORT).fit(*cancer)


@pytest.fixture(scope="module")
def card(fitted):
    return fitted.card()


def by_hand(card, frame, row):
    """Add up the points of one sample, as the frame of the card states them."""
    total = 0
    for line in card.frame().iter_rows(named=True):
        value = frame[line["feature"]].iloc[row]
        if (line["low"] is None or value >= line["low"]) and (line["high"] is None or value < line["high"]):
            total += line["points"]
    return total


def test_a_class_is_predicted_by_adding_up_the_points(cancer, card):
    frame, labels = cancer
    predicted, shares, odds = card.predict(frame), card.predict_proba(frame), card.decision_function(frame)
    for row in range(len(frame)):
        total = by_hand(card, frame, row)
        assert predicted[row] == ("malignant" if total >= card.least else "benign")
        assert odds[row] == pytest.approx(card.scale * total + card.intercept)
        assert shares[row, 1] == pytest.approx(1 / (1 + math.exp(-odds[row])), abs=1e-12)
    assert f"A total of {card.least} or more predicts malignant, otherwise benign" in card.text
    assert (predicted == labels).mean() > 0.95
    with pytest.raises(st.InputError, match="shape"):
        card.predict(frame.iloc[:, 1:])


def test_a_card_names_totals_that_occur_and_claims_no_more_than_the_data(card):
    """No probability is nearer to 0 or 1 than one sample; one half is where labels change."""
    sums = {sum(one) for one in product(*(item.points.tolist() for item in card.items))}
    missing = set(range(max(sums))) - sums
    assert missing
    assert card.least in sums
    *_, risks = card._words()
    shown = []
    for total, share in risks:
        ends = [int(one) for one in total.split(" to ")]
        shown += ends
        for end, word in zip(ends, share.split(" to ") * 2, strict=False):
            number = float(re.search(r"[\d.]+", word)[0]) / 100
            assert 0.9 / card.samples < number < 1 - 0.9 / card.samples
            assert (number > 0.5) == (end >= card.least)
    assert set(shown) <= sums
    assert shown == sorted(shown)
    assert (shown[0], shown[-1]) == (0, max(sums))
    assert "below 0.2\N{NO-BREAK SPACE}%" in card.html()
    assert "above 99.8\N{NO-BREAK SPACE}%" in card.html()
    assert "a number are bounds" in card.html()
    assert "below 0.1\N{NO-BREAK SPACE}%" in replace(card, samples=10**6).text
    never = replace(card, classes_=np.array([-1, 1]), intercept=-1e3)
    assert "predicts −1 for every total" in never.text


def test_noise_gets_no_long_card(cancer):
    """Fixed seed. Cross-validation keeps at most three of the ten features that AIC alone would take."""
    labels = np.random.default_rng(5).permutation(cancer[1])
    assert len(StraightThroughClassifier(**SHORT).fit(cancer[0], labels).card().items) <= 3


def test_what_can_have_no_card_is_named(fitted):
    for given in ({"max_groups": 1}, {"max_points": 61}, {"monotone": [1, 2]}, {"monotone": {"radius": 1}}):
        with pytest.raises(st.InputError, match=next(iter(given))):
            fitted.card(**given)
    with pytest.raises(st.InputError, match="two classes"):
        StraightThroughClassifier(**SHORT).fit(*load_wine(return_X_y=True)).card()
    with pytest.raises(st.InputError, match="no training data"):
        StraightThroughClassifier.from_dict(fitted.to_dict()).card()


def test_the_logistic_of_the_points_has_the_least_loss(cancer, card):
    positive = cancer[1] == "malignant"
    totals = np.array([by_hand(card, cancer[0], row) for row in range(len(positive))])

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
            assert 1 <= np.abs(np.diff(item.points)).max() <= points
            assert item.points.min() == 0


def test_points_are_monotone_where_that_is_asked(cancer, fitted, card):
    up = fitted.card(monotone=np.ones(30, int))
    down = fitted.card(monotone=dict.fromkeys(cancer[0].columns, -1))
    assert any((np.diff(item.points) > 0).any() for item in card.items)
    assert all((np.diff(item.points) > 0).all() for item in up.items)
    assert all((np.diff(item.points) < 0).all() for item in down.items)


def test_a_card_holds_on_data_that_it_has_not_seen():
    """Fixed split. Ten features in groups lose at most 3 points to the classifier of 30 weights."""
    inputs, labels = load_breast_cancer(return_X_y=True)
    train, test, first, second = train_test_split(inputs, labels, random_state=0, stratify=labels)
    found = StraightThroughClassifier(max_iter=1_000, random_state=0).fit(train, first)
    assert (found.card().predict(test) == second).mean() > found.score(test, second) - 0.03


def test_a_card_without_points_says_the_most_frequent_class():
    inputs, labels = np.tile([[0.0], [1.0]], (30, 1)), np.arange(60) % 3
    card = StraightThroughClassifier(**SHORT).fit(inputs, labels > 0).card()
    assert card.items == ()
    assert card.predict(inputs).all()
    np.testing.assert_allclose(card.predict_proba(inputs)[:, 1], 2 / 3, atol=1e-4)
    assert "predicts True for every total" in card.text
