"""Writing files so that a name never stands for half of one: temporary name, fsync, rename."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from sterling.errors import StoreError


def write_atomically(path: str | os.PathLike, fill: Callable[[BinaryIO], None]) -> Path:
    """Write a file through ``fill(stream)``; at any moment ``path`` holds the old content or all of the new.

    Raises
    ------
    StoreError
        With the reason, if the file cannot be written. The old file, if any, is untouched.
    """
    path = Path(path)
    temporary: Path | None = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        with open(temporary, "xb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as problem:
        reason = problem.strerror or str(problem)
        raise StoreError(f"cannot write {path}: {reason}; nothing was changed there") from problem
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


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
