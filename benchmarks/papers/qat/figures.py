"""Figures of the evidence, from the tables of `summary`."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.papers.qat.pairs import differences
from sterling.plot.style import (
    AMBER,
    BLUE,
    DASHED,
    GREEN,
    GREY,
    INK,
    SMALL,
    VERMILLION,
    legend_above,
    save_figure,
    tidy,
)
from sterling.stats import mean_interval
from sterling.torch.counting import HORIZONS

LINES = {  # label, colour and line of the three nets of a run at a constant rate
    "last": ("last iterate", VERMILLION, "-"),
    "mean": ("decoded from the average", BLUE, "-"),
    "annealed": ("annealed copy", GREEN, DASHED),
}
NAMES = {
    ("constant", "mean"): "decode, mean of codes",
    ("constant", "mode"): "decode, commonest code",
    ("constant", "frozen"): "decode, oscillating weights only",
    ("constant", "validated"): "decode, horizon by validation",
    ("constant", "annealed"): "warm-up–stable–decay, last",
    ("constant", "ema_old"): "EMA of latents, old scale",
    ("constant", "ema_refit"): "EMA of latents, scale re-fitted",
    ("constant", "swa"): "SWA of latents, second half",
    ("constant", "best_checkpoint"): "best checkpoint by validation",
    ("cosine", "last"): "cosine, last",
    ("cosine", "mean"): "cosine, decode",
    ("freezing", "last"): "freezing (Nagel)",
    ("dampening", "last"): "dampening (Nagel)",
    ("transition_rate", "last"): "transition rate (Lee)",
    ("qema", "last"): "Q-EMA (TetraJet)",
    ("parq", "last"): "PARQ",
    ("bop", "last"): "Bop (two levels)",
}


def draw(tables: dict[str, pl.DataFrame], folder: Path) -> None:
    """Write all figures."""
    for name, figure in (
        ("along", along(tables["scores"])),
        ("rivals", rivals(tables["scores"])),
        ("horizons", horizons(tables["scores"])),
        ("bridge", bridge(tables["bridge"])),
    ):
        save_figure(figure, folder / f"{name}.svg")


def along(scores: pl.DataFrame) -> Figure:
    """Draw the three nets along the run: loss of the text, accuracy of the images with wrong labels."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    axes = figure.subplots(2, 2)
    for row, (task, column, label) in enumerate(
        (("text", "loss", "test loss (nats a letter)"), ("mnist", "accuracy", "test accuracy (%)"))
    ):
        for ax, levels in zip(axes[row], (2, 3), strict=True):
            own = scores.filter((pl.col("task") == task) & (pl.col("levels") == levels))
            if task == "mnist":
                own = own.filter((pl.col("noise") == 0.2) & (pl.col("net") == "mlp"))
            own = own.filter(pl.col("arm") == "constant")
            for reading, (name, colour, line) in LINES.items():
                value = pl.col(column) * (1 if column == "loss" else 100)
                found = (
                    own.filter(pl.col("reading") == reading)
                    .group_by("step")
                    .agg(mean=value.mean(), spread=value.std() / pl.len().sqrt())
                    .sort("step")
                )
                ax.errorbar(
                    found["step"],
                    found["mean"],
                    found["spread"],
                    color=colour,
                    ls=line,
                    marker="o",
                    ms=4,
                    label=name,
                )
            words = "binary" if levels == 2 else "ternary"
            what = (
                f"{words} transformer" if task == "text" else f"{words} MLP, MNIST, 20 % of the labels wrong"
            )
            tidy(ax, xlabel="steps so far", ylabel=label, title=what)
            ax.title.set_fontsize(10)
            if ax.get_legend():
                ax.get_legend().remove()
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, frameon=False)
    return figure


