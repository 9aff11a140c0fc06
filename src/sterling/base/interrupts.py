"""Ctrl-C as a request to stop between two pieces of work, so that finished work is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a flag, to check between two pieces of work; a second one acts at once.

    The yielded function returns the flag. If nobody has called it since the press, the former handler gets
    the press at the end. SIGTERM counts as Ctrl-C where a handler for it is set. Outside the main thread
    nothing changes.
    """
    # Plain values: a handler runs between any two instructions, so a lock that it took, such as the one
    # inside a threading.Event, might be held by the very code that it interrupts.
    pressed, seen = 0, False

    def asked() -> bool:
        nonlocal seen
        seen = seen or pressed > 0
        return pressed > 0

    def note(number, frame):
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = number

    main = threading.current_thread() is threading.main_thread()
    handlers = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if main and callable(handler):
            handlers[number] = handler
    try:
        for number in handlers:
            signal.signal(number, note)
        yield asked
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if pressed and not seen:
        signal.raise_signal(pressed)
