"""Measure the bars of the engine, print them and write them as JSON."""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from benchmarks import machine
from benchmarks.cases import CASES
from benchmarks.report import Options, Row, show_row, table, write

_WIDTH = 130  # columns, unless the output is a terminal
_BUSY = 0.3  # load per core above which times are doubtful


def main(arguments: list[str] | None = None) -> int:
    """Measure the cases asked for; return 1 if one failed or, with --strict, misses its bar."""
    asked = _parse(arguments)
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
        for name in asked.only or CASES:
            with console.status(f"measuring {name}"):
                measured = _measure(name, options)
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


def _measure(name: str, options: Options) -> list[Row]:
    watch = machine.OtherWork()
    try:
        rows = CASES[name](options)
    except Exception as problem:
        reason = f"{type(problem).__name__}: {problem}"
        rows = [Row("could not be measured", math.nan, "", math.nan, None, True, failure=reason)]
    others = watch.share()
    return [replace(row, case=name, other_work=others) for row in rows]


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=tuple(CASES), help=", ".join(CASES))
    parser.add_argument("--quick", action="store_true", help="shorter runs, once each: a smoke test")
    parser.add_argument(
        "--repeat", type=_positive, help="repetitions, of which the best counts (3, with --quick 1)"
    )
    parser.add_argument("--threads", type=_positive, help="threads of sterling and of PyTorch (all cores)")
    parser.add_argument("--output", type=Path, default=Path("out/bench.json"), help="JSON file (%(default)s)")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return value


if __name__ == "__main__":
    sys.exit(main())
