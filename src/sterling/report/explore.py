"""The explorable page: one HTML file that computes runs, by the JavaScript in ``templates/explore``.

Its engine makes the same orbits as `train`; `tests/browser/test_engine.py` compares them flip for flip.
"""

from __future__ import annotations

import os
import re
from importlib.resources import files
from pathlib import Path

from sterling.base.files import write_atomically
from sterling.report.html import page
from sterling.theory.chatter import PLAIN_CHECKED
from sterling.theory.recurrence import BALANCE_CHECKED, SIGNAL_ERRORS

_START = "page"  # the main module
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:function\*?|class|const) ([\w$]+))", re.M)


def write_explorable(path: str | os.PathLike) -> Path:
    """Write the explorable page, completely or not at all, and return its path.

    The page draws the same data as `Problem.draw` and makes the same flips as `train`, for Gaussian inputs, a
    readout of ones and surrogates with a window. It needs no network.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sterling.report.explore import write_explorable
    >>> write_explorable(Path(tempfile.mkdtemp()) / "explore.html").name
    'explore.html'
    """
    text = page(
        "explore.html",
        code=joined(_START),
        noisy=BALANCE_CHECKED,
        alone=SIGNAL_ERRORS,
        noiseless=PLAIN_CHECKED,
    )
    return write_atomically(path, text.encode())


def joined(start: str) -> str:
    """Return an ES module of ``templates/explore`` and all that it imports as one classic script.

    Each module becomes a function that is called once and returns its exports, so that names do not clash.
    """
    parts: list[str] = []
    done: set[str] = set()

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"modules import each other: {' → '.join((*above, name))}")
        if name in done:
            return
        text = (files("sterling.report") / "templates" / "explore" / f"{name}.js").read_text("utf-8")
        for _, other in _IMPORT.findall(text):
            add(other, (*above, name))
        done.add(name)
        body = _IMPORT.sub(lambda found: f"const {{{found[1]}}} = {_variable(found[2])};\n", text)
        names = ", ".join(_EXPORT.findall(body))
        parts.append(
            f"const {_variable(name)} = (() => {{\n{_EXPORT.sub('', body)}return {{ {names} }};\n}})();\n"
        )

    add(start, ())
    script = '"use strict";\n' + "\n".join(parts)
    for forbidden in ("</script", "<!--"):
        if forbidden in script:
            raise ValueError(f"a script in a page must not contain {forbidden}")
    return f"(() => {{\n{script}}})();\n"


def _variable(name: str) -> str:
    return f"module_{name}"
