"""The small picture that a notebook shows beside the table of an object.

`base/text.py` asks for it. Each function draws into an ``ax`` and returns in a sentence what there is to
see, for readers who cannot. Letters have the colour of the page's text, so light and dark pages both do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.base.text import counted, percent, sentence
from sterling.model.families import get_family
from sterling.plot.style import (
    BLUE,
    DASHED,
    GREEN,
    GREY,
    INK,
    PALE,
    VERMILLION,
    dimensions_axis,
    named_bars,
    note,
    plain,
    tidy,
    whole_ticks,
)
from sterling.plot.svg import canvas, inline, source
from sterling.plot.weights import flips_over_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sterling.dynamics.orbit import Orbit
    from sterling.landscapes.certificate import Certificate
    from sterling.landscapes.landscape import Landscape
    from sterling.model.instance import Instance
    from sterling.model.problem import Problem
    from sterling.plans.plan import Plan
    from sterling.returns.recurrence import Recurrence
    from sterling.study.report import SeriesFit, Status
    from sterling.study.spec import Study
    from sterling.theory.recurrence import Balance
    from sterling.torch.audit_report import Audit
    from sterling.torch.decoding import Changes
    from sterling.torch.monitor_report import MonitorReport

_SIZE = (3.6, 2.3)  # inches
_STYLE = "width:22em;max-width:100%;height:auto;flex:none"
_BINS = 41  # of a histogram
_READ = 100_000  # labels that a histogram shows, at most
_NAMED, _LETTERS = 8, 16  # tensors whose names are shown, and letters of each


def picture(thing: Any) -> str:
    """Return the picture of an object as an ``<svg>`` element; nothing for a class that has none.

    Examples
    --------
    >>> import sterling as st
    >>> from sterling.plot.small import picture
    >>> "The law of one entry of the inputs, gaussian" in picture(st.Problem(n=8, samples=100))
    True
    """
    name = type(thing).__name__
    if name not in _DRAWN:
        return ""
    with canvas(name, _SIZE) as (figure, ax):
        about = _DRAWN[name](ax, thing)
        text = inline(source(figure), about, _STYLE)
    for colour, page in ((INK, "currentColor"), (PALE, "currentColor; stroke-opacity: 0.15")):
        text = text.replace(colour.lower(), page)
    return text


def problem(ax: Axes, thing: Problem) -> str:
    """Draw the law of one entry of the inputs."""
    family = get_family(thing.inputs)
    reach = min(float(family.reach), 4.0)
    edges = np.linspace(-reach, reach, 2 * _BINS + 1)
    share = np.diff(family.cumulative(edges))
    ax.stairs(share, edges, fill=True, color=BLUE, alpha=0.3)
    ax.stairs(share, edges, color=BLUE, lw=1.2)
    tidy(ax, xlabel=plain(f"one input, {family}"), yticks=[], ylim=(0, 1.1 * share.max()))
    ax.spines["left"].set_visible(False)
    return f"The law of one entry of the inputs, {family}, between {-reach:.2g} and {reach:.2g}."


def instance(ax: Axes, thing: Instance) -> str:
    """Draw how often each label occurs."""
    labels = thing.labels[:_READ]
    low, high = float(labels.min()), float(labels.max())
    edges = np.linspace(low - 1e-9, high + 1e-9, _BINS + 1) if high > low else np.array([low - 1, low + 1])
    ax.hist(labels, edges.tolist(), color=BLUE, alpha=0.7)
    tidy(ax, xlabel="label", ylabel="samples")
    return f"Labels from {low:.3g} to {high:.3g}, {labels.mean():.3g} on average."


def orbit(ax: Axes, thing: Orbit) -> str:
    """Draw the wrong weights over time; without recorded flips the share of time in which each is wrong."""
    from sterling.plot.run import errors_over_time

    if not thing.recorded:
        return _bars(ax, thing.wrong_share, "wrong (share of the steps)")
    about = errors_over_time(ax, thing)
    legend = ax.get_legend()
    if legend is not None:
        legend.remove()
    ax.set(xlabel="iterate (dashed: time average)", ylabel="wrong weights")
    return about


def landscape(ax: Axes, thing: Landscape) -> str:
    """Draw the range of the loss at each distance to the teacher, and the traps."""
    distances = np.arange(thing.n + 1)
    at = [thing.loss[thing.distance == d] for d in distances]
    low, high = [one.min() for one in at], [one.max() for one in at]
    ax.fill_between(distances, low, high, color=BLUE, alpha=0.25, lw=0)
    ax.plot(distances, [np.median(one) for one in at], color=BLUE, lw=1.4)
    traps = thing.trap_states[:2000]
    if traps.size:
        ax.plot(thing.distance[traps], thing.loss[traps], "x", ms=4, color=VERMILLION)
    tidy(ax, xlabel="wrong weights" + (", × traps" if traps.size else ""), ylabel="loss: range, median")
    whole_ticks(ax.xaxis)
    return f"Loss against distance, from {min(low):.3g} to {max(high):.3g}; {counted(traps.size, 'trap')}."


def certificate(ax: Axes, thing: Certificate) -> str:
    """Draw what is proved for each weight."""
    about = _bars(ax, thing.wrong_share, "wrong: proved at most")
    ax.axhline(0.5, color=GREY, ls=DASHED, lw=1)
    ax.set_ylim(0, max(0.55, 1.05 * float(thing.wrong_share.max())))
    return about


def plan(ax: Axes, thing: Plan) -> str:
    """Draw the sample sizes of the goals, proved orders apart."""
    needs = [need for need in thing.needs if math.isfinite(need.samples)]
    for place, need in enumerate(needs):
        proved = need.kind == "theorem"
        ax.plot(need.samples, place, "o", ms=6, color=BLUE, mfc="none" if proved else BLUE)
        ax.hlines(place, 1, need.samples, color=BLUE, lw=1, alpha=0.4)
    ax.axvline(thing.problem.samples, color=GREY, ls=DASHED, lw=1)
    ax.set_xscale("log")
    rows = {"yticks": range(len(needs)), "yticklabels": [str(k + 1) for k in range(len(needs))]}
    tidy(ax, xlabel="samples (○ order only; dashed: N)", ylabel="row", ylim=(len(needs) - 0.5, -0.5), **rows)
    return sentence("; ".join(f"{need.goal}: {need.amount} ({need.label})" for need in needs))


def study(ax: Axes, thing: Study) -> str:
    """Draw the cells over n and N, or the dimensions where the study finds the sample sizes by itself."""
    problems = [cell.problem for cell in thing.cells]
    if problems:
        ax.plot([p.n for p in problems], [p.samples for p in problems], "s", ms=4, color=BLUE)
        ax.set_yscale("log")
        sizes = sorted({p.samples for p in problems})
        shown = sizes if len(sizes) <= 6 else [sizes[0], sizes[-1]]
        ax.set_yticks(shown, [f"{size:,}" for size in shown])
        about = f"{counted(len(problems), 'cell')} from {min(p.n for p in problems)} weights to "
        about += f"{max(p.n for p in problems)}, with {min(p.samples for p in problems):,} samples to "
        about += f"{max(p.samples for p in problems):,}."
    else:
        ax.vlines(thing.n, 0, 1, color=BLUE, lw=3, alpha=0.3)
        ax.set_yticks([])
        about = f"Sample sizes are found by the study itself, at n = {', '.join(map(str, thing.n))}."
    dimensions_axis(ax, thing.n)
    tidy(ax, xlabel="n", ylabel="samples N" if problems else "found by the study")
    return about


def status(ax: Axes, thing: Status) -> str:
    """Draw how many trials are done."""
    share = min(thing.done / thing.planned, 1.0) if thing.planned else 1.0
    ax.barh([0], [1], color=GREY, alpha=0.2)
    ax.barh([0], [share], color=GREEN)
    tidy(ax, xlim=(0, 1), ylim=(-1.5, 1.5), yticks=[], xlabel="share of the planned trials")
    ax.spines["left"].set_visible(False)
    return f"{percent(share)} of the planned trials are done."


def series_fit(ax: Axes, thing: SeriesFit) -> str:
    """Draw the shares of successes with their fitted curves."""
    from sterling.plot.study import success_curves

    about = success_curves(ax, thing)
    tidy(ax, ylabel="successes")
    return about


def balance(ax: Axes, thing: Balance) -> str:
    """Draw the predicted share of time in which each weight is wrong."""
    return _bars(ax, thing.wrong_share, "wrong: predicted")


def recurrence(ax: Axes, thing: Recurrence) -> str:
    """Draw how long absences and stays last."""
    from sterling.plot.visits import survival

    about = survival(ax, thing)
    ax.set(xlabel="steps", ylabel="share that last longer")
    return about


def audit(ax: Axes, thing: Audit) -> str:
    """Draw the share of weights that get a gradient, by tensor."""
    known = [row for row in thing.rows if row.no_gradient is not None]
    if not known:
        note(ax, "no gradient is known")
        return "Of no tensor it is known which weights get a gradient."
    names, shares = [row.tensor for row in known], [1 - (row.no_gradient or 0) for row in known]
    _tensors(ax, names, shares, "weights that get a gradient", 1)
    worst = int(np.argmin(shares))
    return f"{percent(min(shares), 1)} of the weights get a gradient in {names[worst]}, nowhere fewer."


def monitor(ax: Axes, thing: MonitorReport) -> str:
    """Draw which share of the weights flips at a step, over the run; of a short one what is undecided."""
    weights = thing.frame["weights"].to_list()
    if not thing.history:
        names, shares = thing.frame["tensor"].to_list(), thing.frame["undecided"].to_list()
        _tensors(ax, names, shares, "undecided weights", max(0.01, *shares))
        return f"{percent(max(shares), 1)} of the weights are undecided in {names[int(np.argmax(shares))]}."
    steps, flips = ([row[name] for row in thing.history] for name in ("step", "flips"))
    about = flips_over_steps(ax, steps, flips, weights)
    ax.set_ylabel("flips a weight and step")
    return about


def changes(ax: Axes, thing: Changes) -> str:
    """Draw the share of codes that decoding has changed, by tensor."""
    names = [row["tensor"] for row in thing.tensors]
    shares = [row["changed"] / row["weights"] for row in thing.tensors]
    _tensors(ax, names, shares, "changed codes", max(0.01, *shares))
    return f"{percent(max(shares), 1)} of the codes have changed in {names[int(np.argmax(shares))]}."


def _tensors(ax: Axes, names: Sequence[str], shares: Sequence[float], what: str, reach: float) -> None:
    """Draw a bar for each tensor in the order of the model, with its name where there is room."""
    named_bars(ax, names, shares, f"share of {what}", _LETTERS)
    ax.set_xlim(0, 1.02 * reach)
    if len(names) > _NAMED:
        ax.set(yticks=[], ylabel="tensors, from the input on")


def _bars(ax: Axes, shares: np.ndarray, what: str) -> str:
    order = np.sort(shares)[::-1]
    ax.fill_between(
        np.arange(len(order) + 1), np.append(order, order[-1]), step="post", color=VERMILLION, alpha=0.5
    )
    tidy(ax, xlabel="weights, in order", ylabel=what, ylim=(0, max(0.05, 1.1 * float(order[0]))))
    return f"Each weight's share: {what}; {percent(float(order[0]), 1)} for the worst of {len(order)}."


#: By the name of the class, since to load all of them would load all rooms.
_DRAWN: dict[str, Callable[[Any, Any], str]] = {
    "Problem": problem,
    "Instance": instance,
    "Orbit": orbit,
    "Landscape": landscape,
    "Certificate": certificate,
    "Plan": plan,
    "Study": study,
    "Status": status,
    "SeriesFit": series_fit,
    "Balance": balance,
    "Recurrence": recurrence,
    "Audit": audit,
    "MonitorReport": monitor,
    "Changes": changes,
}
