"""Writing files so that a name never stands for half of one: temporary name, fsync, rename.

Only regular files are written: a rename would put one in the place of a device or a pipe.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

from sterling.errors import InputTypeError, StoreError, UnreadableError

T = TypeVar("T")
_SHOWN = 300  # letters of a path that a message repeats
_ABANDONED = 3600.0  # seconds after which a temporary file that nobody has written to has lost its writer


def as_path(path: Any, what: str = "the file's name") -> Path:
    """Return a path, or raise InputTypeError if the value is not one."""
    try:
        return Path(os.fsdecode(path))
    except TypeError:
        raise InputTypeError(f"{what} is {path!r:.60}; give a path") from None


def write_atomically(path: str | os.PathLike, fill: bytes | Callable[[BinaryIO], Any]) -> Path:
    """Write bytes, or what ``fill(stream)`` writes; at any moment ``path`` holds the old content or the new.

    A link is followed. A file that is replaced keeps its permissions. StoreError says why a file cannot be
    written.
    """
    path = as_path(path)
    reason = _unfit(path)
    if reason is not None:
        raise StoreError(f"cannot write {printable(path)}, {reason}")
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".sterling-{secrets.token_hex(8)}.part")
    try:
        replaced = target.exists()
        with temporary.open("xb") as stream:  # never an existing file or a link
            if replaced:
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            stream.write(fill) if isinstance(fill, bytes) else fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
        if replaced:
            remove_left(target.parent)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise StoreError(f"cannot write {printable(path)}: {reason}; nothing was changed there") from problem
    finally:
        with contextlib.suppress(OSError):  # gone, or never made
            temporary.unlink()
    return path


def refusal(path: Path) -> str | None:
    """Return why no file could be written there, as the end of a sentence, or None if one could."""
    reason = _unfit(path)
    if reason is not None:
        return reason
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        return f"but there is no folder {printable(folder)}: make it first"
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as problem:
        return f"but no file can be made in {printable(folder)} ({problem.strerror}): name another folder"
    return None


def unreadable(path: Path) -> str | None:
    """Return why there is no regular file that can be read, as a sentence, or None if there is one."""
    try:
        other = _other(path)
        if other is None:
            path.open("rb").close()
            return None
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no file {printable(path)}: check the name and the folder"
    except (OSError, ValueError) as problem:  # too long, a zero byte, not allowed
        reason = getattr(problem, "strerror", None) or str(problem)
        return f"{printable(path)} cannot be read: {reason}"
    return f"{printable(path)} is {other}: give a regular file"


def read_json(path: Any, make: Callable[[Any], T], fault: str, most: int) -> T:
    """Return what ``make`` makes of a JSON file. It has at most ``most`` bytes.

    UnreadableError names the file, the fault and its reason.
    """
    file = as_path(path)
    reason = unreadable(file)
    if reason is not None:
        raise UnreadableError(reason)
    with open(file, "rb") as stream:
        data = stream.read(most + 1)
    try:
        if len(data) > most:
            raise ValueError(f"it has more than {most:,} bytes")
        return make(json.loads(data))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise UnreadableError(f"{printable(file)} {fault}: it is not JSON") from None
    except KeyError as problem:
        raise UnreadableError(f"{printable(file)} {fault}: it has no entry {problem}") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as problem:
        raise UnreadableError(f"{printable(file)} {fault}: {problem}") from None


def remove_left(folder: Path) -> None:
    """Remove the temporary files that killed writers have left in a folder more than an hour ago."""
    with contextlib.suppress(OSError):
        for path in folder.glob(".sterling-*.part"):
            with contextlib.suppress(OSError):  # gone already, or not ours
                if time.time() - path.lstat().st_mtime > _ABANDONED:
                    path.unlink()


def printable(path: object) -> str:
    """Return a path as it can be printed: on one line, shortened, any bytes escaped."""
    text = os.fsencode(str(path)).decode("utf-8", "backslashreplace")
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= _SHOWN else f"{text[:100]}…{text[-40:]}"


def _unfit(path: Path) -> str | None:
    """Return why the name cannot be that of a file to write, or None."""
    try:
        other = _other(path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None  # a new name, or a reason that the attempt to write shows better
    except (OSError, ValueError) as problem:  # too long, a circle of links, a zero byte
        return f"which is no name for a file ({getattr(problem, 'strerror', problem)}): give another one"
    return other and f"which is {other}: name a regular file"


def _other(path: Path) -> str | None:
    """Return what a path names if not a regular file, or None."""
    mode = os.stat(path).st_mode
    if stat.S_ISREG(mode):
        return None
    return "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
