"""Whether `bit_probability_` can be believed: five families of teachers, noise, and fresh bootstraps of data.

    python -m benchmarks.bits [--draws 4] [--bootstraps 40] [--steps 600]

A bit is right if it is the sign of the teacher's weight; labels are drawn from the logistic model of the
teacher. Wald's probability of a sign is Φ(|coefficient|/error) of an unpenalised logistic regression.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression

from benchmarks.data import data_sets
from sterling.errors import SterlingWarning
from sterling.learn import StraightThroughClassifier

N, FEATURES, FRESH = 200, 16, 10
TEACHERS = ("signs", "signs, inputs ±1", "signs, correlated inputs", "Gaussian weights", "few large weights")


def drawn(family: str, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inputs, labels and the teacher's weights."""
    inputs, signs = generator.normal(size=(N, FEATURES)), generator.choice([-1.0, 1.0], FEATURES)
    if family == "signs, inputs ±1":
        inputs = np.sign(inputs)
    if family == "signs, correlated inputs":
        inputs = 0.8 * inputs + 0.6 * generator.normal(size=(N, 1))
    weights = {
        "Gaussian weights": generator.normal(size=FEATURES),
        "few large weights": signs * np.where(np.arange(FEATURES) < 4, 2.0, 0.1),
    }.get(family, signs)
    logits = 3 * inputs @ weights / np.linalg.norm(weights)
    return inputs, generator.random(N) < 1 / (1 + np.exp(-logits)), weights


def wald(inputs: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return signs and their probabilities."""
    full = LogisticRegression(C=np.inf, max_iter=1000).fit(inputs, labels)
    share = full.predict_proba(inputs)[:, 1]
    columns = np.column_stack([np.ones(len(inputs)), inputs])
    spread = np.linalg.pinv(columns.T @ (columns * (share * (1 - share))[:, None]))
    error = np.sqrt(np.diag(spread)[1:])
    return np.sign(full.coef_[0]), norm.cdf(np.abs(full.coef_[0]) / np.maximum(error, 1e-12))


def line(name: str, sure: np.ndarray, right: np.ndarray) -> str:
    """Return a row: of the decided bits, how many are right; and the Brier score of all."""
    decided = sure >= 0.975
    share = f"{right[decided].mean():.1%}" if decided.any() else "none"
    brier = ((sure - right) ** 2).mean()
    return f"  {name}: {decided.mean():.0%} decided, of these right {share}; Brier {brier:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--bootstraps", type=int, default=40)
    parser.add_argument("--steps", type=int, default=600)
    asked = parser.parse_args()
    warnings.simplefilter("ignore", SterlingWarning)
    settings = {"normalize": "standard", "max_iter": asked.steps}
    sure = {"bits": "bootstrap", "n_bootstraps": asked.bootstraps}
    everything: dict[str, list[np.ndarray]] = {"sterling": [], "Wald": []}
    for number, family in enumerate(TEACHERS):
        found: dict[str, list[np.ndarray]] = {"sterling": [], "Wald": []}
        for seed in range(asked.draws):
            inputs, labels, weights = drawn(family, np.random.default_rng([seed, number]))
            ours = StraightThroughClassifier(random_state=seed, **settings, **sure).fit(inputs, labels)
            found["sterling"].append(np.array([ours.bit_probability_[0], ours.coef_[0] == np.sign(weights)]))
            signs, likely = wald(inputs, labels)
            found["Wald"].append(np.array([likely, signs == np.sign(weights)]))
        print(f"{family}: {asked.draws} draws of {N} samples, {FEATURES} bits")
        for name, values in found.items():
            everything[name] += values
            print(line(name, *np.hstack(values)), flush=True)
    print("all families")
    for name, values in everything.items():
        print(line(name, *np.hstack(values)))
    decided = []
    for seed in range(asked.draws):
        inputs, labels, _ = drawn("signs", np.random.default_rng([seed, 99]))
        labels = np.random.default_rng(seed).permutation(labels)
        ours = StraightThroughClassifier(random_state=seed, **settings, **sure).fit(inputs, labels)
        decided.append((~ours.undecided_).mean())
    print(f"pure noise: {np.mean(decided):.1%} of {asked.draws * FEATURES} bits decided", flush=True)
    for name, (inputs, labels) in data_sets(["breast cancer", "digits 3 and 8", "phishing"]):
        ours = StraightThroughClassifier(random_state=0, **settings, **sure).fit(inputs, labels)
        known, kept = ~ours.undecided_, []
        for seed in range(FRESH):
            rows = np.random.default_rng([seed, 7]).integers(0, len(labels), len(labels))
            again = StraightThroughClassifier(random_state=100 + seed, **settings)
            kept.append((again.fit(inputs[rows], labels[rows]).coef_ == ours.coef_)[known])
        print(
            f"{name}: {known.mean():.0%} of {known.size} bits decided; of these "
            f"{np.mean(kept):.1%} are kept by {FRESH} fresh bootstraps",
            flush=True,
        )


if __name__ == "__main__":
    main()
