"""Options that several verbs have, and reading their values; one that cannot be read is an `InputError`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

COUNT, LAW, FILE = {"metavar": "COUNT"}, {"metavar": "LAW"}, {"metavar": "FILE"}
SURROGATES = "relu, identity, clipped_relu, hard_tanh, sigmoid, approx_sign or swish_sign."
SCHEDULES = "Step sizes: power:RATE,EXPONENT, constant:RATE or table:RATE,RATE,…"
_INPUTS = (
    "gaussian, rademacher, uniform, student_t:4, exponential, rectified, shifted:0.5 or ar1:0.5. \\[gaussian]"
)
_LABELS = "Column of the labels, by name or number. \\[label, y, or the last]"


def panel(title: str) -> Callable[..., Any]:
    """Return a maker of options that `--help` shows under one title."""

    def option(text: str, *names: str, **more):
        return typer.Option(*names, help=text, rich_help_panel=title, **more)

    return option


class Normalize(StrEnum):
    none = "none"
    standard = "standard"
    whiten = "whiten"


# Where the data come from. What is not given is None, so that a drawn problem and a file are not mixed up.
problem_option, data_option = panel("A drawn problem"), panel("A data file")
DataFile = Annotated[Path | None, typer.Argument(metavar="FILE", help=".npz, .npy, .csv or .parquet.")]
Units = Annotated[str | None, problem_option("Hidden units that share the weights. \\[1]", "--m", **COUNT)]
Noise = Annotated[float | None, problem_option("Standard deviation of the label noise. \\[0]")]
Readout = Annotated[
    str | None, problem_option("ones, signs, gaussian, or numbers: 1,-1,0.5. \\[ones]", **LAW)
]
Inputs = Annotated[str | None, problem_option(_INPUTS, **LAW)]
Seed = Annotated[str | None, problem_option("Names the draw. \\[0]", metavar="SEED")]
Labels = Annotated[str | None, data_option(_LABELS, metavar="COLUMN")]
Precision = Annotated[str | None, data_option("int16, or int32 for finer inputs. \\[int16]", metavar="TYPE")]
KeepConstant = Annotated[bool, data_option("Keep columns of one value, such as a bias.", "--keep-constant")]


def choose_instance(
    data: Path | None,
    drawn: dict[str, Any],
    read: dict[str, Any],
    readout: str | None,
    normalize: Normalize,
    usual: tuple[int, int],
) -> Instance:
    """Return the instance that the options describe: drawn from a problem, or read from the file ``data``.

    Parameters
    ----------
    drawn : dict
        Options for a drawn problem alone: n, samples, m, noise, inputs, seed; None where not given.
    read : dict
        Options for a data file alone: labels, precision, keep_constant; None or False where not given.
    usual : (int, int)
        n and samples of a drawn problem that does not say.
    """
    normal = None if normalize is Normalize.none else normalize.value
    if data is not None:
        return _read(data, drawn, read, readout, normal)
    for name, value in read.items():
        if value:
            option = "--" + name.replace("_", "-")
            raise InputError(f"{option} is for a data file, and none is given: name the file, or drop it")
    return _draw(drawn, readout, normal, usual)


def _draw(drawn: dict[str, Any], readout: str | None, normalize: str | None, usual: tuple[int, int]):
    from sterling.model.problem import Problem

    n, samples = usual
    problem = Problem(
        n=given_count(drawn["n"], "--n", n),
        samples=given_count(drawn["samples"], "--samples", samples),
        m=given_count(drawn["m"], "--m", 1),
        noise=drawn["noise"] or 0.0,
        readout="ones" if readout is None else parse_readout(readout),
        inputs=drawn["inputs"] or "gaussian",
        normalize=normalize,
    )
    return problem.draw(given_count(drawn["seed"], "--seed", 0))


def _read(
    data: Path, drawn: dict[str, Any], read: dict[str, Any], readout: str | None, normalize: str | None
):
    from sterling.model.data import load_data

    for name, value in drawn.items():
        if value is not None:
            raise InputError(
                f"--{name} describes a drawn problem, but the data come from {data}: drop one of them"
            )
    return load_data(
        data,
        labels=read["labels"],
        normalize=normalize,
        readout=None if readout in (None, "ones") else parse_numbers(readout, "--readout"),
        precision=read["precision"] or "int16",
        constant="keep" if read["keep_constant"] else "refuse",
    )


def given_count(text: str | None, option: str, usual: int) -> int:
    """Read a whole number that may be left out."""
    return usual if text is None else parse_count(text, option)


def parse_count(text: str, option: str) -> int:
    """Read a whole number: 1000000, 1_000_000, 1,000,000, 1e6 or 1M (k, M, G, T)."""
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
    return int(value)


def parse_bytes(text: str, option: str) -> int:
    """Read a size: 512MB, 1.5GiB or plain bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?I?)B?", text.strip().upper())
    if found is None or found[2] not in _UNITS:
        raise InputError(f"{option} is {text!r}; give a size such as 512MB or 2GiB")
    return int(float(found[1]) * _UNITS[found[2]])


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


def check_target(path: Path | None, option: str) -> None:
    """Refuse, before any work, a file that could not be written at the end."""
    if path is None:
        return
    reason = refusal(path)
    if reason is not None:
        raise InputError(f"{option} is {printable(path)}, {reason}")


def check_targets(targets: dict[str, Path | None], data: Path | None = None) -> None:
    """Check the files that a command shall write, by option; no two may be one, and none the ``data``."""
    taken = {} if data is None else {os.path.realpath(data): "the data file itself"}
    for option, path in targets.items():
        check_target(path, option)
        if path is None:
            continue
        other = taken.setdefault(os.path.realpath(path), f"also the file of {option}")
        if not other.endswith(option):
            raise InputError(f"{option} is {path}, {other}: name another one")
