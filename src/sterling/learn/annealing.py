"""Annealing of the codes of a small model: single changes that may raise the loss, ever more seldom.

A descent by single changes stops where the better codes are several changes away. Annealing finds them, but a
lower loss need not mean fewer errors. So the codes that it finds must have fewer, beyond chance.
"""

from __future__ import annotations

import numpy as np

from sterling.learn.training import Labelled, descended, heads, outcome
from sterling.model.levels import level_values

_MOST = 1_000  # codes; for more, annealing takes longer than the training
_RUNS, _PROPOSALS, _PARTS = 3, 50, 20  # runs, proposals for each code in a run, fits of the heads in a run
_HEAT = 0.03  # the first temperature, in nats of mean loss; it falls linearly to zero
_SURE = 2.0  # standard errors by which errors must be fewer
_LEAST = 1e-12  # share of the other classes, where rounding has left none


def improved(
    data: Labelled, codes: np.ndarray, levels: int, seed: int, held: Labelled | None = None
) -> np.ndarray:
    """Return the annealed codes of fewest errors, or the codes as they are.

    The annealed ones need a lower loss, and fewer errors by more than two standard errors. Held-out
    samples judge that, if there are some.
    """
    if codes.size > _MOST:
        return codes
    judge = data if held is None else held
    generator = np.random.default_rng(seed)
    loss, wrong = outcome(data, codes, judge)
    found = [descended(data, annealed(data, codes, levels, generator), levels) for _ in range(_RUNS)]
    judged = [outcome(data, one, judge) for one in found]
    errors = [round(float(judge.shares @ missed), 9) for _, missed in judged]  # equal where counts are
    best = errors.index(min(errors))
    lower = judge.shares @ judged[best][0] < judge.shares @ loss
    return found[best] if lower and judge.lower(judged[best][1], wrong, _SURE) else codes


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
        total = np.logaddexp.reduce(logits, axis=0, initial=0.0 if data.rows == 1 else -np.inf)
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
