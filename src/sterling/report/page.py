"""The page of a reproduction: findings in, a folder with one HTML file, raw Parquet and JSON out.

It knows the shape of a finding (`sterling.claims.finding`) and nothing of experiments.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sterling.base.files import write_atomically
from sterling.base.text import legible, readable_time
from sterling.claims.finding import Finding, Judgement
from sterling.errors import StoreError
from sterling.report.explore import write_explorable
from sterling.report.figures import Drawing, identifier, render
from sterling.report.html import page
from sterling.theory.labels import KINDS

if TYPE_CHECKING:
    import polars as pl

#: Names of what lies in the folder.
PAGE, RAW, NUMBERS, EXPLORABLE = "index.html", "data", "findings.json", "explore.html"

_FORMAT = 1  # of findings.json

#: What the page says before it uses it; each thing has one word.
WORDS = {
    "w*": "the weights that made the labels, also called the teacher; training is to find them",
    "n, N, m, σ, T": "how many weights, samples, hidden units; deviation of the label noise; steps of a run",
    "absorbed": "said of a run whose weights can change no more, at w* or elsewhere, in a trap",
    "mass": "of a run: the sum of its step sizes so far, the clock by which its latent weights move",
    "time average": "of the weights, each step counted with its step size; its sign is what is looked at",
    "occupancy": "the share of the steps at which the weights are w*",
    "N₅₀": "the number of samples at which half of the runs succeed",
    "surrogate": "what stands in for the derivative of the step function: by default that of ReLU",
    "G, E G": "the gradient of one data set that training uses, and its mean over all data sets",
}


@dataclass(frozen=True)
class Facts:
    """What the page says about the reproduction as a whole.

    Attributes
    ----------
    effort : str
        "quick", "default" or "full".
    seed : int
    version : str
        Of the sterling that measured.
    command : str
        What gives these numbers again.
    """

    effort: str
    seed: int
    version: str
    command: str


@dataclass(frozen=True)
class _Section:
    """One claim, ready for the template."""

    finding: Finding
    name: str
    drawings: tuple[Drawing, ...]
    files: tuple[tuple[str, str, int], ...]  # path, name, rows


class Page:
    """A folder that always holds a whole page of the findings so far.

    Parameters
    ----------
    folder : path
        Must exist. ``index.html``, ``findings.json``, ``data/*.parquet`` and the explorable page are written
        there, atomically.
    facts : Facts
    """

    def __init__(self, folder: str | Path, facts: Facts) -> None:
        self.folder = Path(folder)
        self.facts = facts
        self._sections: list[_Section] = []
        self._explorable = False  # whether it is there

    @property
    def path(self) -> Path:
        """The HTML file."""
        return self.folder / PAGE

    def add(self, finding: Finding) -> None:
        """Draw the figures of a finding and write its raw tables; `write` shows it.

        Raises
        ------
        StoreError
            If a table cannot be written.
        """
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
        """Write the page and the numbers; return the page's path.

        Parameters
        ----------
        missing : sequence of (key, title)
            The claims that are still to come.
        finished : bool
            Whether nothing more is on its way in this call.

        Raises
        ------
        StoreError
            If a file cannot be written; the former page is then untouched.
        """
        numbers = json.dumps(self.to_dict(missing), indent=1, allow_nan=False, ensure_ascii=False)
        write_atomically(self.folder / NUMBERS, f"{legible(numbers)}\n".encode())
        if not self._explorable:
            write_explorable(self.folder / EXPLORABLE)
            self._explorable = True
        return write_atomically(self.path, self._html(missing, finished).encode())

    def to_dict(self, missing: Sequence[tuple[str, str]] = ()) -> dict[str, Any]:
        """Return the numbers and words as values that JSON has; what is not finite becomes null."""
        return {
            "format": _FORMAT,
            **asdict(self.facts),
            "missing": [key for key, _ in missing],
            "findings": [
                {**_finding(one.finding), "tables": [path for path, _, _ in one.files]}
                for one in self._sections
            ],
        }

    def _html(self, missing: Sequence[tuple[str, str]], finished: bool) -> str:
        facts, judgements = self.facts, [one.finding.judgement for one in self._sections]
        took = sum(one.finding.seconds for one in self._sections)
        shown = [("Effort", facts.effort), ("Seed", facts.seed), ("Version", facts.version)]
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
            command=facts.command,
            made_with=facts.version,
        )

    def _keep(self, name: str, table: str, frame: pl.DataFrame) -> tuple[str, str, int]:
        path = self.folder / RAW / f"{name}-{identifier(table)}.parquet"
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as problem:
            raise StoreError(f"cannot make the folder {path.parent}: {problem.strerror}") from None
        write_atomically(path, frame.write_parquet)
        return f"{RAW}/{path.name}", table, len(frame)


def _finding(one: Finding) -> dict[str, Any]:
    words = ("key", "title", "statement", "kind", "source", "experiment", "reason", "rule")
    return {
        **{name: getattr(one, name) for name in words},
        "judgement": one.judgement.value,
        "measured": [_finite(vars(number)) for number in one.measured],
        "references": [_finite(vars(number)) for number in one.references],
        "notes": list(one.notes),
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in values.items()
    }
