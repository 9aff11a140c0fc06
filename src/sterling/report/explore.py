"""The explorable page: one HTML file that computes runs, by the JavaScript in ``templates/explore``.

Its engine makes the same orbits as `train`; `tests/browser/test_engine.py` compares them flip for flip.
"""

from __future__ import annotations

import json
import os
import re
import webbrowser
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.base.files import as_path, write_atomically
from sterling.dynamics.options import initial_latent
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.optimizers.sgd import SGD
from sterling.report.html import page
from sterling.surrogates import get_surrogate
from sterling.theory.population import signal
from sterling.theory.recurrence import SIGNAL_ERRORS

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit

#: What the page shows where no setting is given, as in ``templates/explore/settings.js``.
USUAL = {"n": 12, "samples": 1600, "m": 1, "noise": 0.5, "seed": 5, "init": 5, "steps": 1_000_000}

_MOST_SEED = 999_999_999
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./(\w+)\.js";\n', re.M)
_EXPORT = re.compile(r"^export (?=(?:function\*?|class|const) ([\w$]+))", re.M)


def write_explorable(path: str | os.PathLike, start: str = "") -> Path:
    """Write the explorable page, completely or not at all, and return its path.

    It opens at the settings ``start``, from `settings_text`, unless the address has others.
    """
    text = page(
        "explore.html",
        code=_joined("page"),
        map=json.loads(_text("map.json")),
        start=start,
        checked=SIGNAL_ERRORS,
    )
    return write_atomically(path, text.encode())


def settings_text(
    origin: Mapping[str, Any],
    *,
    init: int | np.ndarray,
    steps: int,
    schedule: Any = None,
    surrogate: str = "relu",
    restart: Any = None,
    optimizer: Any = SGD(),  # noqa: B008
) -> str:
    """Return the settings of a run as the page's address has them, after the #.

    ``origin`` are the values of a `Problem` with the seed of its data, as in `Instance.origin`; the defaults
    are those of `train`. InputError says why the page cannot make the run.
    """

    def need(holds: bool, what: str) -> None:
        if not holds:
            raise InputError(f"the explorable page cannot make this run: {what}")

    drawn = "n" in origin and "spawn_key" not in origin
    need(drawn, "it draws data from a Problem, and these come from elsewhere")
    n, samples, m, noise, seed = (origin[name] for name in ("n", "samples", "m", "noise", "seed"))
    plain = origin["readout"] == "ones" and origin["inputs"] == "gaussian" and origin["normalize"] is None
    need(plain, "it has Gaussian inputs, not normalised, and a readout of ones")
    need(origin.get("levels", 2) == 2, "the page's weights have two levels")
    small = n <= 256 and m <= 8 and samples <= 100_000 and n * m * samples <= 2**23 and steps <= 10**9
    need(small, "it takes n up to 256, N up to 100,000, m up to 8, n·N·m up to 2^23 and 10^9 steps")
    need(noise <= 2 and round(noise, 2) == noise, "the page's label noise is 0 to 2, in steps of 0.01")
    held = get_surrogate(surrogate).piecewise_constant
    need(held, "the page's surrogates are relu, identity, clipped_relu, hard_tanh")
    damping = getattr(optimizer, "damping", 0.0)
    need(optimizer == SGD(damping=damping), "the page's optimizer is sgd, with no option but damping")
    need(damping <= 2 and round(damping, 3) == damping, "the page's damping is 0 to 2, in steps of 0.001")
    need(restart is None or not damping, "a damped run has no restarts there")
    given = {"n": n, "samples": samples, "m": m, "noise": f"{noise:g}", "seed": seed, "steps": steps}
    given |= {"surrogate": surrogate, "damping": f"{damping:g}"}
    given["restart"] = "" if restart is None else f"{restart.every},{restart.scale!r}"
    if schedule is None:
        given["schedule"] = "damped" if damping else "power:0.5,0.5"
    else:
        kind, *values = schedule.to_dict().values()
        numbers = np.ravel(values).tolist()
        in_range = all(x == 0 or 1e-6 <= x <= 100 for x in numbers) and (kind != "power" or numbers[1] <= 1)
        in_range = in_range and len(numbers) <= 100 and numbers[-1 if kind == "table" else 0] > 0
        need(in_range, "the page's step sizes are at most 100 numbers from 1e-6 to 100")
        pull = signal(Problem(n=n, samples=samples, m=m), surrogate=surrogate) / m
        most = damping * pull * max(numbers if kind == "table" else numbers[:1])
        need(most < 0.5, f"ηθS reaches {most:.3g}, but damping needs step sizes that keep it below 0.5")
        given["schedule"] = f"{kind}:{','.join(map(repr, numbers))}"
    if isinstance(init, int):
        given["init"] = init
    else:
        need(bool((np.abs(init) <= 1e6).all()), "the page's latent weights are at most a million in size")
        given["latent"] = ",".join(map(repr, init.tolist()))
    small = all(isinstance(one, int) and 0 <= one <= _MOST_SEED for one in (seed, given.get("init", 0)))
    need(small, "the page's seeds have at most 9 digits")
    return "&".join(f"{name}={value}" for name, value in given.items())


def explore(orbit: Orbit, path: str | os.PathLike | None = None) -> str:
    """Write the page with the run of an orbit, open it in a browser, and return its address."""
    if orbit.batch is not None:
        raise InputError("the explorable page cannot make this run: the page's steps take all samples")
    usual = np.array_equal(orbit.start_latent, initial_latent(orbit.n, 0))
    start = settings_text(
        orbit.instance["origin"],
        init=0 if usual else orbit.start_latent,
        steps=orbit.planned,
        schedule=orbit.schedule,
        surrogate=orbit.surrogate,
        restart=orbit.restart,
        optimizer=orbit.optimizer,
    )
    file = Path(mkdtemp(prefix="sterling-")) / "explore.html" if path is None else as_path(path)
    address = f"{write_explorable(file, start).resolve().as_uri()}#{start}"
    webbrowser.open(address)
    return address


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
