"""The command line, `sterling VERB`: one thin file a verb, over the functions that Python users call."""

import os
import signal
import sys


def main() -> None:
    """Run the command line; what the `sterling` command calls."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a verb ends as by Ctrl-C, with its results
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by the caller, as by `>&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="replace")  # without Unicode: question marks, no traceback
    try:
        from sterling.cli.verbs import app

        app(prog_name="sterling")
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as problem:  # of --help, which runs no verb
        sys.exit(f"error: what it prints cannot be written: {problem.strerror}")
    finally:
        exec("")  # forget a press inside code from text, or `python -m` would die of SIGINT instead of 130
        try:
            sys.stdout.flush()
        except OSError:  # a reader such as `head` has gone
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
