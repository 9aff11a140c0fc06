"""Pictures of quantised weights in training: functions that draw into an ``ax`` and return what to see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.text import counted, percent, sentence
from sterling.plot.style import BLUE, DASHED, GREEN, PURPLE, VERMILLION, note, plain, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BARS = 24  # tensors that have a bar, at most


def flips_over_steps(
    ax: Axes, steps: Sequence[int], flips: Sequence[Sequence[int]], weights: Sequence[int]
) -> str:
    """Draw which share of the weights flips at a step, over the run.

    Parameters
    ----------
    ax : matplotlib Axes
    steps : sequence of int
        Ends of the windows.
    flips : sequence of sequence of int
        Flips in each window, of each tensor.
    weights : sequence of int
        Of each tensor.

    Returns
    -------
    str
        What is to be seen.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sterling.plot.weights import flips_over_steps
    >>> print(flips_over_steps(Figure().subplots(), [10, 20], [[40], [10]], [100]))
    At first 4.000 % of the weights flip at a step, at last 1.000 %.
    """
    if not len(steps):
        note(ax, "no window is full")
        return "The run is too short."
    ends = np.asarray(steps, float)
    spans = np.diff(ends, prepend=0.0)
    share = np.asarray(flips, float).sum(axis=1) / spans / sum(weights)
    ax.plot(ends, share, color=BLUE, marker="o" if len(ends) < 3 else None, lw=1.6)
    tidy(ax, xlabel="step", ylabel="share of weights that flip at a step", ylim=(0, None))
    first, last = (percent(float(one), 3) for one in (share[0], share[-1]))
    return sentence(f"at first {first} of the weights flip at a step, at last {last}").replace("\xa0", " ")


def times(ax: Axes, stays: Sequence[int], absences: Sequence[int]) -> str:
    """Draw the share of stays and absences that last t steps or longer, on logarithmic axes.

    Parameters
    ----------
    ax : matplotlib Axes
    stays, absences : sequence of int
        How many lasted [1, 2), [2, 4), [4, 8), … steps.

    Returns
    -------
    str
        What is to be seen.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sterling.plot.weights import times
    >>> print(times(Figure().subplots(), [1, 1, 6], [4, 0, 0]))
    8 stays, of which 75 % last 4 steps or longer; 4 absences, of which 0 % last 4 steps or longer.
    """
    said = []
    for counts, colour, style, name in (
        (stays, GREEN, "-", "stays"),
        (absences, BLUE, DASHED, "absences"),
    ):
        table = np.asarray(counts, float)
        total = table.sum()
        if not total:
            continue
        used = int(np.flatnonzero(table)[-1]) + 1
        left = np.append(total - np.cumsum(table[:used]) + table[:used], 0.0)[:used] / total
        ax.plot(2.0 ** np.arange(used), left, color=colour, ls=style, lw=1.6, marker="o", ms=3, label=name)
        long = percent(float(table[2:].sum() / total)).replace("\xa0", " ")
        said.append(f"{int(total):,} {name}, of which {long} last 4 steps or longer")
    if not said:
        note(ax, "no completed stay")
        return "There is no completed stay or absence."
    tidy(ax, xscale="log", yscale="log", xlabel="time t (steps)", ylabel="share that lasts t or longer")
    return sentence("; ".join(said))


def margins(ax: Axes, margin: np.ndarray, decided: float = 0.5) -> str:
    """Draw how the margins of weights are distributed.

    Parameters
    ----------
    ax : matplotlib Axes
    margin : float array
        1 where the time average is on a level, 0 where it is half-way between two.
    decided : float
        Below it a weight is undecided.

    Returns
    -------
    str
        What is to be seen.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from sterling.plot.weights import margins
    >>> print(margins(Figure().subplots(), np.array([0.1, 0.9, 1.0, 1.0])))
    25 % of 4 weights are undecided.
    """
    margin = np.ravel(margin)
    ax.hist(margin, bins=np.linspace(0, 1, 41).tolist(), color=BLUE)
    ax.axvline(decided, color=VERMILLION, ls=DASHED, lw=1.2, label="undecided below")
    tidy(ax, xlabel="margin of the time average", ylabel="weights", yscale="log", xlim=(0, 1))
    share = percent(float(np.mean(margin < decided))).replace("\xa0", " ")
    return sentence(f"{share} of {counted(margin.size, 'weight')} are undecided")


def undecided(ax: Axes, names: Sequence[str], shares: Sequence[float]) -> str:
    """Draw the share of undecided weights of each tensor, in the order of the model.

    Parameters
    ----------
    ax : matplotlib Axes
    names : sequence of str
    shares : sequence of float

    Returns
    -------
    str
        What is to be seen.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from sterling.plot.weights import undecided
    >>> print(undecided(Figure().subplots(), ["first", "last"], [0.1, 0.3]))
    Most undecided is last, with 30.0 % of its weights.
    """
    shown = list(zip(names, shares, strict=True))[:_BARS]
    ax.barh(range(len(shown)), [share for _, share in shown], color=PURPLE, height=0.7)
    ax.set_yticks(range(len(shown)), [plain(name) for name, _ in shown], fontsize=7.5)
    ax.invert_yaxis()
    tidy(ax, xlabel="share of undecided weights", xlim=(0, None))
    ax.grid(axis="x", color="#DDDDDD", lw=0.6)
    ax.grid(axis="y", visible=False)
    place = int(np.argmax(shares))
    most = percent(shares[place], 1).replace("\xa0", " ")
    more = f"; the first {_BARS} of {len(names)} tensors are shown" if len(names) > _BARS else ""
    return f"Most undecided is {names[place]}, with {most} of its weights{more}."
