"""Study files: TOML read with pydantic, so that an error names its place, and written back."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from os import PathLike
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sterling.errors import InputError
from sterling.study.grid import Scaled, Study
from sterling.study.trial import family_text, schedule_text

_Number = int | float


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Samples(_Table):
    c: _Number | list[_Number]
    a: _Number


class _Problem(_Table):
    n: int | list[int]
    samples: int | list[int] | _Samples | None = None
    m: int | list[int] = 1
    noise: _Number | list[_Number] = 0.0
    readout: str | list[_Number] | list[str | list[_Number]] = "ones"
    inputs: str | list[str] = "gaussian"
    normalize: str | list[str] = "none"


class _Run(_Table):
    steps: int | list[int] = 1_000_000
    schedule: str | list[str] = "power:0.5,0.5"
    surrogate: str | list[str] = "relu"
    trials: int = 100


class _Stop(_Table):
    target: str | None = None
    width: _Number | None = None
    time: _Number | str | None = None
    max_trials: int = 200_000


class _File(_Table):
    name: str = "study"
    seed: int = 0
    criteria: str | list[str] = "optimal"
    problem: _Problem
    run: _Run = _Run()
    stop: _Stop = _Stop()


_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def seconds(value: float | str) -> float:
    """Return a duration such as 90, "90s", "15min" or "2h" in seconds."""
    if not isinstance(value, str):
        return float(value)
    match = re.fullmatch(r"\s*([0-9.]+)\s*([a-z]*)\s*", value)
    try:
        return float(match[1]) * _UNITS[match[2] or "s"]  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{value!r} is no duration; write 90, '90s', '15min' or '2h'") from None


def read_study(path: str | PathLike) -> Study:
    """Read a study file.

    Raises
    ------
    InputError
        If the file is missing, is no TOML or describes no study; the message names the place.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise InputError(f"cannot read the study {path}: {problem.strerror or problem}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8, so it is no study file") from None
    return parse_study(text, str(path))


def parse_study(text: str, where: str = "the study") -> Study:
    """Return the study that a TOML text describes; ``where`` names it in messages."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # the second and numbers of 4,300 digits: no TOML errors
        raise InputError(f"{where} is no valid TOML: {problem}") from None
    try:
        file = _File.model_validate(tables)
    except ValidationError as problem:
        raise InputError(f"{where}: {_explain(problem)}") from None
    given = {**file.problem.model_dump(), **file.run.model_dump(), **file.stop.model_dump()}
    try:
        if given["time"] is not None:
            given["time"] = seconds(given["time"])
        return Study(name=file.name, seed=file.seed, criteria=file.criteria, **given)
    except InputError as problem:
        raise InputError(f"{where}: {problem}") from None


_WANTED = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "string_type": "a text",
    "list_type": "a list",
    "model_type": "a table",
}


def _explain(problem: ValidationError) -> str:
    """Return the errors in words; one place is named once, though pydantic tries each type there."""
    told: dict[str, list[str]] = {}
    wanted: dict[str, tuple[dict[str, None], Any]] = {}
    for error in _telling(problem.errors()):
        place = ".".join(
            str(part) for part in error["loc"] if not re.search(r"\[|^(int|float|str|_\w+)$", str(part))
        )
        if error["type"] in _WANTED:
            wanted.setdefault(place, ({}, error["input"]))[0][_WANTED[error["type"]]] = None
        elif error["type"] == "extra_forbidden":
            told.setdefault(place, []).append(f"unknown key{_nearest(*map(str, error['loc'][-2:]))}")
        elif error["type"] == "missing":
            told.setdefault(place, []).append("it is missing")
        else:
            told.setdefault(place, []).append(f"{error['msg'][0].lower()}{error['msg'][1:]}")
    for place, (kinds, value) in wanted.items():
        names = [name for name in kinds if name != "an integer" or "a number" not in kinds]
        told.setdefault(place, []).append(f"it must be {' or '.join(names)}, got {str(value)[:40]!r}")
    return "; ".join(f"{place}: {' or '.join(dict.fromkeys(texts))}" for place, texts in told.items())


def _telling(errors: list[Any]) -> list[Any]:
    """Leave out that a list or table is nothing else, where something inside of it is wrong."""
    inside = {error["loc"][:place] for error in errors for place in range(1, len(error["loc"]) - 1)}
    return [
        error
        for error in errors
        if not (isinstance(error["input"], dict | list) and error["loc"][:-1] in inside)
        or error["type"] == "missing"
    ]


def _nearest(*place: str) -> str:
    """Return a hint for an unknown key, named alone or after its table."""
    *table, name = place
    tables: dict[str, type[_Table]] = {"problem": _Problem, "run": _Run, "stop": _Stop}
    model = {**tables, _Samples.__name__: _Samples}.get(table[0], _File) if table else _File
    near = difflib.get_close_matches(name, model.model_fields, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    for title, other in {"": _File, **tables}.items():
        if name in other.model_fields:
            return f"; it belongs to {f'[{title}]' if title else 'the top of the file'}"
    return f"; known are {', '.join(model.model_fields)}"


def to_tables(study: Study) -> dict[str, Any]:
    """Return the study in the layout of its file, every default spelled out."""
    samples = study.samples
    if isinstance(samples, Scaled):
        samples = {"c": list(samples.c), "a": samples.a}
    readout = [value if isinstance(value, str) else list(value) for value in study.readout]
    problem = {
        "n": _one(study.n),
        "samples": samples if samples is None or isinstance(samples, dict) else list(samples),
        "m": _one(study.m),
        "noise": _one(study.noise),
        "readout": readout[0] if len(readout) == 1 else readout,
        "inputs": _one(tuple(family_text(value) for value in study.inputs)),
        "normalize": _one(tuple(value or "none" for value in study.normalize)),
    }
    run = {
        "steps": _one(study.steps),
        "schedule": _one(tuple(schedule_text(value) for value in study.schedule)),
        "surrogate": _one(study.surrogate),
        "trials": study.trials,
    }
    stop = {name: getattr(study, name) for name in ("target", "width", "time", "max_trials")}
    return {
        "name": study.name,
        "seed": study.seed,
        "criteria": [str(criterion) for criterion in study.criteria],
        "problem": {key: value for key, value in problem.items() if value is not None},
        "run": run,
        "stop": {key: value for key, value in stop.items() if value is not None},
    }


def _one(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def write_study(study: Study) -> str:
    """Return the study as TOML."""
    lines = []
    for key, value in to_tables(study).items():
        if isinstance(value, dict):
            lines += ["", f"[{key}]", *(f"{name} = {_toml(inner)}" for name, inner in value.items())]
        else:
            lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(float(value)) if isinstance(value, float) else str(int(value))
