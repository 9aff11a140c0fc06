"""The command line, `sterling VERB`: one thin file a verb, over the functions that Python users call.

Nothing is imported here but what hears Ctrl-C, so that it does from the first moment on. The verbs are joined
in `verbs.py`.
"""

from sterling.cli.presses import end, listen


def main() -> None:
    """Run the command line; what the `sterling` command calls."""
    listen()
    try:
        from sterling.cli.verbs import run

        run()
    finally:
        end()
