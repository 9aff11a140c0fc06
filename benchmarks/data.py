"""The 1-bit and ternary classifier on public data, beside simple ways to the same kind of model.

    python -m benchmarks.data [--splits 8]

Eight stratified splits with fixed seeds; all ways see the same standardised training data, get the same heads
and, where it says so, the same descent by single codes. Differences are paired, with 95 % intervals.
What `StraightThroughClassifier` loses stands first.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import t as student
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit

from sterling.learn import StraightThroughClassifier
from sterling.learn.training import Labelled, descended, heads

OURS = ("sterling, 2 levels", "sterling, 3 levels")
CUT = 0.7  # ternary rival: a coefficient below this times the mean size of its row becomes zero


def data_sets() -> dict[str, Any]:
    """Return inputs and labels by name."""
    digits, digit = load_digits(return_X_y=True)
    found: dict[str, Any] = {
        "breast cancer": load_breast_cancer(return_X_y=True),
        "wine": load_wine(return_X_y=True),
    }
    for pair in ((3, 8), (4, 9)):
        rows = np.isin(digit, pair)
        found[f"digits {pair[0]} and {pair[1]}"] = digits[rows], digit[rows]
    return found | {"digits, odd or even": (digits, digit % 2), "ten digits": (digits, digit)}


def ways(inputs: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return functions from standardised inputs to labels, trained on standardised inputs."""
    classes, index = np.unique(labels, return_inverse=True)
    targets = np.eye(len(classes))[index]
    targets = targets[:, 1:] if len(classes) == 2 else targets
    sample = Labelled(inputs, targets, np.full(len(labels), 1 / len(labels)))
    full = LogisticRegression(max_iter=1000).fit(inputs, labels)
    apart = np.stack([inputs[one > 0].mean(axis=0) - inputs[one == 0].mean(axis=0) for one in targets.T])
    size = np.abs(full.coef_)

    def signs(values: np.ndarray) -> np.ndarray:
        return np.where(values >= 0, 1, -1).astype(np.int8)

    def model(codes: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        scale, intercept = heads(inputs @ codes.T.astype(float), sample)

        def predict(new: np.ndarray) -> np.ndarray:
            logits = new @ codes.T.astype(float) * scale + intercept
            return classes[logits.argmax(axis=1) if len(classes) > 2 else (logits[:, 0] > 0).astype(int)]

        return predict

    cut = np.where(size > CUT * size.mean(axis=1, keepdims=True), np.sign(full.coef_), 0).astype(np.int8)
    found = {
        "logistic regression, float64": full.predict,
        "its signs": model(signs(full.coef_)),
        "its signs, descent": model(descended(sample, signs(full.coef_), 2)),
        "signs of mean differences, descent": model(descended(sample, signs(apart), 2)),
        "its coefficients cut to 3 levels": model(cut),
        "cut to 3 levels, descent": model(descended(sample, cut, 3)),
    }
    for levels, name in zip((2, 3), OURS, strict=True):
        ours = StraightThroughClassifier(levels, normalize=None, random_state=seed)
        found[name] = ours.fit(inputs, labels).predict
    return found


def scores(inputs: np.ndarray, labels: np.ndarray, splits: int) -> dict[str, np.ndarray]:
    """Return the accuracy of each way on each split."""
    found: dict[str, list[float]] = {}
    plan = StratifiedShuffleSplit(splits, test_size=0.3, random_state=0)
    for seed, (train, test) in enumerate(plan.split(inputs, labels)):
        spread = inputs[train].std(axis=0)
        kept = spread > 0
        unit = ((inputs - inputs[train].mean(axis=0)) / np.where(kept, spread, 1))[:, kept]
        for name, predict in ways(unit[train], labels[train], seed).items():
            found.setdefault(name, []).append(float((predict(unit[test]) == labels[test]).mean()))
    return {name: np.array(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--splits", type=int, default=8)
    splits = parser.parse_args().splits
    warnings.simplefilter("ignore", ConvergenceWarning)
    print("accuracy in points; a difference is sterling's less the rival's, with its 95 % interval")
    for name, (inputs, labels) in data_sets().items():
        found = scores(inputs, labels, splits)
        print(f"\n{name}: {len(inputs):,} samples, {inputs.shape[1]} features")
        rows = []
        for rival, values in found.items():
            if rival in OURS:
                continue
            apart = 100 * (found[OURS["3 levels" in rival]] - values)
            half = student.ppf(0.975, splits - 1) * apart.std(ddof=1) / np.sqrt(splits)
            rows.append((apart.mean(), half, rival, 100 * values.mean(), OURS["3 levels" in rival]))
        for mean, half, rival, value, ours in sorted(rows):
            interval = f"({mean - half:+.2f} to {mean + half:+.2f})"
            print(f"  {mean:+6.2f} {interval}  {ours} against {rival} ({value:.2f})")
        print("  " + ", ".join(f"{one} {100 * found[one].mean():.2f}" for one in OURS))


if __name__ == "__main__":
    main()
