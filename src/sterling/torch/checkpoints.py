"""Files of tensors, .safetensors, .pt and .npz, read one tensor at a time and without running their code."""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sterling.base.files import as_path, printable, unreadable
from sterling.base.resources import require_memory
from sterling.errors import CheckpointError, InputError, SterlingError

_STATES = ("state_dict", "model_state_dict", "model", "module", "net")  # of a whole run

Reader = Callable[[], torch.Tensor]


class Checkpoint:
    """A file of tensors; ``tensors`` has a function for each name, which reads the tensor."""

    def __init__(self, path: Any):
        self.path = as_path(path)
        reader = _READERS.get(self.path.suffix.lower())
        if reader is None:
            raise InputError(f"{printable(self.path)}: its name must end in {', '.join(_READERS)}")
        problem = unreadable(self.path)
        if problem is not None:
            raise InputError(problem)
        with self._intact():
            self.tensors = reader(self.path)

    def read(self, name: str) -> torch.Tensor:
        """Return a tensor."""
        with self._intact():
            if name not in self.tensors:
                raise InputError(f"it has no tensor {printable(name)}: give checkpoints of one run")
            return self.tensors[name]()

    @contextlib.contextmanager
    def _intact(self) -> Iterator[None]:
        try:
            yield
        except SterlingError as problem:
            raise type(problem)(f"{printable(self.path)}: {problem}") from problem
        except Exception as problem:  # a damaged file can raise almost anything
            words = " ".join(str(problem).split())[:150]
            raise CheckpointError(
                f"{printable(self.path)} is damaged, or no checkpoint ({type(problem).__name__}: {words}): "
                "use another copy, or leave it out"
            ) from problem


def safetensors(path: Path) -> dict[str, Reader]:
    """Return a function for each tensor of a file .safetensors; each opens the file and closes it."""
    try:
        from safetensors import safe_open  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError("this needs safetensors, which is not installed: pip install safetensors") from None

    def read(name: str) -> torch.Tensor:
        with safe_open(path, "pt") as file:
            return file.get_tensor(name)

    with safe_open(path, "pt") as file:
        return {name: partial(read, name) for name in file.keys()}  # noqa: SIM118


def load(path: Path) -> Any:
    """Return what `torch.save` wrote, without running code of the file; it takes no more memory than it."""
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"  # as `torch.load` tells them apart
    if not zipped:  # as before PyTorch 1.6; all data are read, and they lie in the file as they are
        require_memory(path.stat().st_size, "the file")
    else:
        with zipfile.ZipFile(path) as archive:
            if any(one.compress_type != zipfile.ZIP_STORED for one in archive.infolist()):
                raise InputError("it is compressed, and may unpack to any size: save it with torch.save")
    return torch.load(path, map_location="cpu", mmap=zipped, weights_only=True)


def _pickled(path: Path) -> dict[str, Reader]:
    state = load(path)
    inner = [state[name] for name in _STATES if isinstance(state, Mapping) and name in state]
    state = next((one for one in inner if isinstance(one, Mapping)), state)
    if not isinstance(state, Mapping):
        raise InputError("it holds no tensors by name: save model.state_dict()")
    most = path.stat().st_size

    def read(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.nbytes > most:  # strides may repeat a few bytes
            raise InputError("one of its tensors is larger than the file: use another copy")
        return tensor

    tensors = {str(name): one for name, one in state.items() if isinstance(one, torch.Tensor)}
    return {name: partial(read, one) for name, one in tensors.items() if one.layout == torch.strided}


def _npz(path: Path) -> dict[str, Reader]:
    def read(name: str) -> torch.Tensor:
        with zipfile.ZipFile(path) as archive, archive.open(name) as member:
            require_memory(archive.getinfo(name).file_size, "one of its arrays")
            array = np.lib.format.read_array(member, allow_pickle=False)
        return torch.from_numpy(np.ascontiguousarray(array, array.dtype.newbyteorder("=")))

    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".npy")]
    return {name.removesuffix(".npy"): partial(read, name) for name in names}


_READERS: dict[str, Callable[[Path], dict[str, Reader]]] = {
    **{".safetensors": safetensors, ".npz": _npz},
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt"), _pickled),
}
