"""The exhaustive landscape against its bars: `python -m benchmarks.landscape [--quick] [--repeat 3]`.

The bars are 5 s for n=20 and 80 s for n=24, with m=1 and N=400, on two cores. Some states of each result are
compared with `Instance.loss` and `Instance.gradient`.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console

import sterling as st
from benchmarks import machine
from benchmarks.report import Options, Row, show_row, table, write

THREADS = 2
_WIDTH = 130  # columns, unless the output is a terminal
_CHECKED = 50  # states compared


@dataclass(frozen=True)
class Bar:
    """A landscape and its bar in seconds."""

    n: int
    seconds: float
    quick_n: int
    samples: int = 400

    def __call__(self, options: Options) -> Row:
        """Measure; return the best repetition."""
        n = self.quick_n if options.quick else self.n
        instance = st.Problem(n=n, samples=self.samples).draw(0)
        times = []
        found = None
        for _ in range(options.repeat):
            begun = time.perf_counter()
            found = st.landscape(instance, threads=options.threads)
            times.append(time.perf_counter() - begun)
        assert found is not None
        best = min(times)
        return Row(
            f"landscape, n={n}, m=1, N={self.samples}",
            best,
            "s",
            self.seconds,
            None,
            False,
            runs={"landscape": times},
            note=f"{1e9 * best / 2**n:.0f} ns a state; {found!r}",
            failure="" if _is_right(found) else "states differ from Instance.loss or Instance.gradient",
            case=f"n{self.n}",
        )


BARS = {"n20": Bar(20, 5.0, 14), "n24": Bar(24, 80.0, 16)}


def _is_right(found: st.Landscape) -> bool:
    """Whether loss and absorption of some states agree with the instance."""
    instance, absorbing = found.instance, set(found.absorbing_states.tolist())
    states = np.random.default_rng(0).integers(0, len(found.loss), _CHECKED).tolist()
    for state in [*states, *found.absorbing_states[:_CHECKED].tolist(), found.reference_state]:
        signs = found.signs(state)
        rests = bool(np.all(signs * instance.gradient(signs, found.surrogate) <= 0))
        if instance.loss(signs) != found.loss[state] or rests != (state in absorbing):
            return False
    return True


def main(arguments: list[str] | None = None) -> int:
    """Measure, print and write; return 1 if a result is wrong."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.landscape", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=tuple(BARS), default=tuple(BARS), help="(all)")
    parser.add_argument("--quick", action="store_true", help="small n, once each: a smoke test")
    parser.add_argument(
        "--repeat", type=int, help="repetitions, of which the best counts (3, with --quick 1)"
    )
    parser.add_argument("--output", type=Path, default=Path("out/bench-landscape.json"), help="(%(default)s)")
    asked = parser.parse_args(arguments)
    if asked.repeat is not None and asked.repeat < 1:
        parser.error(f"--repeat is {asked.repeat}; it must be at least 1")
    options = Options(asked.repeat or (1 if asked.quick else 3), THREADS, asked.quick)
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    known = machine.facts(THREADS)
    console.print(machine.summary(known), highlight=False)
    st.landscape(st.Problem(n=4, samples=20).draw(0), threads=THREADS)  # compiles
    begun = time.monotonic()
    rows: list[Row] = []
    for name in asked.only:
        watch = machine.OtherWork()
        row = BARS[name](options)
        rows.append(replace(row, other_work=watch.share()))
        show_row(console, rows[-1])
        write(asked.output, rows, options, known, time.monotonic() - begun)
    console.print(table(rows, options))
    console.print(f"best of {options.repeat}, written to {asked.output}", highlight=False)
    return 1 if any(row.failure for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
