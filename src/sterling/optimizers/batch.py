"""Batches: which samples a step uses, as a function of the seed and of the step or epoch alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling.base import checks
from sterling.base.text import Described
from sterling.errors import InputError, InputTypeError
from sterling.exact.sampling import draw_indices, draw_orders

_DRAWN = 1 << 16  # numbers drawn from one seed, at least one epoch or step
_LARGEST = 1 << 31


@dataclass(frozen=True)
class Batch(Described):
    """Random batches of samples.

    Parameters
    ----------
    size : int
        Samples in a batch.
    replace : bool
        True draws each sample of a batch independently. False, the default, goes through a new random order
        of all samples in each epoch; the last batch of an epoch is smaller where ``size`` does not divide N.

    Raises
    ------
    InputError
        If the size is out of range.

    Notes
    -----
    A batch depends on the seed and on its step alone, so resumed runs need no state. It is made of raw words
    of PCG64 by sterling's own shuffle, the same on every machine. Without replacement a batch of N or more
    samples is the full batch, and the run says so (`Orbit.notes`). With replacement it may be larger than N.

    Examples
    --------
    >>> import sterling as st
    >>> instance = st.Problem(n=8, samples=100, noise=0.5).draw(seed=0)
    >>> orbit = st.train(instance, steps=2_000, batch=st.Batch(16, replace=True), seed=1)
    >>> orbit.batch
    Batch(size=16, replace=True)
    """

    size: int
    replace: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", checks.integer(self.size, "batch", 1, _LARGEST))
        object.__setattr__(self, "replace", checks.flag(self.replace, "replace"))

    def __str__(self) -> str:
        return f"{self.size},replace" if self.replace else str(self.size)

    def _at(self, seed: np.random.SeedSequence, samples: int, step: int) -> tuple[np.ndarray, int, int]:
        """Return the samples of many steps, among them this one, batch after batch: int32 (count,).

        The other two numbers are the first of these steps, and the first step after them. Each batch has
        ``size`` samples, except that without replacement the last one of each epoch has what is left.
        """
        each = self.size if self.replace else samples  # numbers of a step, or of an epoch
        group = max(1, _DRAWN // each)
        steps = group if self.replace else group * self._steps_per_epoch(samples)
        index = step // steps
        child = np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, index))
        if self.replace:
            order = draw_indices(child, group * each, samples)
        else:
            order = draw_orders(child, group, samples)
        return order, index * steps, (index + 1) * steps

    def _steps_per_epoch(self, samples: int) -> int:
        """Return the number of batches that go through all samples once."""
        return -(-samples // self.size)


def as_batch(value: Any, samples: int | None = None) -> Batch | None:
    """Return a user's batch: a `Batch`, a size, text such as "32" or "32,replace"; None for all samples.

    With ``samples``, a batch of all samples without replacement is None too.
    """
    if value is None or value == "none" or isinstance(value, Batch):
        batch = None if value == "none" else value
    elif checks.is_number(value) and value is not True:
        batch = Batch(value)
    elif isinstance(value, str):
        size, _, rest = value.partition(",")
        try:
            count = checks.whole_number(size)
        except ValueError:
            count = None
        if count is None or rest not in ("", "replace"):
            text = f"batch is {checks.shown(value)}; write SIZE or SIZE,replace such as 32,replace"
            raise InputError(text, argument="batch")
        batch = Batch(count, rest == "replace")
    else:
        text = f"batch is {checks.shown(value)}; give a size, a Batch, or None for all samples"
        raise InputTypeError(text, argument="batch")
    if batch is not None and samples is not None and not batch.replace and batch.size >= samples:
        return None
    return batch
