"""Every state of a small instance: losses, absorbing states, minimisers, deviation from the mean gradient.

The 2ⁿ sign vectors are visited once each (`kernels.py`, shared among threads by `sweep.py`); all numbers are
exact. Where runs end is in `basins.py`, words in `summary.py`, pictures in `sterling.plot.landscape`.
"""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.arrays import read_only
from sterling.base.checks import flag, instance_of, integer
from sterling.base.progress import Show
from sterling.base.resources import require_memory
from sterling.base.text import Result, counted
from sterling.errors import InputError
from sterling.landscapes.basins import Basins, find_basins
from sterling.landscapes.numbering import number_of, signs_of
from sterling.landscapes.summary import summary
from sterling.landscapes.sweep import Found, sweep
from sterling.model.instance import Instance
from sterling.schedules import Schedule
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.laws import expected_deviation
from sterling.theory.numbers import numbers_of, unlike_gaussian
from sterling.theory.population import profile

if TYPE_CHECKING:
    import polars as pl

#: Largest dimension: 2²⁴ losses take 128 MiB.
MAX_DIMENSION = 24

_ROW_BYTES = 14  # of a state in a table
_COPIES = 3  # at once while a file is made of it


class Landscape(Result):
    """All states of an instance, as `landscape` finds them. State s has sign k = +1 where bit k of s is set.

    Parameters
    ----------
    instance : Instance
        The data set.
    surrogate : Surrogate
        What the gradient, and so absorption and deviation, belong to; the loss does not depend on it. The
        attribute is its name.
    found : Found
        What a visit brought: the attributes below.
    reason : str
        Why there is no deviation: the attribute ``deviation_reason``.
    pull : float or None
        The smallest mean pull home on a wrong weight, over all states: where the deviation is smaller, no
        state but the teacher absorbs (exact). None where the mean is unknown.
    seconds : float
        That the visit took.

    Attributes
    ----------
    loss : float64 (2**n,)
        L(w) of every state, as `Instance.loss` gives it.
    minimiser_states, absorbing_states : int64
        Numbers of the global minimisers of the loss and of the absorbing states, ascending.
    deviation : float or None
        sup over all states of ‖G(w) − E G(w)‖_∞; None where the mean is unknown.
    farthest : int8 (n,) or None
        Signs of a state where it occurs.

    Examples
    --------
    >>> import sterling as st
    >>> st.landscape(st.Problem(n=6, samples=12).draw(seed=1))
    Landscape(n=6, 64 states, ...)
    """

    def __init__(
        self,
        instance: Instance,
        surrogate: Surrogate,
        found: Found,
        reason: str,
        pull: float | None,
        seconds: float,
    ):
        self.instance, self.n = instance, instance.n
        self.surrogate, self._surrogate = surrogate.name, surrogate
        self.loss = read_only(found.loss)
        self.minimiser_states, self.absorbing_states = found.minimisers, found.absorbing
        self.deviation, state = found.deviation or (None, None)
        self.farthest = None if state is None else self.signs(state)
        self.deviation_reason, self.pull, self.seconds = reason, pull, seconds

    @cached_property
    def absorbing(self) -> np.ndarray:
        """The absorbing states (docs/science, 5): a run that gets there never leaves. int8 (count, n)."""
        return signs_of(self.absorbing_states, self.n)

    @cached_property
    def minimisers(self) -> np.ndarray:
        """The global minimisers of the empirical risk, int8 (count, n)."""
        return signs_of(self.minimiser_states, self.n)

    @property
    def reference(self) -> np.ndarray:
        """The teacher, or without one the first global minimiser, int8 (n,)."""
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
        return self._distance_of(np.arange(len(self.loss)))

    @property
    def estimated_deviation(self) -> float | None:
        """The mean-field estimate of the deviation; None where there is no deviation or no known noise."""
        known = self.instance.origin.get("noise") is not None and not unlike_gaussian(self.instance)
        if self.deviation is None or not known:
            return None
        return expected_deviation(self.instance, surrogate=self._surrogate)

    def _distance_of(self, states: np.ndarray) -> np.ndarray:
        """Return the Hamming distances to the reference of states given by number, uint8 (count,)."""
        different = np.asarray(states).astype(np.uint32) ^ np.uint32(self.reference_state)
        return np.bitwise_count(different)

    def signs(self, state: int) -> np.ndarray:
        """Return the signs of the state of that number.

        Parameters
        ----------
        state : int
            From 0 to 2**n − 1.

        Returns
        -------
        int8 (n,)
            Sign k is +1 where bit k of the number is set.
        """
        return signs_of(np.array([integer(state, "state", 0, len(self.loss) - 1)]), self.n)[0]

    def basins(
        self,
        starts: int = 200,
        *,
        schedule: Schedule | None = None,
        seed: int | np.random.SeedSequence | np.random.Generator = 0,
        steps: int = 1_000_000,
        threads: int | None = None,
        progress: bool | Show = False,
    ) -> Basins:
        """Run the dynamics from many starts and count where they end.

        Parameters
        ----------
        starts : int
            Runs, with latents N(0, 1/n) of their own seeds.
        schedule : Schedule, optional
            As in `train`.
        seed : int, SeedSequence or Generator
            Names the starts.
        steps : int
            Bound on each run; an absorbed one ends at once. Where no state absorbs no run ends, however long
            it is, so 10,000 are taken at most.
        threads : int, optional
            Runs at a time; all cores by default. The result does not depend on it.
        progress : bool or callable
            Whether to show how many runs are done; or what gets a `Progress` several times a second.

        Returns
        -------
        Basins
            The ends, most frequent first.

        Raises
        ------
        InputError
            For arguments that cannot be used.
        KeyboardInterrupt
            Within half a second of Ctrl-C.

        Examples
        --------
        >>> import sterling as st
        >>> found = st.landscape(st.Problem(n=6, samples=12).draw(seed=1))
        >>> found.basins(50, steps=10_000)
        Basins(50 starts, 7 end states, 0 not absorbed)
        """
        return find_basins(self, starts, schedule, seed, steps, threads, progress)

    def _rows(self) -> list[tuple[str, str]]:
        return summary(self)

    def table(self) -> pl.DataFrame:
        """Return one row a state.

        Returns
        -------
        DataFrame
            ``state`` Int32 (bit k is set where sign k is +1), ``loss`` Float64, ``distance`` UInt8 (Hamming,
            to the reference), ``absorbing`` Boolean.

        Raises
        ------
        CapacityError
            If it would not fit into memory.
        """
        import polars as pl

        count = len(self.loss)
        require_memory(_COPIES * _ROW_BYTES * count, f"a table of {count:,} states")
        absorbing = np.zeros(count, bool)
        absorbing[self.absorbing_states] = True
        columns = {
            "state": np.arange(count, dtype=np.int32),
            "loss": self.loss,
            "distance": self.distance,
            "absorbing": absorbing,
        }
        return pl.DataFrame(columns)

    def to_dict(self) -> dict:
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
            "estimated_deviation": self.estimated_deviation,
            "pull": self.pull,
            "instance": self.instance.to_dict(),
            "seconds": self.seconds,
        }

    def __repr__(self) -> str:
        free = "trap free" if self.trap_free else counted(self.trap_states.size, "trap")
        home = "absorbs" if self.reference_absorbs else "does not absorb"
        known = "teacher" if self.instance.teacher is not None else "minimiser"
        minimisers = counted(len(self.minimiser_states), "minimiser")
        deviation = "" if self.deviation is None else f", deviation={self.deviation:.3g}"
        return (
            f"Landscape(n={self.n}, {len(self.loss):,} states, {free}, {known} {home}, "
            f"{minimisers}{deviation})"
        )