def rivals(scores: pl.DataFrame) -> Figure:
    """Draw the gain of each method over the last iterate at a constant rate, after equal steps."""
    figure = Figure(figsize=(10, 6.4), layout="constrained")
    groups = (
        ("text", pl.col("task") == "text", "nats"),
        ("images, clean labels", (pl.col("task") != "text") & (pl.col("noise") == 0), "points"),
        ("20 % wrong labels", (pl.col("task") != "text") & (pl.col("noise") == 0.2), "points"),
        ("40 % wrong labels", (pl.col("task") != "text") & (pl.col("noise") == 0.4), "points"),
    )
    axes = figure.subplots(1, len(groups), sharey=True)
    for ax, (title, where, unit) in zip(axes, groups, strict=True):
        found = differences(scores.filter(where))
        least = -8.0 if unit == "points" else -0.1
        ax.axvline(0, color=INK, lw=0.8)
        for place, key in enumerate(NAMES):
            own = found.filter((pl.col("arm") == key[0]) & (pl.col("reading") == key[1]))
            for levels, shift, colour in ((2, -0.16, BLUE), (3, 0.16, AMBER)):
                value = own.filter(pl.col("levels") == levels)[unit]
                if len(value):
                    mean, half = _with_half(value)
                    if mean < least:  # far out: a number at the edge, so that the others stay apart
                        ax.annotate(f"◂ {mean:.2g}", (least, place + shift), color=colour, va="center")
                        continue
                    ax.errorbar(
                        mean,
                        place + shift,
                        xerr=half,
                        color=colour,
                        marker="o",
                        ms=4,
                        label={2: "binary", 3: "ternary"}[levels] if place == 0 else None,
                    )
        tidy(
            ax, xlabel=f"gain over last ({unit})", title=title, xlim=(least, 10 if unit == "points" else 0.12)
        )
        ax.title.set_fontsize(10)
        ax.grid(axis="x", color="#DDDDDD", lw=0.6)
        if ax.get_legend():
            ax.get_legend().remove()
    axes[0].set_yticks(range(len(NAMES)), NAMES.values(), fontsize=SMALL)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=2, frameon=False)
    return figure


def horizons(scores: pl.DataFrame) -> Figure:
    """Draw the gain of the mean of codes against the horizon, at the end of the run."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for ax, unit, where in zip(
        axes,
        ("nats", "points"),
        (pl.col("task") == "text", (pl.col("task") != "text") & (pl.col("noise") > 0)),
        strict=True,
    ):
        found = differences(scores.filter(where & (pl.col("arm") == "constant")))
        places = range(len(HORIZONS))
        for levels, colour, name in ((2, BLUE, "binary"), (3, AMBER, "ternary")):
            values = [
                found.filter((pl.col("levels") == levels) & (pl.col("reading") == f"mean_{h:g}"))[unit]
                for h in HORIZONS
            ]
            known = [place for place in places if len(values[place])]
            means, halves = zip(*(_with_half(values[place]) for place in known), strict=True)
            ax.errorbar(known, means, halves, color=colour, marker="o", ms=4, label=name)
        ax.axhline(0, color=INK, lw=0.8)
        what = "text" if unit == "nats" else "images, wrong labels"
        tidy(ax, xlabel="horizon of the average (steps)", ylabel=f"gain over last ({unit})", title=what)
        ax.title.set_fontsize(10)
        ax.set_xticks(list(places), [f"{h:g}".replace("inf", "all") for h in HORIZONS])
    axes[1].get_legend().remove()  # it would lie on an interval, and the other panel has the same
    return figure


def bridge(rows: pl.DataFrame) -> Figure:
    """Draw measured against predicted shares of undecided weights, a point for each layer of each run."""
    figure = Figure(figsize=(5.4, 4.6), layout="constrained")
    ax: Axes = figure.subplots()
    for task, colour in (("digits", GREEN), ("mnist", BLUE), ("text", VERMILLION)):
        own = rows.filter(pl.col("task") == task)
        ax.scatter(100 * own["predicted"], 100 * own["open"], s=12, color=colour, alpha=0.6, label=task)
    most = 100 * max(0.01, *(float(rows[name].max() or 0) for name in ("predicted", "open")))  # type: ignore[arg-type]
    ax.plot([0, most], [0, most], color=GREY, lw=0.8)
    tidy(ax, xlabel="predicted share of undecided weights (%)", ylabel="measured (%)")
    legend_above(ax, 3)
    return figure


def _with_half(values: pl.Series) -> tuple[float, float]:
    """Return the mean and half of its 95 % interval, which is 0 for a single value."""
    mean, low, _ = mean_interval(values.to_numpy())
    return mean, mean - low if len(values) > 1 else 0.0
