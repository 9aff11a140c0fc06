"""The weights that a module, a checkpoint, an ONNX or a GGUF file holds, as numbers. Files are not trusted.

A reader returns a function for each tensor, so that one is in memory at a time; `verifying` compares.
"""

from __future__ import annotations

import contextlib
import re
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import nn

from sterling.base.extras import needed
from sterling.base.files import as_path, printable, unreadable
from sterling.errors import InputError
from sterling.torch.handle import QuantisedWeight
from sterling.torch.taps import in_one_sentence

SUFFIXES = (".safetensors", ".npz", ".pt", ".pth", ".bin", ".ckpt")
_STATES = ("state_dict", "model_state_dict", "model", "module", "net")  # of a whole run

_ROLE = re.compile(r"(.+?)[._:](scale|zero_point|qdata|quantized|codes)s?")
_WRAPPER = re.compile(
    r"(^|\.)(module|_orig_mod|_fsdp_wrapped_module|base_layer|parametrizations)(?=\.)|\.original\d*$"
)
#: Operators of ONNX that are computed on the way from constants to a layer.
_FOLDED = ("DequantizeLinear", "QuantizeLinear", "Clip", "Transpose", "Identity", "Cast")
_MOST = 64  # times the size of the constants that these operators may compute

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
def reading(path: Any, advice: str = "write it again, or leave it out") -> Iterator[None]:
    """Turn any error of a damaged file into one sentence."""
    with in_one_sentence(f"{printable(path)} cannot be read", advice):
        yield


def tensors_in(path: Path) -> Tensors:
    """Return a function for each tensor of a file, which reads the tensor."""
    if path.suffix.lower() not in (".safetensors", ".npz"):
        return _pickled(path)
    safe = path.suffix.lower() == ".safetensors"
    if not safe and not zipfile.is_zipfile(path):  # NumPy's text advises to load it unsafely
        raise ValueError("it is damaged")
    opened = partial(needed("safetensors").safe_open, path, "pt") if safe else partial(np.load, path)

    def read(name: str) -> torch.Tensor:  # each reading opens the file and closes it
        with opened() as file:
            return file.get_tensor(name) if safe else torch.from_numpy(file[name])

    with opened() as file:
        return {name: partial(read, name) for name in file.keys()}  # noqa: SIM118


def _pickled(path: Path) -> Tensors:
    try:
        state = torch.load(path, map_location="cpu", mmap=zipfile.is_zipfile(path), weights_only=True)
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

    return {name: partial(read, one) for name, one in _tensors(state)}


