"""What an experiment is given: its folder, effort, seed and threads, and how to keep its raw rows.

Rows of trials lie in study stores, other rows in Parquet files named after what they are made from. Both are
taken up again on the next call, and no number depends on threads or on where a call was broken off.
"""

from __future__ import annotations

import io
import json
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling import __version__
from sterling.base.files import write_atomically
from sterling.errors import InputError, SterlingWarning, StoreError
from sterling.study.kinds import SEMANTICS

if TYPE_CHECKING:
    import polars as pl

    from sterling.claims.efforts import Effort
    from sterling.study.collect import Outcome
    from sterling.study.grid import Study
    from sterling.study.store import Store

_LOOK_SECONDS = 0.2
_MARK = "finished.json"
_TERM = "this schedule fails a term"  # a warning of `train` that experiments on such schedules provoke

Parameters = Mapping[str, Any]


class Stopped(Exception):
    """The user asked to end; what was finished is on disk."""


class NothingMeasured(Exception):
    """The safety net ended an experiment before its first row."""


@dataclass
class Context:
    """What an experiment may use.

    Attributes
    ----------
    folder : Path
        For its raw rows.
    effort : Effort
    threads : int or None
        All cores by default. No number depends on it.
    seed : int
        The root of all seeds.
    show : callable or None
        Gets (done, planned, note) several times a second; planned is 0 where it is not known.
    stop : callable or None
        Asked several times a second; when it comes true, `Stopped` is raised.
    notes : list of str
        What the reader should know, gathered on the way.
    """

    folder: Path
    effort: Effort
    threads: int | None = None
    seed: int = 2026
    show: Callable[[int, int, str], None] | None = None
    stop: Callable[[], bool] | None = None
    notes: list[str] = field(default_factory=list)

    def look(self, *_: Any) -> None:
        """Raise `Stopped` if the user asked to end. Fits as ``progress`` of long computations."""
        if self.stop is not None and self.stop():
            raise Stopped

    def tell(self, done: int, planned: int, note: str = "") -> None:
        """Say how far the experiment is."""
        self.look()
        if self.show is not None:
            self.show(done, planned, note)

    def note(self, text: str) -> None:
        """Keep a note for the reader, once."""
        if text not in self.notes:
            self.notes.append(text)

    # -- studies ---------------------------------------------------------------------------------------------

    def study(self, name: str, study: Study, limit: float | None = None) -> Store:
        """Run a study, or what is left of it, and return its store.

        ``limit`` is a safety net in seconds, compilation apart; where it ends a study early, a note says so,
        and `NothingMeasured` is raised if there is no trial at all.
        """
        from sterling.study import Store, run
        from sterling.study.trial import warm_up

        digest = _digest(f"{study.to_toml()}{__version__}")[:8]
        folder = self._folder(name) / f"{self.effort.name}-{digest}"
        _make(folder)

        def show(progress) -> None:
            self.tell(progress.done, progress.planned, progress.note)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            messages = _finished(folder)
            if messages is None:
                self.tell(0, 0, "preparing kernels")
                warm_up(series.cell(study.n[0], 64) for series in study.series)
                outcome = run(study, folder, threads=self.threads, time_limit=limit, progress=show)
                messages = self._take(outcome, name, limit)
                if outcome.finished:
                    _mark_finished(folder, messages)
            store = Store(folder)
            nothing = store.trials(["n"]).is_empty()  # the first look warns of every shard left out
        for warning in caught:
            if not issubclass(warning.category, SterlingWarning):
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno, source=warning.source
                )
            elif _TERM not in str(warning.message):
                self.note(str(warning.message))
        for message in messages:
            self.note(message)
        if nothing:
            raise NothingMeasured(f"No trial was finished within the time limit of {limit:.0f} s.")
        return store

    @staticmethod
    def _take(outcome: Outcome, name: str, limit: float | None) -> list[str]:
        """Return what a study has to say; raise `Stopped` where the user ended it."""
        if outcome.reason == "interrupted":
            raise Stopped
        messages = [f"{message[0].upper()}{message[1:]}." for message in outcome.messages]
        if outcome.reason == "time":
            messages.append(
                f"The time limit of {limit:.0f} s ended the study {name!r} early; running again continues it."
            )
        return messages

    # -- other rows ------------------------------------------------------------------------------------------

    def rows(
        self,
        name: str,
        cells: Iterable[Parameters],
        compute: Callable[[Parameters, int], Iterable[Parameters]],
    ) -> pl.DataFrame:
        """Return the rows of all cells, computed or read from earlier calls, in the order of the cells.

        Parameters
        ----------
        name : str
            Of the folder and the files.
        cells : iterable of dict
            Plain values, everything that decides the rows; they become columns too, but for sequences.
        compute : callable
            ``compute(cell, seed)`` returns the cell's rows; several cells run at a time, in threads. It
            should call `look` now and then.
        """
        import polars as pl

        cells = list(cells)
        folder = self._folder(name)
        _make(folder)
        found = {place: self._read(folder, cell) for place, cell in enumerate(cells)}
        done = {place: frame for place, frame in found.items() if frame is not None}
        missing = [place for place in range(len(cells)) if place not in done]
        halt = threading.Event()

        def work(place: int) -> pl.DataFrame:
            if halt.is_set():
                raise Stopped
            cell = cells[place]
            rows = compute(cell, cell_seed(self.seed, cell))
            plain = {key: value for key, value in cell.items() if not isinstance(value, list | tuple)}
            return self._write(folder, cell, pl.DataFrame([{**plain, **row} for row in rows]))

        self.tell(len(done), len(cells))
        with ThreadPoolExecutor(self.workers, thread_name_prefix="sterling-claims") as pool:
            try:
                running = {pool.submit(work, place): place for place in missing}
                while running:
                    for future in wait(running, _LOOK_SECONDS, FIRST_COMPLETED).done:
                        done[running.pop(future)] = future.result()
                    self.tell(len(done), len(cells))
            finally:
                halt.set()
                pool.shutdown(cancel_futures=True)
        return pl.concat([done[place] for place in range(len(cells))], how="vertical_relaxed")

    @property
    def workers(self) -> int:
        """How many cells run at a time."""
        from sterling.base.resources import usable_cores

        return self.threads or usable_cores()

    def _folder(self, name: str) -> Path:
        return self.folder / name

    def _stem(self, cell: Parameters) -> str:
        return _digest(_canonical({**cell, "seed": self.seed, "made by": [__version__, SEMANTICS]}))

    def _read(self, folder: Path, cell: Parameters) -> pl.DataFrame | None:
        """Return the rows kept for a cell; None if there are none, or if they are damaged."""
        import polars as pl

        for path in sorted(folder.glob(f"{self._stem(cell)}-*.parquet")):
            try:
                data = path.read_bytes()
                if _digest(data) == path.stem.partition("-")[2]:
                    return pl.read_parquet(io.BytesIO(data))
            except (OSError, pl.exceptions.PolarsError):
                pass
            self.note(f"{folder.name}/{path.name} was damaged; its rows were computed again.")
            path.unlink(missing_ok=True)
        return None

    def _write(self, folder: Path, cell: Parameters, frame: pl.DataFrame) -> pl.DataFrame:
        stream = io.BytesIO()
        frame.write_parquet(stream)
        data = stream.getvalue()
        write_atomically(
            folder / f"{self._stem(cell)}-{_digest(data)}.parquet", lambda file: _fill(file, data)
        )
        return frame


