"""Saved classifiers: the same predictions after loading, and a sentence for each file that is not one."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

import sterling as st

pytest.importorskip("sklearn", reason="needs scikit-learn")

from sklearn.datasets import load_digits, load_wine

from sterling.learn import StraightThroughClassifier

SHORT = {"max_iter": 100, "polish": False, "random_state": 0}


@pytest.mark.parametrize("levels", [2, 3])
@pytest.mark.parametrize("normalize", ["auto", None])
def test_a_loaded_model_predicts_the_same(tmp_path, levels, normalize):
    inputs, labels = load_wine(return_X_y=True)
    names = np.array(["red", "rosé", "white"])[labels]
    frame = pl.DataFrame(inputs, schema=[f"x{k}" for k in range(inputs.shape[1])])
    found = StraightThroughClassifier(levels, normalize=normalize, **SHORT).fit(frame, names)
    found.save(tmp_path / "model.json")
    again = StraightThroughClassifier.load(tmp_path / "model.json")
    np.testing.assert_array_equal(again.decision_function(frame), found.decision_function(frame))
    np.testing.assert_array_equal(again.predict(frame), found.predict(frame))
    np.testing.assert_array_equal(again.to_bits(), found.to_bits())
    assert again.get_params() == found.get_params()
    assert again.to_dict() == found.to_dict()
    with pytest.raises(ValueError, match="feature names"):
        again.predict(frame.rename({"x0": "y"}))


@pytest.mark.parametrize("labels", [[0, 1], [-1.0, 1.0], [False, True], ["no", "yes"]])
def test_labels_keep_their_type_and_constants_stay_out(labels):
    inputs, digit = load_digits(n_class=2, return_X_y=True)  # some of the 64 pixels are always 0
    settings = SHORT | {"bits": "bootstrap", "n_bootstraps": 2, "class_weight": {labels[0]: 2.0}}
    found = StraightThroughClassifier(**settings).fit(inputs, np.array(labels)[digit])
    found.set_params(levels=np.int64(2))
    again = StraightThroughClassifier.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again.predict(inputs).dtype == found.predict(inputs).dtype
    np.testing.assert_array_equal(again.predict(inputs), found.predict(inputs))
    np.testing.assert_array_equal(again.bit_probability_, found.bit_probability_)
    np.testing.assert_array_equal(again.undecided_, found.undecided_)


@pytest.fixture(scope="module")
def saved():
    inputs, labels = load_wine(return_X_y=True)
    return StraightThroughClassifier(**SHORT).fit(inputs, labels).to_dict()


@pytest.mark.parametrize(
    "change, cause",
    [
        ({"format": "other"}, "no saved classifier"),
        ({"version": 2}, "version"),
        ({"settings": {"levels": 2, "code": "import os"}}, "code"),
        ({"classes": [0, 0, 1]}, "classes"),
        ({"features": ["a"] * 13}, "features"),
        ({"levels": 1}, "levels"),
        ({"_factor": [1] * 12 + [0]}, "constant"),
        ({"_mean": [float("inf")] * 13}, "_mean"),
        ({"coef_": [[7] * 13] * 3}, "coef_"),
        ({"intercept_": [1, 1]}, "intercept_"),
        ({"bit_probability_": [[0.5]]}, "bit_probability_"),
    ],
)
def test_a_file_with_a_wrong_entry_is_refused(tmp_path, saved, change, cause):
    (tmp_path / "model.json").write_text(json.dumps(saved | change))
    with pytest.raises(st.StoreError, match=cause):
        StraightThroughClassifier.load(tmp_path / "model.json")


def test_every_entry_is_needed(tmp_path, saved):
    for name in saved:
        (tmp_path / "model.json").write_text(json.dumps({k: v for k, v in saved.items() if k != name}))
        with pytest.raises(st.StoreError, match=r"model\.json cannot be loaded"):
            StraightThroughClassifier.load(tmp_path / "model.json")


@pytest.mark.parametrize("text", ["", "[" * 100_000, "\x00", "null"])
def test_other_files_are_refused(tmp_path, text):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(st.StoreError):
        StraightThroughClassifier.load(tmp_path / "model.json")
    with pytest.raises(st.StoreError, match="no file"):
        StraightThroughClassifier.load(tmp_path / "other.json")
