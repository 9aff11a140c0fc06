"""Options that several verbs share, and parsers of their values."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from sterling.base.files import printable, refusal
from sterling.errors import InputError

if TYPE_CHECKING:
    from sterling.model.instance import Instance


def count(text: str) -> int:
    """Read a whole number: 1000000, 1_000_000, 1e6 or 1M."""
    from sterling.base import checks  # it loads NumPy, which --help and --version do without

    with suppress(ValueError):
        return checks.whole_number(text)
    raise typer.BadParameter(f"{text!r} is not a whole number such as 1000000, 1_000_000 or 1e6")


def readout(text: str) -> str | tuple[float, ...]:
    """Read a readout: its name, or its weights."""
    return tuple(_numbers(text)) if re.match(r"[-+.\d]", text) else text


def start(text: str) -> Any:
    """Read the start of a run: a seed, or latent weights."""
    return int(text) if text.isdecimal() else _numbers(text)


def _numbers(text: str) -> list[float]:
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list of numbers such as 1,-1,0.5") from None


PAGES, PICTURES, TABLES = (".html", ".htm"), (".png", ".svg", ".pdf"), (".parquet", ".csv")

# What options say that verbs show under different titles.
SURROGATE = (
    "Surrogate gradient: relu, identity, clipped_relu, hard_tanh, sigmoid, approx_sign, swish_sign.",
    "NAME",
)
THREADS = "Number of threads; results are the same for any value. \\[all cores]", "COUNT"
_SCHEDULE = (
    "Step sizes: power:RATE,EXPONENT, which is RATE/(t+1)^EXPONENT at step t, constant:RATE or "
    "table:RATE,RATE,…"
)
SCHEDULE = f"{_SCHEDULE} \\[power:0.5,0.5 for plain SGD]", "SCHEDULE"
TRAIN_SCHEDULE = (
    f"{_SCHEDULE} \\[sgd: power:0.5,0.5, with damping the constant 1/(30 θS), with damping and batches "
    "1/(100 θS); adam, lion, signsgd: constant:0.01]",
    "SCHEDULE",
)


class _WithPlainHelp:
    """A command whose option --help is shown without a type."""

    def get_help_option(self, ctx: Any) -> Any:
        option = super().get_help_option(ctx)  # type: ignore[misc]
        if option is not None:
            option.metavar = ""
        return option


class Command(_WithPlainHelp, TyperCommand):
    """A verb."""


class Group(_WithPlainHelp, TyperGroup):
    """A verb that has verbs."""


def add_verb(app: typer.Typer, verb: Callable[..., None], name: str | None = None) -> None:
    """Add a verb to a group. Its docstring is the text of --help, where Typer would keep line breaks."""
    paragraphs = inspect.cleandoc(verb.__doc__ or "").split("\n\n")
    text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, cls=Command, help=text)(verb)


def option(panel: str | None, help: str, metavar: str = "", *names: str, parser: Any = None) -> Any:
    """Return an option under a title of --help. Without a metavar it is a flag; a COUNT may be 1e6."""
    parser = parser or {"COUNT": count, "SEED": count}.get(metavar)
    return typer.Option(*names, help=help, metavar=metavar, parser=parser, rich_help_panel=panel)


problem_option = partial(option, "A drawn problem")
data_option = partial(option, "A data file")
run_option = partial(option, "The run")
output = partial(option, "Output")

# The data; None where an option was not given, so that those of a problem and of a file are not mixed up.
Data = Annotated[Path | None, typer.Argument(metavar="FILE", help="Data file: .npz, .npy, .csv or .parquet.")]
_N = "Number of inputs, each with one weight"
Width = Annotated[int | None, problem_option(f"{_N}. \\[64]", "COUNT", "--n")]
SmallWidth = Annotated[int | None, problem_option(f"{_N}; at most 24. \\[12]", "COUNT", "--n")]


def samples(usual: int) -> Any:
    """Return the option --samples, of ``usual`` samples where it is not given."""
    return problem_option(f"Number of samples, N. \\[{usual}]", "COUNT")


_UNITS = "Number of hidden units, which share the weights. \\[1]"
Units = Annotated[int | None, problem_option(_UNITS, "COUNT", "--m")]
Noise = Annotated[float | None, problem_option("Standard deviation of the label noise. \\[0]", "SIGMA")]
_READOUT = "Readout weights: ones, signs, gaussian, or numbers such as 1,-1,0.5. \\[ones]"
Readout = Annotated[Any, problem_option(_READOUT, "READOUT", parser=readout)]
_INPUTS = (
    "Distribution of the inputs: gaussian, rademacher, uniform, student_t:4, exponential, "
    "rectified, shifted:0.5 or ar1:0.5; uniform+0.5 adds a mean. \\[gaussian]"
)
Inputs = Annotated[str | None, problem_option(_INPUTS, "DISTRIBUTION")]
Seed = Annotated[int | None, problem_option("Random seed of the data. \\[0]", "SEED")]
_LABELS = "Column of the labels: its name or number. \\[label, y, or the last]"
Labels = Annotated[str | None, data_option(_LABELS, "COLUMN")]
_KEEP = "Keep columns that hold a single value, such as a bias."
KeepConstant = Annotated[bool, data_option(_KEEP, "", "--keep-constant")]
_METHODS = "Normalisation of the inputs: none, standard or whiten."
Normalize = Annotated[str, run_option(_METHODS, "METHOD")]
OwnNormalize = Annotated[str | None, run_option(f"{_METHODS} \\[none; standard for a data file]", "METHOD")]
OwnSurrogate = Annotated[str | None, run_option(f"{SURROGATE[0]} \\[relu; identity for a data file]", "NAME")]
PIECEWISE = "Surrogate gradient: relu, identity, clipped_relu or hard_tanh."
PiecewiseConstant = Annotated[str, run_option(PIECEWISE, "NAME")]
Threads = Annotated[int | None, run_option(*THREADS)]
Json = Annotated[bool, output("Print the result as JSON.", "", "--json")]
Quiet = Annotated[bool, output("Print no progress and no notes.", "", "--quiet", "-q")]


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in values.items() if value is not None}


def load(
    data: Path | None,
    drawn: Mapping[str, Any],
    read: Mapping[str, Any],
    readout: str | tuple[float, ...] | None,
    normalize: str,
    usual: tuple[int, int] = (64, 4096),
    levels: int = 2,
) -> Instance:
    """Return the data: drawn from a problem of ``usual`` n and samples, or read from a file.

    ``drawn`` and ``read`` are the options of the one and of the other, None or False where not given.
    """
    for name, value in (read if data is None else drawn).items():
        if value is not None and value is not False:
            reason = "is for a data file: name the file, or drop the option"
            if data is not None:
                reason = f"describes a drawn problem, but data come from {printable(data)}: drop one"
            raise InputError(f"--{name.replace('_', '-')} {reason}")
    if data is not None:
        from sterling.model.data import load_data

        if isinstance(readout, str) and readout != "ones":
            raise InputError(f"--readout is {readout!r}, but a data file needs numbers, such as 1,-1,0.5")
        return load_data(
            data,
            labels=read["labels"],
            normalize=normalize,
            readout=None if readout == "ones" else readout,
            constant="keep" if read["keep_constant"] else "refuse",
            levels=levels,
        )
    from sterling.model.problem import Problem

    values: dict[str, Any] = {"n": usual[0], "samples": usual[1], "seed": 0}
    for name, value in drawn.items():
        if value is not None:
            values[name] = value
    seed = values.pop("seed")
    method = None if normalize == "none" else normalize
    return Problem(**values, readout=readout or "ones", normalize=method, levels=levels).draw(seed)


def say_of_train(
    say: Callable[[str], None], data: Path | None, instance: Instance, normalize: str, surrogate: str
) -> None:
    """Say where `train` takes other values for a data file than those of this verb."""
    if data is not None and instance.teacher is None and (normalize, surrogate) == ("none", "relu"):
        say(
            "for a data file sterling train takes --normalize standard --surrogate identity: give both here "
            "too for results about its runs"
        )


def check_targets(data: Path | None, *targets: tuple[Path | None, *tuple[str, ...]]) -> None:
    """Refuse, before any work, files that could not be written in the end.

    A target is a path, its option and the suffixes that it may have. No two may be the same file, and none
    may be the ``data``.
    """
    taken = {} if data is None else {os.path.realpath(data): "the data file"}
    for path, option, *suffixes in targets:
        if path is None:
            continue
        if suffixes and path.suffix.lower() not in suffixes:
            *most, last = suffixes
            names = f"{', '.join(most)} or {last}" if most else last
            raise InputError(f"{option} is {printable(path)}; its name must end in {names}")
        reason = refusal(path)
        if reason is not None:
            raise InputError(f"{option} is {printable(path)}, {reason}")
        other = taken.setdefault(os.path.realpath(path), f"the file of {option}")
        if not other.endswith(option):
            raise InputError(f"{option} is {printable(path)}, which is {other} too: name another one")


def make_folder(path: Path, option: str) -> None:
    """Make the folder of an option, or say why that is impossible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(
            f"{option} is {printable(path)}, and no folder can be made there ({problem.strerror}): name "
            "another"
        ) from None
