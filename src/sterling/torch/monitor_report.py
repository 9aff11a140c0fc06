"""The report of a monitor: sentences and a table of the tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.base.text import counted, number, sentence, shortened
from sterling.torch.counting import GROUPS
from sterling.torch.parts import half_width
from sterling.torch.tables import Report, Table, readable

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
    "undone": lambda row: readable(row["undone"] / row["flips"]) if row["flips"] else "–",
    "undecided": lambda row: "–" if row["undecided"] is None else readable(row["undecided"]),
    "never moved": lambda row: readable(row["never_moved"] / row["weights"]),
}


def table(monitor: Any, at: int) -> pl.DataFrame:
    """Return the frame of a monitor, with averages of the horizon with this index."""
    import polars as pl

    rows, counts = [], monitor._totals.cpu() if monitor.weights else ()
    for index, (weight, reader) in enumerate(zip(monitor.weights, monitor._readers, strict=True)):
        margin, size = monitor._tracker.margin(index, at), weight.shape.numel()
        *parts, read = counts[index].split([GROUPS, GROUPS, GROUPS, 1])
        flips, undone, moved = (round(float(one.sum())) for one in parts)
        errors = [half_width(one, size, int(read)) for one in parts]
        rows.append(
            {
                "tensor": weight.name,
                "framework": weight.framework,
                "weights": size,
                "levels": weight.levels,
                "steps": reader.lost - 1 if reader.lost else monitor.steps,
                "flips": flips,
                "undone": undone,
                "undecided": float((margin < DECIDED).float().mean()) if len(margin) else None,
                "margin": float(margin.mean()) if len(margin) else None,
                "never_moved": size - moved,
                "horizon": monitor.horizons[at],
                "read": int(read),
                "flips_error": errors[0],
                "undone_error": errors[1],
                "never_moved_error": errors[2],
            }
        )
    whole = dict.fromkeys(("weights", "steps", "flips", "undone", "never_moved", "read"), pl.Int64)
    return pl.DataFrame(rows, schema_overrides={**whole, "undecided": pl.Float64, "margin": pl.Float64})


def flip_ratio(ax: Axes, monitor: Any) -> str:
    """Draw the share of each tensor's weights that flip per step, in windows; return a caption."""
    from sterling.plot.curves import SERIES_COLOURS
    from sterling.plot.style import GREY, escaped, tidy

    sizes = np.array([weight.shape.numel() for weight in monitor.weights])
    total, steps = monitor.frame()["flips"].to_numpy(), [row["step"] for row in monitor.history]
    flips = np.array([row["flips"] for row in monitor.history]).reshape(len(steps), len(sizes))
    if monitor.steps > max(steps, default=0):  # the last window is not full
        flips = np.vstack([flips, total - flips.sum(axis=0)])
        steps.append(monitor.steps)
    pace = flips / sizes / np.diff(steps, prepend=0)[:, None]
    busiest, colours = set(np.argsort(-total / sizes)[: len(SERIES_COLOURS)]), iter(SERIES_COLOURS)
    for index, weight in enumerate(monitor.weights):
        look: dict[str, Any] = {"color": GREY, "alpha": 0.4, "zorder": 1}
        if index in busiest:
            look = {"color": next(colours), "label": escaped(weight.name)}
        ax.stairs(pace[:, index], [0, *steps], baseline=None, lw=1.4, **look)
    tidy(ax, xlabel="step", ylabel="flip ratio (per step)", ylim=(0, None))
    return f"Flips per weight and step, in windows of {monitor.within} steps, over {monitor.steps:,} steps."


class MonitorReport(Report):
    """The report of a monitor, as text, and as HTML in a notebook."""

    def __init__(self, monitor: Any):
        self.monitor, self.frame = monitor, monitor.frame()

    @property
    def sentences(self) -> list[str]:
        """Sentences about all tensors together."""
        monitor, columns = self.monitor, self.frame.to_dict(as_series=False)
        weights = sum(columns.get("weights", ()))
        lines = [f"{counted(weights, 'quantised weight')} over {counted(monitor.steps, 'step')}"]
        if not monitor.weights:
            lines = ["no quantised weight has been found yet"]
        if monitor.detached:
            lines.append(f"the monitor {monitor.detached}")
        if monitor.steps:
            flips, read, every = sum(columns["flips"]), sum(columns["read"]), monitor.every
            open_ = zip(columns["undecided"], columns["weights"], strict=True)
            undecided = sum((share or 0) * size for share, size in open_) / weights
            by = "a step changes" if every == 1 else f"{every} steps change"
            lines.append(
                f"{by} {readable(flips / max(monitor.steps // every, 1) / weights)} of them; "
                f"{readable(sum(columns['never_moved']) / weights)} never moved, and {readable(undecided)} "
                f"are undecided over the last {number(columns['horizon'][0])} steps"
            )
            if every > 1:
                lines.append(f"codes are read each {every} steps, so changes that end between are not seen")
            if read < weights:
                error = sum(one**2 for one in columns["flips_error"]) ** 0.5
                lines.append(
                    f"counts are scaled up from a sample of {read:,} weights: {flips:,} ± {number(error)} "
                    "flips (95 % interval)"
                )
            if flips:
                share = readable(sum(columns["undone"]) / flips)
                lines.append(f"{share} of the flips were undone within {counted(monitor.within, 'step')}")
        diverged = [one.weight.name for one in monitor._readers if not one.finite()]
        lost = [f"{one.weight.name} from step {one.lost} on" for one in monitor._readers if one.lost]
        notes = {
            "not counted, because the codes can no longer be read": lost,
            "not monitored, because the optimiser did not hold them at the start": monitor.left_out,
            "the run has diverged, latents are no longer finite": diverged,
            "counts are of latents that are no longer in the model": monitor.replaced,
        }
        for what, names in notes.items():
            if names:
                lines.append(f"{what}: {shortened(names)}")
        return [sentence(one) for one in lines]

    def parts(self) -> tuple[Sequence[str], Table, Sequence[str]]:
        rows = [[cell(row) for cell in COLUMNS.values()] for row in self.frame.iter_rows(named=True)]
        return self.sentences, (list(COLUMNS), rows), ()

    __repr__ = Report.__str__
