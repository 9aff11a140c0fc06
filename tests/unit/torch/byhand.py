"""What a monitor counts, by hand: all codes of one tensor in a list, and statistics in plain Python."""

import math
from itertools import pairwise


def nearest(average, levels):
    """Return the level nearest to an average, the upper one of two."""
    return min(sorted(levels, reverse=True), key=lambda level: abs(level - average))


class Record:
    """Codes of the weights at steps 0, 1, …, and the rates of the steps between."""

    def __init__(self, codes, rates, levels):
        self.rows, self.rates, self.levels = codes, rates, levels
        self.steps, self.weights = len(rates), len(codes[0])

    def column(self, k):
        return [row[k] for row in self.rows]

    def flips(self):
        """Return (step, weight, old, new) of each flip, in order."""
        return [
            (t, k, self.rows[t - 1][k], self.rows[t][k])
            for t in range(1, self.steps + 1)
            for k in range(self.weights)
            if self.rows[t][k] != self.rows[t - 1][k]
        ]

    def of(self, k):
        """Return (step, old, new) of the flips of one weight."""
        return [(t, old, new) for t, weight, old, new in self.flips() if weight == k]

    def undone(self, within):
        """Return how many flips lead back to the code before, at most so many steps after it was left."""
        count = 0
        for k in range(self.weights):
            mine = self.of(k)
            for (left, old, _), (back, _, new) in pairwise(mine):
                count += new == old and back - left <= within
        return count

    def weigh(self, t, horizon):
        """Return what the steps up to t weigh: step s has η_s, and fades."""
        decay = 0.0 if math.isinf(horizon) else 1 / horizon
        return [(s, self.rates[s - 1] * math.exp(-(t - s) * decay)) for s in range(1, t + 1)]

    def average(self, k, t, horizon):
        """Return Σ weight · code(s − 1) / Σ weight: a step is taken with the codes from before it."""
        weights = self.weigh(t, horizon)
        total = sum(weight for _, weight in weights)
        if total == 0:
            return self.rows[0][k]
        return sum(weight * self.rows[s - 1][k] for s, weight in weights) / total

    def shares(self, k, t, horizon):
        """Return what share of the mass each level has."""
        weights = self.weigh(t, horizon)
        total = sum(weight for _, weight in weights)
        held = dict.fromkeys(self.levels, 0.0)
        for s, weight in weights:
            held[self.rows[s - 1][k]] += weight / total
        return held

    def oscillation(self, k, momentum):
        """Return f after all steps, by Nagel's recursion."""
        f, before = 0.0, 0
        for t in range(1, self.steps + 1):
            change = self.rows[t][k] - self.rows[t - 1][k]
            direction = (change > 0) - (change < 0)
            o = direction != 0 and direction == -before
            f = momentum * o + (1 - momentum) * f
            before = direction or before
        return f

    def never_moved(self):
        return sum(len(set(self.column(k))) == 1 for k in range(self.weights))
