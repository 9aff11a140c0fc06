"""Study files: TOML read into the arguments of a `Study`, and written from its tables."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from typing import Any

from sterling.base.files import as_path, printable, unreadable
from sterling.errors import InputError
from sterling.study.kinds import PROBLEM, get_kind

_TOP = ("name", "seed", "criteria")
_TABLES = {
    "problem": PROBLEM,
    "run": ("kind", "trials"),  # and the settings of the kind
    "stop": ("target", "width", "time", "max_trials"),
}
_MOST_BYTES = 1 << 24  # of a study file


def read_text(path: str | os.PathLike) -> str:
    """Return the text of a study's file, or raise InputError that names it."""
    path = as_path(path, "the study")
    reason = unreadable(path)
    if reason is not None:
        raise InputError(reason)
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{printable(path)} is far too large for a study file")
        return path.read_text(encoding="utf-8")
    except OSError as problem:
        raise InputError(f"cannot read the study {path}: {problem.strerror or problem}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8, so it is no study file") from None


def arguments(text: str) -> dict[str, Any]:
    """Return the arguments of the study that a TOML text describes; InputError tells the place in it."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # the second and numbers of 4,300 digits: no TOML errors
        raise InputError(f"no valid TOML: {problem}") from None
    for title in _TABLES:
        if not isinstance(tables.get(title, {}), dict):
            raise InputError(f"{title} must be a table, [{title}]")
    run = tables.get("run", {})
    kind = get_kind(run.get("kind", "train"))
    known = {"": (*_TOP, *_TABLES), **_TABLES, "run": (*_TABLES["run"], *kind.settings)}
    for title, table in (("", tables), *((name, tables.get(name, {})) for name in _TABLES)):
        for key in table:
            if key not in known[title]:
                place = f"{title}.{key}" if title else key
                raise InputError(f"{place}: unknown key{_hint(key, title, known)}")
    if "n" not in tables.get("problem", {}):
        raise InputError("problem.n is missing: give the dimensions, such as n = [8, 16, 32]")
    top = {key: value for key, value in tables.items() if key not in _TABLES}
    return {**top, **tables["problem"], **run, **tables.get("stop", {})}


def _hint(key: str, title: str, known: dict[str, tuple[str, ...]]) -> str:
    near = difflib.get_close_matches(key, known[title], n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    for other, names in known.items():
        if key in names:
            return f"; it belongs to {f'[{other}]' if other else 'the top of the file'}"
    return f"; known are {', '.join(known[title])}"


def to_toml(tables: dict[str, Any]) -> str:
    """Return tables, in the layout of a study's file, as TOML."""
    lines = []
    for key, value in tables.items():
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
