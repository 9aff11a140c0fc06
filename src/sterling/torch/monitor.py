"""`OrbitMonitor` watches the quantised weights of a model in training, from a hook on the optimiser's step.

It knows when a step was one, and what to show; counting itself is done in `counting`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sterling.base.checks import instance_of, integer, real, shown
from sterling.base.text import counted
from sterling.errors import InputError, InputTypeError, SterlingError
from sterling.torch.counting import Tally, median
from sterling.torch.handle import QuantisedWeight
from sterling.torch.hooks import after_each_step, groups_of, innermost, skipped
from sterling.torch.horizons import HORIZONS, checked, nearest, settled
from sterling.torch.scales import LastScale, rounds
from sterling.torch.taps import in_one_sentence, unwrapped
from sterling.torch.weights import find

if TYPE_CHECKING:
    import polars as pl

    from sterling.torch.monitor_report import MonitorReport

#: An average nearer to a threshold than to its level leaves the weight undecided: the margin is below this.
DECIDED = 0.5

_VOTE = 64.0  # the horizon next to which the majority vote is held
_FORMAT = 1  # of the state


class OrbitMonitor:
    """Counts what the quantised weights of a model do at each step of its optimiser.

    Nothing has to be called in the training loop. A step is counted when the optimiser has taken it: gradient
    accumulation, steps that a `GradScaler` skips (of fused optimisers too) and PARQ's projection after the
    step are seen as what they are. Of each weight a fixed number of bytes is kept, with the horizons that
    stand here 20 of two levels and 23 of more; the weights that share a scale share its last value as well.

    Parameters
    ----------
    model : Module
        On the device on which it is trained. Compiled and DDP models are taken as they are.
    optimizer : Optimizer
        The one whose `step` is called. Weights that it does not move are left out, see `left_out`.
    example : Tensor or tuple, optional
        What the model is called with, for quantisers that only a traced call shows; see `find`.
    codes : function of (name, parameter), optional
        For quantisers that nothing finds; see `find`.
    horizons : sequence of float
        Of the time averages, in steps: at step t, step s weighs η_s·exp(−(t − s)/h), where η_s is the rate of
        the weight's parameter group. Infinity gives the average since the start, or since `restart`.
    within : int
        k: a flip is undone if the weight is back at most k steps after it left; churn is over k steps.
    momentum : float
        m of the oscillation metric of Nagel et al.

    Attributes
    ----------
    weights : list of QuantisedWeight
        What is monitored.
    left_out : list of str
        Quantised weights that the optimiser did not hold when the monitor was made.
    steps : int
        Steps counted.
    skipped : int
        Calls of the hook at which the optimiser had moved nothing, because a `GradScaler` found infinities.
    history : list of dict
        A row for each k steps: step, flips of each tensor in them, churn of each.

    Raises
    ------
    InputError
        If the model has no quantised weight, or the optimiser moves none of them, or an argument is out of
        its range.

    Notes
    -----
    The code with which step s was taken weighs with the rate of step s. Up to a horizon of 1,024 steps
    averages are kept in 16 bits, beyond in float32.

    References
    ----------
    Nagel et al. 2022, Overcoming Oscillations in Quantization-Aware Training, arXiv 2203.11086 (the metric).

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> _ = torch.manual_seed(0)
    >>> model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(8, 1)))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> monitor = stt.OrbitMonitor(model, optimizer)
    >>> for _ in range(20):
    ...     x = torch.randn(16, 8)
    ...     loss = ((model(x) - x[:, :1]) ** 2).mean()
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    >>> monitor
    <OrbitMonitor: 8 weights in 1 tensor, 20 steps>
    >>> monitor.frame()["steps"].to_list()
    [20]
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        example: Any = None,
        codes: Callable[[str, nn.Parameter], torch.Tensor | None] | None = None,
        horizons: Sequence[float] = HORIZONS,
        within: int = 100,
        momentum: float = 0.01,
    ):
        instance_of(model, nn.Module, "model", "a torch.nn.Module")
        optimizer = innermost(optimizer)
        self.horizons = checked(horizons)
        self.within = integer(within, "within", 1)
        self.momentum = real(momentum, "momentum", above=0, most=1)
        self.model, self.optimizer = unwrapped(model), optimizer
        self.example, self.codes = example, codes
        found = find(self.model, example=example, codes=codes, optimizer=optimizer)
        groups = [groups_of(one, optimizer) for one in found]
        self.weights: list[QuantisedWeight] = [w for w, group in zip(found, groups, strict=True) if group]
        self.left_out = [w.name for w, group in zip(found, groups, strict=True) if not group]
        if not self.weights:
            raise InputError(
                f"the optimizer moves none of the model's {counted(len(found), 'quantised weight tensor')} "
                f"({', '.join(self.left_out[:3])}): give the optimizer of this very model"
            )
        devices = {one.latent.device for one in self.weights}
        if len(devices) > 1:
            raise InputError(f"the quantised weights are on {len(devices)} devices; a monitor takes one")
        first = [one.codes() for one in self.weights]
        self._tally = Tally(
            first,
            [one.levels for one in self.weights],
            [one.levels > 3 or one.framework == "codes" for one in self.weights],
            [group[0] for group in groups if group],
            self.horizons,
            self.within,
            self.horizons.index(nearest(self.horizons, _VOTE)),
            self.momentum,
        )
        self._scales = [
            LastScale(weight, grid) if rounds(weight, codes, grid) else None
            for weight, codes, grid in zip(self.weights, first, self._tally.grid, strict=True)
        ]
        self.skipped = 0
        self.history: list[dict[str, Any]] = []
        self._flips_before = self._tally.flips.clone()
        self._writers: list[Any] = []
        self._undo = after_each_step(optimizer, self._after_step)

    # the hook

    @torch.no_grad()
    def _after_step(self) -> None:
        if skipped(self.optimizer):
            self.skipped += 1
            return
        device = self.weights[0].latent.device
        if device != self._tally.now.device:
            raise InputError(f"the model has moved to {device}: make its monitor where it is trained")
        rates = [float(group.get("lr", 1.0)) for group in self.optimizer.param_groups]
        rates = (rates + [0.0] * self._tally.clock.groups)[: self._tally.clock.groups]  # some may have gone
        self._tally.take(rates, (self._changes(index) for index in range(len(self.weights))))
        if self.steps % self.within == 0:
            flips = self._tally.flips - self._flips_before
            self._flips_before = self._tally.flips.clone()
            self.history.append({"step": self.steps, "flips": flips.tolist(), "churn": self._tally.mark()})
            for writer in self._writers:
                self._write(writer)

    def _changes(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return where codes changed, to what, and whether they would have stayed had the scale stayed."""
        tally, scale = self._tally, self._scales[index]
        where, new = tally.changed(index, self.weights[index].codes())
        if scale is None:
            return where, new, torch.zeros_like(new, dtype=torch.bool)
        return where, new, scale.made(where, tally.now[tally.part(index)][where])

    # what is known

    @property
    def steps(self) -> int:
        """Steps counted."""
        return self._tally.clock.step

    @property
    def bytes_per_weight(self) -> float:
        """Bytes kept for each weight, with its part of the last scale."""
        scales = sum(one.kept.nbytes for one in self._scales if one is not None)
        return (self._tally.bytes + scales) / sum(one.latent.numel() for one in self.weights)

    def _index(self, name: str) -> int:
        """Return the place among `weights` of a tensor, by any of its names."""
        for place, weight in enumerate(self.weights):
            if name == weight.name or name in weight.places:
                return place
        raise InputError(f"no monitored tensor is called {shown(name)}: see `frame()` for their names")

    def _horizon(self, horizon: float) -> int:
        """Return the place of a horizon among `horizons`."""
        if horizon not in self.horizons:
            known = ", ".join(f"{one:g}" for one in self.horizons)
            raise InputError(f"horizon is {shown(horizon)}; the monitor has {known}")
        return self.horizons.index(horizon)

    def average(self, name: str, horizon: float) -> torch.Tensor:
        """Return the time average of the codes of a tensor.

        Parameters
        ----------
        name : str
            Of the tensor, as in `frame`.
        horizon : float
            One of the monitor's.

        Returns
        -------
        Tensor
            float32, in the shape of the weight.

        Raises
        ------
        InputError
            If there is no such tensor or horizon.
        """
        index = self._index(name)
        return self._tally.average(index, self._horizon(horizon)).view(self.weights[index].latent.shape)

    def margin(self, name: str, horizon: float | None = None) -> torch.Tensor:
        """Return how far averages of a tensor are from the next threshold: 1 on a level, 0 on a threshold.

        Parameters
        ----------
        name : str
            Of the tensor, as in `frame`.
        horizon : float, optional
            One of the monitor's; `settled_horizon` by default.

        Returns
        -------
        Tensor
            float32, in the shape of the weight. For two-level weights it is the absolute average.

        Raises
        ------
        InputError
            If there is no such tensor or horizon.
        """
        index = self._index(name)
        place = self._horizon(self.settled_horizon() if horizon is None else horizon)
        return self._tally.margin(index, place).view(self.weights[index].latent.shape)

    def times(self, name: str) -> tuple[list[int], list[int]]:
        """Return how many stays and absences of a tensor's weights lasted [1, 2), [2, 4), [4, 8), … steps.

        A stay is one at the usual code, the level nearest to the average at the longest horizon; an absence
        leads from it to another level and back. What began before the monitor is not counted, and an absence
        by way of several levels neither.

        Parameters
        ----------
        name : str
            Of the tensor, as in `frame`.

        Returns
        -------
        stays, absences : list of int
            Counts, one a bin.
        """
        index = self._index(name)
        return self._tally.stays[index].tolist(), self._tally.absences[index].tolist()

    def settled_horizon(self) -> float:
        """Return the horizon nearest to a sixteenth of the steps so far, by ratio.

        Long enough to average the chatter out, short enough that old codes are not stale while the net
        still learns. It is a rule of thumb, not a law; docs/science/evidence.md shows what other horizons
        would have given.

        Returns
        -------
        float
            One of `horizons`.
        """
        return settled(self.horizons, self.steps)

    def frame(self, horizon: float | None = None) -> pl.DataFrame:
        """Return a table with a row for each tensor.

        Parameters
        ----------
        horizon : float, optional
            At which averages are taken for `undecided` and `margin`; `settled_horizon` by default.

        Returns
        -------
        polars.DataFrame
            tensor, framework, weights, levels; steps counted; flips; undone: flips that led back within k
            steps; by_scale: changes that the scale alone made (null where the quantiser does not round
            latent/scale); undecided: share of weights with a margin below ½; margin: its mean; never_moved:
            weights without a flip; churn: share of weights with another code than k steps before (at the
            last mark; null before the first); oscillation: mean of Nagel's metric; stay and absence: median
            times, to a factor of two; horizon.
        """
        import polars as pl

        horizon = self.settled_horizon() if horizon is None else horizon
        place = self._horizon(horizon)
        tally, rows = self._tally, []
        for index, weight in enumerate(self.weights):
            margin, size = tally.margin(index, place), weight.latent.numel()
            by_scale = weight.levels == 2 or self._scales[index] is not None
            rows.append(
                {
                    "tensor": weight.name,
                    "framework": weight.framework,
                    "weights": size,
                    "levels": weight.levels,
                    "steps": self.steps,
                    "flips": int(tally.flips[index]),
                    "undone": int(tally.undone[index]),
                    "by_scale": int(tally.by_scale[index]) if by_scale else None,
                    "undecided": float((margin < DECIDED).float().mean()),
                    "margin": float(margin.mean()),
                    "never_moved": int((tally.moved_at[tally.part(index)] == 0).sum()),
                    "churn": self.history[-1]["churn"][index] / size if self.history else None,
                    "oscillation": float(tally.oscillations(index).mean()),
                    "stay": median(tally.stays[index].tolist()),
                    "absence": median(tally.absences[index].tolist()),
                    "horizon": horizon,
                }
            )
        kinds = {
            "by_scale": pl.Int64,
            "churn": pl.Float64,
            "stay": pl.Int64,
            "absence": pl.Int64,
            "horizon": pl.Float64,
        }
        return pl.DataFrame(rows, schema_overrides=kinds)

    def report(self) -> MonitorReport:
        """Return what there is to see, for a terminal or a notebook.

        Returns
        -------
        MonitorReport
            Its text is a table and plain sentences.
        """
        from sterling.torch.monitor_report import MonitorReport

        diverged = [one.name for one in self.weights if not bool(one.latent.isfinite().all())]
        return MonitorReport(self.frame(), self.history, self.within, self.left_out, diverged)

    def tensorboard(self, writer: Any) -> None:
        """Write numbers of each tensor to TensorBoard, now and after every k steps from now on.

        Parameters
        ----------
        writer : torch.utils.tensorboard.SummaryWriter
            Or anything else with `add_scalar(tag, value, step)`.

        Raises
        ------
        InputTypeError
            If it has no such method.
        """
        if not callable(getattr(writer, "add_scalar", None)):
            raise InputTypeError(
                f"writer is of the type {type(writer).__name__}; give a torch.utils.tensorboard.SummaryWriter"
            )
        self._writers.append(writer)
        self._write(writer)

    def _write(self, writer: Any) -> None:
        for row in self.frame().iter_rows(named=True):
            for name in ("flips", "undone", "by_scale", "undecided", "never_moved", "churn", "oscillation"):
                if row[name] is not None:
                    writer.add_scalar(f"sterling/{name}/{row['tensor']}", row[name], self.steps)

    def restart(self) -> None:
        """Begin the averages since the start anew, from the present codes; all else goes on."""
        self._tally.forget()

    def close(self) -> None:
        """Take the hook off the optimiser; what was counted stays."""
        self._undo()

    def __deepcopy__(self, memo: Any) -> OrbitMonitor:
        return self  # a copy of a model that holds its monitor refers to the one that counts

    def __reduce__(self) -> Any:
        raise InputTypeError(
            "a monitor hangs on its optimizer and cannot be pickled: save its `state_dict()`"
        )

    # saving

    def state_dict(self) -> dict[str, Any]:
        """Return all that was counted, as tensors, numbers and texts, which `torch.load` takes as it is.

        Returns
        -------
        dict
            A copy.
        """
        return {
            "format": _FORMAT,
            "tensors": self._tensors(),
            "horizons": list(self.horizons),
            "within": self.within,
            "momentum": self.momentum,
            "skipped": self.skipped,
            "history": [dict(row) for row in self.history],
            "flips_before": self._flips_before.clone(),
            "scales": [None if one is None else one.kept.clone() for one in self._scales],
            "tally": self._tally.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where a monitor of the same model stopped: the counts are those of an uninterrupted run.

        Load the model and the optimiser as well; codes that differ from those of the state count as flips of
        the next step.

        Parameters
        ----------
        state : dict
            From `state_dict`.

        Raises
        ------
        InputError
            If it is of another model, or of other horizons.
        """
        if not isinstance(state, Mapping) or state.get("format") != _FORMAT:
            raise InputError(
                "this is no state of an OrbitMonitor of this version: give what `state_dict` returned"
            )
        before = self.state_dict()
        try:
            with in_one_sentence("this state of an OrbitMonitor is damaged", "save it again"):
                self._load(state)
        except SterlingError:
            self._load(before)
            raise

    def _tensors(self) -> list[list[Any]]:
        return [[one.name, list(one.latent.shape), one.levels] for one in self.weights]

    def _load(self, state: Mapping[str, Any]) -> None:
        for mine, theirs in zip_longest(self._tensors(), map(list, state["tensors"])):
            if mine != theirs:
                raise InputError(
                    f"the saved monitor watched {_described(theirs)}, this model has {_described(mine)}: "
                    "resume with the same model"
                )
        given = (list(self.horizons), self.within, self.momentum)
        if given != (list(state["horizons"]), state["within"], state["momentum"]):
            raise InputError(
                "the saved monitor had other horizons, `within` or `momentum`: make this one with them"
            )
        self._tally.restore(state["tally"])
        self.skipped = int(state["skipped"])
        self.history = [{key: row[key] for key in ("step", "flips", "churn")} for row in state["history"]]
        if any(len(row[key]) != len(self.weights) for row in self.history for key in ("flips", "churn")):
            raise InputError("the history of the saved monitor is of other tensors")
        self._flips_before.copy_(state["flips_before"])
        for mine, theirs in zip(self._scales, state["scales"], strict=True):
            if mine is not None and theirs is not None:
                mine.restore(theirs)

    def __repr__(self) -> str:
        weights = sum(one.latent.numel() for one in self.weights)
        where = f"{counted(weights, 'weight')} in {counted(len(self.weights), 'tensor')}"
        return f"<OrbitMonitor: {where}, {counted(self.steps, 'step')}>"


def _described(tensor: list[Any] | None) -> str:
    """Return name, shape and levels of a tensor in words."""
    if tensor is None:
        return "no further tensor"
    name, shape, levels = tensor
    return f"{name!r} of shape {tuple(shape)} on {levels} levels"