def _tensors(state: Mapping[Any, Any]) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a state dict; converted layers of torch.ao keep weight and bias as a pair."""
    for name, one in state.items():
        if isinstance(one, tuple) and len(one) == 2:
            name, one = str(name).replace("_packed_params._packed_params", "weight"), one[0]
        if isinstance(one, torch.Tensor) and one.layout == torch.strided:
            yield str(name), one


@dataclass(frozen=True)
class Stored:
    """A weight as an artefact stores it."""

    kind: str  # such as "int8" or "TQ2_0"
    precision: torch.dtype  # of the scale, or of floats
    orders: tuple[torch.Tensor, ...]  # float64, scale · (codes − zero point): each order the format allows


Read = Callable[[QuantisedWeight], Stored]  # given the model's weight, which says how codes lie
Artefact = tuple[dict[str, Read], Callable[[str], str]]  # by name; what the format calls a model's tensor


def opened(artefact: Any) -> Artefact:
    """Return the tensors of a module or a file."""
    if isinstance(artefact, nn.Module):
        return _state({name: lambda one=one: one for name, one in _tensors(artefact.state_dict())}), plain
    path = file_of(artefact, (*SUFFIXES, ".onnx", ".gguf"))
    special = {".onnx": _onnx, ".gguf": _gguf}.get(path.suffix.lower())
    found = (_state(tensors_in(path)), plain) if special is None else special(path)
    if not found[0]:
        raise ValueError("it holds no tensors")
    return found


def plain(name: str) -> str:
    """Return the name of a tensor without wrappers of the model and without the role of a part."""
    name = _WRAPPER.sub("", name).lstrip(".")
    role = _ROLE.fullmatch(name)
    return re.sub(r"(^|\.)_?q?weight$", r"\1weight", role[1] if role else name)


def _state(tensors: Tensors) -> dict[str, Read]:
    """Return the tensors of a state dict; codes take the scale and the zero point that bear their name."""
    roles = {name: role[2] for name in tensors if (role := _ROLE.fullmatch(name))}
    parts = {(plain(name), role): name for name, role in roles.items() if role in ("scale", "zero_point")}

    def part(owner: str, role: str, shape: torch.Size) -> torch.Tensor | None:
        own = parts.get((owner, role), parts.get((owner.removesuffix(".weight"), role)))
        return None if own is None else _spread(tensors[own]().detach().cpu(), shape)

    def read(name: str, weight: QuantisedWeight) -> Stored:
        codes = tensors[name]().detach().cpu()
        kind = str(codes.dtype).removeprefix("torch.")
        if type(codes) is not torch.Tensor or codes.is_quantized:
            kind, codes = type(codes).__name__, codes.dequantize()
        if codes.dtype == torch.uint8 and 4 * codes.numel() == weight.shape.numel():  # as BitNet packs them
            codes = torch.cat([codes >> bits & 3 for bits in (0, 2, 4, 6)]).to(torch.int8) - 1
        floats = codes.is_floating_point() and codes.dtype.itemsize > 1 and not codes.equal(codes.round())
        scale = None if floats else part(plain(name), "scale", codes.shape)
        if scale is None:  # floats are values, even if a scale lies beside them
            return Stored(kind, codes.dtype, (codes.double(),))
        zero = part(plain(name), "zero_point", codes.shape)
        shifted = codes.double() if zero is None else codes.double() - zero.double()
        return Stored(kind, scale.dtype, (shifted * scale.double(),))

    return {name: partial(read, name) for name in tensors if name not in parts.values()}


def _spread(scale: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return the scale of each weight, from one for each block or for each run of weights."""
    sizes = list(zip(shape, scale.shape, strict=False))
    if scale.ndim == len(shape) and all(few and many % few == 0 for many, few in sizes):
        return torch.kron(scale, scale.new_ones([many // few for many, few in sizes]))
    if not scale.numel() or shape.numel() % scale.numel():
        raise ValueError(f"scales of the shape {tuple(scale.shape)} do not fit codes of {tuple(shape)}")
    return scale.flatten().repeat_interleave(shape.numel() // scale.numel()).reshape(shape)


def _onnx(path: Path) -> Artefact:
    onnx = needed("onnx")
    evaluator = import_module("onnx.reference").ReferenceEvaluator
    graph = onnx.load(path).graph
    known = {one.name: (one.name, onnx.numpy_helper.to_array(one)) for one in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name != "sparse_value":
            known[node.output[0]] = node.output[0], evaluator(node).run(None, {})[0]
    left = _MOST * sum(array.nbytes for _, array in known.values())
    found: dict[str, Read] = {}

    def read(name: str, product: bool, weight: QuantisedWeight) -> Stored:
        start, array = known[name]
        values = torch.tensor(array.astype("float64"))
        turned = weight.turned
        if turned is None and any(isinstance(layer, nn.Linear) for layer in weight.modules):
            turned = True
        orders: tuple[torch.Tensor, ...] = (values,)
        if product:
            orders = {True: (values.mT,), False: (values,), None: (values.mT, values)}[turned]
        return Stored(str(known[start][1].dtype), getattr(torch, str(array.dtype), torch.float32), orders)

    for node in graph.node:  # each comes after those that it needs
        if node.op_type in _FOLDED:
            feeds = {one: known[one][1] for one in node.input if one in known}
            if feeds.keys() == set(node.input) - {""}:
                block = max((one.i for one in node.attribute if one.name == "block_size"), default=0)
                left -= block * feeds[node.input[-1]].nbytes + feeds[node.input[0]].nbytes
                if left < 0:
                    raise ValueError(f"its weights are more than {_MOST} times as large as its constants")
                known[node.output[0]] = known[node.input[0]][0], evaluator(node).run(None, feeds)[0]
            continue
        as_in_torch = any(one.name == "transB" and one.i for one in node.attribute)
        product = node.op_type == "MatMul" or (node.op_type == "Gemm" and not as_in_torch)
        for name in node.input:
            if name in known and known[name][1].ndim:
                found.setdefault(known[name][0], partial(read, name, product and known[name][1].ndim > 1))
    return found, plain


def _gguf(path: Path) -> Artefact:
    gguf = needed("gguf")

    class Bounded(gguf.GGUFReader):
        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            found = super()._get(offset, dtype, count, override_order)
            if len(found) != int(count):  # or a count in the file could make it read without end
                raise ValueError("the file ends early")
            return found

    file = Bounded(path)
    about = {name.partition(".")[2]: field for name, field in file.fields.items()}

    def heads(tensor: str) -> int:
        key = "attention.head_count_kv" if ".attn_k." in tensor else "attention.head_count"
        count = about[key].contents() if key in about and re.search(r"\.attn_[qk]\.", tensor) else 0
        return count if isinstance(count, int) else 0  # some models have a list, by layer

    def read(one: Any, weight: QuantisedWeight) -> Stored:
        kind, count = one.tensor_type.name, heads(one.name)
        values = torch.tensor(gguf.quants.dequantize(one.data, one.tensor_type)).double()
        precision = {"F32": torch.float32, "BF16": torch.bfloat16}.get(kind, torch.float16)
        if not count or values.shape[0] % (2 * count):
            return Stored(kind, precision, (values,))
        # llama.cpp stores queries and keys of Llama in another order, for its rotary embedding.
        turned = values.reshape(count, -1, 2, *values.shape[1:]).transpose(1, 2)
        return Stored(kind, precision, (values, turned.reshape(values.shape)))

    archs = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
    arch = archs.get(about["architecture"].contents()) if "architecture" in about else None
    blocks = {one.name.split(".")[1] for one in file.tensors if one.name.startswith("blk.")}
    table: Any = None if arch is None else gguf.get_tensor_name_map(arch, len(blocks))

    def alias(name: str) -> str:
        words = plain(name).split(".") if table else ()
        tails = [".".join(words[start:]) for start in range(len(words))]
        tried = [f"{front}{tail}" for tail in tails for front in ("", "model.")]
        return next((known for one in tried if (known := table.get_name(one, (".weight",)))), plain(name))

    return {one.name: partial(read, one) for one in file.tensors}, alias
