"""Notices that processes on one folder leave for each other: which trials each is at.

They save time and decide nothing: where they cannot be written or come late, trials are run twice, and count
once. A notice is overwritten where it lies, since that is what other computers see soonest on a shared disk;
one that is read half-written is taken as it was before.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

try:
    import fcntl
except ImportError:  # Windows: who has died is then known by silence
    fcntl = None

#: Names of notices; whoever tidies a folder alone removes those of killed processes.
PATTERN = ".*.notice.part"

TURN_FILE = ".turn"

#: Trial numbers by the hashes of their cells.
Work = dict[str, np.ndarray]

_TRIES, _TRY_SECONDS = 25, 0.002  # how long a process waits for its turn
_SILENCE = 10.0  # seconds without a sign of life after which nobody counts on a process any more


class Notices:
    """The notice of this process, and those of the others.

    Parameters
    ----------
    folder : Path
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._token = secrets.token_hex(6)
        self._path = folder / PATTERN.replace("*", self._token)
        self._beats = itertools.count()
        self._heard: dict[str, tuple[bytes, float]] = {}  # what others said last, and when that was new
        self._alive = _locked(self._path)
        self._turn: int | None = None

    def publish(self, work: Mapping[str, list[np.ndarray]]) -> None:
        """Tell the others which trials of which cells this process is at, or has not yet written down."""
        runs = {cell: _runs(np.unique(np.concatenate(parts))) for cell, parts in work.items()}
        with contextlib.suppress(OSError):
            self._path.write_text(json.dumps({"beat": next(self._beats), "work": runs}))

    def others(self) -> Work | None:
        """Return the trials that others are at, None if there are no others."""
        found: dict[str, list[np.ndarray]] = {}
        company = False
        for work in self._living():
            company = True
            for cell, numbers in work.items():
                found.setdefault(cell, []).append(numbers)
        return {cell: np.concatenate(parts) for cell, parts in found.items()} if company else None

    def _living(self) -> Iterator[Work]:
        now = time.monotonic()
        for path in self._folder.glob(PATTERN):
            if path == self._path or not (text := _read_if_alive(path)):
                continue
            old, since = self._heard.get(path.name, (b"", now))
            if text != old and _work(text) is not None:
                old, since = self._heard[path.name] = text, now
            if now - since < _SILENCE and (work := _work(old)) is not None:
                yield work

    @contextlib.contextmanager
    def turn(self) -> Iterator[bool]:
        """Have no other process choose its trials meanwhile, so that no two choose the same at one moment.

        Nobody waits long: a process that was stopped in its turn must not stop the others. Gives whether this
        process has the turn for itself.
        """
        if self._turn is None:
            with contextlib.suppress(OSError):
                self._turn = os.open(self._folder / TURN_FILE, os.O_RDWR | os.O_CREAT, 0o666)
        mine = self._turn is not None and _try_lock(self._turn)
        try:
            yield mine
        finally:
            if mine:
                fcntl.flock(self._turn, fcntl.LOCK_UN)  # type: ignore[union-attr, arg-type]

    def close(self) -> None:
        """Take the notice away."""
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
        for handle in (self._alive, self._turn):
            if handle is not None:
                os.close(handle)
        self._alive = self._turn = None


def _locked(path: Path) -> int | None:
    """Make a file and lock it as long as this process lives; None where that cannot be done."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if fcntl is not None:
            with contextlib.suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
        return handle
    return None


def _try_lock(handle: int) -> bool:
    if fcntl is None:
        return False
    for _ in range(_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_TRY_SECONDS)
        except OSError:  # a file system without locks
            return False
    return False


def _read_if_alive(path: Path) -> bytes:
    """Return a notice, nothing if its process is known to have ended: the lock on it is then free."""
    try:
        with open(path, "rb") as stream:
            if fcntl is not None:
                with contextlib.suppress(OSError):  # somebody holds it, or the file system has no locks
                    fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    return b""
            return stream.read() or b" "
    except OSError:
        return b""


def _work(text: bytes) -> Work | None:
    """Return what a notice says, None where it cannot be read, as when it is just being written."""
    try:
        work = json.loads(text)["work"]
        return {cell: np.concatenate([np.arange(*run) for run in runs]) for cell, runs in work.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _runs(numbers: np.ndarray) -> list[list[int]]:
    """Return rising numbers as runs [first, stop)."""
    ends = np.flatnonzero(np.diff(numbers) != 1)
    firsts = numbers[np.concatenate([[0], ends + 1])]
    stops = numbers[np.concatenate([ends, [numbers.size - 1]])] + 1
    return np.stack([firsts, stops], axis=1).tolist()
