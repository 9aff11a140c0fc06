"""The display of a study under way: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sterling.progress import readable_time
from sterling.study.collect import Progress

_PLAIN_EVERY = 10.0  # seconds between plain lines
_LIVE_EVERY = 0.2

Show = Callable[[Progress], None]


@contextmanager
def display(quiet: bool = False) -> Iterator[Show | None]:
    """Give a function that shows a `Progress` on stderr, None where nothing shall be shown."""
    if quiet:
        yield None
    elif sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
            yield _seldom(_LIVE_EVERY, lambda text: live.update(Text(text), refresh=True))
    else:
        yield _seldom(_PLAIN_EVERY, lambda text: print(text, file=sys.stderr, flush=True))


def _seldom(every: float, write: Callable[[str], None]) -> Show:
    last = time.monotonic()

    def show(progress: Progress) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            write(line(progress))

    return show


def line(progress: Progress) -> str:
    """Return the progress as one line of text."""
    parts = [f"{progress.done:,} of {progress.planned:,} trials"]
    if progress.seconds > 0 and progress.new:
        parts.append(f"{progress.new / progress.seconds:.3g} a second")
    if progress.note:
        parts.append(f"round {progress.round}: {progress.note}")
    if progress.seconds_left is not None:
        parts.append(f"{readable_time(progress.seconds_left)} left in this round")
    return ", ".join(parts)
