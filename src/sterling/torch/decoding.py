"""`decode` turns a run that keeps flipping into one net: each weight takes a level by its time average.

The averages come from a monitor. The forward pass of the copy uses exactly the decoded codes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sterling.base.checks import choice, instance_of, shown
from sterling.base.text import number, percent, sentence
from sterling.errors import InputError, InputTypeError
from sterling.torch.counting import MOMENTUM, CodeTracker, checked_horizons, nearest, settled
from sterling.torch.handle import QuantisedWeight
from sterling.torch.installing import PLAIN, install, make_plain
from sterling.torch.monitor import OrbitMonitor
from sterling.torch.scoring import recompute_norms, scorer
from sterling.torch.taps import in_one_sentence, unwrapped
from sterling.torch.weights import find

if TYPE_CHECKING:
    import polars as pl

#: A weight is frozen if its oscillation metric exceeds this times the momentum (Nagel et al.: 2 to 3).
FREEZE = 2.0


_CHOSEN = {
    "given": "as given",
    "validation": "chosen by validation",
    "the steps so far": "the horizon nearest to a sixteenth of the run so far",
}


@dataclass
class Changes:
    """The changes that `decode` made."""

    how: str
    horizon: float  # of the average, in steps; 0 for the last codes
    chosen_by: str  # "given", "validation" or "the steps so far"
    #: A row for each tensor: tensor, weights, changed (codes that differ from the last ones), kept_as.
    tensors: list[dict[str, Any]]
    #: Loss, and accuracy if there are classes, with the same batch norm; empty without validation.
    before: dict[str, float]
    after: dict[str, float]
    tried: dict[float, float]  # validation loss at each horizon
    left_out: dict[float, str]  # horizons that could not be tried, each with the reason

    def frame(self) -> pl.DataFrame:
        """Return a table with a row for each tensor."""
        import polars as pl

        return pl.DataFrame(self.tensors)

    @property
    def share(self) -> float:
        """Share of all quantised weights whose code differs from the last one."""
        return sum(row["changed"] for row in self.tensors) / sum(row["weights"] for row in self.tensors)

    def __str__(self) -> str:
        over = f" over {number(self.horizon)} steps ({_CHOSEN[self.chosen_by]})" if self.horizon else ""
        parts = [f"{self.how}{over}: {percent(self.share, 2)} of the codes differ from the last"]
        for name, value in self.after.items():
            parts.append(f"{name} {number(self.before[name])} before, {number(value)} after")
        return sentence("; ".join(parts))

    __repr__ = __str__


def decode(
    model: nn.Module,
    monitor: OrbitMonitor,
    how: str = "mean",
    horizon: str | float = "auto",
    bn: Iterable[Any] | None = None,
    validate: Iterable[Any] | Callable[[nn.Module], float] | None = None,
    averages: Mapping[float, nn.Module] | None = None,
) -> nn.Module:
    """Return a copy of a model in training, with quantised weights taken from the run as a whole.

    Parameters
    ----------
    model : Module
        The monitored model.
    monitor : OrbitMonitor
        Its monitor.
    how : str
        "mean": the level nearest to the time average of the codes. "mode": the most frequent level, by a
        running majority vote, which finds a level that has more than half of the mass. "frozen" (Nagel et al.
        2022, arXiv 2203.11086): the level nearest to the average for weights that oscillate (metric above
        twice the momentum), the last level for the others. "latents": all parameters take their own averages,
        and the quantiser computes codes and scale anew. "last": the current codes.
    horizon : float or "auto"
        Horizon of the average, one of the monitor's. With `validate`, "auto" takes that of lowest loss, or
        the current codes. Without, it is the horizon nearest to a sixteenth of the steps so far. "mode" and
        "frozen" have fixed horizons.
    bn : iterable of batches, optional
        Training data, to recompute the statistics of batch norm as `update_bn` of `torch.optim.swa_utils`
        does. Batches are inputs, tuples that begin with them, or dicts of named arguments.
    validate : iterable of batches, or function of a model, optional
        Validation data: tuples (inputs, targets), or dicts of named arguments with the targets under
        "labels". If the model returns a loss, that is taken; else cross-entropy if targets are integers, and
        the mean squared error if not. A function returns a loss.
    averages : dict of horizon to AveragedModel, optional
        Averages of the parameters for "latents": an `AveragedModel` of `torch.optim.swa_utils` for each.

    Returns
    -------
    Module
        The copy, in eval mode. Its attribute `changes` is a `Changes`.

    Raises
    ------
    InputError
        If the monitor belongs to another model, lacks the horizon or has counted no step, or if `decode`
        finds no way to install the decoded codes.

    Notes
    -----
    Layers of `binarize` become plain layers with the weights code × scale. Others keep their quantiser if
    it can give these weights, which is checked: by latents, by torchao's quantiser with the present scales
    kept ("fixed range"), or by stored codes. Else the layer uses the weights themselves ("constants").
    Biases, quantisers of activations and the keys of `state_dict` stay.

    The science is in docs/science, 11.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> model = stt.binarize(torch.nn.Linear(8, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    >>> monitor = stt.OrbitMonitor(model, optimizer)
    >>> for x in torch.randn(60, 8, 8):
    ...     optimizer.zero_grad()
    ...     (model(x) - x[:, :1]).square().mean().backward()
    ...     optimizer.step()
    >>> better = stt.decode(model, monitor, horizon=16)
    >>> better.changes.horizon, better.weight.abs().unique().numel()
    (16.0, 1)
    """
    instance_of(monitor, OrbitMonitor, "monitor", "the OrbitMonitor of the model")
    how = choice(how, "how", ("mean", "mode", "frozen", "latents", "last"))
    if unwrapped(model) is not monitor.model:
        raise InputError("the monitor belongs to another model: give the model that it watches")
    if not monitor.weights:
        raise InputError("the monitor has found no quantised weight yet: decode once quantisation has begun")
    if monitor.partial:
        raise InputError(
            "the monitor reads a part of the weights (a sample or a shard): decode needs them all"
        )
    if monitor.replaced:
        raise InputError(
            f"the latents of {monitor.replaced[0]!r} are no longer in the model: "
            "decode before its layers change"
        )
    for weight, reader in zip(monitor.weights, monitor._readers, strict=True):
        if reader.lost:
            raise InputError(f"the codes of {weight.name!r} can no longer be read: give the monitor `codes`")
        if not bool(weight.latent.isfinite().all()):
            raise InputError(f"the latents of {weight.name!r} are not finite: the run has diverged")
        if how == "latents" and (weight.stored or weight.framework == "parq"):
            raise InputError(f"{weight.name!r} has no latents in the model: decode with another `how`")
    if monitor.steps == 0 and how != "last":
        raise InputError("the monitor has counted no step, so there is no average: train first")
    models = averages if how == "latents" else {}
    if not isinstance(models, Mapping):
        raise InputTypeError('how="latents" needs `averages`: a dict of horizons and AveragedModels')
    horizons = checked_horizons(models) if how == "latents" else monitor.horizons
    score = scorer(validate)
    wanted = _wanted(how, horizon, monitor, horizons)
    chosen_by = "given"
    before, tried, left_out = {}, {}, {}

    def built(how: str, horizon: float) -> tuple[nn.Module, list[dict[str, Any]]]:
        return _built(monitor, how, horizon, bn, models.get(horizon))

    if score is not None:
        before = score(built("last", 0.0)[0])
    if wanted is None and score is not None:
        tried = {0.0: before["loss"]}
        for one in horizons:
            if one <= monitor.steps or math.isinf(one):
                try:
                    tried[one] = score(built(how, one)[0])["loss"]
                except InputError as problem:
                    left_out[one] = str(problem)
        wanted, chosen_by = min(tried, key=tried.__getitem__), "validation"
    elif wanted is None:
        wanted, chosen_by = settled(horizons, monitor.steps), "the steps so far"
    result, tensors = built(how if wanted else "last", wanted)
    after = {} if score is None else score(result)
    changes: Any = Changes(how, wanted, chosen_by, tensors, before, after, tried, left_out)
    result.changes = changes
    return result


def decoded_codes(monitor: OrbitMonitor, index: int, how: str, horizon: float) -> torch.Tensor:
    """Return the decoded codes of a tensor, int8 in the shape of the weight."""
    tracker, shape = monitor._tracker, monitor.weights[index].shape
    if how == "last":
        return monitor.weights[index].codes()
    if how == "mode":
        return tracker.commonest(index).view(shape)
    average = tracker.average(index, monitor._horizon(horizon))
    codes = CodeTracker.nearest(average, tracker.grid[index])
    if how == "frozen":
        codes = torch.where(
            tracker.oscillations(index) > FREEZE * MOMENTUM, codes, tracker.now[tracker.part(index)]
        )
    return codes.view(shape)


def _wanted(how: str, horizon: Any, monitor: OrbitMonitor, horizons: Sequence[float]) -> float | None:
    """Return the horizon that the user gave or that is fixed, or None if `decode` is to choose it."""
    fixed = {"last": 0.0, "mode": monitor.horizons[monitor._tracker.vote]}.get(how)
    if horizon == "auto":
        return nearest(horizons, 1 / MOMENTUM) if how == "frozen" else fixed
    if horizon not in (horizons if fixed is None else [fixed]):
        known = f"has the horizon {fixed:g}" if fixed is not None else f"has {', '.join(map(str, horizons))}"
        raise InputError(f'horizon is {shown(horizon)}, but "{how}" {known}: give one of these, or "auto"')
    return float(horizon)


@torch.no_grad()
def _built(
    monitor: OrbitMonitor, how: str, horizon: float, bn: Iterable[Any] | None, average: nn.Module | None
) -> tuple[nn.Module, list[dict[str, Any]]]:
    with in_one_sentence("the model cannot be copied", "decode needs a model that copy.deepcopy takes"):
        result = copy.deepcopy(monitor.model).eval()  # spectral norm is another one while training
    tensors: list[dict[str, Any]] = []
    if average is not None:
        with in_one_sentence("`averages` do not fit the model", "give averages of this model"):
            for mine, theirs in zip(result.parameters(), average.parameters(), strict=True):
                mine.copy_(theirs)
    copies: dict[str, QuantisedWeight] = {}
    if average is not None or any(one.framework not in PLAIN for one in monitor.weights):
        copies = {one.name: one for one in find(result, monitor.example, monitor.codes)}
    for index, weight in enumerate(monitor.weights):
        mine = copies.get(weight.name, weight)
        if mine is weight and weight.framework not in PLAIN:
            raise InputError(f"{weight.name!r} is not quantised in eval mode: decode needs it to be")
        kept = "constants"
        codes = decoded_codes(monitor, index, how, horizon) if average is None else mine.codes()
        values = weight.values() if how == "last" else weight.dequantise(codes)
        values = values if average is None else mine.values()
        if weight.framework in PLAIN:
            make_plain(result, weight, values)
        else:
            kept = "latents" if average is not None else install(result, mine, values, monitor.example)
        changed = int((codes != weight.codes()).sum())
        tensors.append({"tensor": weight.name, "weights": codes.numel(), "changed": changed, "kept_as": kept})
    with torch.random.fork_rng(range(torch.cuda.device_count())):  # dropout and loaders draw from it
        recompute_norms(result, bn)
    return result.eval(), tensors
