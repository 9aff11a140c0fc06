"""Progress of long work: a bar on a terminal, sparse lines elsewhere, both on stderr.

Stdout holds results only.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sterling.base.text import readable_time

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

#: Seconds between lines where stderr is no terminal.
LINE_EVERY = 10.0

_KNOWN_AFTER = 0.5  # seconds after which a pace means something
_BAR = 20  # letters


@dataclass(frozen=True)
class Progress:
    """How much of long work is done, in units of the work such as steps."""

    done: float
    total: float | None  # None if unknown
    note: str = ""  # what is being done now
    facts: tuple[str, ...] = ()  # results so far, a few words each
    seconds_left: float | None = None  # None: estimated from the pace so far; NaN: unknown


#: What long computations call with their progress; some pass more than `Progress` has.
ProgressCallback = Callable[[Any], Any]


class Display:
    """Shows each `Progress` that it is called with: in a bar of Rich, or as a line now and then."""

    def __init__(self, noun: str, bars: Bars | None = None):
        self._noun, self._bars = noun, bars
        self._task = None if bars is None else bars.add_task("", total=None)
        self._begun = self._printed = 0.0
        self._first: float | None = None  # done at the first call; a resumed run begins above zero

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first, self._begun, self._printed = progress.done, now, now
        done, total = progress.done, progress.total
        seconds = progress.seconds_left
        if seconds is None and total and done > self._first and now - self._begun > _KNOWN_AFTER:
            seconds = (total - done) * (now - self._begun) / (done - self._first)
        count = f"{done:,.10g} of {total:,.10g}" if total else f"{done:,.10g}"
        words = [f"{count} {self._noun}" if self._noun else "", progress.note, *progress.facts]
        if seconds is not None and not math.isnan(seconds) and not (total and done >= total):
            words.append(f"{readable_time(seconds)} left")
        text = ", ".join(filter(None, words))
        if self._bars is not None and self._task is not None:
            self._bars.update(self._task, total=total, completed=done, description=text)
        elif now - self._printed >= LINE_EVERY and self._first < done < (total or float("inf")):
            # Neither before work has begun nor after its end, where only the result counts.
            self._printed = now
            share = f"{100 * done / total:.0f} %" if total else ""
            self.say(", ".join(filter(None, [share, text])))

    def say(self, text: str) -> None:
        """Print a line that stays; where stderr cannot be written to, nowhere."""
        if self._bars is not None:
            self._bars.console.print(text, markup=False)
        elif sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                print(text, file=sys.stderr, flush=True)


@contextmanager
def reporting(progress: bool | ProgressCallback, noun: str = "") -> Iterator[Any]:
    """Turn an argument ``progress`` into a callback: True gives a `Display` on stderr, False gives None.

    ``noun`` is what is counted, in the plural; without it only the share is shown. What a terminal shows is
    removed at the end.
    """
    if callable(progress):
        yield progress
        return
    if not isinstance(progress, bool):
        from sterling.base import checks  # NumPy comes with it, and `sterling --help` can do without

        progress = checks.flag(progress, "progress")
    if not progress:
        yield None
        return
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        yield Display(noun)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    words = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1))
    console = Console(stderr=True, highlight=False)
    columns = BarColumn(_BAR), TaskProgressColumn(), words
    with Bars(*columns, console=console, transient=True, expand=True) as bars:
        yield Display(noun, bars)
