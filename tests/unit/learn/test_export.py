"""What leaves Python: C headers and packed prediction agree with `predict`."""

from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np
import pytest

import sterling as st

pytest.importorskip("sklearn", reason="needs scikit-learn")

from sklearn.datasets import load_breast_cancer, load_digits, load_wine

from sterling.learn import StraightThroughClassifier

SHORT = {"max_iter": 200, "random_state": 0}
ROWS = 1_000_000
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


def in_c(folder, header: str, fixed: np.ndarray) -> np.ndarray:
    """Compile a header, with all warnings as errors, and return the numbers of the labels of rows."""
    (folder / "model.h").write_text(header)
    (folder / "many.c").write_text(
        '#include "model.h"\nvoid many(const int32_t *x, long rows, int n, int8_t *found) {\n'
        "    for (long k = 0; k < rows; k++)\n        found[k] = (int8_t)sterling_predict(x + k * n);\n}\n"
    )
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-O2"]
    subprocess.run(["cc", *strict, "-shared", "-fPIC", "many.c", "-o", "many.so"], cwd=folder, check=True)
    assert "float" not in header
    assert "double" not in header
    found, fixed = np.empty(len(fixed), np.int8), np.ascontiguousarray(fixed)
    many = ctypes.CDLL(str(folder / "many.so")).many
    many.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_void_p]
    many(fixed.ctypes.data, len(fixed), fixed.shape[1], found.ctypes.data)
    return found


def drawn(inputs: np.ndarray, rows: int) -> np.ndarray:
    """Return rows with the means and spreads of the data, twice as wide."""
    shape = rows, inputs.shape[1]
    return inputs.mean(axis=0) + 2 * inputs.std(axis=0) * np.random.default_rng(0).normal(size=shape)


@needs_cc
@pytest.mark.parametrize("levels, normalize", [(2, "standard"), (3, "standard"), (4, None)])
def test_the_header_of_many_classes_agrees_with_python(tmp_path, levels, normalize):
    inputs, labels = load_wine(return_X_y=True)
    found = StraightThroughClassifier(levels, normalize=normalize, **SHORT).fit(inputs, labels)
    rows = drawn(inputs, ROWS if levels == 3 else 10_000)
    wrong = in_c(tmp_path, found.to_c(), found.to_fixed(rows)) != found.predict(rows)
    assert not wrong.any()


@needs_cc
def test_the_header_of_two_classes_agrees_with_python(tmp_path):
    inputs, labels = load_breast_cancer(return_X_y=True)
    inputs = np.insert(inputs[:, :9], 4, 7.0, axis=1)  # one of ten features is constant
    found = StraightThroughClassifier(**SHORT).fit(inputs, labels)
    rows = drawn(inputs, ROWS)
    np.testing.assert_array_equal(in_c(tmp_path, found.to_c(), found.to_fixed(rows)), found.predict(rows))
    edges = np.iinfo(np.int32)
    fixed = np.random.default_rng(0).choice(np.array([edges.min, edges.max], np.int32), (1_000, 10))
    in_c(tmp_path, found.to_c(), fixed)  # the compiler's checks find no overflow


@needs_cc
@pytest.mark.parametrize("load", [load_wine, load_breast_cancer])
def test_the_header_of_a_card_agrees_with_python(tmp_path, load):
    inputs, labels = load(return_X_y=True)
    card = StraightThroughClassifier(**SHORT).fit(inputs, labels).card(max_features=5)
    used = [item.feature for item in card.items]
    count = ROWS if load is load_wine else 10_000
    rows = np.zeros((count, inputs.shape[1]))
    rows[:, used] = drawn(inputs[:, used], count)
    fixed = card.to_fixed(rows)
    np.testing.assert_array_equal(
        in_c(tmp_path, card.to_c(), fixed), card.predict(np.ldexp(fixed.astype(float), -card.shifts))
    )
    at = card.items[0]
    rows[0, at.feature] = at.edges[0]
    card.to_c(tmp_path / "card.h")
    assert (tmp_path / "card.h").read_text() == card.to_c()


def test_whitened_models_have_no_header():
    inputs, labels = load_wine(return_X_y=True)
    found = StraightThroughClassifier(normalize=st.Whiten(), **SHORT).fit(inputs, labels)
    with pytest.raises(st.InputError, match="normalize"):
        found.to_c()


@pytest.mark.parametrize("levels", [2, 3, 4])
@pytest.mark.parametrize("low, classes", [(-1, 2), (0, 2), (-1, 10)])
def test_packed_prediction_equals_prediction(levels, low, classes):
    inputs, labels = load_digits(n_class=classes, return_X_y=True)
    inputs = np.where(inputs > 8, 1, low)  # some pixels are constant
    found = StraightThroughClassifier(levels, normalize=None, **SHORT).fit(inputs, labels)
    new = np.random.default_rng(0).choice([low, 1], (2_000, 64))
    for rows in (inputs, new):
        np.testing.assert_array_equal(
            found.predict_packed(np.packbits(rows == 1, axis=1)), found.predict(rows)
        )
    with pytest.raises(st.InputError, match="packed"):
        found.predict_packed(new)


def test_packed_prediction_needs_inputs_of_two_values():
    inputs, labels = load_digits(n_class=2, return_X_y=True)
    for given, normalize in ((inputs, None), (np.where(inputs > 8, 1, -1), "standard")):
        found = StraightThroughClassifier(normalize=normalize, **SHORT).fit(given, labels)
        with pytest.raises(st.InputError, match="two values"):
            found.predict_packed(np.packbits(given > 8, axis=1))


def test_bytes_count_all_that_prediction_needs():
    inputs, labels = load_breast_cancer(return_X_y=True)
    standard = StraightThroughClassifier(**SHORT).fit(inputs, labels)
    assert standard.nbytes == 4 + 2 * 8 * 30 + 2 * 8  # codes; means and factors; scale and intercept
    plain = StraightThroughClassifier(3, normalize=None, **SHORT).fit(inputs, labels)
    assert plain.nbytes == 2 * 4 + 2 * 8
    wide = StraightThroughClassifier(**SHORT).fit(np.insert(inputs, 0, 1.0, axis=1), labels)
    assert wide.nbytes == 4 + 4 + 2 * 8 * 30 + 2 * 8  # which feature is constant, too
