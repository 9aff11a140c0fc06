"""The page of a reproduction: findings in, a folder with one HTML file, raw Parquet and JSON out.

It uses findings (`sterling.claims.finding`) and knows nothing of experiments.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sterling import __version__
from sterling.base.files import write_atomically
from sterling.base.text import as_json, legible, readable_time
from sterling.claims.finding import Finding, Judgement
from sterling.report.explore import write_explorable
from sterling.report.figures import Drawing, identifier, render
from sterling.report.html import page
from sterling.theory.labels import KINDS

if TYPE_CHECKING:
    import polars as pl

#: Names of what lies in the folder.
PAGE, RAW, NUMBERS, EXPLORABLE = "index.html", "data", "findings.json", "explore.html"

_FORMAT = 1  # of findings.json
_SAVED = ("key", "title", "statement", "kind", "source", "experiment", "reason", "rule", "notes")

#: The terms of the page.
WORDS = {
    "w*": "the weights that produced the labels, also called the teacher; training has to find them",
    "n, N, m, σ, T": "number of weights, samples, hidden units; deviation of the label noise; steps of a run",
    "absorbed": "a run is absorbed when its weights can no longer change: at w*, or at another state, a trap",
    "mass": "the sum of the step sizes of a run so far: the clock of its latent weights",
    "time average": "the average of the weights over a run, weighted by step size; its sign counts",
    "occupancy": "the share of the steps at which the weights equal w*",
    "N₅₀": "the number of samples at which half of the runs succeed",
    "surrogate": "the function that replaces the derivative of the step function: by default that of ReLU",
    "G, E G": "the gradient that training computes from one data set, and its mean over all data sets",
}


@dataclass(frozen=True)
class _Section:
    finding: Finding
    name: str
    drawings: tuple[Drawing, ...]
    files: tuple[tuple[str, str, int], ...]  # path, name, rows


class Page:
    """An existing folder that always holds a complete page of the findings; ``command`` reproduces them."""

    def __init__(self, folder: str | Path, effort: str, seed: int, command: str) -> None:
        self.folder = Path(folder)
        self._facts = {"effort": effort, "seed": seed, "version": __version__, "command": command}
        self._sections: list[_Section] = []
        self._explorable = False  # whether it is written

    def add(self, finding: Finding) -> None:
        """Draw the figures of a finding and write its raw tables; `write` shows it."""
        name = identifier(finding.key)
        self._sections.append(
            _Section(
                finding,
                f"claim-{name}",
                tuple(render(picture, name) for picture in finding.pictures),
                tuple(self._keep(name, table, frame) for table, frame in finding.tables.items()),
            )
        )

    def write(self, missing: Sequence[tuple[str, str]] = (), finished: bool = True) -> Path:
        """Write the page and the numbers, or leave the former page untouched; return the page's path.

        ``missing`` are (key, title) of the claims to come; ``finished`` means that this call has ended.
        """
        numbers = legible(as_json(self.to_dict(missing), indent=1, ensure_ascii=False))
        write_atomically(self.folder / NUMBERS, f"{numbers}\n".encode())
        if not self._explorable:
            write_explorable(self.folder / EXPLORABLE)
            self._explorable = True
        return write_atomically(self.folder / PAGE, self._html(missing, finished).encode())

    def to_dict(self, missing: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
        """Return numbers and texts as plain values."""
        return {
            "format": _FORMAT,
            **self._facts,
            "missing": [key for key, _ in missing],
            "findings": [
                {
                    **{name: getattr(one.finding, name) for name in _SAVED},
                    "judgement": one.finding.judgement.value,
                    "measured": [vars(number) for number in one.finding.measured],
                    "references": [vars(number) for number in one.finding.references],
                    "tables": [path for path, _, _ in one.files],
                }
                for one in self._sections
            ],
        }

    def _html(self, missing: Sequence[tuple[str, str]], finished: bool) -> str:
        judgements = [one.finding.judgement for one in self._sections]
        took = sum(one.finding.seconds for one in self._sections)
        shown = [(name.capitalize(), self._facts[name]) for name in ("effort", "seed", "version")]
        if took:
            shown.append(("Computed in", readable_time(took)))
        shown += [(f"{one}".capitalize(), judgements.count(one)) for one in Judgement if one in judgements]
        return page(
            "page.html",
            script="page.js",
            explorable=EXPLORABLE,
            sections=self._sections,
            facts_shown=shown,
            missing=list(missing),
            state="This run was ended early." if finished else "The experiments are still running.",
            kinds=KINDS,
            words=WORDS,
            judgements=list(Judgement),
            command=self._facts["command"],
        )

    def _keep(self, name: str, table: str, frame: pl.DataFrame) -> tuple[str, str, int]:
        path = self.folder / RAW / f"{name}-{identifier(table)}.parquet"
        with suppress(OSError):  # the write below reports the error
            path.parent.mkdir(exist_ok=True)
        write_atomically(path, frame.write_parquet)
        return f"{RAW}/{path.name}", table, len(frame)
