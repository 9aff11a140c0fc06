"""`decode`: from a run that goes on flipping to one net: the level of each weight read off its time average.

Averages come from a monitor; what the copy's forward pass sees is what was decoded, exactly.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from sterling.base.checks import choice, instance_of, is_number, real, shown
from sterling.base.text import counted, html_table, number, percent, sentence
from sterling.errors import InputError, InputTypeError
from sterling.torch.counting import Tally
from sterling.torch.handle import QuantisedWeight
from sterling.torch.horizons import nearest
from sterling.torch.monitor import OrbitMonitor
from sterling.torch.parametrized import own_class
from sterling.torch.taps import in_one_sentence, unwrapped
from sterling.torch.weights import find

if TYPE_CHECKING:
    import polars as pl

HOW = ("mean", "mode", "frozen", "last")
#: Weights whose oscillation metric is above so many times the momentum are frozen (Nagel et al.: 2 to 3).
FREEZE = 2.0
#: Frameworks whose layers take plain weights: the copy holds what was decoded. In others latents are set.
#: torchao's scale is that of the largest latent, so there no latents may give the decoded codes.
PLAIN = ("binarize", "parq", "torchao")

_ROUNDS = 8  # of setting latents until the quantiser gives the codes


@dataclass
class Changes:
    """What `decode` changed.

    Parameters
    ----------
    how : str
    horizon : float
        Of the average, in steps; 0 where the last codes were taken.
    chosen_by : str
        "given", "validation" or "the steps so far".
    tensors : list of dict
        For each tensor: tensor, weights, changed (codes that differ from the last ones), scale_ratio (mean of
        the new scale over the old one, None where the quantiser's own rule stays), kept_as ("constants" or
        "latents").
    before, after : dict
        Scores of the model as it is and of the copy: loss, and accuracy where there are classes. Empty if
        nothing was given to compute them on. Where batch norm was recomputed, it was so in both.
    tried : dict
        Loss at each horizon that validation tried.
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
        """Share of all quantised weights whose code is another one than the last."""
        return sum(row["changed"] for row in self.tensors) / sum(row["weights"] for row in self.tensors)

    def __str__(self) -> str:
        over = f" over {number(self.horizon)} steps ({self.chosen_by})" if self.horizon else ""
        changed = sum(row["changed"] for row in self.tensors)
        said = [f"{self.how}{over}: {percent(self.share, 2)} of the codes differ from the last ({changed:,})"]
        for name, value in self.after.items():
            said.append(f"{name} {number(self.before[name])} before, {number(value)} after")
        return sentence("; ".join(said))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            (name, f"{number(self.before[name])} → {number(value)}") for name, value in self.after.items()
        ]
        told = [
            ("how", self.how),
            ("horizon", number(self.horizon)),
            ("codes changed", percent(self.share, 2)),
        ]
        return html_table([*told, *rows])


