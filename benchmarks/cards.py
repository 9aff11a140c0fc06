"""Scoring cards beside FasterRisk's, on the same binary features: accuracy, AUC, seconds.

    python -m venv /tmp/fasterrisk && /tmp/fasterrisk/bin/pip install fasterrisk
    python -m benchmarks.cards --fasterrisk /tmp/fasterrisk/bin/python [--splits 8]

FasterRisk pins old versions of NumPy and scikit-learn, so it lives in an environment of its own. Features are
thresholds at the octiles of the training part. Each card has at most ten of them, with −5 to 5 points.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from benchmarks.data import data_sets, difference, splits_of
from sterling.learn import StraightThroughClassifier

FEATURES = 10
OTHER = """
import sys, time
import numpy as np
from fasterrisk.fasterrisk import RiskScoreClassifier, RiskScoreOptimizer
for path in sys.argv[2:]:
    data = np.load(path)
    begun = time.process_time()
    made = RiskScoreOptimizer(X=data["train"], y=data["first"], k=int(sys.argv[1]))
    made.optimize()
    multiplier, intercept, points = made.get_models(model_index=0)
    seconds = time.process_time() - begun
    card = RiskScoreClassifier(multiplier, intercept, points)
    np.savez(path + ".card", seconds=seconds, share=card.predict_prob(data["test"]), points=points)
"""


def binned(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return columns of 0 and 1 for whether values are at least thresholds, octiles of the training part."""
    found: tuple[list, list] = [], []
    for old, new in zip(train.T, test.T, strict=True):
        for edge in np.unique(np.quantile(old, np.arange(1, 8) / 8)):
            if 0 < (old >= edge).mean() < 1:
                found[0].append(old >= edge)
                found[1].append(new >= edge)
    return np.stack(found[0], axis=1).astype(float), np.stack(found[1], axis=1).astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--fasterrisk", required=True, help="Python of an environment that has FasterRisk")
    parser.add_argument("--splits", type=int, default=8)
    asked = parser.parse_args()
    for name, (inputs, labels) in data_sets(["breast cancer", "phishing"]):
        codes = np.unique(labels, return_inverse=True)[1]
        ways: dict[str, list[tuple[float, float, float]]] = {"sterling": [], "FasterRisk": [], "raw": []}
        with tempfile.TemporaryDirectory() as folder:
            paths, tests = [], []
            for k, (old, new) in enumerate(splits_of(inputs, labels, asked.splits)):
                train, test = binned(inputs[old], inputs[new])
                paths.append(str(Path(folder, f"{k}.npz")))
                tests.append(codes[new])
                np.savez(paths[-1], train=train, first=2 * codes[old] - 1, test=test)
                for way, x, xt in (("sterling", train, test), ("raw", inputs[old], inputs[new])):
                    model = StraightThroughClassifier(max_iter=2, polish=False, random_state=0)
                    model.fit(x, codes[old])
                    begun = time.process_time()
                    card = model.card(max_features=FEATURES)
                    seconds, share = time.process_time() - begun, card.predict_proba(xt)[:, 1]
                    ways[way].append((seconds, float((card.predict(xt) == codes[new]).mean()), share))
            subprocess.run([asked.fasterrisk, "-c", OTHER, str(FEATURES), *paths], check=True)
            for path, right in zip(paths, tests, strict=True):
                card = np.load(path + ".card.npz")
                share = card["share"]
                ways["FasterRisk"].append(
                    (float(card["seconds"]), float(((share > 0.5) == right).mean()), share)
                )
        print(f"\n{name}: {train.shape[1]} binary features")
        for way, rows in ways.items():
            area = [roc_auc_score(right, share) for (_, _, share), right in zip(rows, tests, strict=True)]
            print(
                f"  {way}: accuracy {100 * np.mean([row[1] for row in rows]):.2f}, AUC {np.mean(area):.4f}, "
                f"{np.median([row[0] for row in rows]):.3f} s of one core"
            )
        for way in ("sterling", "raw"):
            mean, low, high = difference(*([row[1] for row in ways[one]] for one in (way, "FasterRisk")))
            print(f"  {way} less FasterRisk: {mean:+.2f} points ({low:+.2f} to {high:+.2f})")


if __name__ == "__main__":
    main()