def landscape(
    instance: Instance,
    surrogate: str | Surrogate = "relu",
    *,
    gaussian: bool | None = None,
    threads: int | None = None,
    progress: bool | Show = False,
) -> Landscape:
    """Visit all 2ⁿ states of an instance with n ≤ 24.

    Parameters
    ----------
    instance : Instance
        The data set.
    surrogate : str or Surrogate
        One with a piecewise-constant derivative.
    gaussian : bool, optional
        Whether the rows of the inputs are independent standard Gaussian vectors, for which E G(w) is known.
        By default that is read from the problem that the instance was drawn from.
    threads : int, optional
        All cores by default. The result does not depend on it.
    progress : bool or callable
        Whether to show how many states are done; or what gets a `Progress` several times a second.

    Returns
    -------
    Landscape
        Losses, absorbing states, minimisers, how far the gradient strays from its mean (docs/science, 5, 9).

    Raises
    ------
    InputError
        If n > 24, or the surrogate is smooth.
    CapacityError
        If it would not fit into memory.
    KeyboardInterrupt
        Within half a second of Ctrl-C.

    Examples
    --------
    >>> import sterling as st
    >>> found = st.landscape(st.Problem(n=8, samples=400).draw(seed=0))
    >>> found.trap_free, found.reference_absorbs, found.loss.shape
    (True, True, (256,))
    """
    instance_of(instance, Instance, "the first argument", "an Instance, such as problem.draw(0)")
    check_dimension(instance.n)
    chosen = check_surrogate(surrogate)
    levels = _mean_levels(instance, chosen, None if gaussian is None else flag(gaussian, "gaussian"))
    known, reason = (None, levels) if isinstance(levels, str) else (levels, "")
    begun = time.monotonic()
    found = sweep(instance, chosen, known, threads, progress)
    pull = None if known is None else float(-known[1, 1:].max())
    return Landscape(instance, chosen, found, reason, pull, time.monotonic() - begun)


def check_dimension(n: int) -> None:
    """Raise InputError if there are too many states to visit."""
    if n > MAX_DIMENSION:
        raise InputError(
            f"n is {n}, so there are 2^{n} states to look at; n may be at most {MAX_DIMENSION}: take fewer "
            "inputs, or train single runs",
            argument="n",
        )


def check_surrogate(surrogate: str | Surrogate) -> Surrogate:
    """Return the surrogate; raise InputError if its derivative is not piecewise constant."""
    chosen = get_surrogate(surrogate)
    if not chosen.piecewise_constant:
        raise InputError(
            f"to look at every state takes a piecewise-constant surrogate, and {chosen.name} is smooth: take "
            "relu, identity, clipped_relu or hard_tanh (the loss is the same for all)"
        )
    return chosen


def _mean_levels(instance: Instance, surrogate: Surrogate, gaussian: bool | None) -> np.ndarray | str:
    """Return w*_k·E G_k by distance, float64 (2, n + 1), or why it is unknown."""
    if instance.teacher is None:
        return "the mean gradient needs a teacher, and the instance has none"
    if gaussian is None:
        if "inputs" not in instance.origin:
            return "the law of the inputs is unknown; the option gaussian says that it is standard Gaussian"
        reason = unlike_gaussian(instance)
        if reason:
            return f"the mean gradient is known for plain Gaussian inputs, and {reason}"
    elif not gaussian:
        return "the inputs are not Gaussian"
    return profile(numbers_of(instance, surrogate, gaussian=False))
