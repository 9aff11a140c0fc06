"""What an experiment is given: a folder, a seed, threads, and studies that go on where they were left."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl

from sterling import __version__
from sterling.base.progress import Progress
from sterling.base.text import sentence
from sterling.errors import SterlingWarning
from sterling.study import Store, Study, run

_TERM = "this schedule fails a term"  # a warning of `train` that experiments on such schedules provoke


@dataclass
class Context:
    """What an experiment may use: a folder for its stores, and the root of all seeds.

    No number depends on ``threads``, all cores by default. ``show`` gets the `Progress` of studies several
    times a second; ``notes`` are what the reader should know, gathered on the way.
    """

    folder: Path
    threads: int | None = None
    seed: int = 2026
    show: Callable[[Progress], None] | None = None
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep a note for the reader, once."""
        if text not in self.notes:
            self.notes.append(text)

    def trials(self, name: str, **asked: Any) -> pl.DataFrame:
        """Run a study as `run` does, and return one row a trial."""
        return self.run(name, **asked).trials()

    def at(self, places: Iterable[tuple[int, int]], name: str, **asked: Any) -> pl.DataFrame:
        """Return the trials of a study at each place (n, N)."""
        return pl.concat(
            [self.trials(f"{name}-{n}-{size}", n=n, samples=size, **asked) for n, size in places]
        )

    def run(self, name: str, **asked: Any) -> Store:
        """Run the `Study` that is asked for, or what is left of it, and return its store.

        Its folder is named after the study and a digest of all that it asks for, so one that asks for
        something else begins anew. Ctrl-C is raised once what was finished is in the store.
        """
        study = Study(name=name, seed=self.seed, **asked)
        digest = blake2b(f"{study.to_toml()}{__version__}".encode(), digest_size=4).hexdigest()
        folder = self.folder / study.name / digest

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SterlingWarning)
            outcome = run(study, folder, threads=self.threads, progress=self.show or False)
            store = Store(folder)
            store.trials(["trial"])  # the first look warns of every shard that is left out
        for one in caught:
            if not issubclass(one.category, SterlingWarning):  # no matter of the claim
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
        ours = (str(one.message) for one in caught if issubclass(one.category, SterlingWarning))
        for told in (*ours, *map(sentence, outcome.messages)):
            if _TERM not in told:
                self.note(told)
        return store
