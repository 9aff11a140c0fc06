"""Every state of a small instance: losses, absorbing states, minimisers, deviation from the mean gradient.

The 2ⁿ sign vectors are visited once each (`kernels.py`, shared among threads by `sweep.py`); all numbers are
exact. Where runs end is in `basins.py`, words in `summary.py`, tables in `table.py`, pictures in `plot.py`.
"""

from __future__ import annotations

import os
import time
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.arrays import read_only
from sterling.base.resources import require_memory
from sterling.base.text import html_table
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.schedules import Schedule
from sterling.states.sweep import Show, sweep, thread_count
from sterling.surrogates import Surrogate, get_surrogate

if TYPE_CHECKING:
    import polars as pl

    from sterling.states.basins import Basins

#: Largest dimension: 2²⁴ losses take 128 MiB.
MAX_DIMENSION = 24


class Landscape:
    """All states of an instance. State number s has sign k = +1 where bit k of s is set.

    Attributes
    ----------
    n : int
    instance : Instance
    surrogate : str
        What the gradient, and so absorption and deviation, belong to; the loss does not depend on it.
    loss : float64 (2**n,)
        L(w) of every state, as `Instance.loss` gives it.
    reference : int8 (n,)
        The teacher, or without one the first global minimiser.
    absorbing_states, minimiser_states : int64
        Numbers of the absorbing states and of the global minimisers of the loss, ascending.
    deviation : float or None
        sup over all states of ‖G(w) − E G(w)‖_∞; None where the mean is unknown.
    deviation_reason : str
        Why it is None.
    pull : float or None
        The smallest mean pull home on a wrong weight, over all states: where the deviation is smaller, no
        state but the teacher absorbs (exact). None where the mean is unknown.
    farthest : int8 (n,) or None
        A state where the deviation occurs.
    seconds : float
    """

    def __init__(
        self,
        instance: Instance,
        surrogate: str,
        loss: np.ndarray,
        minimisers: np.ndarray,
        absorbing: np.ndarray,
        deviation: tuple[float, int] | None,
        reason: str,
        pull: float | None,
        seconds: float,
    ):
        self.instance, self.surrogate, self.n = instance, surrogate, instance.n
        self.loss = read_only(loss)
        self.minimiser_states, self.absorbing_states = minimisers, absorbing
        self.deviation = None if deviation is None else deviation[0]
        self.farthest = None if deviation is None else signs_of(np.array([deviation[1]]), self.n)[0]
        self.deviation_reason = reason
        self.pull = pull
        self.seconds = seconds

    @cached_property
    def absorbing(self) -> np.ndarray:
        """The absorbing states (science.md, 5): a run that gets there never leaves. int8 (count, n)."""
        return signs_of(self.absorbing_states, self.n)

    @cached_property
    def minimisers(self) -> np.ndarray:
        """The global minimisers of the empirical risk, int8 (count, n)."""
        return signs_of(self.minimiser_states, self.n)

    @property
    def reference(self) -> np.ndarray:
        teacher = self.instance.teacher
        return self.minimisers[0] if teacher is None else teacher

    @property
    def traps(self) -> np.ndarray:
        """Absorbing states other than the teacher (without one: other than minimisers), int8 (count, n)."""
        return signs_of(self.trap_states, self.n)

    @property
    def trap_states(self) -> np.ndarray:
        """Numbers of the traps, ascending."""
        if self.instance.teacher is None:
            return np.setdiff1d(self.absorbing_states, self.minimiser_states)
        return np.setdiff1d(self.absorbing_states, number_of(self.instance.teacher))

    @property
    def trap_free(self) -> bool:
        """Whether no state but the teacher (without one: but minimisers) absorbs: no start can be caught."""
        return self.trap_states.size == 0

    @property
    def reference_state(self) -> int:
        """Number of the reference."""
        return number_of(self.reference)

    @property
    def reference_absorbs(self) -> bool:
        """Whether a run that reaches the reference stays there."""
        return bool(np.isin(self.reference_state, self.absorbing_states))

    @property
    def distance(self) -> np.ndarray:
        """Hamming distance of every state to the reference, uint8 (2**n,)."""
        return self.distance_of(np.arange(len(self.loss)))

    def distance_of(self, states: np.ndarray) -> np.ndarray:
        """Return the Hamming distances of states, given by number, to the reference, uint8."""
        different = np.asarray(states).astype(np.uint32) ^ np.uint32(self.reference_state)
        return np.bitwise_count(different)

    def signs(self, state: int) -> np.ndarray:
        """Return the signs of the state of that number, int8 (n,)."""
        if not 0 <= state < len(self.loss):
            raise InputError(f"state is {state}; there are states 0 to {len(self.loss) - 1}")
        return signs_of(np.array([state]), self.n)[0]

    def basins(
        self,
        starts: int = 200,
        schedule: Schedule | None = None,
        seed: int | np.random.SeedSequence = 0,
        steps: int = 1_000_000,
        threads: int | None = None,
        progress: Show | None = None,
    ) -> Basins:
        """Run the dynamics from many starts and count where they end; see `basins.find_basins`."""
        from sterling.states.basins import find_basins

        return find_basins(self, starts, schedule, seed, steps, threads, progress)

    def summary(self) -> list[tuple[str, str]]:
        """Return names and values of the results, for a table."""
        from sterling.states.summary import summary

        return summary(self)

    def table(self) -> pl.DataFrame:
        """Return one row a state: its number, loss, distance to the reference, and whether it absorbs."""
        from sterling.states.table import table

        return table(self)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the table of states to a file, .npz or .parquet; see `table.save`."""
        from sterling.states.table import save

        return save(self, path)

    def to_dict(self) -> dict:
        """Return the results as plain values, without the losses."""
        return {
            "n": self.n,
            "surrogate": self.surrogate,
            "states": len(self.loss),
            "lowest_loss": float(self.loss[self.minimiser_states[0]]),
            "minimisers": self.minimisers[:100].tolist(),
            "minimisers_count": len(self.minimiser_states),
            "absorbing": self.absorbing[:100].tolist(),
            "absorbing_count": len(self.absorbing_states),
            "trap_free": self.trap_free,
            "traps_count": int(self.trap_states.size),
            "reference_absorbs": self.reference_absorbs,
            "deviation": self.deviation,
            "deviation_reason": self.deviation_reason,
            "pull": self.pull,
            "instance": self.instance.to_dict(),
            "seconds": self.seconds,
        }

    def _repr_html_(self) -> str:
        return html_table(self.summary())

    def __repr__(self) -> str:
        traps = int(self.trap_states.size)
        free = "trap free" if traps == 0 else f"{traps:,} trap{'s' if traps > 1 else ''}"
        home = "absorbs" if self.reference_absorbs else "does not absorb"
        known = "teacher" if self.instance.teacher is not None else "minimiser"
        minimisers = len(self.minimiser_states)
        deviation = "" if self.deviation is None else f", deviation={self.deviation:.3g}"
        return (
            f"Landscape(n={self.n}, {len(self.loss):,} states, {free}, {known} {home}, "
            f"{minimisers} minimiser{'s' if minimisers > 1 else ''}{deviation})"
        )


def signs_of(states: np.ndarray, n: int) -> np.ndarray:
    """Return the signs of states given by number, int8 (count, n)."""
    states = np.asarray(states, np.int64)
    if states.size > 1 << 20:
        require_memory(10 * states.size * n, f"a table of {states.size:,} states")
    bits = (states[:, None] >> np.arange(n)) & 1
    return (2 * bits - 1).astype(np.int8)


def number_of(signs: np.ndarray) -> int:
    """Return the number of a state: bit k is set where sign k is +1."""
    return int(sum(1 << k for k, sign in enumerate(signs) if sign > 0))


def landscape(
    instance: Instance,
    surrogate: str | Surrogate = "relu",
    *,
    gaussian: bool | None = None,
    progress: Show | None = None,
    threads: int | None = None,
) -> Landscape:
    """Visit all 2ⁿ states of an instance with n ≤ 24.

    Parameters
    ----------
    instance : Instance
    surrogate : str or Surrogate
        One with a piecewise-constant derivative.
    gaussian : bool, optional
        Whether the rows of the inputs are independent standard Gaussian vectors, for which E G(w) is known.
        By default that is read from the problem that the instance was drawn from.
    progress : callable, optional
        Gets a `Progress`, in states, several times a second.
    threads : int, optional
        All cores by default. The result does not depend on it.

    Raises
    ------
    InputError
        If n > 24, or the surrogate is smooth.
    CapacityError
        If it would not fit into memory.
    KeyboardInterrupt
        Within half a second of Ctrl-C.
    """
    if not isinstance(instance, Instance):
        raise InputError(f"the first argument is a {type(instance).__name__}; give an Instance")
    chosen = check_surrogate(surrogate)
    check_dimension(instance.n)
    levels = _mean_levels(instance, chosen, gaussian)
    known, reason = (None, levels) if isinstance(levels, str) else (levels, "")
    begun = time.monotonic()
    found = sweep(instance, chosen, known, thread_count(threads), progress)
    return Landscape(
        instance,
        chosen.name,
        found.loss,
        found.minimisers,
        found.absorbing,
        found.deviation,
        reason,
        None if known is None else float(-known[1, 1:].max()),
        time.monotonic() - begun,
    )


def check_dimension(n: int) -> None:
    """Raise InputError if there are too many states to visit."""
    if n > MAX_DIMENSION:
        raise InputError(
            f"a landscape of n={n} has 2^{n} states; n may be at most {MAX_DIMENSION}: "
            "take fewer inputs, or look at single runs with train()"
        )


def check_surrogate(surrogate: str | Surrogate) -> Surrogate:
    """Return the surrogate; raise InputError if its derivative is not piecewise constant."""
    chosen = get_surrogate(surrogate)
    if not chosen.piecewise_constant:
        raise InputError(
            f"the landscape needs a piecewise-constant surrogate, and {chosen.name} is smooth: take "
            "relu, identity, clipped_relu or hard_tanh (the loss is the same for all)"
        )
    return chosen


def _mean_levels(instance: Instance, surrogate: Surrogate, gaussian: bool | None) -> np.ndarray | str:
    """Return w*_k·E G_k by distance, float64 (2, n + 1), or why it is unknown."""
    from sterling.theory.population import profile

    if instance.teacher is None:
        return "the mean gradient needs a teacher, and the instance has none"
    if gaussian is None:
        origin = instance.origin
        if "inputs" not in origin:
            return "the law of the inputs is unknown: give gaussian=True if the rows are standard Gaussian"
        if origin["inputs"] != "gaussian" or origin.get("normalize") is not None:
            return (
                f"the mean gradient is known for plain Gaussian inputs, and these are {origin['inputs']}"
                + (f" with normalize={origin['normalize']!r}" if origin.get("normalize") is not None else "")
            )
    elif not gaussian:
        return "the inputs are not Gaussian"
    return profile(instance.n, instance.readout_norm2, surrogate)
