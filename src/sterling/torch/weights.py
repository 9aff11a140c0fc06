"""One handle for each quantised weight tensor, of whatever framework: latents, values, codes, scale.

`find` gives the handles of a model; monitor, audit and decoding work on them alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from sterling.base.checks import instance_of, shown
from sterling.errors import InputError, InputTypeError
from sterling.torch.parametrized import WEIGHT, latent_of, quantisers, seen_by

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
    ):
        self.name, self.latent, self.modules, self.levels = name, latent, tuple(modules), levels
        self.framework, self.places = framework, tuple(places) or (name,)
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

    def __repr__(self) -> str:
        size = f"{self.latent.numel():,} weights on {self.levels} levels"
        return f"<QuantisedWeight {self.name!r}: {size}, {self.framework}>"


def find(
    model: nn.Module,
    example: Any = None,
    codes: Callable[[str, nn.Parameter], torch.Tensor | None] | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> list[QuantisedWeight]:
    """Return a handle for each quantised weight of a model.

    Parameters
    ----------
    model : Module
        As it is trained.
    example : Tensor or tuple, optional
        What the model is called with: one tensor, or a tuple of its arguments.
    codes : function of (name, parameter), optional
        For quantisers that nothing else finds: returns the integer codes of a parameter, or None where it is
        not quantised.
    optimizer : Optimizer, optional
        Where the quantiser is in the optimiser, as with PARQ.

    Returns
    -------
    list of QuantisedWeight
        In the order of the model's layers; a tied weight once.

    Raises
    ------
    InputError
        If there is no quantised weight; the message says what was looked for.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2)), levels=3)
    >>> [weight.name for weight in stt.find(model)]
    ['0.weight', '1.weight']
    """
    instance_of(model, nn.Module, "model", "a torch.nn.Module")
    found = [] if codes is None else _by_codes(model, codes)
    known = {id(one.latent) for one in found}
    found += [one for one in _binarized(model) if id(one.latent) not in known]
    if not found:
        raise InputError("the model has no quantised weight: looked for layers quantised by `binarize`")
    return found


def _binarized(model: nn.Module) -> list[QuantisedWeight]:
    users: dict[int, list[tuple[str, nn.Module]]] = {}
    for name, layer, _ in quantisers(model):
        users.setdefault(id(latent_of(layer)), []).append((f"{name}.{WEIGHT}".lstrip("."), layer))
    seen, found = set(), []
    for _, layer, quantiser in quantisers(model):
        latent = latent_of(layer)
        if id(latent) in seen:
            continue
        seen.add(id(latent))
        found.append(
            QuantisedWeight(
                name=users[id(latent)][0][0],
                latent=latent,
                modules=[one for _, one in users[id(latent)]],
                levels=quantiser.levels,
                framework="binarize",
                values=lambda layer=layer: seen_by(layer),
                codes=lambda latent=latent, quantiser=quantiser: quantiser.codes(latent),
                scale=lambda latent=latent, quantiser=quantiser: quantiser.step(latent),
                places=[place for place, _ in users[id(latent)]],
            )
        )
    return found


def _by_codes(
    model: nn.Module, codes: Callable[[str, nn.Parameter], torch.Tensor | None]
) -> list[QuantisedWeight]:
    if not callable(codes):
        raise InputTypeError(f"codes is {shown(codes)}; give a function of a parameter's name and of itself")
    modules, found = dict(model.named_modules()), []
    for name, latent in model.named_parameters():
        with torch.no_grad():
            first = codes(name, latent)
        if first is None:
            continue

        def read(name: str = name, latent: nn.Parameter = latent) -> torch.Tensor:
            return _checked_codes(codes(name, latent), name, latent)

        found.append(
            QuantisedWeight(
                name=name,
                latent=latent,
                modules=[modules[name.rpartition(".")[0]]],
                levels=int(_checked_codes(first, name, latent).unique().numel()),
                framework="codes",
                values=lambda latent=latent, read=read: read().to(latent.dtype),
                codes=read,
                scale=lambda latent=latent: torch.ones((), dtype=latent.dtype, device=latent.device),
            )
        )
    return found


def _checked_codes(codes: Any, name: str, latent: nn.Parameter) -> torch.Tensor:
    if not isinstance(codes, torch.Tensor):
        raise InputTypeError(f"codes of {name!r} are {shown(codes)}; return a tensor, or None")
    if codes.shape != latent.shape:
        raise InputError(
            f"codes of {name!r} have the shape {tuple(codes.shape)}; the parameter has {tuple(latent.shape)}"
        )
    small = codes.to(torch.int8)
    if not torch.equal(small.to(codes.dtype), codes):
        raise InputError(f"codes of {name!r} must be integers from −128 to 127")
    return small
