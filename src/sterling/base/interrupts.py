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
    # Plain values: a handler runs between any two instructions, so a lock that it took, such as the one
    # inside a threading.Event, might be held by the very code that it interrupts.
    pressed = seen = False

    def asked() -> bool:
        nonlocal seen
        seen = seen or pressed
        return pressed

    previous = signal.getsignal(signal.SIGINT)
    here = threading.current_thread() is threading.main_thread()
    if not here or previous in (signal.SIG_IGN, None):
        yield asked
        return

    def note(number, frame):
        nonlocal pressed
        if pressed:
            signal.signal(signal.SIGINT, previous)
            raise KeyboardInterrupt
        pressed = True

    signal.signal(signal.SIGINT, note)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, previous)
    if pressed and not seen:
        signal.raise_signal(signal.SIGINT)
