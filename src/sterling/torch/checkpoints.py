"""Files of tensors, .safetensors, .pt and .npz, read one tensor at a time and without running their code."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import nn

from sterling.base.extras import installed
from sterling.base.files import as_path, printable, unreadable
from sterling.errors import InputError
from sterling.torch.taps import in_one_sentence

SUFFIXES = (".safetensors", ".npz", ".pt", ".pth", ".bin", ".ckpt")
_STATES = ("state_dict", "model_state_dict", "model", "module", "net")  # of a whole run

Tensors = dict[str, Callable[[], torch.Tensor]]


def file_of(path: Any, suffixes: Collection[str] = SUFFIXES) -> Path:
    """Return the path of a file that can be read, with one of these suffixes."""
    path = as_path(path)
    if path.suffix.lower() not in suffixes:
        raise InputError(f"{printable(path)} has an unknown format: give {', '.join(suffixes)}")
    if (problem := unreadable(path)) is not None:
        raise InputError(problem)
    return path


@contextlib.contextmanager
def reading(path: Any) -> Iterator[None]:
    """Turn any error of a damaged file into one sentence."""
    with in_one_sentence(f"{printable(path)} cannot be read", "write it again, or leave it out"):
        yield


def needed(package: str) -> Any:
    """Return a package that reads a format."""
    if installed(package) is None:
        raise InputError(f"this file needs {package}, which is not installed: pip install {package}")
    return import_module(package)


def tensors_in(path: Path) -> Tensors:
    """Return a function for each tensor of a file, which reads the tensor."""
    suffix = path.suffix.lower()
    return {".safetensors": _safetensors, ".npz": _npz}.get(suffix, _pickled)(path)


def _safetensors(path: Path) -> Tensors:
    safe_open = needed("safetensors").safe_open

    def read(name: str) -> torch.Tensor:  # each reading opens the file and closes it
        with safe_open(path, "pt") as file:
            return file.get_tensor(name)

    with safe_open(path, "pt") as file:
        return {name: partial(read, name) for name in file.keys()}  # noqa: SIM118


def _npz(path: Path) -> Tensors:
    def read(name: str) -> torch.Tensor:
        with np.load(path, allow_pickle=False) as file:
            array = file[name]
        return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))

    if not zipfile.is_zipfile(path):
        raise ValueError("it is damaged")
    with np.load(path, allow_pickle=False) as file:
        return {name: partial(read, name) for name in file.files}


def _pickled(path: Path) -> Tensors:
    zipped = zipfile.is_zipfile(path)
    if zipped:
        with zipfile.ZipFile(path) as archive:
            if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
                raise ValueError("it is compressed: save it with torch.save")
    try:
        state = torch.load(path, map_location="cpu", mmap=zipped, weights_only=True)
    except UnpicklingError:  # its text advises to run the code
        raise ValueError("it is damaged, or holds more than a state dict of tensors") from None
    inner = [state[name] for name in _STATES if isinstance(state, Mapping) and name in state]
    state = next((one for one in inner if isinstance(one, Mapping)), state)
    if not isinstance(state, Mapping):
        raise ValueError("it holds no tensors by name: save model.state_dict()")

    def read(tensor: torch.Tensor) -> torch.Tensor:
        plain = type(tensor) in (torch.Tensor, nn.Parameter)
        if plain and tensor.untyped_storage().nbytes() < tensor.nbytes:  # strides may repeat a few bytes
            raise ValueError("a tensor is larger than its data")
        return tensor

    return {str(name): partial(read, one) for name, one in state.items() if isinstance(one, torch.Tensor)}
