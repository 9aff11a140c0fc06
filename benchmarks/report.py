"""Results of measurements, as a table for people and as JSON for machines."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

DISTURBED = 0.05  # share of the cores' time for other work above which a number is doubtful


@dataclass(frozen=True)
class Options:
    """Options of a measurement."""

    repeat: int
    threads: int
    quick: bool


@dataclass(frozen=True)
class Row:
    """One bar and its measurement.

    Attributes
    ----------
    title : str
        The measured quantity.
    measured : float
        The result of the best repetitions; NaN after a failure.
    unit : str
        The unit of ``measured``.
    bar, aim : float
        The value to reach, and the value to wish for.
    more_is_better : bool
    runs : dict
        All repetitions by their name, in seconds unless the name says otherwise.
    note : str
        Details for people.
    failure : str
        Why there is no trustworthy number.
    case : str
        The name for ``--only``.
    other_work : float or None
        Share of the cores' time that other processes took meanwhile, if known.
    """

    title: str
    measured: float
    unit: str
    bar: float
    aim: float | None
    more_is_better: bool
    runs: dict[str, list[float]] = field(default_factory=dict)
    note: str = ""
    failure: str = ""
    case: str = ""
    other_work: float | None = None

    @property
    def disturbed(self) -> bool:
        return (self.other_work or 0) > DISTURBED

    @property
    def passed(self) -> bool:
        return self._reaches(self.bar)

    @property
    def reached_aim(self) -> bool:
        return self._reaches(self.bar if self.aim is None else self.aim)

    def _reaches(self, mark: float) -> bool:
        if math.isnan(self.measured):
            return False
        return self.measured >= mark if self.more_is_better else self.measured <= mark

    def show(self) -> str:
        """Return the measured value with its unit."""
        return f"{_number(self.measured)} {self.unit}".strip()

    def to_dict(self) -> dict:
        known = asdict(self)
        for name in ("measured", "bar"):
            if math.isnan(known[name]):
                known[name] = None  # JSON has no NaN
        return known | {"passed": self.passed, "reached_aim": self.reached_aim, "disturbed": self.disturbed}


_LEGEND = f"""\
× PyTorch: its time for a step ÷ sterling's. × NumPy: in units of NumPy drawing as many float32 normals.
others: share of the cores' time that other processes took meanwhile; a ? marks more than {DISTURBED:.0%},
where a number, good or bad, is doubtful."""


def table(rows: Sequence[Row], options: Options) -> Table:
    """Return the table of all bars."""
    title = "sterling's bars"
    if options.quick:
        title += " · QUICK: shortened runs, a smoke test only; these numbers are not the bars'"
    shown = Table(
        title=title, title_justify="left", caption=_LEGEND, caption_justify="left", box=box.SIMPLE_HEAD
    )
    shown.add_column("case", style="dim", no_wrap=True)
    shown.add_column("what")
    for name in ("measured", "bar", "aim"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("others", justify="right", no_wrap=True)
    shown.add_column("", no_wrap=True)
    for row in rows:
        sign = "≥" if row.more_is_better else "≤"
        bar = "" if math.isnan(row.bar) else f"{sign} {_number(row.bar)}"
        aim = "" if row.aim is None else _number(row.aim)
        others = "" if row.other_work is None else f"{row.other_work:.0%}"
        shown.add_row(row.case, row.title, row.show(), bar, aim, others, _mark(row))
    return shown


def _number(value: float) -> str:
    if math.isnan(value):
        return "–"
    if value >= 1e6:
        mantissa, exponent = f"{value:.1e}".split("e")
        return f"{mantissa}·10^{int(exponent)}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _mark(row: Row) -> str:
    if row.failure:
        return "[bold red]failed[/]"
    doubt = " ?" if row.disturbed else ""
    if not row.passed:
        return f"[bold red]miss{doubt}[/]"
    verdict = "pass, aim reached" if row.aim is not None and row.reached_aim else "pass"
    return f"[{'yellow' if doubt else 'green'}]{verdict}{doubt}[/]"


def show_row(console: Console, row: Row) -> None:
    """Print one row as soon as it is measured."""
    console.print(f"[bold]{row.case}[/] {row.title}: [bold]{row.show()}[/]  {_mark(row)}")
    for line in (row.note, row.failure):
        if line:
            console.print(f"    {line}", style="dim", markup=False, highlight=False)


def write(path: Path, rows: Sequence[Row], options: Options, machine: dict, seconds: float) -> None:
    """Write everything as JSON; the file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "options": asdict(options),
        "machine": machine,
        "seconds": round(seconds, 1),
        "rows": [row.to_dict() for row in rows],
    }
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(unfinished, path)
