"""The gradient of `torch.clamp` at its bounds: 1 up to PyTorch 2.13, 0 since 2.14.

It matters for quantisers that clamp rounded values, of weights or of activations: all that is on an outermost
level then lies on a bound.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from sterling.base.checks import integer

_CLAMPS = frozenset((torch.clamp, torch.clip, torch.Tensor.clamp, torch.Tensor.clip))


class ClampGradient(TorchFunctionMode):
    """A context that sets the gradient of `torch.clamp` at its bounds, in any version of PyTorch.

    Parameters
    ----------
    at_bound : int
        1, as up to PyTorch 2.13, or 0, as since 2.14.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> x = torch.tensor([0.5, 1.0, 2.0], requires_grad=True)
    >>> with stt.ClampGradient(at_bound=0):
    ...     x.clamp(-1, 1).sum().backward()
    >>> x.grad.tolist()
    [1.0, 0.0, 0.0]
    """

    def __init__(self, at_bound: int):
        super().__init__()
        self.at_bound = integer(at_bound, "at_bound", 0, 1)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {**dict(zip(("input", "min", "max"), args, strict=False)), **(kwargs or {})}
        if func not in _CLAMPS or not given["input"].is_floating_point():
            return func(*args, **(kwargs or {}))
        x, low, high = given["input"], given.get("min"), given.get("max")
        if high is not None:
            x = torch.where(x <= high if self.at_bound else x < high, x, high)
        if low is not None:
            x = torch.where(x >= low if self.at_bound else x > low, x, low)
        return x


def present_gradient() -> int:
    """Return the gradient of `torch.clamp` at its bounds in this context: 0 or 1."""
    x = torch.ones((), requires_grad=True)
    with torch.enable_grad():
        return int(torch.autograd.grad(x.clamp(-1, 1), x)[0])
