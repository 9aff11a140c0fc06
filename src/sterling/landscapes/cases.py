"""A sharper bound of the mass at the reference: at every moment a weight is balanced or at rest.

By the dichotomy of docs/science, 13, every limit of the shares of mass is a mixture of measures π of the
following kind, if wrong weights are never pushed further out. For some set S of weights, Σ_D π(D) B_k(D) = 0
for each k in S (*balanced*), and π(D) = 0 for each set D of wrong weights that is not inside S (*at rest*).

A *case* assigns to each weight 1 (balanced), −1 (at rest) or 0 (either: Σ π B′_k ≥ 0 holds for both). Cases
that exclude each other and cover everything bound π(∅) by the least of their programs. `branch` finds some.
"""

from __future__ import annotations

import numpy as np

from sterling.landscapes.numbering import members
from sterling.landscapes.programs import SLACK, minimum
from sterling.landscapes.proof import homewards, proved

#: Most states for which cases are distinguished at all, and most programs to solve.
MOST_STATES, MOST_CASES = 1 << 20, 128

_WORK = 1 << 22  # states times cases, at most
_NEW = 12  # states that a program may bring in at a time
_LARGE = 1e4  # cost of breaking a constraint: the first states may break all of them
_EXACT = 1e-12  # least score of a weight whose split can improve the bound


class _Programs:
    """The linear programs of the cases over one table of states."""

    def __init__(self, pushes: np.ndarray, clipped: np.ndarray, wrong: np.ndarray):
        self.scale = max(float(np.abs(pushes).max()), np.finfo(float).tiny)
        self.pushes, self.clipped, self.wrong = pushes, clipped, wrong
        self.states = np.arange(len(pushes))
        self.home = (self.states == 0).astype(np.float64)

    def solve(self, case: np.ndarray, columns: np.ndarray):
        """Return the bound of a case, its dual vector, the states used, and their masses."""
        resting = int((1 << np.flatnonzero(case == -1)).sum())
        columns = columns[columns & resting == 0]
        free, even = np.flatnonzero(case == 0), np.flatnonzero(case == 1)
        while True:
            goal = np.concatenate((self.home[columns], np.full(1 + 2 * len(even), _LARGE)))
            rows = self.clipped[np.ix_(columns, free)].T / self.scale
            pad = np.hstack((np.ones((len(free), 1)), np.zeros((len(free), 2 * len(even)))))
            equal = self.pushes[np.ix_(columns, even)].T / self.scale
            unit = np.eye(len(even))
            sides = np.hstack((equal, np.zeros((len(even), 1)), unit, -unit))
            found = minimum(goal, np.hstack((rows, pad)), sides)
            dual = np.zeros(len(case))
            if len(free):
                dual[free] = np.maximum(-found.ineqlin.marginals, 0.0) / self.scale
            dual[even] = found.eqlin.marginals[1:] / self.scale
            total, absent = proved(self.pushes, self.clipped, self.wrong, case[None], dual[None])
            price = np.where(absent[:, 0], np.inf, self.home - total[:, 0])
            few = min(_NEW, len(price))
            cheap = np.argpartition(price, few - 1)[:few]
            cheap = cheap[price[cheap] < found.fun - SLACK]
            if np.isin(cheap, columns).all():
                return float(price.min()), dual, columns, found.x[: len(columns)]
            columns = np.union1d(columns, cheap)

    def undecided(self, case: np.ndarray, columns: np.ndarray, mass: np.ndarray) -> int | None:
        """Return the weight that is furthest from balanced or at rest in a solution; None if all are."""
        wrong, pushes = self.wrong[columns], self.pushes[columns]
        unused = mass @ np.where(wrong, 0.0, np.maximum(-pushes, 0.0)) / self.scale
        score = np.where(case == 0, unused * (mass @ wrong), 0.0)
        chosen = int(np.argmax(score))
        return chosen if score[chosen] > _EXACT else None


def branch(pushes: np.ndarray, clipped: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return cases and a dual vector for each; the case with the lowest bound is split again and again.

    ``pushes`` and ``clipped`` are B and B′ of all sets of wrong weights, float64 (2ⁿ, n). There are no cases
    if wrong weights may be pushed further out, or if there are too many states.
    """
    n = pushes.shape[1]
    none = np.empty((0, n), np.int8), np.empty((0, n))
    if len(pushes) > MOST_STATES:
        return none
    wrong = members(np.arange(len(pushes)), n)
    if not homewards(pushes, wrong):
        return none
    programs = _Programs(pushes, clipped, wrong)
    first = np.concatenate(([0], 1 << np.arange(n)))
    case = np.zeros(n, np.int8)
    level, dual, columns, mass = programs.solve(case, first)
    count = 1
    open_ones = [(level, count, case, dual, columns, mass)]
    while count + 2 <= min(MOST_CASES, _WORK // len(pushes)):
        open_ones.sort(key=lambda one: one[:2])
        level, _, case, dual, columns, mass = open_ones[0]
        weight = None if level >= 1 else programs.undecided(case, columns, mass)
        if weight is None:
            break
        open_ones.pop(0)
        for side in (1, -1):
            count += 1
            part = case.copy()
            part[weight] = side
            level, dual, used, masses = programs.solve(part, np.union1d(first, columns))
            open_ones.append((level, count, part, dual, used, masses))
    return np.array([one[2] for one in open_ones]), np.array([one[3] for one in open_ones])
