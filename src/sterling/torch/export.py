"""Bit-packed nets: a file that holds a code in one or two bits a weight, and NumPy that runs it.

`pack` writes a decoded net, `load_packed` reads and checks one, `to_onnx` writes ONNX. What is packed is a
chain of layers; what a training loop does is no business of this file.
"""

from __future__ import annotations

import copy
import json
import math
import os
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from sterling.base.checks import instance_of, shown
from sterling.base.extras import installed
from sterling.base.files import as_path, printable, unreadable, write_atomically
from sterling.base.resources import require_memory
from sterling.errors import InputError, InputTypeError, StoreError
from sterling.torch.decoding import make_plain
from sterling.torch.grids import find_grid
from sterling.torch.handle import QuantisedWeight
from sterling.torch.taps import unwrapped
from sterling.torch.weights import find

_MAGIC = b"STERLINGBITS\x00\x01"  # the last byte is the version of the format
_HEADER = struct.Struct("<Q")
_MOST_HEADER = 1 << 24  # bytes of the header
_MOST_LAYERS = 10_000
_BATCH = 256  # inputs that the runtime takes at a time
_BITS = (1, 2, 4, 8)  # a code may take
_ROUNDING = 1e-6  # relative, of float32 values that are scale · code


def pack_codes(codes: np.ndarray, bits: int) -> bytes:
    """Return codes from 0 to 2^bits − 1 as ⌈n·bits/8⌉ bytes, the first in the lowest bits."""
    per = 8 // bits
    flat = np.ravel(codes).astype(np.uint8)
    room = np.zeros(-(-flat.size // per) * per, np.uint8)
    room[: flat.size] = flat
    shifts = (np.arange(per, dtype=np.uint8) * bits).astype(np.uint8)
    return np.bitwise_or.reduce(room.reshape(-1, per) << shifts, axis=1).astype(np.uint8).tobytes()


def unpack_codes(data: bytes, count: int, bits: int) -> np.ndarray:
    """Return the codes that `pack_codes` packed, uint8 (count,)."""
    per = 8 // bits
    shifts = (np.arange(per, dtype=np.uint8) * bits).astype(np.uint8)
    codes = (np.frombuffer(data, np.uint8)[:, None] >> shifts) & ((1 << bits) - 1)
    return codes.reshape(-1)[:count].astype(np.uint8)


def pack(model: nn.Module, path: str | os.PathLike) -> int:
    """Write a net of quantised layers as a file with one, two, four or eight bits a weight.

    Parameters
    ----------
    model : Module
        A `Sequential`, nested ones too, of Linear, Conv2d, BatchNorm1d and 2d, ReLU, Tanh, Hardtanh, Sigmoid,
        Flatten, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d to 1 × 1, Identity and Dropout. Weights of Linear and
        Conv2d that lie on an even grid of at most 256 levels, with one scale or one for each output channel,
        are packed; others are written as float32. `decode` gives such a net, and `binarize` too.
    path : path
        Of the file.

    Returns
    -------
    int
        Bytes of the packed weights: n/8 for two levels, n/4 for three and four, each tensor rounded up.

    Raises
    ------
    InputError
        For a layer that the runtime does not know, or a setting of it.
    StoreError
        If the file cannot be written.

    Examples
    --------
    >>> import torch, numpy as np
    >>> import sterling.torch as stt
    >>> from sterling.torch.export import load_packed, pack
    >>> _ = torch.manual_seed(0)
    >>> model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(16, 4)))
    >>> pack(model, "net.bits")
    8
    >>> x = torch.randn(5, 16)
    >>> np.array_equal(load_packed("net.bits").predict(x.numpy()), model(x).argmax(1).numpy())
    True
    """
    instance_of(model, nn.Module, "model", "a torch.nn.Module")
    layers: list[dict[str, Any]] = []
    arrays: list[bytes] = []
    packed = 0
    for name, layer in _chain(unwrapped(model)):
        described = _described(name, layer)
        if described is None:
            continue
        for key, value in _tensors(layer).items():
            if not value.numel() or not bool(value.isfinite().all()):
                raise InputError(f"{key} of layer {name} is empty or not finite, so it cannot be packed")
            if key == "weight" and isinstance(layer, nn.Linear | nn.Conv2d):
                entry, data = _coded(value)
                packed += len(data[0]) if entry["bits"] else 0
            else:
                entry, data = {"bits": 0, "shape": list(value.shape)}, [_floats(value)]
            described["tensors"][key] = entry
            arrays += data
        layers.append(described)
    header = json.dumps({"layers": layers}).encode()

    def fill(stream: Any) -> None:
        stream.write(_MAGIC + _HEADER.pack(len(header)) + header)
        for one in arrays:
            stream.write(one)

    write_atomically(path, fill)
    return packed


class PackedNet:
    """A net in NumPy, as `load_packed` gives it."""

    def __init__(self, layers: list[tuple[str, Callable[[np.ndarray], np.ndarray]]]):
        self._layers = layers  # kind of each, and what it does to a batch

    def __call__(self, inputs: np.ndarray) -> np.ndarray:
        """Return the outputs for a batch of inputs, float32."""
        x = _batch(inputs)
        for kind, apply in self._layers:
            try:
                x = apply(x)
            except ValueError as problem:
                raise InputError(f"inputs of shape {np.shape(inputs)} do not fit layer {kind}") from problem
        return x

    def predict(self, inputs: np.ndarray) -> np.ndarray:
        """Return the class of each input, int64: the place of the largest output."""
        x = _batch(inputs)
        parts = [self(x[i : i + _BATCH]).argmax(axis=1) for i in range(0, len(x), _BATCH)]
        return np.concatenate(parts) if parts else np.zeros(0, np.int64)

    def __repr__(self) -> str:
        return f"<PackedNet: {', '.join(kind for kind, _ in self._layers)}>"


def load_packed(path: str | os.PathLike) -> PackedNet:
    """Read a file of `pack`; all that it claims is checked before it is used.

    Parameters
    ----------
    path : path
        Of the file.

    Returns
    -------
    PackedNet
        It needs NumPy alone.

    Raises
    ------
    StoreError
        If there is no such file, or it is damaged or none of `pack`.
    """
    path = as_path(path)
    reason = unreadable(path)
    if reason is not None:
        raise StoreError(reason)
    size = os.stat(path).st_size
    require_memory(16 * size, "what the file holds")
    with open(path, "rb") as stream:
        content = stream.read(size)
    try:
        return _read(content)
    except StoreError as problem:
        raise StoreError(f"{printable(path)} cannot be used: {problem}") from problem
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as problem:
        raise StoreError(
            f"{printable(path)} is damaged or was not written by `pack` ({problem!s:.100}): pack it again"
        ) from problem


def to_onnx(model: nn.Module, path: str | os.PathLike, example: Any, check: bool = True) -> float:
    """Write a net as ONNX, with its weights as the forward pass sees them.

    Parameters
    ----------
    model : Module
        In eval mode its forward pass must be traceable.
    path : path
        Of the file.
    example : Tensor or tuple
        What the model is called with; the first axis is the batch, of any size later.
    check : bool
        Run the file on the example in onnxruntime and compare.

    Returns
    -------
    float
        The largest difference of an output from PyTorch's; NaN without a check.

    Raises
    ------
    InputError
        If ONNX, or for the check onnxruntime, is not installed, or the largest outputs differ.
    StoreError
        If the file cannot be written.
    """
    instance_of(model, nn.Module, "model", "a torch.nn.Module")
    needed = ["onnx", "onnxscript", *(["onnxruntime"] if check else [])]
    missing = [name for name in needed if installed(name) is None]
    if missing:
        raise InputError(f"this needs {', '.join(missing)}: pip install {' '.join(missing)}")
    arguments = tuple(example) if isinstance(example, tuple | list) else (example,)
    net = _plain_copy(model)
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} if isinstance(one, torch.Tensor) and one.ndim else None for one in arguments)
    try:
        program: Any = torch.onnx.export(net, arguments, dynamo=True, dynamic_shapes=shapes, verbose=False)
        data = program.model_proto.SerializeToString()
        worst = _compare(data, net, arguments) if check else math.nan
    except InputError:
        raise
    except Exception as problem:  # whatever exporter and runtime raise
        cause = problem.__cause__ or problem
        words = " ".join(str(cause).split())[:200]
        raise InputError(
            f"the model cannot be written as ONNX ({type(cause).__name__}: {words}); it must be traceable, "
            "and the example what it is called with: a tensor, or a tuple of arguments"
        ) from problem
    write_atomically(path, data)
    return worst


