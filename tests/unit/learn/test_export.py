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

SHORT = {"max_iter": 50, "polish": False, "random_state": 0}
needs_cc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@pytest.fixture(scope="module")
def models():
    """Classifiers of three and of two classes, of which one has a constant feature."""
    wine, cancer = load_wine(return_X_y=True), load_breast_cancer(return_X_y=True)
    cancer = np.insert(cancer[0][:, :9], 4, 7.0, axis=1), cancer[1]
    found = [(wine[0], StraightThroughClassifier(3, **SHORT).fit(*wine))]
    found.append((wine[0], StraightThroughClassifier(2, normalize="standard", **SHORT).fit(*wine)))
    found.append((wine[0], StraightThroughClassifier(4, normalize=None, **SHORT).fit(*wine)))
    return [*found, (cancer[0], StraightThroughClassifier(**SHORT).fit(*cancer))]


@needs_cc
def test_the_headers_agree_with_python(tmp_path, models):
    """One program has all headers, with all warnings as errors. A million rows go through the first one."""
    code = ""
    for k, (_, model) in enumerate(models):
        header = model.to_c()
        assert "float" not in header
        assert "double" not in header
        code += header.replace("sterling_", f"model{k}_")
        code += (
            f"void many{k}(const int32_t *x, long rows, int n, int8_t *found);\n"
            f"void many{k}(const int32_t *x, long rows, int n, int8_t *found) {{\n"
            "    for (long k = 0; k < rows; k++)\n"
            f"        found[k] = (int8_t)model{k}_predict(x + k * n);\n}}\n"
        )
    (tmp_path / "many.c").write_text(code)
    strict = ["-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-fsanitize=undefined", "-O1"]
    subprocess.run(["cc", *strict, "-shared", "-fPIC", "many.c", "-o", "many.so"], cwd=tmp_path, check=True)
    program = ctypes.CDLL(str(tmp_path / "many.so"))

    def in_c(k: int, fixed: np.ndarray) -> np.ndarray:
        found, many = np.empty(len(fixed), np.int8), getattr(program, f"many{k}")
        many.argtypes = [ctypes.c_void_p, ctypes.c_long, ctypes.c_int, ctypes.c_void_p]
        many(fixed.ctypes.data, len(fixed), fixed.shape[1], found.ctypes.data)
        return found

    ends = np.iinfo(np.int32)
    for k, (inputs, model) in enumerate(models):
        rows = np.random.default_rng(0).normal(size=(20_000 if k else 1_000_000, inputs.shape[1]))
        rows = inputs.mean(axis=0) + 2 * inputs.std(axis=0) * rows  # twice as wide as the data
        np.testing.assert_array_equal(in_c(k, model.to_fixed(rows)), model.predict(rows))
        extreme = np.random.default_rng(0).choice(
            np.array([ends.min, ends.max], np.int32), (1_000, rows.shape[1])
        )
        in_c(k, extreme)  # the compiler's checks find no overflow


def test_texts_of_users_end_no_comment():
    inputs, digit = load_digits(n_class=2, return_X_y=True)
    labels = np.array(["*/ int x;", "a\n/*b"])[digit]
    header = StraightThroughClassifier(**SHORT).fit(inputs, labels).to_c()
    assert header.count("*/") == header.count("/*") == 1


@pytest.mark.parametrize("levels, low, classes", [(2, -1, 2), (3, 0, 2), (4, 0, 2), (2, 0, 5), (3, -1, 5)])
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
