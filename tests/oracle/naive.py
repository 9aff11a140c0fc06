"""The definition of a run in plain float64 NumPy loops (docs/science, 1, 2 and 5), without the package.

Nothing here imports sterling. `simulate` takes arrays only; it is slow and meant to be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np


def constant(rate, steps):
    """η_t = rate."""
    return np.full(steps, float(rate))


def power(rate, exponent, steps):
    """η_t = rate·(t + 1)^−exponent."""
    return np.array([rate * float(t + 1) ** -exponent for t in range(steps)])


def table(rates, steps):
    """η_t = rates[t], the last one for ever."""
    return np.array([float(rates[min(t, len(rates) - 1)]) for t in range(steps)])


def rates_of(description, steps):
    """Return η_0 … η_{steps−1} of a schedule given as ("constant", rate), ("power", rate, exponent) or
    ("table", rates)."""
    kind, *numbers = description
    return {"constant": constant, "power": power, "table": table}[kind](*numbers, steps)


def compare_with_root(a, n):
    """Return the sign of |a| − √n exactly: where floats cannot tell, fractions do."""
    a = np.abs(np.asarray(a, np.float64))
    result = np.sign(a - np.sqrt(n))
    for place in zip(*np.nonzero(np.abs(a - np.sqrt(n)) < 1e-6 * np.sqrt(n)), strict=True):
        square = Fraction(float(a[place])) ** 2
        result[place] = (square > n) - (square < n)
    return result


def slope(surrogate, a, n):
    """Return μ′(a/√n), by docs/science, 2, and for smooth ones by the papers that proposed them."""
    x = a / np.sqrt(n)
    if surrogate == "relu":
        return (a > 0) * 1.0
    if surrogate == "identity":
        return np.ones_like(a)
    if surrogate == "clipped_relu":
        return ((a > 0) & (compare_with_root(a, n) < 0)) * 1.0
    if surrogate == "hard_tanh":
        return (compare_with_root(a, n) <= 0) * 1.0
    if surrogate == "sigmoid":
        return 1 / (1 + np.exp(-x)) * (1 - 1 / (1 + np.exp(-x)))
    if surrogate == "approx_sign":
        return np.where(np.abs(x) <= 1, 2 - 2 * np.abs(x), 0.0)
    if surrogate == "swish_sign":
        return 5 * (2 - 5 * x * np.tanh(5 * x / 2)) / (1 + np.cosh(5 * x))
    raise ValueError(surrogate)


def loss_and_gradient(inputs, labels, readout, signs, surrogate):
    """Return L(w) and G(w) at w = signs/√n."""
    samples, _, n = inputs.shape
    a = inputs @ signs.astype(np.float64)  # √n·Z w: exact, since the inputs lie on a dyadic grid
    residual = (a > 0) @ readout - labels
    coefficient = residual[:, None] * readout * slope(surrogate, a, n)
    gradient = coefficient.ravel() @ inputs.reshape(-1, n) / samples
    return float(residual @ residual) / (2 * samples), gradient


def sign(u):
    """Sign with sign(0) = +1."""
    return np.where(u >= 0, 1, -1).astype(np.int8)


@dataclass
class Run:
    """What the loop saw, step by step; everything an orbit reports is computed from it."""

    states: np.ndarray  # int8 (T + 1, n), signs of w_0 … w_T
    latent: np.ndarray  # u_T
    last_gradient: np.ndarray  # G(w_T)
    last_loss: float
    rates: np.ndarray  # η_0 … η_{T−1}, divided by ‖v‖²
    reference: np.ndarray
    teacher_known: bool

    @property
    def steps(self):
        return len(self.rates)

    @property
    def flips(self):
        """List of (step, coordinate, sign): step is the first t at which w_t has the new sign."""
        changed = np.argwhere(self.states[1:] != self.states[:-1])
        return [(int(t) + 1, int(k), int(self.states[t + 1, k])) for t, k in changed]

    @property
    def events(self):
        return int(np.any(self.states[1:] != self.states[:-1], axis=1).sum())

    @property
    def at_reference(self):
        """Whether w_t is the reference, t = 0 … T − 1."""
        return np.all(self.states[:-1] == self.reference, axis=1)

    @property
    def occupancy(self):
        return self.at_reference.mean()

    def _arrivals_and_departures(self):
        arrivals, departures, before = [], [], False
        for t, here in enumerate(self.at_reference):
            if here and not before:
                arrivals.append(t)
            if before and not here:
                departures.append(t)
            before = here
        return arrivals, departures

    @property
    def visits(self):
        return len(self._arrivals_and_departures()[0])

    @property
    def first_hit(self):
        arrivals, _ = self._arrivals_and_departures()
        return arrivals[0] if arrivals else None

    @property
    def return_times(self):
        """Steps from each departure to the next arrival."""
        arrivals, departures = self._arrivals_and_departures()
        return [b - a for a, b in zip(departures, arrivals[1:], strict=False)]

    @property
    def sojourn_times(self):
        """Steps from each arrival to the next departure."""
        arrivals, departures = self._arrivals_and_departures()
        return [b - a for a, b in zip(arrivals, departures, strict=False)]

    @property
    def wrong_share(self):
        return (self.states[:-1] != self.reference).mean(axis=0)

    @property
    def ergodic_mean(self):
        if self.rates.sum() == 0:
            return self.states[0] / np.sqrt(self.states.shape[1])
        weighted = (self.rates[:, None] * self.states[:-1]).sum(axis=0)
        return weighted / self.rates.sum() / np.sqrt(self.states.shape[1])

    @property
    def errors(self):
        return int((self.states[-1] != self.reference).sum())

    def distance(self, at):
        return [int((self.states[t] != self.reference).sum()) for t in at]

    @property
    def absorbed(self):
        """Whether the weights can never change again from w_T."""
        return bool(np.all(self.states[-1] * self.last_gradient <= 0))

    def verdict(self, remaining_mass=np.inf):
        """Return the verdict, given the sum of all step sizes from T on (in units of the readout's norm)."""
        if self.absorbed:
            at_teacher = self.teacher_known and self.errors == 0
            return "OPTIMAL" if at_teacher or self.last_loss == 0 else "TRAPPED"
        if remaining_mass < np.inf:
            moving = self.states[-1] * self.last_gradient > 0
            need = np.abs(self.latent[moving]) / np.abs(self.last_gradient[moving])
            if need.min() > remaining_mass:
                return "STALLED"
        return (
            "RECURRENT" if self.visits >= 2 else "WANDERING"
        )  # or CHATTERING, which is a matter of statistics


def simulate(inputs, labels, readout, latent, rates, surrogate="relu", teacher=None):
    """Run the STE-gradient method for len(rates) steps, one after the other.

    ``rates`` are in units in which the readout has norm one: η_t = rates[t]/‖v‖². Without a teacher the
    reference is the first of the states of lowest risk among w_0 … w_T.
    """
    rates = np.asarray(rates, np.float64) / float(readout @ readout)
    u = np.array(latent, np.float64)
    states = np.empty((len(rates) + 1, len(u)), np.int8)
    states[0] = sign(u)
    lowest, reference = np.inf, teacher
    known = {}  # loss and gradient depend on the state alone, and most states come many times
    for t in range(len(rates) + 1):
        state = states[t].tobytes()
        if state not in known:
            known[state] = loss_and_gradient(inputs, labels, readout, states[t], surrogate)
        loss, gradient = known[state]
        if teacher is None and loss < lowest:
            lowest, reference = loss, states[t]
        if t < len(rates):
            u = u - rates[t] * gradient
            states[t + 1] = sign(u)
    return Run(states, u, gradient, loss, rates, np.array(reference, np.int8), teacher is not None)
