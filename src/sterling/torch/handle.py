"""A handle for each quantised weight tensor of any framework: latents, values, codes, scale.

`weights.find` returns the handles of a model; monitor, audit and decoding use nothing else of a framework.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import permutations
from typing import Any

import torch
from torch import nn

from sterling.base.checks import instance_of, shown
from sterling.errors import InputError
from sterling.torch.grids import Reading
from sterling.torch.rounding import CodeReader

_PACKED = 65  # more than the codes in a word
PARAMETRIZED = re.compile(r"parametrizations\.(\w+)\.original\d*")


class QuantisedWeight:
    """A weight tensor that the forward pass quantises, and its latents.

    `find` returns these. Each call of `values`, `codes` and `scale` reads the current model.

    Parameters
    ----------
    latent : Parameter or Tensor
        The leaf that the optimiser moves. Without latents: the tensor that holds the codes, perhaps packed.
    levels : int
        Number of values that a weight can take.
    framework : str
        Name of its quantiser's framework, such as "binarize".
    values, codes, scale : function without arguments
        Functions that the methods of these names call.
    name : str
        The parameter's name in the model, such as "layers.0.weight".
    modules : iterable of Module
        The layers that use the weight; several if it is tied.
    places : iterable of str
        The names under which the layers hold the weight; the first is `name`.
    factors : iterable of Parameter
        The factors of LoRA or learned scales, which are trained if the latents are frozen.
    dequantise : function of codes, optional
        Function that the method of this name calls; by default it multiplies codes by the scale.
    shape : Size, optional
        Shape of the codes; by default that of the latents.
    stored : bool
        Whether there are no latents, because a buffer or parameter holds the codes.

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
        latent: torch.Tensor,
        levels: int,
        framework: str,
        values: Reading,
        codes: Reading,
        scale: Reading,
        name: str = "",
        modules: Iterable[nn.Module] = (),
        places: Iterable[str] = (),
        factors: Iterable[torch.Tensor] = (),
        dequantise: Callable[[torch.Tensor], torch.Tensor] | None = None,
        shape: torch.Size | None = None,
        stored: bool = False,
    ):
        self.name, self.latent, self.modules, self.levels = name, latent, tuple(modules), levels
        self.framework, self.places = framework, tuple(places) or (name,)
        self.shape, self.stored = latent.shape if shape is None else shape, stored
        self._factors, self._dequantise = tuple(factors), dequantise
        self._values, self._codes, self._scale = values, codes, scale
        self.reader: CodeReader | None = None  # of weights that are read off their levels
        self.turned: bool | None = None  # whether inputs are multiplied by its transpose, if that is known

    @torch.no_grad()
    def values(self) -> torch.Tensor:
        """Return the quantised tensor that the forward pass would use now.

        Returns
        -------
        Tensor
            Detached, of the shape `shape`.
        """
        return self._values().detach()

    @torch.no_grad()
    def codes(self) -> torch.Tensor:
        """Return the levels of the weights as centred integers, such as −1, 0 and +1.

        Returns
        -------
        Tensor
            int8, or int16 if a code lies beyond −128 to 127; of the shape `shape`.
        """
        return self._codes().detach()

    @torch.no_grad()
    def scale(self) -> torch.Tensor:
        """Return the current value of one unit of a code.

        Returns
        -------
        Tensor
            Broadcasts to the weight: values ≈ scale · codes.
        """
        return self._scale().detach()

    @torch.no_grad()
    def dequantise(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the values that the weight would have with these codes and its current levels.

        Parameters
        ----------
        codes : Tensor
            Codes of the shape `shape`.

        Returns
        -------
        Tensor
            Of the shape `shape` and the type of the values.

        Raises
        ------
        InputError
            If the levels are uneven and no weight is on one of them now.
        """
        if self._dequantise is not None:
            return self._dequantise(codes).detach()
        scale = self.scale()
        return scale * codes.to(scale.dtype)

    @property
    def trained(self) -> tuple[torch.Tensor, ...]:
        """The parameters that an optimiser moves: the latents, or the factors of LoRA or scales, or none."""
        return (self.latent,) if self.latent.requires_grad else self._factors

    @property
    def lora(self) -> list[torch.Tensor]:
        """The trained factors whose product has the shape of frozen latents."""
        shapes = [(one, one.flatten(1).shape) for one in self._factors if one.ndim > 1]
        for (one, left), (two, right) in permutations(shapes, 2):
            sizes = sorted((left[0], right[1]))  # an embedding takes the transpose
            if left[1] == right[0] and sizes == sorted(self.latent.flatten(1).shape):
                return [] if self.latent.requires_grad else [one, two]
        return []

    @property
    def merged(self) -> bool:
        """Whether the weight is frozen and has trained factors (LoRA) merged into it."""
        return bool(self.lora)

    def __repr__(self) -> str:
        size = f"{self.shape.numel():,} weights on {self.levels} levels"
        kind = ", LoRA on a frozen base" if self.merged else ""
        if not self.merged and not self.trained:
            kind = ", without latents" if self.stored else ", frozen"
        return f"<QuantisedWeight {self.name!r}: {size}, {self.framework}{kind}>"


def on_grid(reader: CodeReader, latent: torch.Tensor, framework: str, **rest: Any) -> QuantisedWeight:
    """Return a handle of a weight that a reader has found on levels."""
    if reader.unsure():
        raise InputError(
            f"the codes of {rest.get('name', 'a weight')!r} cannot be known from its values alone, and no "
            "operation of PyTorch rounds them: give `codes`"
        )
    weight = QuantisedWeight(
        latent,
        reader.levels,
        framework,
        reader.values,
        reader.codes,
        scale=lambda: reader.read().scale,
        dequantise=reader.dequantise,
        shape=reader.shape,
        **rest,
    )
    weight.reader = reader
    return weight


def names_of(model: nn.Module) -> dict[int, list[str]]:
    """Return the names of each parameter and buffer by its identity; a latent has the quantised weight's."""
    found: dict[int, list[str]] = {}
    for name, one in (
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ):
        found.setdefault(id(one), []).append(PARAMETRIZED.sub(r"\1", name))
    return found


def named(names: Mapping[Any, Iterable[str]], patterns: Any, what: str, where: str = "the model") -> set[Any]:
    """Return the keys with a name that a pattern means; it may mean a tensor, or a layer that holds it."""
    found: set[Any] = set()
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        instance_of(pattern, str, f"an entry of {what}", "the name of a layer or tensor, or a pattern")
        hits = {key for key, mine in names.items() if any(_inside(one, pattern) for one in mine)}
        if not hits and pattern != "*":
            raise InputError(f"{what} names {shown(pattern)}, but {where} has no such layer or tensor")
        found |= hits
    return found


def _inside(name: str, pattern: str) -> bool:
    words = name.split(".")
    return any(fnmatchcase(".".join(words[:end]), pattern) for end in range(1, len(words) + 1))


def holders(tensors: Iterable[torch.Tensor], size: int) -> list[torch.Tensor]:
    """Return the tensors that can hold codes of a number of weights, each alone or packed into words."""
    found = []
    for one in tensors:
        words = one.numel()
        packed = range(1, _PACKED) if not one.is_floating_point() else (1,)
        if words > 1 and any(size <= words * each < size + max(each, size // 4) for each in packed):
            found.append(one)
    return found
