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
_BATCH, _RATE = 64, 0.01
_CHECK = 100  # steps between two checks of the held-out loss
_GAIN = 1e-9  # smaller gains may be rounding
_RIDGE = 1e-4  # on the heads, so that separable classes have finite ones


class Labelled(NamedTuple):
    """Normalised inputs with their classes and weights."""

    inputs: np.ndarray  # float64 (N, n)
    targets: np.ndarray  # float64 (N, R), one where a sample belongs to the class of a row
    shares: np.ndarray  # float64 (N,), weights of the samples, with sum one
    total: float  # number of samples that they stand for

    @property
    def rows(self) -> int:
        """R."""
        return self.targets.shape[1]

    def part(self, rows: np.ndarray) -> Labelled:
        """Return some of the samples, a mask (N,)."""
        shares, part = self.shares[rows], self.shares[rows].sum()
        return Labelled(self.inputs[rows], self.targets[rows], shares / part, self.total * part)

    def lower(self, after: np.ndarray, before: np.ndarray, errors: float = 1.0) -> bool:
        """Say whether the mean of values (N,) has become lower by more than some standard errors."""
        apart = before - after
        mean = self.shares @ apart
        return bool(mean > errors * np.sqrt(self.shares @ (apart - mean) ** 2 / self.total))


class Run(NamedTuple):
    """What a run of straight-through steps leaves behind."""

    mean: np.ndarray  # float64 (R, n), average of the codes over the second half of the steps
    last: np.ndarray  # int8 (R, n), the last codes
    latent: np.ndarray  # float64 (R, n)
    steps: int


def nearest(latent: np.ndarray, levels: int) -> np.ndarray:
    """Return the levels nearest to latents, int8; ties go upwards."""
    values = np.array(level_values(levels))
    step = values[1] - values[0]
    index = np.floor((latent - values[0]) / step + 0.5).astype(np.int64)
    return values[np.clip(index, 0, levels - 1)].astype(np.int8)


def numbers(data: Labelled) -> np.ndarray:
    """Return the number of each sample among those that differ, int64 (N,)."""
    new = (np.diff(data.inputs, axis=0) != 0).any(axis=1) | (np.diff(data.targets, axis=0) != 0).any(axis=1)
    return np.concatenate([[0], np.cumsum(new)])


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
    data: Labelled,
    levels: int,
    latent: np.ndarray,
    steps: int,
    seed: int,
    held: Labelled | None = None,
    patience: int = 0,
) -> Run:
    """Train codes by Adam with straight-through gradients on minibatches.

    A sample is in a batch with the probability of its share, so a weight of two equals two copies. Latents
    stay within the outermost levels. Heads are trained with them and forgotten. With held-out samples, the
    run keeps the average of least held-out loss. It stops after ``patience`` checks that do not lower it.
    """
    generator, top = np.random.default_rng(seed), float(level_values(levels)[-1])
    ends = np.cumsum(data.shares)
    latent, (rows, n) = latent.copy(), latent.shape
    codes = nearest(latent, levels)
    log_scale, intercept = np.full(rows, -0.5 * np.log(n)), np.zeros(rows)
    trained = latent, log_scale, intercept
    moments = [(np.zeros_like(one), np.zeros_like(one)) for one in trained]
    total, middle = np.zeros_like(latent), np.zeros_like(latent)  # sums of the codes
    sums, step, best, least, checks = [total.copy()], 0, latent, np.inf, 0
    for step in range(1, steps + 1):
        drawn = np.searchsorted(ends, generator.random(_BATCH) * ends[-1], side="right")
        inputs, scale = data.inputs[drawn], np.exp(log_scale)
        scores = inputs @ codes.T.astype(np.float64)
        residual = (probabilities(scores * scale + intercept) - data.targets[drawn]) / _BATCH
        gradients = (
            (residual * scale).T @ inputs,
            (residual * scores).sum(axis=0) * scale,
            residual.sum(axis=0),
        )
        first, second = (1 - beta**step for beta in _BETAS)
        for one, gradient, (m, v) in zip(trained, gradients, moments, strict=True):
            m += (1 - _BETAS[0]) * (gradient - m)
            v += (1 - _BETAS[1]) * (gradient * gradient - v)
            one -= _RATE * (m / first) / (np.sqrt(v / second) + _EPS)
        np.clip(latent, -top, top, out=latent)
        codes = nearest(latent, levels)
        total += codes
        if step == steps // 2:
            middle = total.copy()
        if held is None or step % _CHECK:
            continue
        half = step // 2 // _CHECK
        mean = (total - sums[half]) / (step - half * _CHECK)
        sums.append(total.copy())
        loss, checks = held.shares @ outcome(data, nearest(mean, levels), held)[0], checks + 1
        if loss < least:
            step, best, least, checks = 0, mean, loss, 0
        if checks == patience:
            break
    if least == np.inf:
        best = (total - middle) / (steps - steps // 2)
    return Run(best, codes, latent, step)


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


def outcome(data: Labelled, codes: np.ndarray, judge: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Return losses of the samples of ``judge``, and 1 where a class is missed; heads are fitted to data."""
    scale, intercept = heads(data.inputs @ codes.T.astype(np.float64), data)
    logits = judge.inputs @ codes.T.astype(np.float64) * scale + intercept
    found = logits > (0 if judge.rows == 1 else np.partition(logits, -2)[:, -2:-1])  # the largest logit
    return losses_of(logits, judge), (found != judge.targets).any(axis=1).astype(float)


def descended(
    data: Labelled,
    codes: np.ndarray,
    levels: int,
    signs: np.ndarray | None = None,
    held: Labelled | None = None,
) -> np.ndarray:
    """Change single codes, the best first, while a change lowers the loss, and the held-out loss if given.

    No code gets the sign opposite to ``signs`` (n,), if they are given. Candidates come from the
    second-order expansion of the loss; the loss itself decides. Heads are fitted anew after each R·n/64
    changes.
    """
    values = np.array(level_values(levels), np.float64)
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
        changed, moved = codes.copy(), scores.copy()
        changed[row, k] = values[level]
        moved[:, row] += (values[level] - codes[row, k]) * data.inputs[:, k]
        new = loss_of(moved * scale + intercept, data)
        if not new < loss * (1 - _GAIN):
            return codes
        if held is not None:
            logits = [held.inputs @ one.T.astype(float) * scale + intercept for one in (codes, changed)]
            if loss_of(logits[1], held) >= loss_of(logits[0], held):
                return codes
        codes, scores, loss = changed, moved, new
        changes += 1
        if changes % often == 0:
            scale, intercept = heads(scores, data)
            loss = loss_of(scores * scale + intercept, data)
