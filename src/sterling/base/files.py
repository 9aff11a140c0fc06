"""Writing files so that a name never stands for half of one: temporary name, fsync, rename.

Only regular files are ever written: a rename would put one in the place of a device or a pipe.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO

from sterling.errors import InputError, StoreError

_LONGEST = 180  # bytes of a name that its temporary name repeats; 255 are usual for a whole one
_STALE = 3600.0  # seconds after which a temporary file of a writer that we cannot ask about is left over


def as_path(path: Any, what: str = "the file's name") -> Path:
    """Return a path, or raise InputError if it is none."""
    try:
        return Path(os.fsdecode(path))
    except TypeError:
        raise InputError(f"{what} is {path!r:.60}; give a path") from None


def write_atomically(path: str | os.PathLike, fill: Callable[[BinaryIO], object]) -> Path:
    """Write a file through ``fill(stream)``; at any moment ``path`` holds the old content or all of the new.

    Of a link the target is written. What a killed writer of the same file has left behind is removed.

    Raises
    ------
    StoreError
        With the reason, if the file cannot be written. The old file, if any, is untouched.
    """
    path = as_path(path)
    reason = _unfit(path)
    if reason is not None:
        raise StoreError(f"cannot write {printable(path)}, {reason}")
    target = Path(os.path.realpath(path))
    temporary: Path | None = _temporary(target)
    try:
        with open(temporary, "xb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        temporary = None
        _sync_folder(target.parent)
        _remove_stale(target)
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
    if not os.path.isdir(target.parent):
        return f"but there is no folder {target.parent}: make it first"
    probe = _temporary(target)
    try:
        with open(probe, "xb"):
            pass
        probe.unlink()
    except OSError as problem:
        return f"but no file can be made in {target.parent} ({problem.strerror}): name another folder"
    return None


def unreadable(path: Path) -> str | None:
    """Return why there is no regular file to read, as a sentence, or None if there is one."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return f"there is no file {path}: check the name and the folder"
    except (OSError, ValueError) as problem:  # too long, a zero byte, not allowed
        reason = getattr(problem, "strerror", None) or str(problem)
        return f"{printable(path)} cannot be read: {reason}"
    if stat.S_ISDIR(mode):
        return f"{path} is a folder: give a file in it"
    if not stat.S_ISREG(mode):
        return f"{path} is a {_kind(mode)}: save what it gives in a file, and give that"
    return None


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


def printable(path: object) -> str:
    """Return a path as it can be printed, however long, in whatever bytes."""
    text = os.fsencode(str(path)).decode("utf-8", "backslashreplace").replace("\0", "\\0")
    return text if len(text) <= 300 else f"{text[:100]}…{text[-40:]}"


# temporary names


def _temporary(target: Path) -> Path:
    """Return a fresh name beside the target, which also says who writes."""
    return target.with_name(f"{_prefix(target)}{_here()}-{os.getpid()}-{secrets.token_hex(6)}.part")


def _prefix(target: Path) -> str:
    encoded = os.fsencode(target.name)
    if len(encoded) <= _LONGEST:
        return f".{target.name}."
    return f".{hashlib.blake2b(encoded, digest_size=16).hexdigest()}."


@lru_cache(maxsize=1)
def _here() -> str:
    """Return a mark of the process table in which our number means something: of the host, or container."""
    try:
        table = os.readlink("/proc/self/ns/pid")
    except OSError:
        table = ""
    return hashlib.blake2b(f"{platform.node()} {table}".encode(), digest_size=4).hexdigest()


def _remove_stale(target: Path) -> None:
    """Remove temporary files of this target whose writer is gone, or that nobody has touched for an hour."""
    prefix = _prefix(target)
    ours = re.compile(r"(?:([0-9a-f]{8})-(\d+)-)?[0-9a-f]{12}\.part")
    try:
        with os.scandir(target.parent) as entries:
            left = [entry.path for entry in entries if entry.name.startswith(prefix)]
        for path in left:
            found = ours.fullmatch(os.path.basename(path)[len(prefix) :])
            if found is None:
                continue
            here = found[1] == _here()
            if (here and _gone(int(found[2]))) or time.time() - os.stat(path).st_mtime > _STALE:
                os.unlink(path)
    except OSError:
        pass  # tidying must not cost the save, which is done


def _gone(process: int) -> bool:
    """Whether there is no process of this number; unknown counts as there."""
    if os.name != "posix":
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    return False


def _sync_folder(folder: Path) -> None:
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # some systems cannot open folders; the rename itself has happened
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