def _compare(data: bytes, net: nn.Module, arguments: tuple[Any, ...]) -> float:
    import onnxruntime  # pyright: ignore[reportMissingImports]

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    given = {name: one.detach().numpy() for name, one in zip(names, arguments, strict=True)}
    with torch.no_grad():
        ours = [one.numpy() for one in tree_leaves(net(*arguments))]
    worst = 0.0
    for mine, theirs in zip(ours, session.run(None, given), strict=True):
        if not np.array_equal(np.asarray(theirs).argmax(-1), mine.argmax(-1)):
            raise InputError("onnxruntime's largest outputs are not PyTorch's: the file was not written")
        worst = max(worst, float(np.abs(theirs - mine).max()))
    return worst


def _plain_copy(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode whose layers of `binarize` hold what the forward pass sees."""
    model = unwrapped(model)
    net = copy.deepcopy(model)
    try:
        weights: list[QuantisedWeight] = [one for one in find(model) if one.framework == "binarize"]
    except InputError:  # a decoded net has none
        weights = []
    for weight in weights:
        make_plain(net, weight, weight.values())
    return net.eval()


def _batch(inputs: Any) -> np.ndarray:
    try:
        x = np.asarray(inputs, np.float32)
    except (ValueError, TypeError) as problem:
        raise InputTypeError(f"inputs are {shown(inputs)}; give an array of numbers") from problem
    if x.ndim < 2:
        raise InputError(f"inputs have the shape {x.shape}; give a batch, whose first axis counts the inputs")
    return x


# writing


def _chain(model: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Return the layers of a chain in order, with their names."""
    if not isinstance(model, nn.Sequential):
        return [(prefix or "the model", model)]
    if type(model).forward is not nn.Sequential.forward or _hooked(model):
        raise InputError(f"{prefix or 'the model'} is a Sequential with a forward pass or hooks of its own")
    found = []
    for name, layer in model._modules.items():  # a layer that stands twice in the chain is there twice
        found += _chain(layer, f"{prefix}.{name}" if prefix else name)
    return found


def _described(name: str, layer: nn.Module) -> dict[str, Any] | None:
    """Return kind and settings of a layer; None where it does nothing in use."""
    if isinstance(layer, nn.Identity | nn.Dropout):
        return None
    for kind, (types, settings, _) in _KINDS.items():
        # A parametrised layer has a class of its own, below that of the layer.
        if isinstance(layer, types) and type(layer).forward is types.forward:
            if not _runs(layer) or _hooked(layer):
                break
            given = {key: _plain(getattr(layer, key)) for key in settings}
            return {"kind": kind, "settings": given, "tensors": {}}
    raise InputError(
        f"layer {name} ({type(layer).__name__}) cannot be packed with these settings: `pack` takes chains of "
        "the layers that its docstring names"
    )


def _hooked(layer: nn.Module) -> bool:
    return bool(layer._forward_hooks or layer._forward_pre_hooks)


def _runs(layer: Any) -> bool:
    """Whether the runtime knows the settings of a layer of a known kind."""
    if isinstance(layer, nn.Conv2d):
        return layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    if isinstance(layer, nn.MaxPool2d):
        return not layer.ceil_mode and layer.dilation in (1, (1, 1)) and not layer.return_indices
    if isinstance(layer, nn.AvgPool2d):
        return not layer.ceil_mode and layer.divisor_override is None and layer.count_include_pad
    if isinstance(layer, nn.AdaptiveAvgPool2d):
        return layer.output_size in (1, (1, 1))
    return getattr(layer, "running_mean", True) is not None


def _tensors(layer: nn.Module) -> dict[str, torch.Tensor]:
    names = ("weight", "bias", "running_mean", "running_var")
    found = {name: getattr(layer, name, None) for name in names}
    return {name: one.detach().cpu() for name, one in found.items() if isinstance(one, torch.Tensor)}


def _coded(values: torch.Tensor) -> tuple[dict[str, Any], list[bytes]]:
    """Return how a weight is written, and its bytes: codes and scales where it is on a grid, else floats."""
    array = values.float().numpy()
    grid = find_grid(values)
    plain = {"bits": 0, "shape": list(array.shape)}, [_floats(values)]
    if grid is None or not grid.even or grid.sharing not in ("tensor", "channel"):
        return plain
    codes = grid.codes.numpy().astype(np.int64)
    low = int(codes.min())
    spacing = int(np.gcd.reduce((codes - low).ravel())) or 1
    levels = (int(codes.max()) - low) // spacing + 1
    unit = grid.scale.float().expand(values.shape).reshape(len(array), -1)[:, 0].numpy()
    unit = unit[:1] if grid.sharing == "tensor" else unit
    back = (codes.reshape(len(array), -1) * unit[:, None]).reshape(array.shape)
    if levels > 256 or not np.allclose(back, array, rtol=_ROUNDING, atol=0):
        return plain
    bits = next(one for one in _BITS if 2**one >= levels)
    entry = {"bits": bits, "levels": levels, "low": low, "spacing": spacing, "shape": list(array.shape)}
    entry["scales"] = len(unit)
    return entry, [pack_codes((codes - low) // spacing, bits), unit.astype("<f4").tobytes()]


def _floats(values: torch.Tensor) -> bytes:
    return values.float().numpy().astype("<f4").tobytes()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


# reading


class _Cursor:
    """Takes bytes one after the other, and never more than there are."""

    def __init__(self, content: bytes, at: int):
        self.content, self.at = content, at

    def take(self, count: int) -> bytes:
        if count > len(self.content) - self.at:
            raise StoreError("it ends before all of its weights: it is cut off, or its header is wrong")
        self.at += count
        return self.content[self.at - count : self.at]


def _read(content: bytes) -> PackedNet:
    if content[: len(_MAGIC)] != _MAGIC:
        raise StoreError("it is no file of `pack` of this version of sterling")
    cursor = _Cursor(content, len(_MAGIC))
    (length,) = _HEADER.unpack(cursor.take(_HEADER.size))
    if length > _MOST_HEADER:
        raise StoreError("its header is longer than any that `pack` writes")
    header = json.loads(cursor.take(length))
    described = header["layers"]
    if not isinstance(described, list) or len(described) > _MOST_LAYERS:
        raise StoreError("its list of layers is not one that `pack` writes")
    layers = []
    for one in described:
        kind, settings = one["kind"], one["settings"]
        if not isinstance(kind, str) or kind not in _KINDS or set(settings) != set(_KINDS[kind][1]):
            raise StoreError(f"it has a layer {shown(kind)} with settings that this sterling does not know")
        read = {name: _KINDS[kind][1][name](value) for name, value in settings.items()}
        if None in read.values():
            raise StoreError(f"it has a layer {kind} with the settings {shown(settings)}")
        tensors = {name: _array(entry, cursor) for name, entry in one["tensors"].items()}
        layers.append((kind, _KINDS[kind][2](read, tensors)))
    if cursor.at != len(content):
        raise StoreError("it has bytes after its last weight")
    return PackedNet(layers)


def _array(entry: Mapping[str, Any], cursor: _Cursor) -> np.ndarray:
    shape, bits = entry["shape"], entry["bits"]
    if not isinstance(shape, list) or len(shape) > 4 or not all(_is_count(one) for one in shape):
        raise StoreError(f"it has a tensor of the shape {shown(shape)}")
    count = math.prod(shape)
    if type(bits) is int and bits == 0:
        values = np.frombuffer(cursor.take(4 * count), "<f4").reshape(shape)
    else:
        levels, scales, low, spacing = (entry[name] for name in ("levels", "scales", "low", "spacing"))
        if type(low) is not int or abs(low) > 1 << 15 or not _is_count(spacing) or spacing > 1 << 15:
            raise StoreError(f"it has codes from {shown(low)}, {shown(spacing)} apart")
        if type(bits) is not int or bits not in _BITS or not _is_count(levels) or levels > 2**bits:
            raise StoreError(f"it has a tensor of {shown(levels)} levels in {shown(bits)} bits")
        if not _is_count(scales) or not shape or scales not in (1, shape[0]):
            raise StoreError(f"it has {shown(scales)} scales for a tensor of the shape {shape}")
        stored = unpack_codes(cursor.take(-(-count * bits // 8)), count, bits)
        if count and int(stored.max()) >= levels:
            raise StoreError("it has a code beyond the levels of its tensor")
        unit = np.frombuffer(cursor.take(4 * scales), "<f4").reshape(scales, 1)
        codes = stored.astype(np.float32) * spacing + low
        values = (codes.reshape(shape[0], -1) * unit).astype(np.float32).reshape(shape)
    if not np.all(np.isfinite(values)):
        raise StoreError("it has a weight that is no finite number")
    return values


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 1 << 40


def _pair(least: int) -> Callable[[Any], tuple[int, int] | None]:
    """Return what reads one number or two, as of a kernel; None stands for no such thing."""

    def read(value: Any) -> tuple[int, int] | None:
        both = value if isinstance(value, list) else [value, value]
        fits = len(both) == 2 and all(type(one) is int and least <= one <= 1 << 16 for one in both)
        return (both[0], both[1]) if fits else None

    return read


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) and math.isfinite(value) else None


def _axis(value: Any) -> int | None:
    return value if type(value) is int and abs(value) <= 1 << 16 else None


Settings = dict[str, Any]
Tensors = dict[str, np.ndarray]
Layer = Callable[[np.ndarray], np.ndarray]


def _linear(settings: Settings, tensors: Tensors) -> Layer:
    weight, bias = tensors["weight"], tensors.get("bias", np.float32(0))
    if weight.ndim != 2:
        raise StoreError("a linear layer has a weight that is no matrix")
    return lambda x: x @ weight.T + bias


def _conv(settings: Settings, tensors: Tensors) -> Layer:
    weight, bias = tensors["weight"], tensors.get("bias")
    stride, padding = settings["stride"], settings["padding"]
    dilation, groups = settings["dilation"], settings["groups"]
    if weight.ndim != 4 or groups < 1 or len(weight) % groups:
        raise StoreError("a convolution has a weight that does not fit its settings")
    out, kernel = len(weight), weight.shape[2:]

    def apply(x: np.ndarray) -> np.ndarray:
        windows = _windows(x, kernel, stride, padding, dilation, 0.0)
        batch, channels, high, wide = windows.shape[:4]
        grouped = windows.reshape(batch, groups, channels // groups, high, wide, *kernel)
        kernels = weight.reshape(groups, out // groups, *weight.shape[1:])
        y = np.einsum("ngchwij,gocij->ngohw", grouped, kernels, optimize=True).reshape(batch, out, high, wide)
        return y if bias is None else y + bias[:, None, None]

    return apply


def _norm(settings: Settings, tensors: Tensors) -> Layer:
    mean, variance = tensors["running_mean"], tensors["running_var"]
    if np.any(variance < 0):
        raise StoreError("a batch norm has a negative variance")
    factor = tensors.get("weight", np.float32(1)) / np.sqrt(variance + np.float32(settings["eps"]))
    shift = tensors.get("bias", np.float32(0)) - mean * factor

    def apply(x: np.ndarray) -> np.ndarray:
        shape = (1, -1) + (1,) * (x.ndim - 2)
        return (x * factor.reshape(shape) + shift.reshape(shape)).astype(np.float32)

    return apply


def _pool(reduce: Callable[..., np.ndarray], filler: float) -> Callable[[Settings, Tensors], Layer]:
    def make(settings: Settings, tensors: Tensors) -> Layer:
        kernel, stride = settings["kernel_size"], settings["stride"]
        padding = settings["padding"]
        return lambda x: reduce(_windows(x, kernel, stride, padding, (1, 1), filler), axis=(-2, -1))

    return make


def _windows(
    x: np.ndarray,
    kernel: tuple[int, ...],
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    filler: float,
) -> np.ndarray:
    """Return what each place of a kernel sees: (batch, channels, height, width, *kernel)."""
    if x.ndim != 4:
        raise ValueError("no image")
    edges = [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2]
    if max(padding) > max(kernel):  # as no net has it, but a damaged file may
        size = math.prod(n + sum(edge) for n, edge in zip(x.shape, edges, strict=True))
        require_memory(4 * size, "the padded images")
    x = np.pad(x, edges, constant_values=filler)
    reach = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True))
    seen = np.lib.stride_tricks.sliding_window_view(x, reach, axis=(2, 3))
    return seen[:, :, :: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]


def _flatten(settings: Settings, tensors: Tensors) -> Layer:
    if (settings["start_dim"], settings["end_dim"]) != (1, -1):
        raise StoreError("a Flatten of other axes than all but the first")
    return lambda x: x.reshape(len(x), -1)


def _clip(settings: Settings, tensors: Tensors) -> Layer:
    low, high = settings["min_val"], settings["max_val"]
    return lambda x: np.clip(x, np.float32(low), np.float32(high))


_WINDOW = {"kernel_size": _pair(1), "stride": _pair(1), "padding": _pair(0)}

#: Kinds of layers: their class in PyTorch, the settings that are written with what reads them, the runtime.
_KINDS: dict[str, tuple[Any, dict[str, Callable[[Any], Any]], Callable[[Settings, Tensors], Layer]]] = {
    "linear": (nn.Linear, {}, _linear),
    "conv": (
        nn.Conv2d,
        {"stride": _pair(1), "padding": _pair(0), "dilation": _pair(1), "groups": _axis},
        _conv,
    ),
    "norm": (nn.modules.batchnorm._BatchNorm, {"eps": _number}, _norm),
    "relu": (nn.ReLU, {}, lambda settings, tensors: lambda x: np.maximum(x, 0)),
    "tanh": (nn.Tanh, {}, lambda settings, tensors: np.tanh),
    "sigmoid": (nn.Sigmoid, {}, lambda settings, tensors: lambda x: 1 / (1 + np.exp(-x))),
    "clip": (nn.Hardtanh, {"min_val": _number, "max_val": _number}, _clip),
    "flatten": (nn.Flatten, {"start_dim": _axis, "end_dim": _axis}, _flatten),
    "pool_max": (nn.MaxPool2d, _WINDOW, _pool(np.max, -np.inf)),
    "pool_mean": (nn.AvgPool2d, _WINDOW, _pool(np.mean, 0.0)),
    "pool_all": (
        nn.AdaptiveAvgPool2d,
        {},
        lambda settings, tensors: lambda x: x.mean(axis=(2, 3), keepdims=True),
    ),
}
