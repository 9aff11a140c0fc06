"""The time average of a chattering run on one data set; the derivation is in `box.py`."""

from __future__ import annotations

import math

import numpy as np

from sterling.base.checks import instance_of
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.levels import level_values
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.labels import labelled
from sterling.theory.numbers import numbers_of, window_of
from sterling.theory.population import pull
from sterling.theory.units import forces

_ROUNDS = 20_000
_CLOSE = 1e-7


@labelled(
    "mean-field",
    "sterling.theory.averages and box; docs/science, 8",
    "n = 256 to 1024, m = 1 and 4, N/n = 2.5 to 12, σ = 0 and 0.5, constant rate: mean share of wrong "
    "weights within 3 %, correlation over the weights above 0.99. 3 to 5 levels, n = 96, m = 1, N/n = 3 "
    "(identity) and 8 (ReLU, σ = 0.5), 5,000 steps: correlation above 0.9997, mean difference below 0.014 of "
    "the distance between levels. n = 112, rate 0.1, 40,000 steps, identity with N/n = 3 (σ = 0), 6 (0.5); "
    "ReLU with 4 (3 levels), 6 and 8: above 0.9995, below 0.018. With fewer samples it fails for ReLU, where "
    "runs from different starts keep different averages: 0.95 with 3 levels and N/n = 3, and with 4 levels "
    "0.96 at N/n = 4 and 0.76 at 3, at worst",
)
def chatter_mean(instance: Instance, surrogate: str | Surrogate = "relu") -> np.ndarray:
    """Return √n times the time average of a long run on this data set, without running it.

    The average is the box-constrained fit that `box.py` derives. Each entry either makes its mean gradient
    zero or, if the gradient holds the weight, is an outermost level. No teacher is needed. With two levels
    and a teacher b = √n·w*, weight k is wrong for the share (1 − b_k·value_k)/2 of the time. With more levels
    a weight alternates between the two levels next to its average.

    Parameters
    ----------
    surrogate : str or Surrogate
        Surrogate gradient: a name or a `Surrogate`. It must have a window: its derivative is one inside
        and zero outside.

    Returns
    -------
    float64 (n,)
        One value for each weight, from the lowest level to the highest: from −1 to 1 for two levels.

    Examples
    --------
    >>> import sterling as st
    >>> data = st.Problem(n=64, samples=256).draw(0)
    >>> mean = chatter_mean(data, "identity")
    >>> bool(np.all(np.sign(mean) == data.teacher))
    True
    """
    instance_of(instance, Instance, "the first argument", "an Instance, such as problem.draw(0)")
    chosen = get_surrogate(surrogate)
    window = window_of(chosen)
    n, count = instance.n, instance.samples * instance.m
    rows = instance.inputs.reshape(count, n)
    squares = rows**2 / n
    labels = instance.labels[:, None]
    readout = instance.readout
    values = np.array(level_values(instance.levels), float)
    top, gap, size = values[-1], values[1] - values[0], math.sqrt(np.mean(values**2))
    numbers = numbers_of(instance, chosen, gaussian=False, levels=True)
    curvature = pull(numbers) * float(squares.mean() * n) / 2 / size
    rate = 0.5 / curvature / (1 + math.sqrt(n / count)) ** 2
    average = np.zeros(n)
    for _ in range(_ROUNDS):
        above = np.mod(average + top, gap)  # the level below the average
        spread = np.sqrt(np.maximum(squares @ (above * (gap - above)), 1e-12)).reshape(-1, instance.m)
        centre = (rows @ average / math.sqrt(n)).reshape(-1, instance.m)
        force, _ = forces(centre, labels, spread, 0.0, readout, window)
        gradient = force.ravel() @ rows / instance.samples
        moved = np.clip(average - rate * gradient, -top, top)
        change = np.abs(moved - average).max()
        average = moved
        if change < _CLOSE:
            return average
    raise InputError("the fit does not converge on these data: take more samples")
