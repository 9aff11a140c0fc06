"""Reading option values: counts, sizes, readouts, starts. A value that cannot be read is an `InputError`."""

from __future__ import annotations

import os
import re
from decimal import Decimal, InvalidOperation
from pathlib import Path

from sterling.errors import InputError

_MULTIPLES = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12}
_LARGEST = Decimal(10) ** 18  # keeps numbers such as 1e999999999 from being written out
_UNITS = {"": 1, "K": 1000, "M": 1000**2, "G": 1000**3, "KI": 1024, "MI": 1024**2, "GI": 1024**3}


def parse_count(text: str, option: str) -> int:
    """Read a whole number: 1000000, 1_000_000, 1,000,000, 1e6 or 1M (k, M, G, T)."""
    found = re.fullmatch(r"([-+]?[\d_,]*\.?\d+(?:[eE][-+]?\d+)?)\s*([kMGT]?)", text.strip())
    try:
        value = Decimal(re.sub("[_,]", "", found[1])) if found else None
    except InvalidOperation:
        value = None
    if value is None:
        raise InputError(f"{option} is {text!r}; give a whole number such as 1000000, 1_000_000, 1e6 or 1M")
    if value.copy_abs() <= _LARGEST and found:
        value = value.scaleb(_MULTIPLES[found[2]])
    if value.copy_abs() > _LARGEST:
        raise InputError(f"{option} is {text!r}, which is beyond all bounds: give a smaller number")
    if value != value.to_integral_value():
        raise InputError(f"{option} is {text!r}, which is no whole number")
    return int(value)


def parse_bytes(text: str, option: str) -> int:
    """Read a size: 512MB, 1.5GiB or plain bytes."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]?I?)B?", text.strip().upper())
    if found is None or found[2] not in _UNITS:
        raise InputError(f"{option} is {text!r}; give a size such as 512MB or 2GiB")
    return int(float(found[1]) * _UNITS[found[2]])


def parse_numbers(text: str, option: str) -> list[float]:
    """Read numbers with commas between them."""
    try:
        return [float(word) for word in text.split(",")]
    except ValueError:
        raise InputError(
            f"{option} is {text!r}; give numbers with commas between them, such as 1,-1,0.5"
        ) from None


def parse_readout(text: str) -> str | tuple[float, ...]:
    """Read a readout: the name of a law, or its weights."""
    return tuple(parse_numbers(text, "--readout")) if re.match(r"[-+.\d]", text.strip()) else text.strip()


def parse_start(text: str):
    """Read the start of a run: a seed, or the latent weights."""
    import numpy as np

    if re.fullmatch(r"\d+", text.strip()):
        return int(text)
    return np.array(parse_numbers(text, "--init"))


def check_target(path: Path | None, option: str) -> None:
    """Refuse, before any work, a file that could not be written at the end."""
    if path is None:
        return
    folder = path.absolute().parent
    if path.is_dir():
        raise InputError(f"{option} is {path}, which is a folder: name a file in it")
    if not folder.is_dir():
        raise InputError(f"{option} is {path}, but there is no folder {folder}: make it first")
    if not os.access(folder, os.W_OK):
        raise InputError(
            f"{option} is {path}, but the folder {folder} cannot be written to: name another one"
        )
