"""What a monitor reads of a weight: all of it, a sample, or the part of it that this process holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from sterling.base.text import counted, shortened
from sterling.errors import InputError
from sterling.torch.handle import QuantisedWeight, named
from sterling.torch.hooks import groups_of
from sterling.torch.weights import find

#: Weights in all samples together; with five horizons a weight takes up to 38 bytes.
MOST_SAMPLED = 3 << 19
_NORMAL = 1.96


class Reader:
    """Reads the codes of one weight, of which this process may hold only a part."""

    def __init__(self, weight: QuantisedWeight, homes: Sequence[Any] = ()):
        self.weight, self.chosen, self.homes = weight, None, homes
        self.lost = 0  # step at which its codes could not be read any more
        latent: Any = weight.latent
        self.mesh = latent.device_mesh if is_sharded(latent) else None
        self.shape = self.here(latent).shape if is_sharded(latent) else weight.shape

    def here(self, given: Any) -> torch.Tensor:
        """Return the part of a tensor that this process holds."""
        latent: Any = self.weight.latent
        if self.mesh is None or given.shape != latent.shape:
            return given
        if not is_sharded(given):
            from torch.distributed.tensor import distribute_tensor

            given = distribute_tensor(given, self.mesh, latent.placements, src_data_rank=None)
        return given.redistribute(placements=latent.placements).to_local()

    def sample(self, size: int, seed: int) -> None:
        """Read only that number of weights."""
        if size < self.shape.numel():
            drawn = np.random.default_rng(seed).choice(self.shape.numel(), size, replace=False)
            self.chosen = torch.from_numpy(drawn).to(self.weight.latent.device, torch.int32)

    def finite(self) -> bool:
        """Return whether the latents in this process are finite."""
        return bool(self.here(self.weight.latent).isfinite().all())

    @torch.no_grad()
    def codes(self) -> torch.Tensor:
        """Return the codes that are read, in one dimension unless these are all."""
        with gathered(self.homes):
            codes = self.weight.codes()
        codes = self.here(codes)
        return codes if self.chosen is None else codes.reshape(-1)[self.chosen.to(codes.device)]

    @property
    def size(self) -> int:
        """Number of codes that are read."""
        return self.shape.numel() if self.chosen is None else len(self.chosen)


def is_sharded(tensor: Any) -> bool:
    """Return whether processes share a tensor (`torch.distributed.tensor.DTensor`)."""
    return hasattr(tensor, "to_local") and hasattr(tensor, "placements")


@contextlib.contextmanager
def gathered(modules: Iterable[Any]) -> Iterator[None]:
    """Give modules of `fully_shard` their whole parameters in this context; no forward pass shards them."""
    homes, kept = [one for one in modules if hasattr(one, "unshard")], []
    try:
        for home in homes:
            home.unshard()
            for hooks in (home._forward_pre_hooks, home._forward_hooks):
                kept.append((hooks, dict(hooks)))
                for key, hook in list(hooks.items()):
                    if getattr(hook, "__module__", "").startswith("torch.distributed.fsdp"):
                        del hooks[key]
        yield
    finally:
        for hooks, before in kept:
            hooks.clear()
            hooks.update(before)
        for home in homes:
            home.reshard()


def found_in(model: torch.nn.Module, example: Any, **given: Any) -> list[Reader]:
    """Return readers of the quantised weights that `find` finds.

    Weights of `binarize` are read from shards. The whole of others is gathered for each reading.
    """
    sharded = dict(model.named_parameters(remove_duplicate=False))
    if not any(is_sharded(one) for one in sharded.values()):
        return [Reader(one) for one in find(model, example=example, **given)]
    with gathered(model.modules()):
        whole = model.named_parameters(remove_duplicate=False)
        latents = {id(one): sharded[name] for name, one in whole}
        weights = find(model, example=example, **given)
    if all(one.framework == "binarize" for one in weights):
        return [Reader(one) for one in find(model, **given)]
    readers = []
    for one in weights:
        one.latent = latents.get(id(one.latent), one.latent)
        one._factors = tuple(latents.get(id(factor), factor) for factor in one._factors)
        paths = [place.split(".")[:end] for place in one.places for end in range(place.count(".") + 1)]
        around = [model.get_submodule(".".join(path)) for path in paths]  # from the outside
        readers.append(Reader(one, [layer for layer in around if hasattr(layer, "unshard")][-1:]))
    return readers


class Shards:
    """Sums counts over the processes that share the weights."""

    def __init__(self, readers: Sequence[Reader]):
        self.shared = torch.tensor([one.mesh is not None for one in readers])[:, None]
        latents: Any = [one.weight.latent for one in readers if one.mesh is not None]
        over = {(one.device_mesh, tuple(way.is_shard() for way in one.placements)) for one in latents}
        if len(over) > 1:
            raise InputError(
                "the quantised weights are sharded over different sets of processes: make a monitor for each "
                "set, with `include`"
            )
        self.groups = [
            mesh.get_group(axis) for mesh, cut in over for axis, is_cut in enumerate(cut) if is_cut
        ]

    def sum(self, rows: torch.Tensor, failed: bool = False) -> torch.Tensor:
        """Return the sums of rows of counts, a row for each tensor; raise in all processes if one failed."""
        if self.groups:
            together = torch.cat([rows.flatten(), rows.new_tensor([failed])])
            for group in self.groups:
                torch.distributed.all_reduce(together, group=group)
            if together[-1] and not failed:
                raise InputError("the monitor of another process has failed")
            rows = torch.where(self.shared.to(rows.device), together[:-1].view(rows.shape), rows)
        return rows


def half_width(counts: torch.Tensor, size: int, read: int) -> float:
    """Return half of the 95 % interval of a scaled count, from those of equal random parts of the sample.

    A normal interval with one more entry, so that it does not vanish where nothing was counted.
    """
    if read >= size or not read:
        return 0.0
    one, variance = size / read, float(counts.var()) * len(counts)
    return _NORMAL * (variance * (1 - read / size) + one**2) ** 0.5 + one


def chosen(
    model: torch.nn.Module,
    found: Sequence[Reader],
    optimizer: torch.optim.Optimizer | None,
    include: Any,
    exclude: Any,
) -> tuple[dict[Reader, int], list[str]]:
    """Return the readers of the weights to monitor with the group of each, and names that no group holds.

    Group 0 is of weights that no optimiser needs to hold; then come the groups of the optimiser.
    """
    names: dict[Any, Any] = {one: one.weight.places for one in found}
    names |= {name: [name] for name, _ in model.named_modules()}  # layers without quantised weights
    wanted = named(names, include, "include") - named(names, exclude, "exclude")
    found = [one for one in found if one in wanted]
    if not found:
        raise InputError("`include` and `exclude` leave no quantised weight to monitor")
    groups: dict[Reader, int] = {}
    for one in found:
        if optimizer is None or one.weight.stored:
            groups[one] = 0
        elif held := groups_of(one.weight, optimizer):
            groups[one] = held[0] + 1
    left_out = [one.weight.name for one in found if one not in groups]
    if not groups:
        raise InputError(
            f"the optimizer moves none of the model's {counted(len(found), 'quantised weight tensor')} "
            f"({shortened(left_out, 3)}): give the optimizer of this model"
        )
    for one in groups:
        if one.weight.reader is not None and one.weight.reader.drawn():
            raise InputError(
                f"the codes of {one.weight.name!r} are drawn at random in each forward pass, so that changes "
                "are no flips: exclude it, or give `codes`"
            )
    devices = {one.weight.latent.device for one in groups}
    if len(devices) > 1:
        raise InputError(f"the quantised weights are on {len(devices)} devices; they must be on one")
    return groups, left_out