def _finished(folder: Path) -> list[str] | None:
    """Return what a finished study had to say; None if it is not finished, or not all of it is there."""
    from sterling.study import Store

    try:
        mark = json.loads((folder / _MARK).read_text(encoding="utf-8"))
        trials, messages = int(mark["trials"]), [str(message) for message in mark["messages"]]
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return messages if len(Store(folder).trials(["n"])) == trials else None


def _mark_finished(folder: Path, messages: list[str]) -> None:
    """Note that a study is finished, since finding that out by planning it again takes seconds."""
    from sterling.study import Store

    mark = {"trials": len(Store(folder).trials(["n"])), "messages": messages}
    write_atomically(folder / _MARK, lambda file: _fill(file, json.dumps(mark, ensure_ascii=False).encode()))


def cell_seed(root: int, cell: Parameters) -> int:
    """Return the seed of a cell, a 63-bit integer: from the root and the cell's content, and nothing else."""
    words = np.frombuffer(bytes.fromhex(_digest(_canonical(cell))), "<u4").tolist()
    sequence = np.random.SeedSequence(root, spawn_key=tuple(words))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def seeds(root: int, count: int) -> list[int]:
    """Return so many seeds below a cell's seed; the first ones stay the same when more are asked for."""
    return [
        int(np.random.SeedSequence(root, spawn_key=(number,)).generate_state(1, np.uint64)[0] >> np.uint64(1))
        for number in range(count)
    ]


def check_seed(seed: int) -> int:
    """Return the seed if it can be one, else raise InputError."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed is {seed!r}; it must be a non-negative integer")
    return int(seed)


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _digest(content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    return blake2b(data, digest_size=12).hexdigest()


def _fill(file, data: bytes) -> None:
    file.write(data)


def _make(folder: Path) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as problem:
        raise StoreError(f"cannot make the folder {folder}: {problem.strerror}") from None
