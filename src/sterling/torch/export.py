"""What leaves a training loop: `pack` writes a net with one to eight bits a weight, `to_onnx` writes ONNX.

What is packed is a chain of layers; `packed.py` has the format, and NumPy that runs it.
"""

from __future__ import annotations

import copy
import json
import math
import os
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from sterling.base.checks import instance_of
from sterling.base.extras import installed
from sterling.base.files import write_atomically
from sterling.errors import InputError
from sterling.torch.decoding import make_plain
from sterling.torch.grids import find_grid
from sterling.torch.packed import BITS, HEADER, KINDS, MAGIC, pack_codes, read_packed
from sterling.torch.taps import in_one_sentence, unwrapped
from sterling.torch.weights import find

_ROUNDING = 1e-6  # relative, of float32 values that are scale · code
_CLOSE = 1e-3  # of the largest output: by so much a packed net may differ

#: What is packed, by the kinds of `packed.py`.
_TYPES: dict[str, Any] = {
    "linear": nn.Linear,
    "conv": nn.Conv2d,
    "norm": nn.modules.batchnorm._BatchNorm,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "clip": nn.Hardtanh,
    "flatten": nn.Flatten,
    "pool_max": nn.MaxPool2d,
    "pool_mean": nn.AvgPool2d,
    "pool_all": nn.AdaptiveAvgPool2d,
}


def pack(model: nn.Module, path: str | os.PathLike, example: torch.Tensor | None = None) -> int:
    """Write a net of quantised layers as a file with one, two, four or eight bits a weight.

    Parameters
    ----------
    model : Module
        A `Sequential`, nested ones too, of Linear, Conv2d, BatchNorm1d and 2d, ReLU, Tanh, Hardtanh, Sigmoid,
        Flatten, MaxPool2d, AvgPool2d, AdaptiveAvgPool2d to 1 × 1, Identity and Dropout. Weights of Linear and
        Conv2d that lie on an even grid of at most 256 levels, with one scale or one for each output channel,
        are packed; others are written as float32. `binarize` gives such a net.
    path : path
        Of the file.
    example : Tensor, optional
        Inputs that the model can be called with. With them layers that quantise in a forward pass of their
        own are packed as well, such as those of torchao, Brevitas and yours: as Linear or Conv2d with the
        weights that they see. The file is run on the example and compared.

    Returns
    -------
    int
        Bytes of the packed weights: n/8 for two levels, n/4 for three and four, each tensor rounded up.

    Raises
    ------
    InputError
        For a layer that the runtime does not know, or a setting of it; if the file gives other outputs for
        the example.
    StoreError
        If the file cannot be written.

    Examples
    --------
    >>> import torch, numpy as np
    >>> import sterling.torch as stt
    >>> _ = torch.manual_seed(0)
    >>> model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(16, 4)))
    >>> stt.pack(model, "net.bits")
    8
    >>> x = torch.randn(5, 16)
    >>> np.array_equal(stt.load_packed("net.bits").predict(x.numpy()), model(x).argmax(1).numpy())
    True
    """
    instance_of(model, nn.Module, "model", "a torch.nn.Module")
    layers: list[dict[str, Any]] = []
    arrays: list[bytes] = []
    packed = 0
    net, wanted = unwrapped(model), None
    if example is not None:
        wanted = _outputs(net, example)
        net = _plain_copy(net, example)
    for name, layer in _chain(net):
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
    data = b"".join([MAGIC, HEADER.pack(len(header)), header, *arrays])
    if example is not None and wanted is not None:
        given = read_packed(data)(example.cpu().numpy())
        if not np.allclose(given, wanted, rtol=0, atol=_CLOSE * float(np.abs(wanted).max())):
            raise InputError(
                "the packed net does not give the model's outputs, so a layer does more than quantise its "
                "weights: nothing was written"
            )
    write_atomically(path, data)
    return packed


@torch.no_grad()
def _outputs(model: nn.Module, example: torch.Tensor) -> np.ndarray:
    instance_of(example, torch.Tensor, "example", "a tensor, which the model is called with")
    with in_one_sentence("the model cannot be run on the example", "give inputs that it can be called with"):
        return copy.deepcopy(model).eval()(example).cpu().numpy()


def _plain_copy(model: nn.Module, example: torch.Tensor | None = None) -> nn.Module:
    """Return a copy in eval mode whose layers of `binarize` hold what the forward pass sees.

    With an example layers with forward passes of their own are made plain as well.
    """
    net = copy.deepcopy(unwrapped(model)).eval()
    try:
        found = find(net, example)
    except InputError:  # a decoded net has none
        found = []
    seen = [(one, one.values()) for one in found if example is not None or one.framework == "binarize"]
    for weight, values in seen:
        make_plain(net, weight, values)
    if example is None:
        return net
    for layer in net.modules():
        for plain in (nn.Linear, nn.Conv2d):
            if isinstance(layer, plain) and type(layer).forward is not plain.forward:
                layer.__class__ = plain  # type: ignore[assignment]
    return net


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
    advice = "it must be traceable, and the example what it is called with: a tensor, or a tuple of arguments"
    with in_one_sentence("the model cannot be written as ONNX", advice):
        try:
            program: Any = torch.onnx.export(
                net, arguments, dynamo=True, dynamic_shapes=shapes, verbose=False
            )
        except Exception as problem:  # the exporter's words are long, those of its cause say more
            raise problem.__cause__ or problem from None
        data = program.model_proto.SerializeToString()
        worst = _compare(data, net, arguments) if check else math.nan
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


def _chain(model: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """Return the layers of a chain in order, with their names."""
    if not isinstance(model, nn.Sequential):
        return [(prefix, model)]
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
    for kind, types in _TYPES.items():
        # A parametrised layer has a class of its own, below that of the layer.
        if isinstance(layer, types) and type(layer).forward is types.forward:
            if not _runs(layer) or _hooked(layer):
                raise InputError(f"{_named(name, layer)} has hooks or settings that packed nets do not know")
            given = {key: _plain(getattr(layer, key)) for key in KINDS[kind][0]}
            return {"kind": kind, "settings": given, "tensors": {}}
    if isinstance(layer, nn.Linear | nn.Conv2d):
        why = "has a forward pass of its own: give `example`, so that what it does can be compared"
    elif name:
        why = "cannot be packed: `pack` takes chains of the layers that its docstring names"
    else:
        why = "is no Sequential: give the part of the model that is one"
    raise InputError(f"{_named(name, layer)} {why}")


def _named(name: str, layer: nn.Module) -> str:
    return f"{f'layer {name}' if name else 'the model'} ({type(layer).__name__})"


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
    bits = next(one for one in BITS if 2**one >= levels)
    entry = {"bits": bits, "levels": levels, "low": low, "spacing": spacing, "shape": list(array.shape)}
    entry["scales"] = len(unit)
    return entry, [pack_codes((codes - low) // spacing, bits), unit.astype("<f4").tobytes()]


def _floats(values: torch.Tensor) -> bytes:
    return values.float().numpy().astype("<f4").tobytes()


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
