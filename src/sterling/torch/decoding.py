"""`decode` turns a run that keeps flipping into one net: each weight takes a level by its time average.

The averages come from a monitor. The forward pass of the copy uses exactly the decoded codes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from sterling.base.checks import choice, instance_of, is_number, real, shown
from sterling.base.text import counted, html_table, number, percent, sentence
from sterling.errors import InputError, InputTypeError
from sterling.torch.counting import CodeTracker
from sterling.torch.handle import QuantisedWeight
from sterling.torch.horizons import nearest
from sterling.torch.monitor import OrbitMonitor
from sterling.torch.parametrized import own_class
from sterling.torch.taps import in_one_sentence, unwrapped
from sterling.torch.weights import find

if TYPE_CHECKING:
    import polars as pl

HOW = ("mean", "mode", "frozen", "last")
#: A weight is frozen if its oscillation metric exceeds this times the momentum (Nagel et al.: 2 to 3).
FREEZE = 2.0
#: Frameworks whose layers can hold the decoded weights as constants; in others `decode` sets the latents.
#: The scale of torchao follows the largest latent, so there may be no latents that give the decoded codes.
PLAIN = ("binarize", "parq", "torchao")

_ROUNDS = 8  # attempts to set latents that give the codes


@dataclass
class Changes:
    """The changes that `decode` made.

    Parameters
    ----------
    how : str
        "mean", "mode", "frozen" or "last", see `decode`.
    horizon : float
        Horizon of the average, in steps; 0 for the last codes.
    chosen_by : str
        "given", "validation" or "the steps so far".
    tensors : list of dict
        A row for each tensor: tensor, weights, changed (codes that differ from the last ones), scale_ratio
        (mean of the new scale over the old one, None if the quantiser still computes it), kept_as
        ("constants" or "latents").
    before, after : dict
        Scores of the model and of the copy: loss, and accuracy if there are classes. Empty without
        validation. If batch-norm statistics were recomputed, both scores use recomputed ones.
    tried : dict
        Validation loss at each horizon.
    """

    how: str
    horizon: float
    chosen_by: str
    tensors: list[dict[str, Any]]
    before: dict[str, float]
    after: dict[str, float]
    tried: dict[float, float]

    def frame(self) -> pl.DataFrame:
        """Return a table with a row for each tensor.

        Returns
        -------
        polars.DataFrame
        """
        import polars as pl

        return pl.DataFrame(self.tensors, schema_overrides={"scale_ratio": pl.Float64})

    @property
    def share(self) -> float:
        """Share of all quantised weights whose code differs from the last one."""
        return sum(row["changed"] for row in self.tensors) / sum(row["weights"] for row in self.tensors)

    def __str__(self) -> str:
        over = f" over {number(self.horizon)} steps ({self.chosen_by})" if self.horizon else ""
        changed = sum(row["changed"] for row in self.tensors)
        parts = [
            f"{self.how}{over}: {percent(self.share, 2)} of the codes differ from the last ({changed:,})"
        ]
        for name, value in self.after.items():
            parts.append(f"{name} {number(self.before[name])} before, {number(value)} after")
        return sentence("; ".join(parts))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        share = percent(self.share, 2)
        rows = [("how", self.how), ("horizon", number(self.horizon)), ("codes changed", share)]
        for name, value in self.after.items():
            rows.append((name, f"{number(self.before[name])} → {number(value)}"))
        return html_table(rows)


def decode(
    model: nn.Module,
    monitor: OrbitMonitor,
    how: str = "mean",
    horizon: str | float = "auto",
    bn: Iterable[Any] | None = None,
    validate: Iterable[Any] | Callable[[nn.Module], float] | None = None,
    scale: str = "kept",
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
        running majority vote; it is exact for a level with more than half of the mass. "frozen": the level
        nearest to the average for weights that oscillate (metric above twice the momentum), the last level
        for the others (Nagel et al. 2022). "last": the current codes.
    horizon : float or "auto"
        Horizon of the average, one of the monitor's. With `validate`, "auto" takes the horizon of lowest
        validation loss; the current codes are a candidate too. Without, it is
        `monitor.settled_horizon()`, the horizon nearest to a sixteenth of the steps so far. The vote of
        "mode" and the metric of "frozen" have fixed horizons.
    bn : iterable of batches, optional
        Training data, to recompute the statistics of batch norm as `update_bn` of `torch.optim.swa_utils`
        does. Batches are inputs, or tuples that begin with them.
    validate : iterable of (inputs, targets), or function of a model, optional
        Validation data, for cross-entropy and accuracy if targets are integers, else for the mean squared
        error. A function returns a loss.
    scale : str
        Scale of layers of `binarize`. "kept": that of the present latents. "fitted": the one with the least
        squared distance to the averaged quantised weight, which is smaller.

    Returns
    -------
    Module
        The copy, in eval mode. Its attribute `changes` is a `Changes`.

    Raises
    ------
    InputError
        If the monitor belongs to another model, lacks the horizon or has counted no step, or if `decode`
        finds no latents that give the decoded codes.

    Notes
    -----
    Layers of `binarize` become plain layers with the weights code × scale. Layers of torchao get these
    weights too; they lose the quantiser of their weights but keep that of activations. In layers of other
    quantisers `decode` sets the latents. A latent stays if its code stays; else it becomes the mean latent of
    the decoded level. If that moves the scale too far, all latents become code × mean size. `decode` checks
    that the copy has the decoded codes.

    References
    ----------
    docs/science, 11; Nagel et al. 2022, arXiv 2203.11086 (freezing).

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> _ = torch.manual_seed(0)
    >>> model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(8, 1)))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    >>> monitor = stt.OrbitMonitor(model, optimizer)
    >>> for _ in range(60):
    ...     x = torch.randn(8, 8)
    ...     loss = ((model(x) - x[:, :1]) ** 2).mean()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    >>> better = stt.decode(model, monitor, horizon=16)
    >>> better.changes.how, better.changes.horizon
    ('mean', 16.0)
    >>> better[0].weight.unique().numel()
    2
    """
    instance_of(model, nn.Module, "model", "a torch.nn.Module")
    instance_of(monitor, OrbitMonitor, "monitor", "the OrbitMonitor of the model")
    how, fit = choice(how, "how", HOW), choice(scale, "scale", ("kept", "fitted")) == "fitted"
    if unwrapped(model) is not monitor.model:
        raise InputError("the monitor belongs to another model: give the model that it watches")
    if monitor.partial:
        raise InputError(
            "the monitor reads a part of the weights (a sample or a shard): decode needs them all"
        )
    held = {id(one) for one in monitor.model.parameters()}
    for weight in monitor.weights:
        if id(weight.latent) not in held:
            raise InputError(
                f"the latents of {weight.name!r} are no longer in the model: decode before its layers change"
            )
        if not bool(weight.latent.isfinite().all()):
            raise InputError(f"the latents of {weight.name!r} are not finite: the run has diverged")
    if monitor.steps == 0 and how != "last":
        raise InputError("the monitor has counted no step, so there is no average: train first")
    score = _scorer(validate)
    wanted, chosen_by = _wanted(how, horizon, monitor), "given"
    before, tried = {}, {}
    if score is not None:
        before = score(_built(monitor, "last", 0.0, bn, fit)[0])
    if wanted is None and score is not None:
        tried = {0.0: before["loss"]}
        for one in monitor.horizons:
            if one <= monitor.steps or math.isinf(one):
                tried[one] = score(_built(monitor, how, one, bn, fit)[0])["loss"]
        wanted, chosen_by = min(tried, key=tried.__getitem__), "validation"
    elif wanted is None:
        wanted, chosen_by = monitor.settled_horizon(), "the steps so far"
    result, tensors = _built(monitor, how if wanted else "last", wanted, bn, fit)
    after = {} if score is None else score(result)
    changes: Any = Changes(how, wanted, chosen_by, tensors, before, after, tried)
    result.changes = changes
    return result


