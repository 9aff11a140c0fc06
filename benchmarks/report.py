"""The loop of all benchmarks: it measures cases, and shows a table for people and JSON for machines."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks import machine

_WIDTH = 130  # columns, unless the output is a terminal
_BUSY = 0.3  # load per core above which times are doubtful
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
        The value to reach, and the value to wish for. Without a bar nothing can be missed.
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
    bar: float = math.nan
    aim: float | None = None
    more_is_better: bool = True
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
        if math.isnan(self.measured) or math.isnan(mark):
            return not math.isnan(self.measured)
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


Case = Callable[[Options], list[Row]]

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
    if math.isnan(row.bar):
        return f"[yellow]{doubt}[/]"
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


def write(path: Path, rows: Sequence[Row], options: Options, known: dict, seconds: float) -> None:
    """Write everything as JSON; the file is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "options": asdict(options),
        "machine": known,
        "seconds": round(seconds, 1),
        "rows": [row.to_dict() for row in rows],
    }
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(unfinished, path)


def main(name: str, cases: dict[str, Case], description: str | None) -> int:
    """Measure the cases asked for; return 1 if one failed or, with --strict, misses its bar.

    ``name`` is that of the module in `benchmarks`, or "" for `python -m benchmarks` itself.
    """
    asked = _parse(name, cases, description)
    options = Options(
        repeat=asked.repeat or (1 if asked.quick else 3),
        threads=asked.threads or machine.cores_allowed(),
        quick=asked.quick,
    )
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    known = machine.facts(options.threads)
    console.print(machine.summary(known), highlight=False)
    if (known["load_at_start"] or 0) > _BUSY * (known["cores"] or 1):
        console.print("[yellow]The machine is busy with other work: times are doubtful.[/]")
    if options.quick:
        console.print("[yellow]Quick: shortened runs, a smoke test only.[/]")
    console.print()
    begun = time.monotonic()
    rows: list[Row] = []
    interrupted = False
    try:
        for case in asked.only or cases:
            with console.status(f"measuring {case}"):
                measured = _measure(case, cases[case], options)
            for row in measured:
                show_row(console, row)
            rows += measured
            write(asked.output, rows, options, known, time.monotonic() - begun)
    except KeyboardInterrupt:
        interrupted = True
        console.print("[yellow]Interrupted: the results so far follow.[/]")
    known["load_at_end"] = machine.load()
    write(asked.output, rows, options, known, time.monotonic() - begun)
    console.print()
    console.print(table(rows, options))
    console.print(
        f"{time.monotonic() - begun:.0f} s, best of {options.repeat}, load {known['load_at_start']} at the "
        f"start and {known['load_at_end']} at the end. Written to {asked.output}",
        highlight=False,
    )
    if interrupted:
        return 130
    failed = any(row.failure for row in rows)
    missed = asked.strict and not all(row.passed for row in rows)
    return 1 if failed or missed else 0


def _measure(name: str, case: Case, options: Options) -> list[Row]:
    watch = machine.OtherWork()
    try:
        rows = case(options)
    except Exception as problem:
        reason = f"{type(problem).__name__}: {problem}"
        rows = [Row("could not be measured", math.nan, "", failure=reason)]
    others = watch.share()
    return [replace(row, case=name, other_work=others) for row in rows]


def _parse(name: str, cases: dict[str, Case], description: str | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}".removesuffix("."),
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=tuple(cases), help=", ".join(cases))
    parser.add_argument("--quick", action="store_true", help="shorter runs, once each: a smoke test")
    parser.add_argument(
        "--repeat", type=_positive, help="repetitions, of which the best counts (3, with --quick 1)"
    )
    parser.add_argument("--threads", type=_positive, help="threads of sterling and of PyTorch (all cores)")
    parser.add_argument("--output", type=Path, default=Path(f"out/bench-{name}.json".replace("-.", ".")))
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    return parser.parse_args()


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value
