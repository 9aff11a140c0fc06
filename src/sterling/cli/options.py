"""Options that several verbs have, and reading their values; one that cannot be read is an `InputError`."""

from __future__ import annotations

import functools
import inspect
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, get_type_hints

import typer

from sterling.base.files import printable, refusal
from sterling.errors import InputError

if TYPE_CHECKING:
    from sterling.model.instance import Instance

_MULTIPLES = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12}
_WHOLE = r"\d{1,3}(?:,\d{3})+|\d+(?:_\d+)*"
_COUNT = re.compile(rf"([-+]?(?:(?:{_WHOLE})(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{{1,9}})?)\s*([kMGT]?)", re.ASCII)
_LARGEST = Decimal(10) ** 18  # keeps numbers such as 1e999999999 from being written out
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "KI": 1024, "MI": 1024**2, "GI": 1024**3}

COUNT, FILE = {"metavar": "COUNT"}, {"metavar": "FILE"}
PAGES, PICTURES, TABLES = (".html", ".htm"), (".png", ".svg", ".pdf"), (".parquet", ".csv")
SURROGATES = "relu, identity, clipped_relu, hard_tanh, sigmoid, approx_sign or swish_sign."
SCHEDULES = "Step sizes: power:RATE,EXPONENT, constant:RATE or table:RATE,RATE,…"
_INPUTS = (
    "gaussian, rademacher, uniform, student_t:4, exponential, rectified, shifted:0.5 or ar1:0.5; with a mean "
    "as in uniform+0.5. \\[gaussian]"
)
_LABELS = "Column of the labels, by name or number. \\[label, y, or the last]"


def panel(title: str) -> Callable[..., Any]:
    """Return a maker of options that `--help` shows under one title; those without a metavar are flags."""

    def option(text: str, *names: str, metavar: str = "", **more):
        return typer.Option(*names, help=text, rich_help_panel=title, metavar=metavar, **more)

    return option


problem_option, data_option = panel("A drawn problem"), panel("A data file")
run_option, output = panel("The run"), panel("What comes out")
Width = Annotated[str | None, problem_option("Inputs, one binary weight each. \\[64]", "--n", **COUNT)]
Units = Annotated[str | None, problem_option("Hidden units that share the weights. \\[1]", "--m", **COUNT)]
Noise = Annotated[str | None, problem_option("Standard deviation of the label noise. \\[0]", metavar="SIGMA")]
Readout = Annotated[
    str | None, problem_option("ones, signs, gaussian, or numbers: 1,-1,0.5. \\[ones]", metavar="LAW")
]
Threads = Annotated[str | None, run_option("The result does not depend on it. \\[all cores]", **COUNT)]
Json = Annotated[bool, output("Print the result as JSON.", "--json")]
Quiet = Annotated[bool, output("Show no progress and no notes.", "--quiet", "-q")]


@dataclass
class Source:
    """The options that say where the data come from; None where not given, so that no two are mixed up."""

    data: Annotated[Path | None, typer.Argument(metavar="FILE", help=".npz, .npy, .csv or .parquet.")] = None
    n: Width = None
    samples: Annotated[str | None, problem_option("Sample size N. \\[4096]", **COUNT)] = None
    m: Units = None
    noise: Noise = None
    readout: Readout = None
    inputs: Annotated[str | None, problem_option(_INPUTS, metavar="LAW")] = None
    seed: Annotated[str | None, problem_option("Names the draw. \\[0]", metavar="SEED")] = None
    labels: Annotated[str | None, data_option(_LABELS, metavar="COLUMN")] = None
    precision: Annotated[
        str | None, data_option("int16, or int32 for finer inputs. \\[int16]", metavar="TYPE")
    ] = None
    keep_constant: Annotated[
        bool, data_option("Keep columns of one value, such as a bias.", "--keep-constant")
    ] = False
    normalize: Annotated[
        str, run_option("What is done to the inputs first: none, standard or whiten.", metavar="HOW")
    ] = "none"
    usual: ClassVar[tuple[int, int]] = (64, 4096)  # n and samples of a drawn problem that does not say

    def instance(self) -> Instance:
        """Return the data: drawn from a problem, or read from the file."""
        return self._draw() if self.data is None else self._read(self.data)

    def _draw(self) -> Instance:
        from sterling.model.problem import Problem

        for name in ("labels", "precision", "keep_constant"):
            if getattr(self, name):
                option = "--" + name.replace("_", "-")
                raise InputError(f"{option} is for a data file, and none is given: name the file, or drop it")
        problem = Problem(
            n=parse_count(self.n, "--n", self.usual[0]),
            samples=parse_count(self.samples, "--samples", self.usual[1]),
            m=parse_count(self.m, "--m", 1),
            noise=parse_number(self.noise, "--noise", 0.0),
            readout="ones" if self.readout is None else parse_readout(self.readout),
            inputs=self.inputs or "gaussian",
            normalize=self.normalize,
        )
        return problem.draw(parse_count(self.seed, "--seed", 0))

    def _read(self, data: Path) -> Instance:
        from sterling.model.data import load_data

        for name in ("n", "samples", "m", "noise", "inputs", "seed"):
            if getattr(self, name) is not None:
                raise InputError(
                    f"--{name} describes a drawn problem, but the data come from {data}: drop one of them"
                )
        return load_data(
            data,
            labels=self.labels,
            normalize=self.normalize,
            readout=None if self.readout in (None, "ones") else parse_numbers(self.readout, "--readout"),
            precision=self.precision or "int16",
            constant="keep" if self.keep_constant else "refuse",
        )