def decoded_codes(monitor: OrbitMonitor, index: int, how: str, horizon: float) -> torch.Tensor:
    """Return the decoded codes of a tensor, int8 in the shape of the weight."""
    tracker, shape = monitor._tracker, monitor.weights[index].latent.shape
    if how == "last":
        return monitor.weights[index].codes()
    if how == "mode":
        return tracker.commonest(index).view(shape)
    average = tracker.average(index, monitor._horizon(horizon))
    codes = CodeTracker.nearest(average, tracker.grid[index])
    if how == "frozen":
        codes = torch.where(
            tracker.oscillations(index) > FREEZE * tracker.momentum, codes, tracker.now[tracker.part(index)]
        )
    return codes.view(shape)


def refit(scale: torch.Tensor, codes: torch.Tensor, average: torch.Tensor) -> torch.Tensor:
    """Return the scale s′ of least Σ (s′·code − s·average)², for each entry of the scale s."""
    codes = codes.to(scale.dtype)
    cross = (codes * average * scale).sum_to_size(scale.shape)
    square = (codes * codes).sum_to_size(scale.shape)
    return torch.where(square > 0, cross / square.clamp_min(1e-30), scale)


def _wanted(how: str, horizon: Any, monitor: OrbitMonitor) -> float | None:
    """Return the horizon that the user gave, or None if `decode` is to choose it."""
    own = {
        "last": 0.0,
        "mode": monitor.horizons[monitor._tracker.vote],
        "frozen": nearest(monitor.horizons, 1 / monitor.momentum),
    }
    if isinstance(horizon, str):
        choice(horizon, "horizon", ("auto",))
        return own.get(how)
    if not is_number(horizon):
        raise InputTypeError(f'horizon is {shown(horizon)}; give "auto" or one of the monitor\'s')
    if how in ("last", "mode") and horizon != own[how]:
        raise InputError(f'horizon is {shown(horizon)}, but "{how}" has none to choose: leave it out')
    return horizon if how == "last" else monitor.horizons[monitor._horizon(float(horizon))]


