"""The report of a monitor: sentences and a table of the tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sterling.base.text import counted, number, percent, sentence
from sterling.torch.tables import Report, TensorTable

if TYPE_CHECKING:
    import polars as pl

#: Headings of the table, and how each cell is made of a row of the frame.
COLUMNS: dict[str, Callable[[dict[str, Any]], str]] = {
    "tensor": lambda row: row["tensor"],
    "weights": lambda row: f"{row['weights']:,}",
    "levels": lambda row: str(row["levels"]),
    "flips a step": lambda row: number(row["flips"] / max(row["steps"], 1)),
    "undone": lambda row: percent(row["undone"] / row["flips"]) if row["flips"] else "–",
    "undecided": lambda row: percent(row["undecided"], 1),
    "never moved": lambda row: percent(row["never_moved"] / row["weights"], 1),
    "churn": lambda row: "–" if row["churn"] is None else percent(row["churn"], 1),
    "median stay": lambda row: "–" if row["stay"] is None else f"{row['stay']:,}",
    "median absence": lambda row: "–" if row["absence"] is None else f"{row['absence']:,}",
}


class MonitorReport(Report):
    """The report of a monitor, as text, and as HTML in a notebook."""

    def __init__(
        self,
        frame: pl.DataFrame,
        within: int,
        left_out: Sequence[str],  # tensors that the optimiser did not hold
        diverged: Sequence[str],  # tensors with latents that are not finite
    ):
        self.frame, self.within, self.left_out, self.diverged = frame, within, left_out, diverged

    @property
    def sentences(self) -> list[str]:
        """Sentences about all tensors together."""
        columns = self.frame.to_dict(as_series=False)
        steps, weights, flips = columns["steps"][0], sum(columns["weights"]), sum(columns["flips"])
        lines = [sentence(f"{counted(weights, 'quantised weight')} over {counted(steps, 'step')}")]
        if not steps:
            return lines
        still = sum(columns["never_moved"]) / weights
        open_ = zip(columns["undecided"], columns["weights"], strict=True)
        undecided = sum(share * size for share, size in open_) / weights
        lines.append(
            sentence(
                f"a step changes {percent(flips / steps / weights, 3)} of them; {percent(still)} never moved "
                f"and {percent(undecided)} are undecided over the last {number(columns['horizon'][0])} steps"
            )
        )
        if flips:
            share = percent(sum(columns["undone"]) / flips)
            lines.append(sentence(f"{share} of the flips were undone within {counted(self.within, 'step')}"))
        by_scale = sum(one or 0 for one in columns["by_scale"])
        if by_scale and flips:
            lines.append(sentence(f"the scale alone caused {percent(by_scale / flips)} of the flips"))
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
