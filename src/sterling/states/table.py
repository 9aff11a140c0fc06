"""The states of a landscape as a table, in memory and in a file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.base.files import as_path, write_atomically
from sterling.base.resources import require_memory
from sterling.errors import InputError

if TYPE_CHECKING:
    import polars as pl

    from sterling.states.landscape import Landscape

FORMATS = ("npz", "parquet")

_ROW_BYTES = 14  # of the columns below
_COPIES = 3  # at once while a file is made


def columns(landscape: Landscape) -> dict[str, np.ndarray]:
    """Return the columns of the table.

    Returns
    -------
    dict
        ``state`` int32 (bit k is set where sign k is +1), ``loss`` float64, ``distance`` uint8 (Hamming, to
        the reference), ``absorbing`` bool; each (2**n,).
    """
    count = len(landscape.loss)
    require_memory(_COPIES * _ROW_BYTES * count, f"a table of {count:,} states")
    absorbing = np.zeros(count, bool)
    absorbing[landscape.absorbing_states] = True
    return {
        "state": np.arange(count, dtype=np.int32),
        "loss": landscape.loss,
        "distance": landscape.distance,
        "absorbing": absorbing,
    }


def table(landscape: Landscape) -> pl.DataFrame:
    """Return the columns as a Polars frame, one row a state."""
    import polars as pl

    return pl.DataFrame(columns(landscape))


def table_format(path: str | os.PathLike) -> str:
    """Return "npz" or "parquet" by the suffix of a name; raise InputError for another one."""
    kind = as_path(path).suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise InputError(
            f"cannot write states to {os.fspath(path)!r:.200}: its name must end in .npz or .parquet"
        )
    return kind


def save(landscape: Landscape, path: str | os.PathLike) -> Path:
    """Write the table of states, whole or not at all; the suffix says how: .npz or .parquet.

    A .npz file holds one array a column, and ``reference``, the signs that distances refer to.

    Raises
    ------
    InputError
        For another suffix.
    StoreError
        If the file cannot be written.
    """
    if table_format(path) == "parquet":
        return write_atomically(path, table(landscape).write_parquet)
    arrays: dict[str, Any] = {**columns(landscape), "reference": landscape.reference}
    return write_atomically(path, lambda stream: np.savez_compressed(stream, **arrays))