@torch.no_grad()
def _built(
    monitor: OrbitMonitor, how: str, horizon: float, bn: Iterable[Any] | None, fit: bool
) -> tuple[nn.Module, list[dict[str, Any]]]:
    result, tensors = copy.deepcopy(monitor.model), []
    latents: dict[str, torch.Tensor] = {}
    for index, weight in enumerate(monitor.weights):
        codes, now = decoded_codes(monitor, index, how, horizon), weight.codes()
        ratio, plain = None, weight.framework in PLAIN
        if weight.framework == "torchao":  # some of its quantisers have uneven levels
            plain = torch.allclose(weight.values(), weight.scale() * now)
        if plain:
            scale = fitted = weight.scale()
            if fit and how != "last" and weight.framework == "binarize":
                fitted = refit(scale, codes, monitor.average(weight.name, horizon))
            ratio = float((fitted / scale).mean())
            make_plain(result, weight, weight.values() if how == "last" else fitted * codes)
        else:
            latents[weight.name] = codes
        tensors.append(
            {
                "tensor": weight.name,
                "weights": codes.numel(),
                "changed": int((codes != now).sum()),
                "scale_ratio": ratio,
                "kept_as": "constants" if plain else "latents",
            }
        )
    if latents and how != "last":
        _set_latents(result, monitor, latents)
    recompute_norms(result, bn)
    return result.eval(), tensors


def recompute_norms(net: nn.Module, bn: Iterable[Any] | None) -> None:
    """Recompute the statistics of batch norm, if there are batches."""
    if bn is None or not any(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in net.modules()):
        return
    if not isinstance(bn, Iterable) or isinstance(bn, Iterator):
        raise InputTypeError(f"bn is {shown(bn)}; give a loader, which can be read more than once")
    advice = "give batches of inputs, or tuples that begin with them"
    with in_one_sentence("the statistics of batch norm cannot be computed from `bn`", advice):
        batches = iter(bn)
        first = list(islice(batches, 1))
        if not first:
            raise InputError("bn has no batch")
        torch.optim.swa_utils.update_bn(chain(first, batches), net, device=next(net.parameters()).device)


