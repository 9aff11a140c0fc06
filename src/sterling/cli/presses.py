"""Ctrl-C at the command line: never lost, never half heard, and deaf to it once the exit code is decided.

Until a verb begins presses are kept, while it runs one is raised as KeyboardInterrupt, afterwards they change
nothing. What a verb does with the interrupt is its own affair (`base/interrupts.py`). SIGTERM is as good.
"""

import signal
import sys

_SOON = 0.02  # seconds after which a press that could not be raised is tried again


class Pressed(KeyboardInterrupt):
    """Ctrl-C, as a subclass: KeyboardInterrupt itself, where it passes through the exec() of an import, makes
    CPython kill the process at its end, whatever the exit code.
    """


class _Now:
    """What becomes of a press at the moment."""

    heeding = False  # a verb is running
    kept = False  # one came before
    raised = False  # one was raised: the verb is on its way out, and more would only hit its tidying up


def listen() -> None:
    """Take over Ctrl-C and SIGTERM, first thing; where Ctrl-C was switched off before, it stays so."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _press)
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGTERM, signal.default_int_handler if ignored else _pass_on)
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, _pass_on)
        sys.unraisablehook = _swallowed


class heeding:
    """While the block runs Ctrl-C is raised in it; from its end on nobody hears it.

    A class, since the flags change in the first and the last instruction: whatever a press raises comes out
    of the block.
    """

    def __enter__(self) -> None:
        _Now.raised = _Now.kept
        _Now.heeding = True
        if _Now.kept:
            _Now.kept = False
            raise Pressed

    def __exit__(self, *problem: object) -> None:
        _Now.heeding = False


def settle() -> None:
    """Be deaf from now on: the exit code is decided, and the last word is about to be said."""
    _Now.heeding = False


def end() -> None:
    """Ignore the signals for good: Python gives them back their deadly meaning while it ends."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _press(number: int, frame: object) -> None:
    if not _Now.heeding:
        _Now.kept = True
    elif not _Now.raised:
        if _importing(frame) and hasattr(signal, "setitimer"):
            signal.setitimer(signal.ITIMER_REAL, _SOON)
        else:
            _Now.raised = True
            raise Pressed


def _pass_on(number: int, frame: object) -> None:
    """Treat another signal like Ctrl-C, whoever handles that at the moment."""
    signal.raise_signal(signal.SIGINT)


def _importing(frame) -> bool:
    """Whether an import is under way: some modules written in C turn what is raised into an ImportError."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _swallowed(problem) -> None:
    """Press once more where the first was raised in a callback of C code, which nothing can come out of."""
    if issubclass(problem.exc_type, KeyboardInterrupt):
        _Now.raised = False
        signal.setitimer(signal.ITIMER_REAL, _SOON)
    else:
        sys.__unraisablehook__(problem)
