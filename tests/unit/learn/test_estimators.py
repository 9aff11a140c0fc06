"""The estimators: scikit-learn's own contract, then what they promise beside it."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st

pytest.importorskip("sklearn", reason="needs scikit-learn")

from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.utils.estimator_checks import parametrize_with_checks

from sterling.learn import StraightThroughClassifier
from sterling.learn.training import (
    Labelled,
    annealed,
    descended,
    heads,
    loss_of,
    margins,
    outcome,
    polished,
    probability,
)

SHORT = 50  # steps that do for what is no matter of quality


@parametrize_with_checks([StraightThroughClassifier(max_iter=50, polish=False)])
def test_the_contract_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    return st.Problem(n=20, samples=300).draw(seed=0)


@pytest.mark.parametrize("loss", ["log", "squared"])
@pytest.mark.parametrize("decode", ["average", "last"])
def test_the_teacher_is_found(data, loss, decode):
    inputs = data.inputs[:, 0]
    found = StraightThroughClassifier(loss=loss, decode=decode, normalize=None, random_state=0)
    found.fit(inputs, data.labels)
    np.testing.assert_array_equal(found.coef_[0], data.teacher)
    np.testing.assert_array_equal(found.predict(inputs), data.labels)
    if loss == "squared":
        assert found.orbit_[0].certified


@pytest.mark.parametrize("levels, expected", [(4, [-3, -1, 1, 3]), (5, [-2, -1, 0, 1, 2])])
def test_the_method_of_the_paper_has_the_levels_that_were_asked_for(data, levels, expected):
    found = StraightThroughClassifier(levels, loss="squared", polish=False, max_iter=SHORT, random_state=0)
    found.fit(data.inputs[:, 0], data.labels)
    assert set(found.coef_.ravel()) <= set(expected)
    assert len(set(found.coef_.ravel())) > 1


def test_three_levels_find_weights_that_are_zero():
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(2_000, 12))
    weights = np.array([1, -1, 0, 1, 0, 0, -1, 1, 0, -1, 1, 0])
    found = StraightThroughClassifier(3, normalize=None, random_state=0).fit(inputs, inputs @ weights > 0)
    np.testing.assert_array_equal(found.coef_[0], weights)


def test_bits_say_the_codes_and_do_not_follow_the_settings():
    inputs, labels = (one[:200] for one in load_digits(n_class=3, return_X_y=True))
    inputs = inputs[:, inputs.std(axis=0) > 0]
    for levels, values in ((2, [-1, 1]), (3, [-1, 0, 1]), (4, [-3, -1, 1, 3])):
        found = StraightThroughClassifier(levels, max_iter=SHORT, polish=False).fit(inputs, labels)
        bits, n = found.to_bits(), inputs.shape[1]
        assert bits.shape == (3, (levels - 1) * -(-n // 8))
        assert bits.dtype == np.uint8
        unpacked = np.unpackbits(bits.reshape(3, levels - 1, -1), axis=2, count=n)
        np.testing.assert_array_equal(np.array(values)[unpacked.sum(axis=1)], found.coef_)
        np.testing.assert_array_equal(found.set_params(levels=7).to_bits(), bits)


def test_constant_features_get_no_weight(data):
    inputs = np.insert(data.inputs[:, 0], 7, 2.5, axis=1)
    settings = {"max_iter": SHORT, "random_state": 0, "bits": "bootstrap", "n_bootstraps": 3}
    found = StraightThroughClassifier(**settings).fit(inputs, data.labels)
    plain = StraightThroughClassifier(**settings).fit(data.inputs[:, 0], data.labels)
    assert found.coef_[0, 7] == 0
    assert found.undecided_[0, 7]
    np.testing.assert_array_equal(np.delete(found.coef_, 7, axis=1), plain.coef_)
    np.testing.assert_array_equal(found.predict(inputs), plain.predict(data.inputs[:, 0]))


def test_equal_features_are_named(data):
    inputs = data.inputs[:, 0].copy()
    inputs[:, 5] = inputs[:, 2]
    with pytest.warns(st.SterlingWarning, match="2 and 5"):
        StraightThroughClassifier(max_iter=2, polish=False).fit(inputs, data.labels)


def test_the_scale_of_the_features_is_chosen_by_held_out_loss():
    """Fixed seeds. Noise features of a small spread do harm when all spreads are made equal."""
    generator = np.random.default_rng(0)
    spread = np.repeat([1.0, 0.01], [10, 90])
    inputs = spread * generator.normal(size=(400, 100))
    labels = inputs[:, :10].sum(axis=1) > 0
    auto = StraightThroughClassifier(max_iter=600, random_state=0).fit(inputs[:200], labels[:200])
    equal = clone(auto).set_params(normalize="standard").fit(inputs[:200], labels[:200])
    assert np.ptp(auto._factor) == 0  # power 0
    assert auto.score(inputs[200:], labels[200:]) > equal.score(inputs[200:], labels[200:]) + 0.1
    labels = inputs[:, 10:].sum(axis=1) > 0
    auto = clone(auto).fit(inputs[:200], labels[:200])
    np.testing.assert_allclose(auto._factor, 1 / inputs[:200].std(axis=0))


def test_balanced_classes_have_equal_weight():
    inputs, labels = load_breast_cancer(return_X_y=True)
    settings = {"max_iter": SHORT, "random_state": 0}
    share = np.bincount(labels)[labels]
    balanced = StraightThroughClassifier(class_weight="balanced", **settings).fit(inputs, labels)
    by_hand = StraightThroughClassifier(**settings).fit(inputs, labels, 1 / share)
    np.testing.assert_array_equal(balanced.coef_, by_hand.coef_)
    np.testing.assert_allclose(balanced.scale_, by_hand.scale_)


def test_a_warm_start_begins_at_the_latents_of_the_fit_before(data):
    inputs, labels = data.inputs[:, 0], data.labels
    found = StraightThroughClassifier(max_iter=2, polish=False, warm_start=True, random_state=0)
    start = found.fit(inputs, labels)._latent
    moved = found.fit(inputs, labels)._latent
    assert np.abs(moved - start).max() < 0.05  # two steps of Adam at a rate of 0.01
    assert np.abs(clone(found).set_params(random_state=1).fit(inputs, labels)._latent - start).max() > 0.5


def test_probabilities_are_those_of_the_logits():
    inputs, labels = load_wine(return_X_y=True)
    found = StraightThroughClassifier(max_iter=SHORT, random_state=0).fit(inputs, labels)
    logits = found.decision_function(inputs * 1e3)  # far outside: nothing overflows
    shares = found.predict_proba(inputs * 1e3)
    assert np.isfinite(logits).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    np.testing.assert_array_equal(found.classes_[shares.argmax(axis=1)], found.predict(inputs * 1e3))


def test_heads_are_those_of_logistic_regression():
    inputs, labels = load_breast_cancer(return_X_y=True)
    score = ((inputs - inputs.mean(axis=0)) / inputs.std(axis=0)).mean(axis=1, keepdims=True)
    sample = Labelled(
        score, labels[:, None].astype(float), np.full(len(labels), 1 / len(labels)), len(labels)
    )
    scale, intercept = heads(score, sample)
    spread = score.std()
    other = LogisticRegression(C=1 / (1e-4 * len(labels)), tol=1e-10).fit(score / spread, labels)
    np.testing.assert_allclose(scale * spread, other.coef_[0], rtol=1e-3)
    np.testing.assert_allclose(intercept, other.intercept_, rtol=1e-3)


@pytest.mark.parametrize("rows", [1, 3])
def test_descent_lowers_the_loss_and_ends_where_its_best_candidate_does_not(rows):
    generator = np.random.default_rng(0)
    inputs, classes = generator.normal(size=(60, 8)), generator.integers(0, max(rows, 2), 60)
    targets = np.eye(max(rows, 2))[classes]
    sample = Labelled(inputs, targets[:, -rows:], np.full(60, 1 / 60), 60)
    start = generator.choice(np.array([-1, 1], np.int8), (rows, 8))

    def loss(codes):
        scores = inputs @ codes.T.astype(float)
        scale, intercept = heads(scores, sample)
        return loss_of(scores * scale + intercept, sample)

    found = descended(sample, start, 2)
    assert loss(found) < loss(start)
    better = 0
    for row in range(rows):
        for k in range(8):
            flipped = found.copy()
            flipped[row, k] *= -1
            better += loss(flipped) < loss(found) - 1e-3
    assert better <= 1  # candidates are ranked by an expansion, with the heads as they are


@pytest.mark.parametrize("levels, rows, n", [(2, 1, 8), (3, 1, 5), (2, 3, 3)])
def test_annealing_finds_the_codes_of_least_loss_among_all(levels, rows, n):
    generator, many = np.random.default_rng(1), max(rows, 2)
    values = np.array([-1, 1] if levels == 2 else [-1, 0, 1], np.int8)
    every = np.stack(np.meshgrid(*[values] * (rows * n))).reshape(rows * n, -1).T.reshape(-1, rows, n)
    inputs = generator.normal(size=(80, n))
    classes = (inputs @ generator.normal(size=(n, many)) + generator.normal(size=(80, many))).argmax(axis=1)
    sample = Labelled(inputs, np.eye(many)[classes][:, -rows:], np.full(80, 1 / 80), 80)
    least = min(outcome(sample, codes, sample)[0].mean() for codes in every)
    found = [descended(sample, annealed(sample, every[0], levels, generator), levels) for _ in range(3)]
    assert min(outcome(sample, codes, sample)[0].mean() for codes in found) < least + 1e-6


def test_annealed_codes_need_fewer_errors_beyond_chance():
    """Fixed seed. Of labels that are noise annealing finds codes of lower loss, and they are refused."""
    generator = np.random.default_rng(0)
    sample = Labelled(
        generator.normal(size=(400, 6)), generator.integers(0, 2, (400, 1)) * 1.0, np.full(400, 1 / 400), 400
    )
    stuck = descended(sample, np.ones((1, 6), np.int8), 2)
    np.testing.assert_array_equal(polished(sample, stuck, 2, 0, None), stuck)


def test_early_stopping_ends_where_held_out_samples_gain_nothing(data):
    inputs, labels = data.inputs[:, 0], np.random.default_rng(0).permutation(data.labels)
    noise = StraightThroughClassifier(early_stopping=True, n_iter_no_change=2, polish=False, random_state=0)
    assert noise.set_params(max_iter=1_500).fit(inputs, labels).n_iter_ < 1_000
    assert noise.n_iter_ % 100 == 0
    assert noise.fit(inputs, data.labels).score(inputs, data.labels) > 0.95
    assert noise.set_params(max_iter=100).fit(inputs, labels).n_iter_ == 100  # whose only check is the best
    with pytest.raises(st.InputError, match="too few"):
        noise.set_params(validation_fraction=0.001).fit(inputs, labels)
    with pytest.raises(st.InputError, match="no early stopping"):
        noise.set_params(loss="squared").fit(inputs, labels)


def test_margins_say_on_which_side_a_logistic_regression_is():
    generator = np.random.default_rng(0)
    inputs, codes = generator.normal(size=(500, 5)), np.array([[1, 1, 1, -1, 1]], np.int8)
    labels = (inputs @ codes.T + 3 * generator.normal(size=(500, 1)) > 0) * 1.0
    sample = Labelled(inputs, labels, np.full(500, 1 / 500), 500)
    scale = heads(inputs @ codes.T.astype(float), sample)[0]
    free = LogisticRegression(tol=1e-8).fit(inputs, labels[:, 0]).coef_
    np.testing.assert_allclose(margins(sample, codes, codes, 2), 4 * scale * free * codes, rtol=0.02)
    np.testing.assert_allclose(margins(sample, codes, -codes, 2), -margins(sample, codes, codes, 2))
    ternary = margins(sample, codes, codes, 3)
    np.testing.assert_allclose(ternary, 2 * scale * (free * codes - scale / 2), rtol=0.05)


def test_the_probability_of_a_code_is_right_as_often_as_it_says():
    """True margins of two sizes and their known noise; the bound is five standard errors."""
    generator = np.random.default_rng(0)
    true = generator.choice([0.3, 4.0], 4_000) * generator.normal(size=4_000)
    seen = true + generator.normal(size=4_000)
    codes = np.sign(seen)
    sure = probability((np.abs(seen) + generator.normal(size=(60, 4_000)))[:, None])[0]
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 0.99)):
        part = (sure > low) & (sure < high)
        error = np.sqrt(sure[part].mean() * (1 - sure[part].mean()) / part.sum())
        assert abs((codes == np.sign(true))[part].mean() - sure[part].mean()) < 5 * error


def test_bits_of_a_teacher_are_right_where_they_are_decided():
    """Fixed seed. Of 16 bits most are decided, and those are right."""
    drawn = st.Problem(n=16, samples=200, noise=0.5).draw(seed=1)
    found = StraightThroughClassifier(
        bits="bootstrap", n_bootstraps=10, max_iter=100, normalize=None, random_state=1
    )
    sure = ~found.fit(drawn.inputs[:, 0], drawn.labels > 0.5).undecided_[0]
    assert sure.sum() > 8
    np.testing.assert_array_equal(found.coef_[0, sure], drawn.teacher[sure])


def test_of_pure_noise_few_bits_are_decided():
    """Fixed seeds; 8 of 30 bits are too many with probability .001 if the share is 7 %."""
    generator = np.random.default_rng(0)
    inputs, labels = generator.normal(size=(200, 30)), generator.integers(0, 2, 200)
    found = StraightThroughClassifier(bits="bootstrap", n_bootstraps=10, max_iter=100, random_state=0)
    assert (~found.fit(inputs, labels).undecided_).sum() < 8


@pytest.mark.parametrize(
    "settings, cause",
    [
        ({"levels": 1}, "levels"),
        ({"loss": "hinge"}, "loss"),
        ({"n_init": 0}, "n_init"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"normalize": "standart"}, "normalize"),
        ({"class_weight": "even"}, "class_weight"),
        ({"loss": "squared", "class_weight": "balanced"}, "takes no weights"),
    ],
)
def test_settings_that_cannot_be_used_are_named(data, settings, cause):
    with pytest.raises(st.InputError, match=cause):
        StraightThroughClassifier(**settings).fit(data.inputs[:, 0], data.labels)


def test_data_that_cannot_be_used():
    inputs = np.random.default_rng(0).normal(size=(20, 6))
    with pytest.raises(st.InputError, match="one value in all samples"):
        StraightThroughClassifier().fit(np.ones((20, 6)), np.arange(20) % 2)
    with pytest.raises(st.InputError, match="rescale"), np.errstate(all="ignore"):
        StraightThroughClassifier().fit(inputs * 1e-200, np.arange(20) % 2)
    with pytest.raises(st.InputError, match="only one class has weights"):
        StraightThroughClassifier().fit(inputs, np.arange(20) % 2, np.arange(20) % 2)
