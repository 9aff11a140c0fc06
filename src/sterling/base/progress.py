"""The display of a run under way: a live one on a terminal, a plain line now and then elsewhere.

All of it goes to stderr, so that stdout holds results only.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sterling.dynamics.run import Progress

#: Colours of the verdicts on a terminal.
VERDICT_STYLES = {
    "OPTIMAL": "bold green",
    "TRAPPED": "bold red",
    "RECURRENT": "bold cyan",
    "WANDERING": "bold yellow",
    "STALLED": "bold magenta",
}

#: Seconds between plain lines, and between two pictures on a terminal.
PLAIN_EVERY, LIVE_EVERY = 10.0, 0.2
_GAP = "   "  # between two facts on a line


@contextmanager
def display(every: float = PLAIN_EVERY) -> Iterator[Callable[[Progress], None]]:
    """Give a function that shows a `Progress`; what a terminal shows is taken away at the end.

    Parameters
    ----------
    every : float
        Seconds between two lines where stderr is no terminal, or a dumb one.
    """
    if not is_terminal():
        yield seldom(every, lambda progress: say(plain_line(progress)))
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(console=console, auto_refresh=False, transient=True) as live:

        def show(progress: Progress) -> None:
            live.update(picture(progress, console.width), refresh=True)

        yield show


def is_terminal() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")


def seldom(every: float, show: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a function that passes on what it is given, but never sooner than so many seconds after."""
    last = time.monotonic()

    def pass_on(what: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= every:
            last = time.monotonic()
            show(what)

    return pass_on


def say(text: str) -> None:
    """Print a line to stderr, at once."""
    print(text, file=sys.stderr, flush=True)


def plain_line(progress: Progress) -> str:
    """Return the progress as one line of text."""
    return ", ".join(
        [f"{_steps(progress)} ({_share(progress)})", f"{progress.verdict} so far", *_facts(progress)]
    )


def picture(progress: Progress, width: int) -> RenderableType:
    """Return the progress as a bar and a few words below, for a console of so many columns."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    share = _share(progress)
    bar = Table.grid(expand=True)
    bar.add_column(ratio=1)
    bar.add_column(justify="right", no_wrap=True, width=len(share) + 1)
    bar.add_row(ProgressBar(total=progress.steps, completed=progress.step), share)
    verdict = Text.assemble((progress.verdict.name, VERDICT_STYLES[progress.verdict.name]), " so far")
    facts = [Text(_steps(progress)), verdict, *(Text(fact) for fact in _facts(progress))]
    lines = [facts[0]]
    for fact in facts[1:]:
        if lines[-1].cell_len + len(_GAP) + fact.cell_len < width:
            lines[-1].append(_GAP).append_text(fact)
        else:
            lines.append(fact)
    return Group(bar, *lines)


def _steps(progress: Progress) -> str:
    return f"step {progress.step:,} of {progress.steps:,}"


def _share(progress: Progress) -> str:
    return f"{100 * progress.step / progress.steps:.0f} %"


def _facts(progress: Progress) -> list[str]:
    facts = [
        f"occupancy {progress.occupancy:.3g}",
        f"visits {progress.visits:,}",
        f"events {progress.events:,}",
    ]
    if progress.seconds_left is not None:
        facts.append(f"{readable_time(progress.seconds_left)} left")
    return facts


def readable_time(seconds: float) -> str:
    """Return a duration as people read it: 75 -> "1 min 15 s"."""
    if seconds < 1:
        return "under 1 s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 90:
        return f"{minutes} min {rest} s" if minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min"
    return f"{hours / 24:.0f} days" if hours < 24 * 3650 else "years"
