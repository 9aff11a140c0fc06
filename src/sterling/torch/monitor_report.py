"""The report of a monitor: sentences and a table of the tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sterling.base.text import counted, number, percent, sentence
from sterling.torch.counting import COLUMNS as TABLES
from sterling.torch.counting import OSCILLATION, READ
from sterling.torch.parts import half_width
from sterling.torch.tables import Report, TensorTable

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

#: A weight with a smaller margin is undecided: its average is nearer to a threshold than to its level.
DECIDED = 0.5

#: Headings of the table, and how each cell is made of a row of the frame.
COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "tensor": lambda row: row["tensor"],
    "weights": lambda row: f"{row['weights']:,}",
    "levels": lambda row: str(row["levels"]),
    "flips a step": lambda row: number(row["flips"] / max(row["steps"], 1)),
    "undone": lambda row: percent(row["undone"] / row["flips"]) if row["flips"] else "–",
    "undecided": lambda row: "–" if row["undecided"] is None else percent(row["undecided"], 1),
    "never moved": lambda row: percent(row["never_moved"] / row["weights"], 1),
    "churn": lambda row: "–" if row["churn"] is None else percent(row["churn"], 1),
}


def table(monitor: Any, at: int) -> pl.DataFrame:
    """Return the frame of a monitor, with averages of the horizon with this index."""
    import polars as pl

    tracker, rows = monitor._tracker, []
    tables = monitor._rows() if monitor.weights else ()
    for index, (weight, counts) in enumerate(zip(monitor.weights, tables, strict=True)):
        margin, size = tracker.margin(index, at), weight.shape.numel()
        parts = {name: counts[TABLES[name]] for name in ("flips", "undone", "moved")}
        total = {name: round(float(one.sum())) for name, one in parts.items()}
        error = {name: half_width(one, size, int(counts[READ])) for name, one in parts.items()}
        churn = monitor.history[-1]["churn"][index] if monitor.history else None
        rows.append(
            {
                "tensor": weight.name,
                "framework": weight.framework,
                "weights": size,
                "levels": weight.levels,
                "steps": monitor.steps,
                "flips": total["flips"],
                "undone": total["undone"],
                "undecided": float((margin < DECIDED).float().mean()) if len(margin) else None,
                "margin": float(margin.mean()) if len(margin) else None,
                "never_moved": size - total["moved"],
                "churn": None if churn is None else churn / size,
                "oscillation": float(counts[OSCILLATION]) / size,
                "horizon": monitor.horizons[at],
                "read": int(counts[READ]),
                "flips_error": error["flips"],
                "undone_error": error["undone"],
                "never_moved_error": error["moved"],
            }
        )
    whole = dict.fromkeys(("weights", "steps", "flips", "undone", "never_moved", "read"), pl.Int64)
    shares = dict.fromkeys(("churn", "undecided", "margin"), pl.Float64)
    return pl.DataFrame(rows, schema_overrides={**whole, **shares})


def flip_ratio(ax: Axes, monitor: Any) -> str:
    """Draw the share of each tensor's weights that flip per step, in windows; return a caption."""
    from sterling.plot.curves import SERIES_COLOURS
    from sterling.plot.style import GREY, escaped, tidy

    sizes = [weight.shape.numel() for weight in monitor.weights]
    steps = [0, *(row["step"] for row in monitor.history)]
    flips = [row["flips"] for row in monitor.history]
    total = monitor.frame()["flips"].to_list()
    if monitor.steps > steps[-1]:  # the last window is not full
        flips.append([end - sum(parts) for end, *parts in zip(total, *flips, strict=True)])
        steps.append(monitor.steps)
    shares = [[count / size for count, size in zip(row, sizes, strict=True)] for row in flips]
    ranks = sorted(range(len(sizes)), key=lambda index: -total[index] / sizes[index])
    colours = dict(zip(sorted(ranks[: len(SERIES_COLOURS)]), SERIES_COLOURS, strict=False))
    for index, weight in enumerate(monitor.weights):
        pace = [row[index] / (b - a) for row, a, b in zip(shares, steps, steps[1:], strict=False)]
        look: dict[str, Any] = {"color": GREY, "alpha": 0.4, "zorder": 1}
        if index in colours:  # those that flip most
            look = {"color": colours[index], "label": escaped(weight.name)}
        ax.stairs(pace, steps, baseline=None, lw=1.4, **look)
    tidy(ax, xlabel="step", ylabel="flip ratio (per step)", ylim=(0, None))
    return f"Flips per weight and step, in windows of {monitor.within} steps, over {monitor.steps:,} steps."


class MonitorReport(Report):
    """The report of a monitor, as text, and as HTML in a notebook."""

    def __init__(
        self,
        frame: pl.DataFrame,
        monitor: Any,
        diverged: Sequence[str],  # tensors with latents that are not finite
    ):
        self.frame, self.within, self.every, self.steps = frame, monitor.within, monitor.every, monitor.steps
        self.left_out, self.diverged, self.detached = monitor.left_out, diverged, monitor.detached

    @property
    def sentences(self) -> list[str]:
        """Sentences about all tensors together."""
        detached = [sentence(f"the monitor {self.detached}")] if self.detached else []
        if not len(self.frame):
            return [sentence("no quantised weight has been found yet"), *detached]
        columns = self.frame.to_dict(as_series=False)
        weights, flips, read = (sum(columns[name]) for name in ("weights", "flips", "read"))
        lines = [
            sentence(f"{counted(weights, 'quantised weight')} over {counted(self.steps, 'step')}"),
            *detached,
        ]
        if not self.steps:
            return lines
        still = sum(columns["never_moved"]) / weights
        open_ = zip(columns["undecided"], columns["weights"], strict=True)
        undecided = sum((share or 0) * size for share, size in open_) / weights
        looks = max(self.steps // self.every, 1)
        by = "a step changes" if self.every == 1 else f"{self.every} steps change"
        lines.append(
            sentence(
                f"{by} {percent(flips / looks / weights, 3)} of them; {percent(still)} never moved "
                f"and {percent(undecided)} are undecided over the last {number(columns['horizon'][0])} steps"
            )
        )
        if self.every > 1:
            lines.append(
                sentence(f"codes are read each {self.every} steps, so changes that end between are not seen")
            )
        if read < weights:
            error = sum(one**2 for one in columns["flips_error"]) ** 0.5
            lines.append(
                sentence(
                    f"counts are scaled up from a sample of {read:,} weights: {flips:,} ± {number(error)} "
                    "flips (95 % interval)"
                )
            )
        if flips:
            share = percent(sum(columns["undone"]) / flips)
            lines.append(sentence(f"{share} of the flips were undone within {counted(self.within, 'step')}"))
        for names, what in (
            (self.left_out, "not monitored, because the optimiser did not hold them at the start"),
            (self.diverged, "the run has diverged, latents are no longer finite"),
        ):
            if names:
                lines.append(sentence(f"{what}: {', '.join(names[:5])}{', …' if len(names) > 5 else ''}"))
        return lines

    def parts(self) -> tuple[Sequence[str], TensorTable, Sequence[str]]:
        rows = [[cell(row) for cell in COLUMNS.values()] for row in self.frame.iter_rows(named=True)]
        return self.sentences, TensorTable(list(COLUMNS), rows), ()

    __repr__ = Report.__str__
