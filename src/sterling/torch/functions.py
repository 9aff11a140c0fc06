"""Step functions with a surrogate gradient: heaviside, sign, and rounding to k levels.

They are autograd functions on the formulas of `sterling.surrogates`. `parametrized` adds scales and layers.
"""

from __future__ import annotations

from typing import Any

import torch

from sterling.base.checks import integer, shown
from sterling.errors import InputError, InputTypeError
from sterling.surrogates import Surrogate, get_surrogate


def heaviside(x: torch.Tensor, surrogate: str | Surrogate = "relu") -> torch.Tensor:
    """Return H(x) = 1 for x > 0, else 0; the backward pass uses the surrogate gradient μ′(x).

    Parameters
    ----------
    x : Tensor
        Values of a floating-point type.
    surrogate : str or Surrogate
        Surrogate gradient: a name or a `Surrogate`.

    Returns
    -------
    Tensor
        0 or 1, in the shape and type of x.

    Raises
    ------
    InputError
        If x is not a floating-point tensor, or no surrogate has that name.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> stt.heaviside(torch.tensor([-0.5, 0.0, 2.0]), "clipped_relu").tolist()
    [0.0, 0.0, 1.0]
    """
    return _step(x, 0, surrogate)


def sign(x: torch.Tensor, surrogate: str | Surrogate = "identity") -> torch.Tensor:
    """Return the sign of x, with sign(0) = +1; the backward pass uses the surrogate gradient μ′(x).

    Parameters
    ----------
    x : Tensor
        Values of a floating-point type.
    surrogate : str or Surrogate
        Surrogate gradient: a name or a `Surrogate`.

    Returns
    -------
    Tensor
        −1 or +1, in the shape and type of x.

    Raises
    ------
    InputError
        If x is not a floating-point tensor, or no surrogate has that name.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> x = torch.tensor([-3.0, 0.0, 1.0], requires_grad=True)
    >>> y = stt.sign(x, "hard_tanh")
    >>> y.tolist()
    [-1.0, 1.0, 1.0]
    >>> y.sum().backward()
    >>> x.grad.tolist()
    [0.0, 1.0, 1.0]
    """
    return _step(x, 2, surrogate)


def round_to(x: torch.Tensor, levels: int, surrogate: str | Surrogate = "identity") -> torch.Tensor:
    """Return the nearest of k evenly spaced levels about zero, as its integer code.

    For odd k the codes are the integers −(k−1)/2 … (k−1)/2, for even k the odd integers −(k−1) … k−1. The
    backward pass uses the surrogate gradient μ′(x/top), where top is the largest code.

    Parameters
    ----------
    x : Tensor
        Values of a floating-point type, in units of the codes.
    levels : int
        k, at least 2; at most 255 if it is odd and 128 if it is even: codes are int8.
    surrogate : str or Surrogate
        Surrogate gradient: a name or a `Surrogate`.

    Returns
    -------
    Tensor
        Codes, in the shape and type of x. A tie goes to the upper level if k is even, and to the even code if
        k is odd, as in `torch.round`.

    Raises
    ------
    InputError
        If x is not a floating-point tensor, k is out of range, or the surrogate is unknown.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> x = torch.tensor([-9.0, -0.4, 0.6, 1.2])
    >>> stt.round_to(x, 3).tolist()
    [-1.0, 0.0, 1.0, 1.0]
    >>> stt.round_to(x, 4).tolist()
    [-3.0, -1.0, 1.0, 1.0]
    """
    return _step(x, checked_levels(levels), surrogate)


def checked_levels(levels: Any) -> int:
    """Return a number of levels whose codes fit into int8."""
    levels = integer(levels, "levels", 2)
    if top_code(levels) > 127:
        raise InputError(
            f"levels is {levels}: codes are int8, so an odd number is at most 255, an even one 128"
        )
    return levels


def top_code(levels: int) -> int:
    """Return the largest code of a number of levels."""
    return (levels - 1) // 2 if levels % 2 else levels - 1


def nearest_code(x: torch.Tensor, levels: int) -> torch.Tensor:
    """Return the codes of the nearest of k levels; sign(0) = +1."""
    if levels == 2:
        return (x >= 0).to(x.dtype).mul_(2).sub_(1)
    top = top_code(levels)
    codes = torch.round(x) + 0.0 if levels % 2 else 2 * torch.floor(x / 2) + 1  # no code is −0.0
    return torch.clamp(codes, -top, top)


class Step(torch.autograd.Function):
    """Codes of the nearest levels, with a surrogate; `levels=0` is the step function H."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: torch.Tensor, levels: int, surrogate: Surrogate) -> torch.Tensor:
        if levels == 0:
            return torch.where(x > 0, torch.ones_like(x), torch.zeros_like(x))
        return nearest_code(x, levels)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        x, ctx.levels, ctx.surrogate = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (x,) = ctx.saved_tensors
        top = float(top_code(ctx.levels)) if ctx.levels else 1.0
        wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
        slope = ctx.surrogate.derivative(wide / top, torch)
        return gradients[0] * slope.to(x.dtype), None, None


def _step(x: Any, levels: int, surrogate: str | Surrogate) -> torch.Tensor:
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        what = f"a tensor of {x.dtype}" if isinstance(x, torch.Tensor) else shown(x)
        raise InputTypeError(f"x is {what}; give a tensor of a floating-point type")
    return Step.apply(x, levels, get_surrogate(surrogate))
