"""Models that verbs take from users' code, named as MODULE:FUNCTION."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from sterling.cli.render import need
from sterling.errors import InputError, SterlingError


class function(str):
    """The name of a function; --help shows the name of this class as the type."""


#: The argument of a verb.
Build = Annotated[
    function,
    typer.Argument(
        metavar="MODULE:FUNCTION",
        parser=function,
        help="Function without arguments that returns a model, or a model and an example input.",
        show_default=False,
    ),
]


@contextlib.contextmanager
def built(source: str) -> Iterator[Any]:
    """Yield the model and example of the user's function; what the user's code prints goes to stderr."""
    need("torch", "torch", "audit and verify")
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield _call(source)
        except SystemExit as problem:
            raise InputError(
                f"{source} cannot be used (it called sys.exit, {problem.code!r:.100}): put what a script "
                'does under `if __name__ == "__main__"`'
            ) from problem


def _call(source: str) -> Any:
    module, _, name = source.partition(":")
    if not (module and name):
        raise InputError(f"{source!r} is not a function: give MODULE:FUNCTION, such as train:make_model")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import torch

    try:
        function = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        is_model = isinstance(function, torch.nn.Module)
        model = function() if callable(function) and not is_model else function
    except SterlingError:
        raise
    except Exception as problem:  # the user's code may raise anything
        kind = type(problem).__name__
        raise InputError(f"{source} cannot be used ({kind}: {problem!s:.200})") from problem
    if isinstance(model, tuple) and len(model) != 2:
        raise InputError(
            f"{source} returns {len(model)} objects: return a model, or a model and an example input"
        )
    return model if isinstance(model, tuple) else (model, None)
