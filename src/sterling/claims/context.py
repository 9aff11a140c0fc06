"""What an experiment may use: a folder, a seed, threads, and studies that continue after a break."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
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

_TERM = "this schedule violates a condition"  # a warning of `train` that some experiments cause on purpose


@dataclass
class Context:
    """What an experiment may use: a folder for its stores, and the root of all seeds.

    Results are the same for any ``threads`` and ``executor``, which are those of `run`. ``show`` is called
    with the `Progress` of studies several times a second; ``notes`` are for the reader of the page.
    """

    folder: Path
    threads: int | None = None
    executor: Executor | None = None
    seed: int = 2026
    show: Callable[[Progress], None] | None = None
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note for the reader, unless it is there already."""
        if text not in self.notes:
            self.notes.append(text)

    def trials(self, name: str, **asked: Any) -> pl.DataFrame:
        """Run a study as `run` does; return one row for each trial, sorted so that sums stay the same."""
        return self.run(name, **asked).trials().sort("n", "samples", "trial", maintain_order=True)

    def at(self, places: Iterable[tuple[int, int]], name: str, **asked: Any) -> pl.DataFrame:
        """Return the trials of a study at each place (n, N)."""
        return pl.concat(
            [self.trials(f"{name}-{n}-{size}", n=n, samples=size, **asked) for n, size in places]
        )

    def run(self, name: str, **asked: Any) -> Store:
        """Run a `Study`, or the rest of it after a break, and return its store.

        The name of its folder has a digest of the study, so a changed study begins anew. After Ctrl-C the
        finished trials are stored before KeyboardInterrupt is raised.
        """
        study = Study(name=name, seed=self.seed, **asked)
        digest = blake2b(f"{study.to_toml()}{__version__}".encode(), digest_size=4).hexdigest()
        folder = self.folder / study.name / digest

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", SterlingWarning)
            outcome = run(
                study, folder, threads=self.threads, executor=self.executor, progress=self.show or False
            )
            store = Store(folder)
            store.trials(["trial"])  # reading warns of damaged shards
        for one in caught:
            if not issubclass(one.category, SterlingWarning):
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
            elif _TERM not in str(one.message):
                self.note(str(one.message))
        for text in map(sentence, outcome.messages):
            self.note(text)
        return store
