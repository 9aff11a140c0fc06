"""Pictures of quantised weights in training: functions that draw into an ``ax`` and return a caption."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.text import percent
from sterling.plot.style import BLUE, named_bars, note, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = 24  # largest number of tensors with a bar


def flips_over_steps(
    ax: Axes, steps: Sequence[int], flips: Sequence[Sequence[int]], weights: Sequence[int]
) -> str:
    """Draw the share of the weights that flip at a step, over windows that end at ``steps``.

    ``flips`` has the flips of each tensor in each window, and ``weights`` the size of each tensor.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sterling.plot.weights import flips_over_steps
    >>> print(flips_over_steps(Figure().subplots(), [10, 20], [[40], [10]], [100]))
    At first 4.000...% of the weights flip at a step, at last 1.000...%.
    """
    if not len(steps):
        note(ax, "no window is full")
        return "The run is too short."
    ends = np.asarray(steps, float)
    share = np.asarray(flips, float).sum(axis=1) / np.diff(ends, prepend=0.0) / sum(weights)
    ax.plot(ends, share, color=BLUE, marker="o" if len(ends) < 3 else None, lw=1.6)
    tidy(ax, xlabel="step", ylabel="share of weights that flip at a step", ylim=(0, None))
    first, last = (percent(float(one), 3) for one in (share[0], share[-1]))
    return f"At first {first} of the weights flip at a step, at last {last}."


def undecided(ax: Axes, names: Sequence[str], shares: Sequence[float]) -> str:
    """Draw the share of undecided weights of each tensor, in the order of the model.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sterling.plot.weights import undecided
    >>> print(undecided(Figure().subplots(), ["first", "last"], [0.1, 0.3]))
    Most undecided is last, with 30.0...% of its weights.
    """
    named_bars(ax, names[:_BARS], shares[:_BARS], "share of undecided weights")
    worst = int(np.argmax(shares))
    more = f"; the first {_BARS} of {len(names)} tensors are shown" if len(names) > _BARS else ""
    return f"Most undecided is {names[worst]}, with {percent(shares[worst], 1)} of its weights{more}."
