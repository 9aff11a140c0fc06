"""Ctrl-C as a request to stop between two pieces of work, so that what is done is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag, to look at between two pieces of work; a second one acts at once.

    The flag is looked at by calling what is yielded. A press that nobody has seen when the work ends goes on
    to whoever handled Ctrl-C before. Outside the main thread, where Python delivers no signals, nothing
    changes.
    """
    pressed, seen = threading.Event(), threading.Event()

    def asked() -> bool:
        if pressed.is_set():
            seen.set()
        return pressed.is_set()

    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    previous = signal.getsignal(signal.SIGINT)
    if previous in (signal.SIG_IGN, None):
        yield asked
        return

    def note(number, frame):
        if pressed.is_set():
            signal.signal(signal.SIGINT, previous)
            raise KeyboardInterrupt
        pressed.set()

    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, previous)
    if pressed.is_set() and not seen.is_set():
        signal.raise_signal(signal.SIGINT)