def decode(
    model: nn.Module,
    monitor: OrbitMonitor,
    how: str = "mean",
    horizon: str | float = "auto",
    bn: Iterable[Any] | None = None,
    validate: Iterable[Any] | Callable[[nn.Module], float] | None = None,
    scale: str = "kept",
) -> nn.Module:
    """Return a copy of a model in training whose quantised weights are read off the run.

    Parameters
    ----------
    model : Module
        The monitored one, as it is now.
    monitor : OrbitMonitor
        Made with this very model.
    how : str
        "mean": the level nearest to the time average of the codes. "mode": the commonest level, that is the
        winner of a running majority vote; exact wherever a level has more than half of the mass. "frozen":
        weights that oscillate (metric above twice the momentum) take the level nearest to the average, the
        others the last one (Nagel et al. 2022). "last": the present codes.
    horizon : float or "auto"
        Of the average, one of the monitor's. "auto" takes the one of lowest validation loss, the present
        codes among the candidates, if `validate` is given; else, for "mean", `monitor.settled_horizon()`: the
        one nearest to a sixteenth of the steps so far. The metric and the vote have a horizon of their own,
        so that "frozen" and "mode" take that.
    bn : iterable of batches, optional
        Training data; with it the statistics of batch norm are computed anew, as `update_bn` of
        `torch.optim.swa_utils` does. Batches are inputs, or tuples that begin with them.
    validate : iterable of (inputs, targets), or function of a model, optional
        What scores are computed on: cross-entropy and accuracy for integer targets, mean squared error for
        others. A function returns a loss.
    scale : str
        Of layers of `binarize`. "kept": what the present latents give. "fitted": the one that makes the
        squared distance to the averaged quantised weight least, which is smaller.

    Returns
    -------
    Module
        The copy, in eval mode. Its attribute `changes` is a `Changes`.

    Raises
    ------
    InputError
        If the monitor is of another model, has no such horizon, has seen no step, or a quantiser cannot be
        made to give the decoded codes.

    Notes
    -----
    Layers of `binarize` become plain ones that hold code × scale; those of torchao hold that too, and lose
    the quantiser of their weights, not that of activations. In layers of other quantisers latents are set:
    where the code stays the latent stays, elsewhere it becomes the mean latent of the weights on the decoded
    level (where the scale would then move too far, all latents become code × mean size); the quantiser's own
    rule gives the scale. That the codes of the copy are the decoded ones is checked.

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
        raise InputError("the monitor is of another model: give the model that it was made with")
    held = {id(one) for one in monitor.model.parameters()}
    for weight in monitor.weights:
        if id(weight.latent) not in held:
            raise InputError(
                f"the latents of {weight.name!r} are no longer in the model: decode before its layers change"
            )
        if not bool(weight.latent.isfinite().all()):
            raise InputError(
                f"the latents of {weight.name!r} are not finite, so they say nothing: the run has diverged"
            )
    if monitor.steps == 0 and how != "last":
        raise InputError("the monitor has seen no step yet, so there is nothing to average: train first")
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
    """Return the codes that decoding gives for a tensor, int8 in the shape of the weight."""
    tally, shape = monitor._tally, monitor.weights[index].latent.shape
    if how == "last":
        return monitor.weights[index].codes()
    if how == "mode":
        return tally.commonest(index).view(shape)
    place = monitor._horizon(horizon)
    codes = Tally.nearest(tally.average(index, place), tally.grid[index])
    if how == "frozen":
        codes = torch.where(
            tally.oscillations(index) > FREEZE * tally.momentum, codes, tally.now[tally.part(index)]
        )
    return codes.view(shape)


def refit(scale: torch.Tensor, codes: torch.Tensor, average: torch.Tensor) -> torch.Tensor:
    """Return the scale s′ that makes Σ (s′·code − s·average)² least, for each entry of the scale s."""
    codes = codes.to(scale.dtype)
    cross = (codes * average * scale).sum_to_size(scale.shape)
    square = (codes * codes).sum_to_size(scale.shape)
    return torch.where(square > 0, cross / square.clamp_min(1e-30), scale)


def _wanted(how: str, horizon: Any, monitor: OrbitMonitor) -> float | None:
    """Return the horizon asked for; None where it is to be chosen."""
    own = {
        "last": 0.0,
        "mode": monitor.horizons[monitor._tally.vote],
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
    """Return a copy with decoded weights, and what changed in each tensor."""
    result, tensors = copy.deepcopy(monitor.model), []
    latents: dict[str, torch.Tensor] = {}
    for index, weight in enumerate(monitor.weights):
        codes, now = decoded_codes(monitor, index, how, horizon), weight.codes()
        ratio, plain = None, weight.framework in PLAIN
        if weight.framework == "torchao":  # some of its quantisers have levels that are not even
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
    """Compute the statistics of batch norm anew, if there are batches to do it with."""
    if bn is None or not any(isinstance(one, nn.modules.batchnorm._BatchNorm) for one in net.modules()):
        return
    if not isinstance(bn, Iterable) or isinstance(bn, Iterator):
        raise InputTypeError(f"bn is {shown(bn)}; give a loader, which can be gone through again")
    batches = 0

    def passed() -> Iterator[Any]:
        nonlocal batches
        for one in bn:
            batches += 1
            yield one

    advice = "give batches of inputs, or tuples that begin with them"
    with in_one_sentence("the statistics of batch norm cannot be computed from `bn`", advice):
        torch.optim.swa_utils.update_bn(passed(), net, device=next(net.parameters()).device)
    if not batches:
        raise InputError("bn gives no batch")


def make_plain(model: nn.Module, weight: QuantisedWeight, values: torch.Tensor) -> None:
    """Give the layers of a copy a plain weight."""
    for place in weight.places:
        path, _, name = place.rpartition(".")
        layer: Any = model.get_submodule(path)
        if parametrize.is_parametrized(layer, name):
            own_class(layer)
            parametrize.remove_parametrizations(layer, name, leave_parametrized=False)
        elif weight.framework == "torchao":
            layer.weight_fake_quantizer = None
        getattr(layer, name).data.copy_(values)


def _set_latents(model: nn.Module, monitor: OrbitMonitor, wanted: dict[str, torch.Tensor]) -> None:
    """Move latents until the quantisers of a copy give the codes."""
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
            if attempt == _ROUNDS - 1:  # the scale moved too far: all weights onto the points of the grid
                latent.copy_(codes * (latent.abs().sum() / codes.abs().sum().clamp_min(1)))
            for code in codes[wrong].unique().tolist():
                if code in centre and attempt < _ROUNDS - 1:
                    latent[wrong & (codes == code)] = centre[code]
            now = handle.codes()
        left = int((now != codes).sum())
        if left:
            raise InputError(
                f"the quantiser of {name!r} cannot be made to give {counted(left, 'decoded code')}: its "
                "levels depend on the latents in a way that `decode` does not know"
            )


def _scorer(validate: Any) -> Callable[[nn.Module], dict[str, float]] | None:
    if validate is None:
        return None
    if isinstance(validate, Iterable) and not isinstance(validate, Iterator):
        return lambda model: evaluate(model, validate)
    if callable(validate):
        return lambda model: {"loss": _number(validate(model))}
    raise InputTypeError(
        "validate must be a loader, which can be gone through again, or a function of a model"
    )


def _number(loss: Any) -> float:
    plain = loss.item() if isinstance(loss, torch.Tensor) and loss.numel() == 1 else loss
    return real(plain, "the loss that `validate` returned")


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
        raise InputError("validate gives no batch")
    return {"loss": total / count, **({"accuracy": right / count} if classes else {})}
