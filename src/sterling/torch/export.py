"""`to_onnx` writes a net as ONNX, with the weights that its forward pass sees."""

from __future__ import annotations

import copy
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
from sterling.torch.parametrized import quantisers, unbinarize
from sterling.torch.taps import in_one_sentence, unwrapped


def to_onnx(model: nn.Module, path: str | os.PathLike, example: Any, check: bool = True) -> float:
    """Write a net as ONNX, with its weights as the forward pass sees them.

    Parameters
    ----------
    model : Module
        Its forward pass in eval mode must be traceable.
    path : path
        The ONNX file.
    example : Tensor or tuple
        Arguments of the model. The first axis is the batch, which may have any size later.
    check : bool
        Run the file on the example in onnxruntime and compare.

    Returns
    -------
    float
        The largest difference between outputs of onnxruntime and PyTorch; NaN without a check.

    Raises
    ------
    InputError
        If ONNX (or onnxruntime for the check) is not installed, or the largest outputs differ.
    StoreError
        If the file cannot be written.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> net = stt.binarize(torch.nn.Sequential(torch.nn.Linear(8, 1)))
    >>> stt.to_onnx(net, "net.onnx", torch.randn(4, 8)) < 1e-5  # doctest: +SKIP
    True
    """
    instance_of(model, nn.Module, "model", "a torch.nn.Module")
    needed = ["onnx", "onnxscript", *(["onnxruntime"] if check else [])]
    missing = [name for name in needed if installed(name) is None]
    if missing:
        raise InputError(f"this needs {', '.join(missing)}: pip install {' '.join(missing)}")
    arguments = tuple(example) if isinstance(example, tuple | list) else (example,)
    net = copy.deepcopy(unwrapped(model)).eval()
    if quantisers(net):
        unbinarize(net, keep="quantised")
    batch = torch.export.Dim("batch")
    shapes = tuple({0: batch} if isinstance(one, torch.Tensor) and one.ndim else None for one in arguments)
    advice = "it must be traceable, and the example its arguments: a tensor, or a tuple of them"
    with in_one_sentence("the model cannot be written as ONNX", advice):
        try:
            program: Any = torch.onnx.export(
                net, arguments, dynamo=True, dynamic_shapes=shapes, verbose=False
            )
        except Exception as problem:  # the message of its cause is shorter and clearer
            raise problem.__cause__ or problem from None
        data = program.model_proto.SerializeToString()
        largest = _compared(data, net, arguments) if check else math.nan
    write_atomically(path, data)
    return largest


def _compared(data: bytes, net: nn.Module, arguments: tuple[Any, ...]) -> float:
    import onnxruntime  # pyright: ignore[reportMissingImports]

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    given = {name: one.detach().numpy() for name, one in zip(names, arguments, strict=True)}
    with torch.no_grad():
        expected = [one.numpy() for one in tree_leaves(net(*arguments))]
    largest = 0.0
    for ours, found in zip(expected, session.run(None, given), strict=True):
        if not np.array_equal(np.asarray(found).argmax(-1), ours.argmax(-1)):
            raise InputError(
                "the largest outputs of onnxruntime and PyTorch differ: the file was not written"
            )
        largest = max(largest, float(np.abs(found - ours).max()))
    return largest
