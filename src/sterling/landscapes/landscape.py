"""Every state of a small instance: losses, absorbing states, minimisers, deviation from the mean gradient.

Each of the 2ⁿ sign vectors is visited once (`kernels.py`, shared among threads by `sweep.py`). All
numbers are exact.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from sterling.base.arrays import read_only
from sterling.base.checks import instance_of, integer
from sterling.base.drawn import Drawn
from sterling.base.progress import ProgressCallback
from sterling.base.text import Result, counted, sentence
from sterling.errors import InputError
from sterling.landscapes.numbering import distances, number_of, signs_of
from sterling.landscapes.sweep import Swept, sweep
from sterling.model.instance import Instance
from sterling.model.levels import require_two
from sterling.model.signal import signal_of
from sterling.optimizers.sgd import SGD
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.numbers import numbers_of, unlike_gaussian
from sterling.theory.population import profile

#: Largest dimension: 2²⁴ losses take 128 MiB.
MAX_DIMENSION = 24


class Landscape(Result, Drawn):
    """All states of an instance, as `landscape` finds them. State s has sign k = +1 where bit k of s is set.

    Parameters
    ----------
    instance : Instance
        The data set.
    surrogate : Surrogate
        The surrogate: it determines the gradient, and so absorption and deviation, but not the loss. The
        attribute holds its name.
    found : Swept
        The results of the visit.
    reason : str
        Reason why the deviation is unknown, kept as ``deviation_reason``.
    pull : float or None
        The smallest mean pull towards the teacher on a wrong weight, over all states. If the deviation is
        smaller than this less ``hold``, only the teacher can absorb (exact). None if the mean is unknown.
    damping : float
        θ of the runs that this is about.
    hold : float
        θS, the largest b_k G_k of an absorbing state.

    Attributes
    ----------
    loss : float64 (2**n,)
        L(w) of every state, as `Instance.loss` gives it.
    minimiser_states, absorbing_states : int64
        Numbers of the global minimisers of the loss and of the absorbing states, ascending.
    deviation : float or None
        sup over all states of ‖G(w) − E G(w)‖_∞; None if the mean is unknown.
    farthest : int8 (n,) or None
        Signs of a state with this deviation.

    Examples
    --------
    >>> import sterling as st
    >>> st.landscape(st.Problem(n=6, samples=12).draw(seed=1))
    Landscape(n=6, 64 states, ...)
    """

    _pictures = "sterling.plot.landscape", ("loss_by_distance",)

    def __init__(
        self,
        instance: Instance,
        surrogate: Surrogate,
        found: Swept,
        reason: str,
        pull: float | None,
        damping: float = 0.0,
        hold: float = 0.0,
    ):
        self.instance = instance
        self.n = instance.n
        self.surrogate = surrogate.name
        self.loss = read_only(found.loss)
        self.minimiser_states, self.absorbing_states = found.minimisers, found.absorbing
        self.deviation = self.farthest = None
        if found.deviation is not None:
            self.deviation, state = found.deviation
            self.farthest = self.signs(state)
        self.deviation_reason, self.pull = reason, pull
        self.damping, self.hold = damping, hold

    @cached_property
    def absorbing(self) -> np.ndarray:
        """The absorbing states (docs/science, 5): a run that reaches one never leaves it. int8 (count, n).

        With damping they are those with b_k G_k ≤ θS for every k (docs/science, 17).
        """
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
        """Whether no state but the teacher absorbs (without one: but minimisers): no run can get stuck."""
        return self.trap_states.size == 0

    @property
    def reference_state(self) -> int:
        """Number of the reference."""
        return number_of(self.reference)

    @property
    def reference_absorbs(self) -> bool:
        """Whether a run that reaches the reference stays there."""
        return self.reference_state in self.absorbing_states

    @property
    def distance(self) -> np.ndarray:
        """Hamming distance from every state to the reference, uint8 (2**n,)."""
        return distances(np.arange(len(self.loss)), self.reference_state)

    def signs(self, state: int) -> np.ndarray:
        """Return the signs of the state with a given number.

        Parameters
        ----------
        state : int
            Number of the state, from 0 to 2**n − 1.

        Returns
        -------
        int8 (n,)
            Sign k is +1 where bit k of the number is set.
        """
        return signs_of(np.array([integer(state, "state", 0, len(self.loss) - 1)]), self.n)[0]

    def sentence(self) -> str:
        """Return whether runs on these data can get stuck, in words.

        Returns
        -------
        str
            One sentence.
        """
        traps, home = self.trap_states, "the teacher"
        if self.instance.teacher is None:
            home = "a minimiser"
        elif self.reference_state not in self.minimiser_states:
            home += f" ({self._nearest(self.minimiser_states)} from the lowest loss)"
        if traps.size:
            absorb = "state absorbs" if traps.size == 1 else "states absorb"
            text = f"{traps.size:,} {absorb} besides {home}, {self._nearest(traps)} away: runs can get stuck"
        elif not self.absorbing_states.size:
            text = f"no state absorbs: no run can get stuck, and runs that reach {home} leave it again"
        elif self.instance.teacher is None:
            text = "only minimisers of the loss absorb: no run can get stuck"
        else:
            text = f"{home} is the only absorbing state: no run can get stuck"
        return sentence(f"at damping {self.damping:g} {text}" if self.damping else text)

    def _nearest(self, states: np.ndarray) -> str:
        return counted(int(distances(states, self.reference_state).min()), "flip")

    def _rows(self) -> list[tuple[str, str]]:
        reference = "the teacher" if self.instance.teacher is not None else "the lowest minimiser"
        loss, absorbing = self.loss, self.absorbing_states
        ends = "none: runs leave every state again"
        if absorbing.size:
            ends = self._spread(absorbing, reference)
        solved = int((loss[self.trap_states] == 0).sum())
        if solved:
            ends += f"; {counted(solved, 'trap')} with zero loss: a run that ends there is OPTIMAL"
        return [
            ("verdict", "trap free" if self.trap_free else "has traps"),
            ("states", f"{len(loss):,} (2^{self.n}), losses from {loss.min():.4g} to {loss.max():.4g}"),
            ("lowest loss", self._spread(self.minimiser_states, reference)),
            (f"loss of {reference}", f"{loss[self.reference_state]:.4g}"),
            (reference.removeprefix("the "), "absorbs" if self.reference_absorbs else "does not absorb"),
            ("absorbing states", ends),
            ("deviation", self._deviation_in_words()),
        ]

    def _spread(self, states: np.ndarray, reference: str) -> str:
        """Return how many states there are, and how far from the reference, in words."""
        away = distances(states, self.reference_state)
        if away.max() == 0:
            return f"1 state: {reference}"
        return f"{counted(states.size, 'state')}, {away.min()} to {away.max()} flips from {reference}"

    def _deviation_in_words(self) -> str:
        if self.deviation is None or self.pull is None:
            return f"unknown: {self.deviation_reason}"
        less = f" less θS = {self.hold:.3g}" if self.hold else ""
        near = self.deviation < self.pull - self.hold
        so = "so no trap can exist" if near else "so this bound alone does not exclude traps"
        pull = f"the smallest mean pull on a wrong weight is {self.pull:.3g}{less} (exact)"
        return f"{self.deviation:.3g} = sup ‖G − E G‖_∞; {pull}, {so}"

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
            "damping": self.damping,
            "trap_free": self.trap_free,
            "traps_count": int(self.trap_states.size),
            "reference_absorbs": self.reference_absorbs,
            "deviation": self.deviation,
            "deviation_reason": self.deviation_reason,
            "pull": self.pull,
            "instance": self.instance.to_dict(),
        }

    def __repr__(self) -> str:
        known = "teacher" if self.instance.teacher is not None else "minimiser"
        words = [
            f"Landscape(n={self.n}, {len(self.loss):,} states",
            "trap free" if self.trap_free else counted(self.trap_states.size, "trap"),
            f"{known} {'absorbs' if self.reference_absorbs else 'does not absorb'}",
            counted(len(self.minimiser_states), "minimiser"),
            *([] if self.deviation is None else [f"deviation={self.deviation:.3g}"]),
            *([f"damping={self.damping:g}"] if self.damping else []),
        ]
        return f"{', '.join(words)})"


def landscape(
    instance: Instance,
    surrogate: str | Surrogate = "relu",
    *,
    damping: float = 0.0,
    threads: int | None = None,
    progress: bool | ProgressCallback = False,
) -> Landscape:
    """Visit all 2ⁿ states of an instance with n ≤ 24.

    Parameters
    ----------
    instance : Instance
        The data set.
    surrogate : str or Surrogate
        Surrogate gradient: a name or a `Surrogate`. It must be piecewise constant.
    damping : float
        θ of `SGD`, in units of S (`theory.signal`): a state then absorbs if b_k G_k ≤ θS for every k.
    threads : int, optional
        Number of threads, all cores by default; results are the same for any value.
    progress : bool or callable
        True shows a display; a callable gets a `Progress` several times a second.

    Returns
    -------
    Landscape
        Losses, absorbing states, minimisers, deviation of the gradient from its mean (docs/science, 5, 9).

    Raises
    ------
    InputError
        If n > 24, the surrogate is smooth, or the damping is negative.
    CapacityError
        If the landscape would not fit into memory.

    Examples
    --------
    >>> import sterling as st
    >>> found = st.landscape(st.Problem(n=8, samples=400).draw(seed=0))
    >>> found.trap_free, found.reference_absorbs, found.loss.shape
    (True, True, (256,))
    """
    instance_of(instance, Instance, "the first argument", "an Instance, such as problem.draw(0)")
    require_two(instance, "landscape is")
    check_dimension(instance.n)
    chosen = check_surrogate(surrogate)
    reason = _unknown_mean(instance)
    known = None if reason else profile(numbers_of(instance, chosen, gaussian=False))
    theta = SGD(damping=damping).damping
    hold = theta * signal_of(instance, chosen) if theta else 0.0
    if hold < 0:
        raise InputError("the mean pull S on one wrong weight is not positive, so damping has no unit here")
    found = sweep(instance, chosen, known, hold, threads, progress)
    pull = None if known is None else float(-known[1, 1:].max())
    return Landscape(instance, chosen, found, reason, pull, theta, hold)


def check_dimension(n: int) -> None:
    """Raise InputError if there are too many states to visit."""
    if n > MAX_DIMENSION:
        raise InputError(
            f"n is {n}, so there are 2^{n} states to visit; n may be at most {MAX_DIMENSION}",
            argument="n",
        )


def check_surrogate(surrogate: str | Surrogate) -> Surrogate:
    """Return the surrogate; raise InputError if its derivative is not piecewise constant."""
    chosen = get_surrogate(surrogate)
    if not chosen.piecewise_constant:
        raise InputError(
            f"a visit to every state needs a piecewise-constant surrogate, and {chosen.name} is smooth: use "
            "relu, identity, clipped_relu or hard_tanh"
        )
    return chosen


def _unknown_mean(instance: Instance) -> str:
    """Return why the mean gradient is unknown; empty if it is known."""
    if instance.teacher is None:
        return "the mean gradient needs a teacher, and the instance has none"
    if "inputs" not in instance.origin:
        return "the mean gradient is known for drawn Gaussian inputs, and these come from elsewhere"
    reason = unlike_gaussian(instance)
    return f"the mean gradient is known for plain Gaussian inputs, and {reason}" if reason else ""
