"""The display of counted work: a bar on a terminal, a plain line now and then elsewhere, all on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sterling.base.progress import PLAIN_EVERY, is_terminal, readable_time, say, seldom

_KNOWN_AFTER = 0.5  # seconds after which a pace means something

Show = Callable[[int, int], None]


@contextmanager
def counting(what: str, quiet: bool = False, every: float = PLAIN_EVERY) -> Iterator[Show | None]:
    """Give a function that shows how much is done, from (done, in all); None where nothing shall be shown.

    Parameters
    ----------
    what : str
        What is counted, in the plural.
    every : float
        Seconds between two lines where stderr is no terminal.
    """
    begun = time.monotonic()
    if quiet:
        yield None
    elif is_terminal():
        from rich.console import Console, Group
        from rich.live import Live
        from rich.progress_bar import ProgressBar
        from rich.text import Text

        with Live(console=Console(stderr=True), auto_refresh=False, transient=True) as live:

            def draw(done: int, total: int) -> None:
                bar = ProgressBar(total=total, completed=done)
                live.update(Group(bar, Text(line(what, done, total, time.monotonic() - begun))), refresh=True)

            yield draw
    else:
        show = seldom(every, lambda count: say(line(what, count[0], count[1], time.monotonic() - begun)))
        yield lambda done, total: show((done, total))


def line(what: str, done: int, total: int, seconds: float) -> str:
    """Return the progress as one line of text."""
    text = f"{done:,} of {total:,} {what} ({100 * done / total:.0f} %)"
    if 0 < done < total and seconds > _KNOWN_AFTER:
        text += f", {readable_time((total - done) * seconds / done)} left"
    return text
