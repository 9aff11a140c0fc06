"""The page of a reproduction: findings in, a folder with one HTML file, raw Parquet and JSON out.

It uses findings (`sterling.claims.finding`) and knows nothing of experiments.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from sterling import __version__
from sterling.base.files import write_atomically
from sterling.base.text import as_json, legible, readable_time
from sterling.claims.claim import PAPER
from sterling.claims.finding import Finding, Judgement
from sterling.report.explore import write_explorable
from sterling.report.figures import Drawing, identifier, render
from sterling.report.html import page
from sterling.theory.labels import KINDS

#: Names of what lies in the folder.
PAGE, RAW, NUMBERS, EXPLORABLE = "index.html", "data", "findings.json", "explore.html"

_FORMAT = 1  # of findings.json
_SAVED = ("key", "title", "statement", "kind", "source", "experiment", "reason", "rule", "open", "notes")

#: The terms of the page.
WORDS = {
    "w*": "the weights that produced the labels, also called the teacher; training has to find them",
    "n, N": "the number of weights, and of samples",
    "m, σ": "the number of hidden units, and the standard deviation of the label noise",
    "N₅₀": "the number of samples at which half of the runs succeed",
    "time average": "the average of the weights over a run, weighted by step size; its sign counts",
    "iterate": "the weights after a step",
    "α, β, γ": "exponents of power laws: at α = 2, twice the weights need four times the samples",
    "T": "the number of steps of a run",
    "absorbed": "a run is absorbed where its weights rest: at w*, or in a trap",
    "mass": "the sum of the step sizes of a run so far",
    "occupancy": "the share of the steps at which the weights are w*",
    "surrogate": "the function that replaces the derivative of the step function, such as ReLU’s",
    "G, E G": "the gradient from one data set, and its mean over all data sets",
    "ε, C": "ε is the largest distance of the gradient from its mean over all weights; C = ε·√(N/n)",
    "chatter": "weights keep flipping although the labels have no noise",
    "level": "a value that a weight can take: two if it has one bit, three if it is ternary",
    "latent": "the real number behind a weight; the weight is its sign, or the level nearest to it",
    "decay and band": "decay multiplies the latent weights by a factor below one in each step; with a "
    "band a weight turns only when its latent weight lies a fixed distance beyond zero",
    "damping": "a pull of each latent weight towards its own weight: only a larger mean gradient turns it",
    "restart": "now and then the latent weights are set back to a multiple of the time average",
    "message passing": "an iterative algorithm that finds w* from few samples, known for large n",
    "stall": "a run stalls when its remaining step sizes are too small for another flip",
    **{kind: KINDS[kind] for kind in ("exact", "mean-field", "interpretation")},
}


#: What the verdicts mean.
VERDICTS = {
    Judgement.CONSISTENT: "the runs agree with the claim",
    Judgement.FAR_INSIDE: "a proved bound holds, and the measured value is far below it",
    Judgement.NOT_DECIDED: "the runs show neither agreement nor contradiction",
    Judgement.CONTRADICTED: "the runs speak against the claim",
}
_OURS, _THEIRS = "Our own claims", "The paper’s claims"


@dataclass(frozen=True)
class _Section:
    finding: Finding
    name: str
    drawings: tuple[Drawing, ...]
    files: tuple[tuple[str, str, int], ...]  # path, name, rows

    @property
    def answer(self) -> tuple[str, str]:
        """The reason: its first sentence, and the rest."""
        first, *rest = re.split(r"(?<=\.) (?=[A-Z\d])", self.finding.reason, maxsplit=1)
        return first, "".join(rest)


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
        groups: dict[str, list[_Section]] = {}
        for one in self._sections:
            groups.setdefault(_THEIRS if one.finding.source.startswith(PAPER) else _OURS, []).append(one)
        verdicts = {
            verdict: (meaning, [one for one in self._sections if one.finding.judgement is verdict])
            for verdict, meaning in VERDICTS.items()
        }
        took = sum(one.finding.seconds for one in self._sections)
        shown = [f"{name} {self._facts[name]}" for name in ("effort", "seed")]
        return page(
            "page.html",
            script="page.js",
            explorable=EXPLORABLE,
            sections=self._sections,
            groups=dict(sorted(groups.items(), reverse=True)),
            verdicts={one: both for one, both in verdicts.items() if both[1]},
            ours=len(groups.get(_OURS, ())),
            facts_shown=[*shown, *([f"computed in {readable_time(took)}"] if took else [])],
            missing=list(missing),
            state="This run was ended early." if finished else "The experiments are still running.",
            kinds=KINDS,
            words=[(word, f"{meaning}.") for word, meaning in WORDS.items()],
            command=self._facts["command"],
        )

    def _keep(self, name: str, table: str, frame: pl.DataFrame) -> tuple[str, str, int]:
        path = self.folder / RAW / f"{name}-{identifier(table)}.parquet"
        with suppress(OSError):  # the write below reports the error
            path.parent.mkdir(exist_ok=True)
        write_atomically(path, frame.write_parquet)
        return f"{RAW}/{path.name}", table, len(frame)
