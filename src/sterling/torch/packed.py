"""Nets of a file of `pack` in NumPy: the format, a reader that checks all that a file claims, and the layers.

Nothing here knows PyTorch; `export.py` writes such files.
"""

from __future__ import annotations

import io
import json
import math
import os
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from sterling.base.checks import shown
from sterling.base.files import as_path, printable, unreadable
from sterling.base.resources import require_memory
from sterling.errors import InputError, InputTypeError, StoreError

MAGIC = b"STERLINGBITS\x00\x01"  # the last byte is the version of the format
HEADER = struct.Struct("<Q")
BITS = (1, 2, 4, 8)  # a code may take
_MOST_HEADER = 1 << 24  # bytes of the header
_MOST_LAYERS = 10_000
_BATCH = 256  # inputs that the runtime takes at a time


def pack_codes(codes: np.ndarray, bits: int) -> bytes:
    """Return codes from 0 to 2^bits − 1 as ⌈n·bits/8⌉ bytes, the first in the lowest bits."""
    planes = np.unpackbits(np.ravel(codes).astype(np.uint8)[:, None], axis=1, count=bits, bitorder="little")
    return np.packbits(planes, bitorder="little").tobytes()


def unpack_codes(data: bytes, count: int, bits: int) -> np.ndarray:
    """Return the codes that `pack_codes` packed, uint8 (count,)."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (np.frombuffer(data, np.uint8)[:, None] >> shifts) & ((1 << bits) - 1)
    return codes.reshape(-1)[:count].astype(np.uint8)


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
        Called with an array of inputs it gives the outputs, its method ``predict`` the classes. It needs
        NumPy alone.

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
        return read_packed(content)
    except StoreError as problem:
        raise StoreError(f"{printable(path)} cannot be used: {problem}") from problem
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as problem:
        raise StoreError(
            f"{printable(path)} is damaged or was not written by `pack` ({problem!s:.100}): pack it again"
        ) from problem


def _batch(inputs: Any) -> np.ndarray:
    try:
        x = np.asarray(inputs, np.float32)
    except (ValueError, TypeError) as problem:
        raise InputTypeError(f"inputs are {shown(inputs)}; give an array of numbers") from problem
    if x.ndim < 2:
        raise InputError(f"inputs have the shape {x.shape}; give a batch, whose first axis counts the inputs")
    return x


def read_packed(content: bytes) -> PackedNet:
    stream = io.BytesIO(content)
    if stream.read(len(MAGIC)) != MAGIC:
        raise StoreError("it is no file of `pack` of this version of sterling")
    (length,) = HEADER.unpack(_take(stream, HEADER.size))
    if length > _MOST_HEADER:
        raise StoreError("its header is longer than any that `pack` writes")
    header = json.loads(_take(stream, length))
    described = header["layers"]
    if not isinstance(described, list) or len(described) > _MOST_LAYERS:
        raise StoreError("its list of layers is not one that `pack` writes")
    layers = []
    for one in described:
        kind, settings = one["kind"], one["settings"]
        if not isinstance(kind, str) or kind not in KINDS or set(settings) != set(KINDS[kind][0]):
            raise StoreError(f"it has a layer {shown(kind)} with settings that this sterling does not know")
        read = {name: KINDS[kind][0][name](value) for name, value in settings.items()}
        if None in read.values():
            raise StoreError(f"it has a layer {kind} with the settings {shown(settings)}")
        tensors = {name: _array(entry, stream) for name, entry in one["tensors"].items()}
        layers.append((kind, KINDS[kind][1](read, tensors)))
    if stream.read(1):
        raise StoreError("it has bytes after its last weight")
    return PackedNet(layers)


def _take(stream: io.BytesIO, count: int) -> bytes:
    found = stream.read(min(count, sys.maxsize))  # a file may claim more than any number of bytes
    if len(found) < count:
        raise StoreError("it ends before all of its weights: it is cut off, or its header is wrong")
    return found


def _array(entry: Mapping[str, Any], stream: io.BytesIO) -> np.ndarray:
    shape, bits = entry["shape"], entry["bits"]
    if not isinstance(shape, list) or len(shape) > 4 or not all(_is_count(one) for one in shape):
        raise StoreError(f"it has a tensor of the shape {shown(shape)}")
    count = math.prod(shape)
    if type(bits) is int and bits == 0:
        values = np.frombuffer(_take(stream, 4 * count), "<f4").reshape(shape)
    else:
        levels, scales, low, spacing = (entry[name] for name in ("levels", "scales", "low", "spacing"))
        if type(low) is not int or abs(low) > 1 << 15 or not _is_count(spacing) or spacing > 1 << 15:
            raise StoreError(f"it has codes from {shown(low)}, {shown(spacing)} apart")
        if type(bits) is not int or bits not in BITS or not _is_count(levels) or levels > 2**bits:
            raise StoreError(f"it has a tensor of {shown(levels)} levels in {shown(bits)} bits")
        if not _is_count(scales) or not shape or scales not in (1, shape[0]):
            raise StoreError(f"it has {shown(scales)} scales for a tensor of the shape {shape}")
        stored = unpack_codes(_take(stream, -(-count * bits // 8)), count, bits)
        if count and int(stored.max()) >= levels:
            raise StoreError("it has a code beyond the levels of its tensor")
        unit = np.frombuffer(_take(stream, 4 * scales), "<f4").reshape(scales, 1)
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

#: Kinds of layers: the settings that are written with what reads them, and the runtime.
KINDS: dict[str, tuple[dict[str, Callable[[Any], Any]], Callable[[Settings, Tensors], Layer]]] = {
    "linear": ({}, _linear),
    "conv": ({"stride": _pair(1), "padding": _pair(0), "dilation": _pair(1), "groups": _axis}, _conv),
    "norm": ({"eps": _number}, _norm),
    "relu": ({}, lambda settings, tensors: lambda x: np.maximum(x, 0)),
    "tanh": ({}, lambda settings, tensors: np.tanh),
    "sigmoid": ({}, lambda settings, tensors: lambda x: 1 / (1 + np.exp(-x))),
    "clip": ({"min_val": _number, "max_val": _number}, _clip),
    "flatten": ({"start_dim": _axis, "end_dim": _axis}, _flatten),
    "pool_max": (_WINDOW, _pool(np.max, -np.inf)),
    "pool_mean": (_WINDOW, _pool(np.mean, 0.0)),
    "pool_all": ({}, lambda settings, tensors: lambda x: x.mean(axis=(2, 3), keepdims=True)),
}