def make_plain(model: nn.Module, weight: QuantisedWeight, values: torch.Tensor) -> None:
    """Give the layers of a copy these constants as weights."""
    for full_name in weight.places:
        path, _, name = full_name.rpartition(".")
        layer: Any = model.get_submodule(path)
        if parametrize.is_parametrized(layer, name):
            own_class(layer)
            parametrize.remove_parametrizations(layer, name, leave_parametrized=False)
        elif weight.framework == "torchao":
            layer.weight_fake_quantizer = None
        getattr(layer, name).data.copy_(values)


def _set_latents(model: nn.Module, monitor: OrbitMonitor, wanted: dict[str, torch.Tensor]) -> None:
    """Set the latents of a copy so that its quantisers give the codes."""
    handles = {one.name: one for one in find(model, monitor.example, monitor.codes)}
    for name, codes in wanted.items():
        handle = handles[name]
        latent = handle.latent.data
        now = handle.codes()
        centre = {int(c): latent[now == c].mean() for c in now.unique()}
        for attempt in range(_ROUNDS):
            wrong = now != codes
            if not bool(wrong.any()):
                break
            if attempt == _ROUNDS - 1:  # the scale moved too far: put all latents onto the grid
                latent.copy_(codes * (latent.abs().sum() / codes.abs().sum().clamp_min(1)))
            for code in codes[wrong].unique().tolist():
                if code in centre and attempt < _ROUNDS - 1:
                    latent[wrong & (codes == code)] = centre[code]
            now = handle.codes()
        left = int((now != codes).sum())
        if left:
            raise InputError(
                f"`decode` found no latents for {counted(left, 'decoded code')} of {name!r}: the levels of "
                "its quantiser depend on the latents in a way that `decode` does not know"
            )


def _scorer(validate: Any) -> Callable[[nn.Module], dict[str, float]] | None:
    if validate is None:
        return None
    if isinstance(validate, Iterable) and not isinstance(validate, Iterator):
        return lambda model: evaluate(model, validate)
    if not callable(validate):
        raise InputTypeError(
            "validate must be a loader, which can be read more than once, or a function of a model"
        )

    def score(model: nn.Module) -> dict[str, float]:
        loss = validate(model)
        plain = loss.item() if isinstance(loss, torch.Tensor) and loss.numel() == 1 else loss
        return {"loss": real(plain, "the loss that `validate` returned")}

    return score


@torch.no_grad()
def evaluate(model: nn.Module, batches: Iterable[Any]) -> dict[str, float]:
    """Return the loss of a model in eval mode on (inputs, targets), and the accuracy of classes."""
    total, right, count, classes = 0.0, 0, 0, False
    device = next(model.parameters()).device
    for batch in batches:
        if not isinstance(batch, list | tuple) or len(batch) != 2:
            raise InputTypeError(
                "a batch of `validate` must be (inputs, targets); or give a function of a model"
            )
        advice = "give inputs and targets, or a function of a model"
        with in_one_sentence("`validate` does not fit the model", advice):
            inputs, targets = (one.to(device) for one in batch)
            outputs = model(inputs)
            classes = not targets.is_floating_point()
            if classes:
                outputs, targets = outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1)
                total += float(nn.functional.cross_entropy(outputs, targets, reduction="sum"))
                right += int((outputs.argmax(-1) == targets).sum())
            else:
                total += float(nn.functional.mse_loss(outputs, targets, reduction="sum"))
        count += targets.numel()
    if not count:
        raise InputError("validate has no batch")
    return {"loss": total / count, **({"accuracy": right / count} if classes else {})}