@dataclass
class SmallSource(Source):
    """The same for instances whose states are all looked at."""

    n: Annotated[
        str | None, problem_option("Inputs, one binary weight each, at most 24. \\[12]", "--n", **COUNT)
    ] = None
    samples: Annotated[str | None, problem_option("Sample size N. \\[1600]", **COUNT)] = None
    usual: ClassVar[tuple[int, int]] = (12, 1600)

    def check(self, surrogate: str) -> None:
        """Refuse, before any work, what has too many states or no counted ones."""
        from sterling.landscapes.landscape import check_dimension, check_surrogate

        check_surrogate(surrogate)
        if self.data is None:
            check_dimension(parse_count(self.n, "--n", self.usual[0]))


PiecewiseConstant = Annotated[str, run_option("relu, identity, clipped_relu or hard_tanh.", metavar="NAME")]


def with_source(kind: type[Source]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a verb the options of a `Source` in the place of its first parameter."""
    hints = get_type_hints(kind, include_extras=True)

    def attach(verb: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(verb)
        def run(**given) -> None:
            verb(kind(**{field.name: given.pop(field.name) for field in fields(kind)}), **given)

        own = list(inspect.signature(verb).parameters.values())[1:]
        shared = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=hints[field.name],
            )
            for field in fields(kind)
        ]
        parameters = [*shared, *(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        return run

    return attach


def parse_count(text: str | None, option: str, usual: Any = None, least: int | None = None) -> Any:
    """Read a whole number, 1000000, 1_000_000, 1,000,000, 1e6 or 1M (k, M, G, T); ``usual`` for None."""
    if text is None:
        return usual
    found = _COUNT.fullmatch(text.strip())
    if found is None:
        why = "a comma groups three digits: " if "," in text else ""
        raise InputError(
            f"{option} is {text!r}; {why}give a whole number such as 1000000, 1,000,000, 1e6 or 1M"
        )
    value = Decimal(re.sub("[_,]", "", found[1]))
    if value.copy_abs() <= _LARGEST:
        value = value.scaleb(_MULTIPLES[found[2]])
    if value.copy_abs() > _LARGEST:
        raise InputError(f"{option} is {text!r}, which is beyond all bounds: give a smaller number")
    if value != value.to_integral_value():
        raise InputError(f"{option} is {text!r}, which is no whole number")
    if least is not None and value < least:
        raise InputError(f"{option} is {text}; it must be at least {least}")
    return int(value)


def parse_bytes(text: str, option: str) -> int:
    """Read a size: 512MB, 1.5GiB or plain bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?I?)B?", text.strip().upper())
    if found is None or found[2] not in _UNITS:
        raise InputError(f"{option} is {text!r}; give a size such as 512MB or 2GiB")
    return int(float(found[1]) * _UNITS[found[2]])


def parse_number(text: str | None, option: str, usual: Any = None) -> Any:
    """Read a number; ``usual`` for None."""
    if text is None:
        return usual
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{option} is {text!r}; give a number such as 0.5") from None


def parse_numbers(text: str, option: str) -> list[float]:
    """Read numbers with commas between them."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} is {text!r}; give numbers with commas between them, such as 1,-1,0.5"
        ) from None


def parse_readout(text: str) -> str | tuple[float, ...]:
    """Read a readout: the name of a law, or its weights."""
    return tuple(parse_numbers(text, "--readout")) if re.match(r"[-+.\d]", text.strip()) else text.strip()


def parse_start(text: str):
    """Read the start of a run: a seed, or the latent weights."""
    import numpy as np

    if re.fullmatch(r"\d+", text.strip()):
        return int(text)
    return np.array(parse_numbers(text, "--init"))


def check_suffix(path: Path, option: str, *suffixes: str) -> None:
    """Refuse a name that ends in none of these."""
    if path.suffix.lower() not in suffixes:
        *most, last = suffixes
        names = f"{', '.join(most)} or {last}" if most else last
        raise InputError(f"{option} is {printable(path)}; its name must end in {names}")


def check_target(path: Path | None, option: str, *suffixes: str) -> None:
    """Refuse, before any work, a file that could not be written at the end, or has another suffix."""
    if path is None:
        return
    if suffixes:
        check_suffix(path, option, *suffixes)
    reason = refusal(path)
    if reason is not None:
        raise InputError(f"{option} is {printable(path)}, {reason}")


def check_targets(data: Path | None, *targets: tuple[Path | None, *tuple[str, ...]]) -> None:
    """Check the files that a command shall write as in `check_target`; no two are one, none the ``data``."""
    taken = {} if data is None else {os.path.realpath(data): "the data file itself"}
    for path, option, *suffixes in targets:
        check_target(path, option, *suffixes)
        if path is None:
            continue
        other = taken.setdefault(os.path.realpath(path), f"also the file of {option}")
        if not other.endswith(option):
            raise InputError(f"{option} is {path}, {other}: name another one")


def make_folder(path: Path, option: str) -> None:
    """Make a folder that an option asks for, or say why it cannot be had."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(
            f"{option} is {printable(path)}, and no folder can be made there ({problem.strerror}): name "
            "another"
        ) from None
