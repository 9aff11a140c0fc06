"""The explorable page: one HTML file that computes runs, by the JavaScript in ``templates/explore``.

Its engine makes the same orbits as `train`; `tests/browser/test_engine.py` compares them flip for flip.
"""

from __future__ import annotations

import json
import os
import re
from importlib.resources import files
from pathlib import Path

from sterling.base.files import write_atomically
from sterling.report.html import page
from sterling.theory.chatter import PLAIN_CHECKED
from sterling.theory.recurrence import BALANCE_CHECKED, SIGNAL_ERRORS

_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:function\*?|class|const) ([\w$]+))", re.M)


def write_explorable(path: str | os.PathLike) -> Path:
    """Write the explorable page, completely or not at all, and return its path."""
    text = page(
        "explore.html",
        code=_joined("page"),
        map=json.loads(_text("map.json")),
        noisy=BALANCE_CHECKED,
        alone=SIGNAL_ERRORS,
        noiseless=PLAIN_CHECKED,
    )
    return write_atomically(path, text.encode())


def _text(name: str) -> str:
    """Return a file of ``templates/explore``."""
    return (files("sterling.report") / "templates" / "explore" / name).read_text("utf-8")


def _joined(start: str) -> str:
    """Return an ES module of ``templates/explore`` and all that it imports as one classic script.

    Each module becomes a function that is called once and returns its exports, so that names do not clash.
    """
    parts: dict[str, str] = {}

    def add(name: str) -> None:
        text = _text(f"{name}.js")
        for _, other in _IMPORT.findall(text):
            if other not in parts:
                add(other)
        body = _IMPORT.sub(r"const {\1} = module_\2;\n", text)
        exports = ", ".join(_EXPORT.findall(body))
        parts[name] = (
            f"const module_{name} = (() => {{\n{_EXPORT.sub('', body)}return {{ {exports} }};\n}})();\n"
        )

    add(start)
    script = "\n".join(parts.values())
    return f'(() => {{\n"use strict";\n{script}}})();\n'
