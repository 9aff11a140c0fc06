"""The display of a study under way: a live line on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sterling.base.progress import LIVE_EVERY, PLAIN_EVERY, is_terminal, say, seldom
from sterling.base.text import readable_time
from sterling.study.collect import Progress

Show = Callable[[Progress], None]


@contextmanager
def display(quiet: bool = False) -> Iterator[Show | None]:
    """Give a function that shows a `Progress` on stderr, None where nothing shall be shown."""
    if quiet:
        yield None
    elif is_terminal():
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:
            yield seldom(LIVE_EVERY, lambda progress: live.update(Text(line(progress)), refresh=True))
    else:
        yield seldom(PLAIN_EVERY, lambda progress: say(line(progress)))


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
