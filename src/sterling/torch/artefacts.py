"""The weights that a module, a checkpoint, an ONNX or a GGUF file holds, as numbers. Files are not trusted.

A reader returns a function for each tensor, so that one is dequantised at a time; `verifying` compares.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import nn

from sterling.base.extras import installed
from sterling.base.files import as_path, printable, unreadable
from sterling.errors import InputError
from sterling.torch import checkpoints
from sterling.torch.handle import QuantisedWeight
from sterling.torch.taps import in_one_sentence

_ROLE = re.compile(r"(.+?)[._:](scale|zero_point|qdata|quantized|codes)s?")
_WRAPPER = re.compile(
    r"(^|\.)(module|_orig_mod|_fsdp_wrapped_module|base_layer|parametrizations)(?=\.)|\.original\d*$"
)
#: Operators of ONNX that are computed on the way from constants to a layer.
_FOLDED = ("DequantizeLinear", "QuantizeLinear", "Clip", "Transpose", "Identity", "Cast")

_MOST_FOLDED = 64  # tensors that are kept while one weight is computed


@dataclass(frozen=True)
class Stored:
    """A weight as an artefact stores it."""

    kind: str  # such as "int8" or "TQ2_0"
    values: torch.Tensor  # float64: scale · (codes − zero point)
    precision: torch.dtype  # of the scale, or of floats
    others: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = ()  # orders that the format also allows


Read = Callable[[QuantisedWeight], Stored]  # given the model's weight, which says how codes lie
Artefact = tuple[dict[str, Read], Callable[[str], str]]  # by name; what the format calls a model's tensor


def opened(artefact: Any) -> Artefact:
    """Return the tensors of a module or a file."""
    if isinstance(artefact, nn.Module):
        return _state(artefact.state_dict()), plain
    path = as_path(artefact, "artefact")
    readers = {".safetensors": _safetensors, ".pt": _checkpoint, ".onnx": _onnx, ".gguf": _gguf}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{printable(path)} has an unknown format: give a module or {', '.join(readers)}")
    if (problem := unreadable(path)) is not None:
        raise InputError(problem)
    found = reader(path)
    if not found[0]:
        raise ValueError("it holds no tensors")
    return found


@contextlib.contextmanager
def reading(artefact: Any) -> Iterator[None]:
    """Turn any error of a damaged artefact into one sentence."""
    name = "the module" if isinstance(artefact, nn.Module) else printable(artefact)
    with in_one_sentence(f"{name} cannot be read", "write it again, or give another artefact"):
        yield


def plain(name: str) -> str:
    """Return the name of a tensor without wrappers of the model and without the role of a part."""
    name = _WRAPPER.sub("", name).lstrip(".")
    role = _ROLE.fullmatch(name)
    return re.sub(r"(^|\.)_?q?weight$", r"\1weight", role[1] if role else name)


def _needed(package: str) -> Any:
    if installed(package) is None:
        raise InputError(f"this artefact needs {package}, which is not installed: pip install {package}")
    return import_module(package)


def _safetensors(path: Path) -> Artefact:
    _needed("safetensors")
    readers = checkpoints.safetensors(path)
    return _tensors(readers, lambda name: readers[name]()), plain


def _checkpoint(path: Path) -> Artefact:
    try:
        state = checkpoints.load(path)
    except UnpicklingError:  # of code, or a damaged file
        raise ValueError("it is no state dict of tensors") from None
    for one in state.values():
        plainly = type(one) in (torch.Tensor, nn.Parameter)
        if plainly and one.untyped_storage().nbytes() < one.numel() * one.element_size():
            raise ValueError("a tensor is larger than its data")
    return _state(state), plain


def _state(state: dict[str, Any]) -> dict[str, Read]:
    tensors = {name: one for name, one in state.items() if torch.is_tensor(one)}
    return _tensors(tensors, tensors.__getitem__)


def _tensors(names: Collection[str], get: Callable[[str], torch.Tensor]) -> dict[str, Read]:
    """Return the tensors of a checkpoint; codes take the scale and the zero point that bear their name."""
    roles = {name: role[2] for name in names if (role := _ROLE.fullmatch(name))}
    parts = {(plain(name), role): name for name, role in roles.items() if role in ("scale", "zero_point")}

    def part(owner: str, role: str, shape: torch.Size) -> torch.Tensor | None:
        own = parts.get((owner, role), parts.get((owner.removesuffix(".weight"), role)))
        return None if own is None else _spread(get(own).detach().cpu(), shape)

    def read(name: str, weight: QuantisedWeight) -> Stored:
        codes = get(name).detach().cpu()
        kind = str(codes.dtype).removeprefix("torch.")
        if type(codes) is not torch.Tensor or codes.is_quantized:
            kind, codes = type(codes).__name__, codes.dequantize()
        if codes.dtype == torch.uint8 and 4 * codes.numel() == weight.shape.numel():  # as BitNet packs them
            codes = torch.cat([codes >> bits & 3 for bits in (0, 2, 4, 6)]).to(torch.int8) - 1
        floats = codes.is_floating_point() and codes.dtype.itemsize > 1 and not codes.equal(codes.round())
        scale = None if floats else part(plain(name), "scale", codes.shape)
        if scale is None:  # floats are values, even if a scale lies beside them
            return Stored(kind, codes.double(), codes.dtype)
        zero = part(plain(name), "zero_point", codes.shape)
        shifted = codes.double() if zero is None else codes.double() - zero.double()
        return Stored(kind, shifted * scale.double(), scale.dtype)

    return {name: partial(read, name) for name in names if name not in parts.values()}


def _spread(scale: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """Return the scale of each weight, from one for each block or for each run of weights."""
    sizes = list(zip(shape, scale.shape, strict=False))
    if scale.ndim == len(shape) and all(few and many % few == 0 for many, few in sizes):
        for axis, (many, few) in enumerate(sizes):
            scale = scale.repeat_interleave(many // few, dim=axis)
        return scale
    if not scale.numel() or shape.numel() % scale.numel():
        raise ValueError(f"scales of the shape {tuple(scale.shape)} do not fit codes of {tuple(shape)}")
    return scale.flatten().repeat_interleave(shape.numel() // scale.numel()).reshape(shape)


def _onnx(path: Path) -> Artefact:
    onnx = _needed("onnx")
    evaluator = import_module("onnx.reference").ReferenceEvaluator
    graph = onnx.load(path).graph
    made = {output: node for node in graph.node for output in node.output}
    constants = {one.name: one for one in graph.initializer}
    constants |= {
        name: node.attribute[0].t
        for name, node in made.items()
        if node.op_type == "Constant" and node.attribute[0].name == "value"
    }

    @cache
    def origin(name: str) -> str | None:
        """Return the constant of a tensor that foldable nodes make of constants."""
        if name in constants or name not in made or made[name].op_type not in _FOLDED:
            return name if name in constants else None
        origins = [origin(one) for one in made[name].input if one]
        return None if None in origins else origins[0]

    def fold(name: str, folded: dict[str, Any]) -> Any:
        """Return the value of a tensor; each node is computed once, or a small file could take years."""
        if name not in folded:
            constant = name in constants
            folded[name] = onnx.numpy_helper.to_array(constants[name]) if constant else run(name, folded)
            if len(folded) > _MOST_FOLDED:
                raise ValueError(f"more than {_MOST_FOLDED} tensors lead to one weight")
        return folded[name]

    def run(name: str, folded: dict[str, Any]) -> Any:
        node = made[name]
        feeds = {one: fold(one, folded) for one in set(node.input) if one}
        block = max((one.i for one in node.attribute if one.name == "block_size"), default=0)
        if block * feeds[node.input[-1]].size > 2 * feeds[node.input[0]].size:
            raise ValueError(f"the blocks of {name} are larger than the tensor")
        return evaluator(node).run(None, feeds)[0]

    def read(name: str, start: str, turned: bool, weight: QuantisedWeight) -> Stored:
        array = fold(name, {})
        values = torch.tensor(array.astype("float64"))
        kind = onnx.TensorProto.DataType.Name(constants[start].data_type).lower()
        precision = getattr(torch, str(array.dtype), torch.float32)
        if not turned:
            return Stored(kind, values, precision)
        by_hand = not any(isinstance(layer, nn.Linear) for layer in weight.modules)
        return Stored(kind, _turned(values), precision, (_turned,) if by_hand else ())

    found: dict[str, Read] = {}
    for node in graph.node:
        as_in_torch = any(one.name == "transB" and one.i for one in node.attribute)
        turned = node.op_type == "MatMul" or (node.op_type == "Gemm" and not as_in_torch)
        for index, name in enumerate(node.input if node.op_type not in _FOLDED else ()):
            if (start := origin(name)) is not None and constants[start].dims:
                found.setdefault(start, partial(read, name, start, turned and index == 1))
    return found, plain


def _turned(values: torch.Tensor) -> torch.Tensor:
    return values.transpose(-1, -2)


def _gguf(path: Path) -> Artefact:
    gguf = _needed("gguf")

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
        return Stored(kind, values, precision, (lambda rows: _unrotated(rows, count),) if count else ())

    known = {name: arch for arch, name in gguf.MODEL_ARCH_NAMES.items()}
    arch = known.get(about["architecture"].contents()) if "architecture" in about else None
    blocks = {one.name.split(".")[1] for one in file.tensors if one.name.startswith("blk.")}
    table: Any = None if arch is None else gguf.get_tensor_name_map(arch, len(blocks))

    def alias(name: str) -> str:
        words = plain(name).split(".") if table else ()
        tails = [".".join(words[start:]) for start in range(len(words))]
        tried = [f"{front}{tail}" for tail in tails for front in ("", "model.")]
        return next((known for one in tried if (known := table.get_name(one, (".weight",)))), plain(name))

    return {one.name: partial(read, one) for one in file.tensors}, alias


def _unrotated(rows: torch.Tensor, heads: int) -> torch.Tensor:
    """Undo the order in which llama.cpp stores queries and keys of Llama, for its rotary embedding."""
    if rows.shape[0] % (2 * heads):
        return rows
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).transpose(1, 2).reshape(rows.shape)
