"""One handle for each quantised weight tensor, of whatever framework: latents, values, codes, scale.

`weights.find` gives the handles of a model; monitor, audit and decoding work on them alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from sterling.torch.grids import Grid, GridReader

_PARAMETRIZED = re.compile(r"parametrizations\.(\w+)\.original\d*")

Reading = Callable[[], torch.Tensor]


class QuantisedWeight:
    """A weight tensor that the forward pass sees quantised, and the latents behind it.

    `find` makes them. Each call of `values`, `codes` and `scale` reads the model as it is now.

    Parameters
    ----------
    name : str
        The parameter's name in the model, such as "layers.0.weight".
    latent : Parameter
        The leaf that the optimiser moves.
    modules : iterable of Module
        The layers that use the weight; several where it is tied.
    levels : int
        How many values a weight can take.
    framework : str
        What quantises it, such as "binarize".
    values, codes, scale : function without arguments
        What the methods of these names return.
    places : iterable of str
        The names under which the layers hold the weight; the first is `name`.
    factors : iterable of Parameter
        What is trained where the latents are frozen: the factors of LoRA.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(3, 2)))
    >>> weight = stt.find(model)[0]
    >>> weight
    <QuantisedWeight '0.weight': 6 weights on 2 levels, binarize>
    >>> bool((weight.values() == weight.scale() * weight.codes()).all())
    True
    """

    def __init__(
        self,
        name: str,
        latent: nn.Parameter,
        modules: Iterable[nn.Module],
        levels: int,
        framework: str,
        values: Reading,
        codes: Reading,
        scale: Reading,
        places: Iterable[str] = (),
        factors: Iterable[torch.Tensor] = (),
    ):
        self.name, self.latent, self.modules, self.levels = name, latent, tuple(modules), levels
        self.framework, self.places = framework, tuple(places) or (name,)
        self._factors = tuple(factors)
        self._values, self._codes, self._scale = values, codes, scale

    @torch.no_grad()
    def values(self) -> torch.Tensor:
        """Return the quantised tensor as the forward pass would see it now.

        Returns
        -------
        Tensor
            Detached, in the shape of the latents.
        """
        return self._values().detach()

    @torch.no_grad()
    def codes(self) -> torch.Tensor:
        """Return the levels of the weights as centred integers.

        Binary ones are −1 and +1, ternary ones −1, 0 and +1, others signed integers.

        Returns
        -------
        Tensor
            Of int8, in the shape of the latents.
        """
        return self._codes().detach()

    @torch.no_grad()
    def scale(self) -> torch.Tensor:
        """Return what one unit of a code stands for now.

        Returns
        -------
        Tensor
            It can be broadcast to the weight: values ≈ scale · codes.
        """
        return self._scale().detach()

    @property
    def trained(self) -> tuple[torch.Tensor, ...]:
        """What an optimiser moves: the latents, the factors of LoRA on a frozen weight, or nothing."""
        return (self.latent,) if self.latent.requires_grad else self._factors

    @property
    def merged(self) -> bool:
        """Whether the weight is a frozen one with trained factors (LoRA) merged into it."""
        return bool(self._factors) and not self.latent.requires_grad

    def traced(self) -> torch.Tensor:
        """Return the values with their graph, for gradients of the latents.

        Returns
        -------
        Tensor
            In the shape of the latents.
        """
        with torch.enable_grad():
            return self._values()

    def __repr__(self) -> str:
        size = f"{self.latent.numel():,} weights on {self.levels} levels"
        kind = ", LoRA on a frozen base" if self.merged else "" if self.trained else ", frozen"
        return f"<QuantisedWeight {self.name!r}: {size}, {self.framework}{kind}>"


def on_grid(
    grid: Grid, latent: nn.Parameter, values: Reading, levels: int | None = None, **rest: Any
) -> QuantisedWeight:
    """Return a handle whose codes and scale are read off the values."""
    reader = GridReader(grid)
    return QuantisedWeight(
        latent=latent,
        levels=levels or grid.levels,
        values=values,
        codes=lambda: reader.read(values(), latent).codes,
        scale=lambda: reader.read(values(), latent).scale,
        **rest,
    )


def names_of(model: nn.Module) -> dict[int, list[str]]:
    """Return the names of each parameter by its identity; a latent has the name of what is parametrised."""
    found: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), []).append(_PARAMETRIZED.sub(r"\1", name))
    return found
