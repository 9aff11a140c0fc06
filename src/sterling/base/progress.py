"""Progress of long work: what is told, and how it is shown.

On a terminal there is a live display, elsewhere a line now and then; all of it goes to stderr, so that stdout
holds results only.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sterling.base.text import readable_time

#: Seconds between plain lines, and between two pictures on a terminal.
PLAIN_EVERY, LIVE_EVERY = 10.0, 0.2

_KNOWN_AFTER = 0.5  # seconds after which a pace means something


@dataclass(frozen=True)
class Progress:
    """How far long work is, in units of the work such as steps."""

    done: float
    total: float | None  # None where nobody knows
    note: str = ""  # what is being done now
    facts: tuple[str, ...] = ()  # what is known so far, a few words each
    seconds_left: float | None = None  # None where the pace so far shall decide


#: What long computations tell their progress to, some of them with more than `Progress` has.
Show = Callable[[Any], Any]


class Display:
    """Shows each `Progress` that it is called with, though not more often than people can read."""

    def __init__(self, noun: str, every: float):
        self._noun, self._every = noun, every
        self._shown = self._begun = time.monotonic()
        self._first: float | None = None

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first, self._begun = progress.done, now
        if now - self._shown >= self._every:
            self._shown = now
            self._draw(progress)

    def say(self, text: str) -> None:
        """Print a line that stays, at once; where stderr cannot be written to, nowhere."""
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                print(text, file=sys.stderr, flush=True)

    def _draw(self, progress: Progress) -> None:
        share = f"{100 * progress.done / progress.total:.0f} %" if progress.total else ""
        count = self._count(progress)
        first = f"{count} ({share})" if count and share else count or share
        self.say(", ".join([first, *self._words(progress)]))

    def _count(self, progress: Progress) -> str:
        whole = f" of {progress.total:,.10g}" if progress.total else ""
        return f"{progress.done:,.10g}{whole} {self._noun}" if self._noun else ""

    def _words(self, progress: Progress) -> list[str]:
        """Return all that is told beside the count."""
        seconds = progress.seconds_left
        if progress.total and progress.done >= progress.total:
            seconds = None
        elif seconds is None and progress.total and self._first is not None:
            spent, done = time.monotonic() - self._begun, progress.done - self._first
            if spent > _KNOWN_AFTER and done > 0:
                seconds = (progress.total - progress.done) * spent / done
        left = "" if seconds is None else f"{readable_time(seconds)} left"
        return [words for words in (progress.note, *progress.facts, left) if words]


class _Live(Display):
    """On a terminal: Rich's bar and share, and below them the words."""

    def __init__(self, noun: str, every: float):
        from rich.console import Console, RenderableType
        from rich.progress import BarColumn, TaskProgressColumn
        from rich.progress import Progress as Bars
        from rich.text import Text

        live, self._text = self, ""
        super().__init__(noun, every)
        self._shown -= every  # the first picture comes at once

        class WithWords(Bars):
            def get_renderables(self) -> Iterable[RenderableType]:
                yield from super().get_renderables()
                yield Text(live._text)

        console = Console(stderr=True, highlight=False)
        columns = BarColumn(bar_width=None), TaskProgressColumn()
        self.bars = WithWords(*columns, console=console, auto_refresh=False, transient=True, expand=True)
        self._task = self.bars.add_task("", total=None)

    def say(self, text: str) -> None:
        self.bars.console.print(text, markup=False)

    def _draw(self, progress: Progress) -> None:
        self._text = ", ".join(words for words in (self._count(progress), *self._words(progress)) if words)
        self.bars.update(self._task, total=progress.total, completed=progress.done, refresh=True)


@contextmanager
def display(noun: str = "") -> Iterator[Display]:
    """Give a function that shows a `Progress`; what a terminal shows is taken away at the end.

    ``noun`` is what is counted, in the plural; without it the share alone is shown.
    """
    if not is_terminal():
        yield Display(noun, PLAIN_EVERY)
        return
    live = _Live(noun, LIVE_EVERY)
    with live.bars:
        yield live


@contextmanager
def showing(progress: bool | Show, noun: str = "") -> Iterator[Show | None]:
    """Turn an argument ``progress`` into what shows it: True shows on stderr, False nowhere."""
    if callable(progress):
        yield progress
        return
    from sterling.base import checks  # NumPy comes with it, and `sterling --help` can do without

    if checks.flag(progress, "progress"):
        with display(noun) as show:
            yield show
    else:
        yield None


def is_terminal() -> bool:
    """Whether stderr is a terminal that can redraw a line."""
    return (
        sys.stderr is not None
        and sys.stderr.isatty()
        and os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    )
