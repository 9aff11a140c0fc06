"""Training of low-bit codes by the joint logistic loss: straight-through steps, heads, flips of single codes.

A model has R rows of codes q_r and heads a_r, b_r. Its logits are z_r = a_r·(x·q_r) + b_r. Two classes have
one row (logistic loss), more classes one row each (softmax).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize

from sterling.model.levels import level_values

_BETAS = 0.9, 0.999  # of Adam
_EPS = 1e-8
_GAIN = 1e-9  # smaller gains may be rounding
_RIDGE = 1e-4  # on the heads, so that separable classes have finite ones


class Labelled(NamedTuple):
    """Normalised inputs with their classes and weights."""

    inputs: np.ndarray  # float64 (N, n)
    targets: np.ndarray  # float64 (N, R), one where a sample belongs to the class of a row
    shares: np.ndarray  # float64 (N,), weights of the samples, with sum one

    @property
    def rows(self) -> int:
        """R."""
        return self.targets.shape[1]

    def part(self, rows: np.ndarray) -> Labelled:
        """Return some of the samples, a mask (N,)."""
        shares = self.shares[rows]
        return Labelled(self.inputs[rows], self.targets[rows], shares / shares.sum())


class Run(NamedTuple):
    """What a run of straight-through steps leaves behind."""

    mean: np.ndarray  # float64 (R, n), average of the codes over the second half
    last: np.ndarray  # int8 (R, n), the last codes
    latent: np.ndarray  # float64 (R, n)


def nearest(latent: np.ndarray, levels: int) -> np.ndarray:
    """Return the levels nearest to latents, int8; ties go upwards."""
    values = np.array(level_values(levels))
    step = values[1] - values[0]
    index = np.floor((latent - values[0]) / step + 0.5).astype(np.int64)
    return values[np.clip(index, 0, levels - 1)].astype(np.int8)


def folds(data: Labelled, count: int) -> np.ndarray:
    """Return a number below count for each sample, int64 (N,); copies get the same."""
    new = (np.diff(data.inputs, axis=0) != 0).any(axis=1) | (np.diff(data.targets, axis=0) != 0).any(axis=1)
    return np.concatenate([[0], np.cumsum(new)]) % count


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the probability of each row's class, (N, R)."""
    if logits.shape[1] == 1:
        return 0.5 * (1.0 + np.tanh(0.5 * logits))
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def losses_of(logits: np.ndarray, data: Labelled) -> np.ndarray:
    """Return the loss of each sample."""
    own = (logits * data.targets).sum(axis=1)
    if data.rows == 1:
        return np.logaddexp(0.0, logits[:, 0]) - own
    top = logits.max(axis=1)
    return top + np.log(np.exp(logits - top[:, None]).sum(axis=1)) - own


def loss_of(logits: np.ndarray, data: Labelled) -> float:
    """Return the mean loss."""
    return float(data.shares @ losses_of(logits, data))


def straight_through(
    data: Labelled, levels: int, latent: np.ndarray, steps: int, batch: int, rate: float, seed: int
) -> Run:
    """Train codes by Adam with straight-through gradients on minibatches.

    A sample is in a batch with the probability of its share, so a weight of two equals two copies. Latents
    stay within the outermost levels. Heads are trained with them and forgotten.
    """
    generator, top = np.random.default_rng(seed), float(level_values(levels)[-1])
    ends = np.cumsum(data.shares)
    latent, (rows, n) = latent.copy(), latent.shape
    codes = nearest(latent, levels)
    log_scale, intercept = np.full(rows, -0.5 * np.log(n)), np.zeros(rows)
    trained = latent, log_scale, intercept
    moments = [(np.zeros_like(one), np.zeros_like(one)) for one in trained]
    total, half = np.zeros_like(latent), steps // 2
    for step in range(steps):
        drawn = np.searchsorted(ends, generator.random(batch) * ends[-1], side="right")
        inputs, scale = data.inputs[drawn], np.exp(log_scale)
        scores = inputs @ codes.T.astype(np.float64)
        residual = (probabilities(scores * scale + intercept) - data.targets[drawn]) / batch
        gradients = (
            (residual * scale).T @ inputs,
            (residual * scores).sum(axis=0) * scale,
            residual.sum(axis=0),
        )
        first, second = (1 - beta ** (step + 1) for beta in _BETAS)
        for one, gradient, (m, v) in zip(trained, gradients, moments, strict=True):
            m += (1 - _BETAS[0]) * (gradient - m)
            v += (1 - _BETAS[1]) * (gradient * gradient - v)
            one -= rate * (m / first) / (np.sqrt(v / second) + _EPS)
        np.clip(latent, -top, top, out=latent)
        codes = nearest(latent, levels)
        if step >= half:
            total += codes
    return Run(total / (steps - half), codes, latent)


def heads(scores: np.ndarray, data: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Return the scales and intercepts (R,) of least loss for the scores x·q, (N, R)."""
    spread = np.sqrt(data.shares @ (scores - data.shares @ scores) ** 2)
    spread = np.where(spread > 0, spread, 1.0)
    unit, rows = scores / spread, data.rows

    def objective(heads: np.ndarray) -> tuple[float, np.ndarray]:
        scale, intercept = heads[:rows], heads[rows:]
        logits = unit * scale + intercept
        residual = (probabilities(logits) - data.targets) * data.shares[:, None]
        loss = loss_of(logits, data) + 0.5 * _RIDGE * (scale @ scale)
        slope = (residual * unit).sum(axis=0) + _RIDGE * scale
        slope = np.concatenate([slope, residual.sum(axis=0)])
        return float(loss), slope

    found = minimize(objective, np.repeat([1.0, 0.0], rows), jac=True, method="L-BFGS-B").x
    return found[:rows] / spread, found[rows:]


def descended(data: Labelled, codes: np.ndarray, levels: int, signs: np.ndarray | None = None) -> np.ndarray:
    """Change single codes, the best first, while a change lowers the loss.

    No code gets the sign opposite to ``signs`` (n,), if they are given. Candidates come from the
    second-order expansion of the loss; the loss itself decides. Heads are fitted anew after each R·n/64
    changes.
    """
    codes, values = codes.copy(), np.array(level_values(levels), np.float64)
    squares, weight, often = data.inputs**2, data.shares[:, None], max(8, codes.size // 64)
    scores, changes = data.inputs @ codes.T.astype(np.float64), 0
    scale, intercept = heads(scores, data)
    loss = loss_of(scores * scale + intercept, data)
    while True:
        share = probabilities(scores * scale + intercept)
        slope = ((share - data.targets) * weight * scale).T @ data.inputs
        bend = (share * (1 - share) * weight * scale**2).T @ squares
        moves = values[:, None, None] - codes
        expected = moves * slope + 0.5 * moves**2 * bend
        if signs is not None:
            expected = np.where(values[:, None, None] * signs < 0, np.inf, expected)
        level, row, k = np.unravel_index(np.argmin(expected), expected.shape)
        moved = scores.copy()
        moved[:, row] += (values[level] - codes[row, k]) * data.inputs[:, k]
        new = loss_of(moved * scale + intercept, data)
        if not new < loss * (1 - _GAIN):
            return codes
        codes[row, k], scores, loss = values[level], moved, new
        changes += 1
        if changes % often == 0:
            scale, intercept = heads(scores, data)
            loss = loss_of(scores * scale + intercept, data)
