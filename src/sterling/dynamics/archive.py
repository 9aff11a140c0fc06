"""The file format of saved runs: a zip of plain arrays and one JSON text. What they mean, `saved.py` knows.

Nothing is ever unpickled, and what a file claims is bounded before it is read: a small one may claim to hold
more than any memory does.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.lib import format as npy

from sterling import __version__
from sterling.base.files import as_path, printable, unreadable, write_atomically
from sterling.base.resources import require_memory
from sterling.errors import CapacityError, CheckpointError

FORMAT = "sterling-run"
#: Raised when a run saved before would not go on to the same bits.
VERSION = 1

_HEADER = "header.json"
_HEADER_BYTES = 1 << 26  # names of columns may be many
_ARRAY_HEADER_BYTES = 1 << 12


def write(path: str | os.PathLike, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a header and one-dimensional arrays, whole or not at all."""
    text = json.dumps({"format": FORMAT, "version": VERSION, "sterling": __version__, **header}, indent=1)

    def fill(stream):
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_HEADER, text)
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array(member, np.ascontiguousarray(array), (1, 0), allow_pickle=False)

    write_atomically(path, fill)


class Archive:
    """An open file: its header, and arrays on demand."""

    def __init__(self, archive: zipfile.ZipFile):
        self._archive = archive
        require_memory(2 * sum(member.file_size for member in archive.infolist()), "what the file holds")
        self.header: dict[str, Any] = self._read_header()

    def _read_header(self) -> dict[str, Any]:
        if self._archive.getinfo(_HEADER).file_size > _HEADER_BYTES:
            raise CheckpointError("its header is longer than any that a run has")
        header = json.loads(self._archive.read(_HEADER))
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise CheckpointError("it is no saved run of this sterling")
        if type(header.get("version")) is not int or header["version"] != VERSION:
            raise CheckpointError(
                f"it has format version {header.get('version')!r:.40}, and this sterling reads {VERSION}: "
                f"use sterling {header.get('sterling')!s:.40} for it"
            )
        return header

    def array(self, name: str, dtype: Any, size: int | None = None, most: int = 0) -> np.ndarray:
        """Return an array of a type and size, or of at most so many entries where the size is not known.

        It is read-only. Reading to its end also checks its checksum.
        """
        dtype = np.dtype(dtype)
        info = self._archive.getinfo(f"{name}.npy")
        room = (most if size is None else size) * dtype.itemsize
        if info.file_size > room + _ARRAY_HEADER_BYTES:
            raise CheckpointError(f"{name} is larger than the rest of the file allows")
        with self._archive.open(info) as member:
            if npy.read_magic(member) != (1, 0):
                raise CheckpointError(f"{name} is of another version of the format of arrays")
            shape, _, found = npy.read_array_header_1_0(member)
            if found != dtype or len(shape) != 1 or (size is not None and shape[0] != size):
                raise CheckpointError(f"{name} has type {found} and shape {shape}, not what it should")
            data = member.read(room + 1)
        if len(data) != shape[0] * dtype.itemsize:
            raise CheckpointError(f"{name} does not have as many bytes as it claims")
        return np.frombuffer(data, dtype)


@contextmanager
def opened(path: str | os.PathLike) -> Iterator[Archive]:
    """Give the `Archive` of a file; whatever is wrong with it, here or in the block, is a CheckpointError."""
    path = as_path(path)
    reason = unreadable(path)
    if reason is not None:
        raise CheckpointError(reason)
    try:
        with zipfile.ZipFile(path) as archive:
            yield Archive(archive)
    except (CheckpointError, CapacityError) as problem:
        raise CheckpointError(f"{printable(path)} cannot be used: {problem}") from problem
    except Exception as problem:  # a damaged or hostile file can raise almost anything
        raise CheckpointError(
            f"{printable(path)} is damaged, truncated or no saved run ({problem!s:.200}): use another copy, "
            "or start anew"
        ) from problem
