"""Writing files so that a name never stands for half of one: temporary name, fsync, rename.

Only regular files are ever written: a rename would put one in the place of a device or a pipe.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from sterling.errors import InputTypeError, StoreError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

_LONGEST = 180  # bytes of a name that its temporary name repeats; 255 are usual for a whole one
_SHOWN = 300  # letters of a path that a message repeats


def as_path(path: Any, what: str = "the file's name") -> Path:
    """Return a path, or raise InputTypeError if it is none."""
    try:
        return Path(os.fsdecode(path))
    except TypeError:
        raise InputTypeError(f"{what} is {path!r:.60}; give a path") from None


def write_atomically(path: str | os.PathLike, fill: bytes | Callable[[BinaryIO], Any]) -> Path:
    """Write bytes, or what ``fill(stream)`` writes; at any moment ``path`` holds the old content or the new.

    Of a link the target is written. A file that is replaced keeps its permissions. What a killed writer of
    the same file has left behind is removed. `StoreError` tells why the file cannot be written.
    """
    path = as_path(path)
    reason = _unfit(path)
    if reason is not None:
        raise StoreError(f"cannot write {printable(path)}, {reason}")
    target = Path(os.path.realpath(path))
    temporary: Path | None = None
    try:
        old = _mode(target)
        temporary, stream = _create(target, old)
        with stream:
            stream.write(fill) if isinstance(fill, bytes) else fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
            if fcntl is not None:  # while the lock is held, so that nobody takes it for left behind
                os.replace(temporary, target)
        if fcntl is None:  # Windows renames closed files only
            os.replace(temporary, target)
        temporary = None
        _sync_folder(target.parent)
        if old is not None:
            remove_left(target.parent, target.name)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise StoreError(f"cannot write {printable(path)}: {reason}; nothing was changed there") from problem
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def refusal(path: Path) -> str | None:
    """Return why no file could be written there, as the end of a sentence, or None if one could."""
    reason = _unfit(path)
    if reason is not None:
        return reason
    target = Path(os.path.realpath(path))
    folder = printable(target.parent)
    if not os.path.isdir(target.parent):
        return f"but there is no folder {folder}: make it first"
    try:
        probe, stream = _create(target)
        stream.close()
        probe.unlink()
    except OSError as problem:
        return f"but no file can be made in {folder} ({problem.strerror}): name another folder"
    return None


def unreadable(path: Path) -> str | None:
    """Return why there is no regular file that can be read, as a sentence, or None if there is one."""
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISREG(mode):
            path.open("rb").close()
            return None
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no file {printable(path)}: check the name and the folder"
    except (OSError, ValueError) as problem:  # too long, a zero byte, not allowed
        reason = getattr(problem, "strerror", None) or str(problem)
        return f"{printable(path)} cannot be read: {reason}"
    if stat.S_ISDIR(mode):
        return f"{printable(path)} is a folder: give a file in it"
    return f"{printable(path)} is a {_kind(mode)}: save what it gives in a file, and give that"


def _unfit(path: Path) -> str | None:
    """Return why the name cannot be that of a file to write, or None."""
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        return "which holds a zero byte: give another name"
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None  # a new name, or a reason that the attempt to write tells better
    except OSError as problem:  # too long, or a circle of links
        return f"which is no name for a file ({problem.strerror}): give another one"
    if stat.S_ISDIR(mode):
        return "which is a folder: name a file in it"
    if not stat.S_ISREG(mode):
        return f"which is a {_kind(mode)}: name a regular file"
    return None


def _kind(mode: int) -> str:
    return "pipe" if stat.S_ISFIFO(mode) else "socket" if stat.S_ISSOCK(mode) else "device"


def remove_left(folder: Path, name: str = "*") -> None:
    """Remove temporary files that were to become ``name``, and that nobody has locked: their writers are
    gone.
    """
    start = ".*" if name == "*" else re.escape(_prefix(name))
    ours = re.compile(start + r"[0-9a-f]{12}\.part")
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for path in [entry.path for entry in entries if ours.fullmatch(entry.name)]:
            with contextlib.suppress(OSError):  # locked, without locks, a link, or gone already
                handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
                try:
                    if fcntl is not None:
                        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        os.unlink(path)
                finally:
                    os.close(handle)


def printable(path: object) -> str:
    """Return a path as it can be printed, on one line: however long, in whatever bytes."""
    text = os.fsencode(str(path)).decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= _SHOWN else f"{text[:100]}…{text[-40:]}"


# temporary names


def _create(target: Path, mode: int | None = None) -> tuple[Path, BinaryIO]:
    """Make a new file beside the target, locked for as long as it is open, and return its name too.

    The name is new, so no link that somebody else has laid there is followed.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    while True:
        path = target.with_name(f"{_prefix(target.name)}{secrets.token_hex(6)}.part")
        handle = os.open(path, flags, 0o666 if mode is None else mode)
        try:
            if fcntl is not None:
                if mode is not None:
                    os.fchmod(handle, mode)  # whatever the umask took away
                with contextlib.suppress(OSError):  # some file systems have no locks
                    fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return path, os.fdopen(handle, "wb")
        except BaseException:
            os.close(handle)
            path.unlink(missing_ok=True)
            raise
        os.close(handle)  # between making and locking it was taken for left behind


def _mode(target: Path) -> int | None:
    """Return the permissions of a file, None if there is none."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode)
    except FileNotFoundError:
        return None


def _prefix(name: str) -> str:
    encoded = os.fsencode(name)
    if len(encoded) <= _LONGEST:
        return f".{name}."
    return f".{hashlib.blake2b(encoded, digest_size=16).hexdigest()}."


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # some systems cannot open folders; the rename itself has happened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
