"""Low-bit codes by the joint logistic loss: straight-through steps, heads, single changes, certainty.

A model has R rows of codes q_r and heads a_r, b_r. Its logits are z_r = a_r·(x·q_r) + b_r. Two classes have
one row (logistic loss), more classes one row each (softmax).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.optimize import minimize

from sterling.model.levels import level_values

_BETAS = 0.9, 0.999  # of Adam
_BATCH, _RATE, _EPS = 64, 0.01, 1e-8
_CHECK = 100  # steps between two checks of the held-out loss
_GAIN = 1e-9  # smaller gains may be rounding
_MOST = 1_000  # codes; for more, annealing takes longer than the training
_RUNS, _PROPOSALS, _PARTS = 3, 50, 20  # runs, proposals for each code in a run, fits of the heads in a run
_HEAT = 0.03  # the first temperature, in nats of mean loss; it falls linearly to zero
_SURE = 2.0  # standard errors by which errors must be fewer
_LEAST = 1e-12  # share of the other classes, where rounding has left none
_RIDGE = 1e-4  # on the heads, so that separable classes have finite ones
_TRUTHS = np.arange(0, 8.25, 0.25)  # true margins above zero, in standard errors
_ROUNDS = 20  # many more would fit the prior to chance


class Labelled(NamedTuple):
    """Normalised inputs with their classes and weights."""

    inputs: np.ndarray  # float64 (N, n)
    targets: np.ndarray  # float64 (N, R), one where a sample belongs to the class of a row
    shares: np.ndarray  # float64 (N,), weights of the samples, with sum one
    total: float  # number of samples that they stand for

    def part(self, rows: np.ndarray) -> Labelled:
        """Return some of the samples, a mask (N,)."""
        shares, part = self.shares[rows], self.shares[rows].sum()
        return Labelled(self.inputs[rows], self.targets[rows], shares / part, self.total * part)

    def lower(self, after: np.ndarray, before: np.ndarray, errors: float = 1.0) -> bool:
        """Say whether the mean of values (N,) has become lower by more than some standard errors."""
        apart = before - after
        mean = self.shares @ apart
        return bool(mean > errors * np.sqrt(self.shares @ (apart - mean) ** 2 / self.total))


def nearest(latent: np.ndarray, levels: int) -> np.ndarray:
    """Return the levels nearest to latents, int8; ties go upwards."""
    values = np.array(level_values(levels))
    index = np.floor((latent - values[0]) / (values[1] - values[0]) + 0.5).astype(np.int64)
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
    if logits.shape[1] == 1:
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
    last: bool = False,
    held: Labelled | None = None,
    patience: int = 0,
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return codes int8 (R, n) by Adam with straight-through gradients on minibatches, latents and steps.

    The codes are the last ones, or the levels nearest to the average over the second half of the steps. A
    sample is in a batch with the probability of its share. Latents stay within the outermost levels. With
    held-out samples, the run keeps the average of least held-out loss, and it stops after ``patience``
    checks that do not lower it.
    """
    generator, top = np.random.default_rng(seed), float(level_values(levels)[-1])
    ends = np.cumsum(data.shares)
    (rows, n), codes = latent.shape, nearest(latent, levels)
    trained = np.concatenate([latent.ravel(), np.full(rows, -0.5 * np.log(n)), np.zeros(rows)])
    latent = trained[: rows * n].reshape(rows, n)
    log_scale, intercept = trained[rows * n :].reshape(2, rows)
    m, v = np.zeros_like(trained), np.zeros_like(trained)
    total, sums = np.zeros_like(latent), {0: np.zeros_like(latent)}  # of the codes
    step, best, least, checks = 0, None, np.inf, 0
    for step in range(1, steps + 1):
        drawn = np.searchsorted(ends, generator.random(_BATCH) * ends[-1], side="right")
        inputs, scale = data.inputs[drawn], np.exp(log_scale)
        scores = inputs @ codes.T.astype(np.float64)
        residual = (probabilities(scores * scale + intercept) - data.targets[drawn]) / _BATCH
        parts = (residual * scale).T @ inputs, (residual * scores).sum(axis=0) * scale, residual.sum(axis=0)
        gradient = np.concatenate([part.ravel() for part in parts])
        m += (1 - _BETAS[0]) * (gradient - m)
        v += (1 - _BETAS[1]) * (gradient * gradient - v)
        trained -= _RATE * (m / (1 - _BETAS[0] ** step)) / (np.sqrt(v / (1 - _BETAS[1] ** step)) + _EPS)
        np.clip(latent, -top, top, out=latent)
        codes = nearest(latent, levels)
        total += codes
        if step % _CHECK == 0 or step == steps // 2:
            sums[step] = total.copy()
        if held is None or step % _CHECK:
            continue
        half = step // 2 // _CHECK * _CHECK
        mean = (total - sums[half]) / (step - half)
        loss, checks = held.shares @ outcome(data, nearest(mean, levels), held)[0], checks + 1
        if loss < least:
            best, least, checks = mean, loss, 0
        if checks == patience:
            break
    if best is None:
        best = (total - sums[steps // 2]) / (steps - steps // 2)
    return codes if last else nearest(best, levels), latent, step


def heads(scores: np.ndarray, data: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Return the scales and intercepts (R,) of least loss for the scores x·q, (N, R)."""
    spread = np.sqrt(data.shares @ (scores - data.shares @ scores) ** 2)
    spread = np.where(spread > 0, spread, 1.0)
    unit, rows = scores / spread, scores.shape[1]

    def objective(heads: np.ndarray) -> tuple[float, np.ndarray]:
        scale, intercept = heads[:rows], heads[rows:]
        logits = unit * scale + intercept
        residual = (probabilities(logits) - data.targets) * data.shares[:, None]
        loss = loss_of(logits, data) + 0.5 * _RIDGE * (scale @ scale)
        slope = (residual * unit).sum(axis=0) + _RIDGE * scale
        return float(loss), np.concatenate([slope, residual.sum(axis=0)])

    found = minimize(objective, np.repeat([1.0, 0.0], rows), jac=True, method="L-BFGS-B").x
    return found[:rows] / spread, found[rows:]


def outcome(data: Labelled, codes: np.ndarray, judge: Labelled) -> tuple[np.ndarray, np.ndarray]:
    """Return losses of the samples of ``judge``, and 1 where a class is missed; heads are fitted to data."""
    scale, intercept = heads(data.inputs @ codes.T.astype(np.float64), data)
    logits = judge.inputs @ codes.T.astype(np.float64) * scale + intercept
    found = logits > (0 if logits.shape[1] == 1 else np.partition(logits, -2)[:, -2:-1])  # the largest logit
    return losses_of(logits, judge), (found != judge.targets).any(axis=1).astype(float)


def descended(
    data: Labelled,
    codes: np.ndarray,
    levels: int,
    signs: np.ndarray | None = None,
    held: Labelled | None = None,
) -> np.ndarray:
    """Change single codes while that lowers the loss, and the held-out loss if given.

    No code gets the sign opposite to ``signs`` (n,), if given. The second-order expansion of the loss names
    the change to try, the loss itself decides. Heads are fitted anew after each R·n/64 changes.
    """
    values = np.array(level_values(levels), np.float64)
    squares, weight, often = data.inputs**2, data.shares[:, None], max(8, codes.size // 64)
    scores = data.inputs @ codes.T.astype(np.float64)
    while True:
        scale, intercept = heads(scores, data)
        loss = loss_of(scores * scale + intercept, data)
        for _ in range(often):
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


def polished(data: Labelled, codes: np.ndarray, levels: int, seed: int, held: Labelled | None) -> np.ndarray:
    """Return codes after single changes. Annealed ones need a lower loss and, beyond chance, fewer errors."""
    codes, judge = descended(data, codes, levels, held=held), held or data
    if codes.size > _MOST:
        return codes
    generator = np.random.default_rng(seed)
    found = [descended(data, annealed(data, codes, levels, generator), levels) for _ in range(_RUNS)]
    judged = [outcome(data, one, judge) for one in (codes, *found)]
    errors = [round(float(judge.shares @ wrong), 9) for _, wrong in judged[1:]]  # equal where counts are
    best = 1 + errors.index(min(errors))
    (loss, wrong), (lower, fewer) = judged[0], judged[best]
    better = judge.shares @ lower < judge.shares @ loss and judge.lower(fewer, wrong, _SURE)
    return found[best - 1] if better else codes


def annealed(data: Labelled, codes: np.ndarray, levels: int, generator: np.random.Generator) -> np.ndarray:
    """Return codes after one annealing."""
    values, n = np.array(level_values(levels), np.int8), codes.shape[1]
    columns, index = np.ascontiguousarray(data.inputs.T), np.searchsorted(values, codes)
    own = (data.targets * data.shares[:, None]).T @ data.inputs
    part = -(-_PROPOSALS * codes.size // _PARTS)
    for heat in _HEAT * np.linspace(1, 0, _PARTS, endpoint=False):
        scores = data.inputs @ values[index].T.astype(np.float64)
        scale, intercept = heads(scores, data)
        logits = np.ascontiguousarray((scores * scale + intercept).T)
        total = np.logaddexp.reduce(logits, axis=0, initial=0.0 if len(logits) == 1 else -np.inf)
        places, turns = generator.integers(codes.size, size=part), generator.integers(1, levels, size=part)
        for place, turn, allowed in zip(places, turns, heat * generator.exponential(size=part), strict=True):
            row, k = divmod(int(place), n)
            new = (index[row, k] + turn) % levels
            move = float(values[new] - values[index[row, k]]) * scale[row]
            change = move * columns[k]
            with np.errstate(over="ignore", invalid="ignore"):  # then the change is refused
                ratio = 1 + np.exp(logits[row] - total) * (np.exp(change) - 1)
            grown = np.log(np.maximum(ratio, _LEAST))  # of the sum of the exponentials
            if data.shares @ grown - move * own[row, k] < allowed:
                index[row, k] = new
                logits[row] += change
                total += grown
    return values[index]


def certainty(codes: np.ndarray, levels: int, bootstraps: Iterable) -> np.ndarray:
    """Return the probability that each code is right, from resampled data and codes trained on them."""
    return probability(np.stack([margins(data, found, codes, levels) for data, found in bootstraps]))


def margins(data: Labelled, found: np.ndarray, codes: np.ndarray, levels: int) -> np.ndarray:
    """Return by how much nearer each weight is to its code than to the next best level, in squares (R, n).

    The weights of a row are real: those after a Newton step from its codes in ``found``, with the ridge 1/N.
    """
    scores = data.inputs @ found.T.astype(np.float64)
    scale, intercept = heads(scores, data)
    share = probabilities(scores * scale + intercept)
    inputs = np.column_stack([data.inputs, np.ones(len(scores))])
    free = scale[:, None] * found
    for row, (one, target) in enumerate(zip(share.T, data.targets.T, strict=True)):
        bend = (inputs.T * (data.shares * one * (1 - one))) @ inputs + np.eye(inputs.shape[1]) / data.total
        free[row] -= np.linalg.solve(bend, inputs.T @ (data.shares * (one - target)))[:-1]
    away = (free - np.array(level_values(levels))[:, None, None] * scale[:, None]) ** 2
    own = np.searchsorted(level_values(levels), codes)[None]
    kept = np.take_along_axis(away, own, axis=0)[0]
    np.put_along_axis(away, own, np.inf, axis=0)
    return away.min(axis=0) - kept


def probability(drawn: np.ndarray) -> np.ndarray:
    """Return the probability that each true margin is above zero, from margins of bootstraps (B, R, n).

    A margin's mean over its standard deviation is normal around the truth. One symmetric prior of all truths
    is fitted by expectation and maximisation, from a flat one in few rounds.
    """
    spread = np.maximum(drawn.std(axis=0, ddof=1), 1e-300)
    ratio = stats.norm.isf(stats.t.sf(drawn.mean(axis=0) / spread, len(drawn) - 1)).ravel()
    ratio = np.clip(ratio, -_TRUTHS[-1], _TRUTHS[-1])[:, None]
    above, below = stats.norm.pdf(ratio - _TRUTHS), stats.norm.pdf(ratio + _TRUTHS)
    likely, prior = above + below, np.full(len(_TRUTHS), 1 / len(_TRUTHS))
    for _ in range(_ROUNDS):
        prior = prior * (likely / (likely @ prior)[:, None]).mean(axis=0)
    return (above @ prior / (likely @ prior)).reshape(drawn.shape[1:])
