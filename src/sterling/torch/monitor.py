"""`OrbitMonitor` watches the quantised weights of a model in training, from a hook on the optimiser's step.

It decides when a step was taken, and reports; `counting` keeps the statistics.
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
from sterling.torch.counting import CodeTracker, median
from sterling.torch.handle import QuantisedWeight
from sterling.torch.hooks import after_each_step, groups_of, innermost, skipped
from sterling.torch.horizons import HORIZONS, checked, nearest, settled
from sterling.torch.scales import LastScale, rounds
from sterling.torch.taps import in_one_sentence, unwrapped
from sterling.torch.weights import find

if TYPE_CHECKING:
    import polars as pl

    from sterling.torch.monitor_report import MonitorReport

#: A weight with a smaller margin is undecided: its average is nearer to a threshold than to its level.
DECIDED = 0.5

_VOTE = 64.0  # the majority vote has the horizon nearest to this
_FORMAT = 1  # of the state


class OrbitMonitor:
    """Counts the flips of a model's quantised weights at each step of its optimiser.

    The training loop calls nothing. A step counts when the optimiser has taken it. The monitor handles
    gradient accumulation, steps that a `GradScaler` skips (with fused optimisers too) and PARQ's projection
    after the step. With the default horizons the monitor keeps 20 bytes for each weight with two levels and
    23 for each weight with more, and also the last value of each scale.

    Parameters
    ----------
    model : Module
        The model, on the device on which it is trained. It may be compiled or wrapped in DDP.
    optimizer : Optimizer
        The optimiser that the training loop calls. The monitor leaves out weights that this optimiser does
        not move; see `left_out`.
    example : Tensor or tuple, optional
        Arguments for the model, to find quantisers of unknown frameworks; see `find`.
    codes : function of (name, parameter), optional
        Function for quantisers that `find` does not know; see `find`.
    horizons : sequence of float
        Horizons h of the time averages, in steps: at step t, step s weighs η_s·exp(−(t − s)/h), where η_s is
        the rate of the weight's parameter group. Infinity: the average since the start, or since `restart`.
    within : int
        k, in steps: a flip is undone if the weight returns within k steps; churn compares codes k steps
        apart.
    momentum : float
        Momentum m of the oscillation metric of Nagel et al.

    Attributes
    ----------
    weights : list of QuantisedWeight
        The monitored weights.
    left_out : list of str
        Quantised weights that were not in the optimiser when the monitor was created.
    steps : int
        Steps counted.
    skipped : int
        Steps in which the optimiser moved nothing, because a `GradScaler` found infinities.
    history : list of dict
        A row every k steps: step, and for each tensor the flips and the churn in these steps.

    Raises
    ------
    InputError
        If the model has no quantised weight, if the optimiser moves none, or if an argument is
        out of range.

    Notes
    -----
    In an average, the code before step s has the weight of step s. Averages up to a horizon of 1,024 steps
    take 16 bits, others float32.

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
                f"({', '.join(self.left_out[:3])}): give the optimizer of this model"
            )
        devices = {one.latent.device for one in self.weights}
        if len(devices) > 1:
            raise InputError(f"the quantised weights are on {len(devices)} devices; they must be on one")
        first = [one.codes() for one in self.weights]
        self._tracker = CodeTracker(
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
            for weight, codes, grid in zip(self.weights, first, self._tracker.grid, strict=True)
        ]
        self.skipped = 0
        self.history: list[dict[str, Any]] = []
        self._flips_before = self._tracker.flips.clone()
        self._writers: list[Any] = []
        self._undo = after_each_step(optimizer, self._after_step)

    @torch.no_grad()
    def _after_step(self) -> None:
        if skipped(self.optimizer):
            self.skipped += 1
            return
        device = self.weights[0].latent.device
        if device != self._tracker.now.device:
            raise InputError(f"the model has moved to {device}: make its monitor on that device")
        rates = [float(group.get("lr", 1.0)) for group in self.optimizer.param_groups]
        groups = self._tracker.clock.groups
        rates = (rates + [0.0] * groups)[:groups]  # some groups may be gone
        self._tracker.take(rates, (self._changes(index) for index in range(len(self.weights))))
        if self.steps % self.within == 0:
            flips = self._tracker.flips - self._flips_before
            self._flips_before = self._tracker.flips.clone()
            self.history.append({"step": self.steps, "flips": flips.tolist(), "churn": self._tracker.mark()})
            for writer in self._writers:
                self._write(writer)

    def _changes(self, index: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        tracker, scale = self._tracker, self._scales[index]
        where, new = tracker.changed(index, self.weights[index].codes())
        if scale is None:
            return where, new, torch.zeros_like(new, dtype=torch.bool)
        return where, new, scale.caused(where, tracker.now[tracker.part(index)][where])

    @property
    def steps(self) -> int:
        """Steps counted."""
        return self._tracker.clock.step

    @property
    def bytes_per_weight(self) -> float:
        """Bytes in memory for each weight, including its part of the last scale."""
        scales = sum(one.kept.nbytes for one in self._scales if one is not None)
        return (self._tracker.bytes + scales) / sum(one.latent.numel() for one in self.weights)

    def _index(self, name: str) -> int:
        """Return the index of a tensor among `weights`, by any of its names."""
        for index, weight in enumerate(self.weights):
            if name in weight.places:
                return index
        raise InputError(f"no monitored tensor is called {shown(name)}: see `frame()` for their names")

    def _horizon(self, horizon: float) -> int:
        if horizon not in self.horizons:
            known = ", ".join(f"{one:g}" for one in self.horizons)
            raise InputError(f"horizon is {shown(horizon)}; the monitor has {known}")
        return self.horizons.index(horizon)

    def average(self, name: str, horizon: float) -> torch.Tensor:
        """Return the time average of the codes of a tensor.

        Parameters
        ----------
        name : str
            Name of the tensor, as in `frame`.
        horizon : float
            One of the monitor's horizons.

        Returns
        -------
        Tensor
            float32, in the shape of the weight.

        Raises
        ------
        InputError
            If the monitor has no such tensor or horizon.
        """
        index = self._index(name)
        return self._tracker.average(index, self._horizon(horizon)).view(self.weights[index].latent.shape)

    def margin(self, name: str, horizon: float | None = None) -> torch.Tensor:
        """Return the distance of each average from the next threshold: 1 on a level, 0 on a threshold.

        Parameters
        ----------
        name : str
            Name of the tensor, as in `frame`.
        horizon : float, optional
            One of the monitor's horizons; `settled_horizon` by default.

        Returns
        -------
        Tensor
            float32, in the shape of the weight. With two levels it is the absolute average.

        Raises
        ------
        InputError
            If the monitor has no such tensor or horizon.
        """
        index = self._index(name)
        at = self._horizon(self.settled_horizon() if horizon is None else horizon)
        return self._tracker.margin(index, at).view(self.weights[index].latent.shape)

    def times(self, name: str) -> tuple[list[int], list[int]]:
        """Count the stays and absences of a tensor's weights that lasted [1, 2), [2, 4), [4, 8), … steps.

        The usual code of a weight is the level nearest to its average at the longest horizon. A stay is an
        interval at the usual code; an absence leads from it to another level and back. Stays that began
        before the monitor are not counted, and neither are absences over several levels.

        Parameters
        ----------
        name : str
            Name of the tensor, as in `frame`.

        Returns
        -------
        stays, absences : list of int
            One count for each bin.
        """
        index = self._index(name)
        return self._tracker.stays[index].tolist(), self._tracker.absences[index].tolist()

    def settled_horizon(self) -> float:
        """Return the horizon nearest to a sixteenth of the steps so far, by ratio.

        This rule of thumb averages out the chatter, but forgets old codes while the net still learns.
        docs/science/evidence.md compares horizons.

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
            Horizon of the averages in `undecided` and `margin`; `settled_horizon` by default.

        Returns
        -------
        polars.DataFrame
            tensor, framework, weights, levels; steps counted; flips; undone: flips back to the code
            before, within k steps; by_scale: flips that the scale alone caused (null if the quantiser does
            not round latent/scale); undecided: share of weights with a margin below ½; margin: its mean;
            never_moved: weights without a flip; churn: share of weights with another code than k steps
            before (null in the first k steps); oscillation: mean of Nagel's metric; stay and absence: median
            times, to a factor of two; horizon.
        """
        import polars as pl

        at = self._horizon(self.settled_horizon() if horizon is None else horizon)
        tracker, rows = self._tracker, []
        for index, weight in enumerate(self.weights):
            margin, size = tracker.margin(index, at), weight.latent.numel()
            by_scale = weight.levels == 2 or self._scales[index] is not None
            rows.append(
                {
                    "tensor": weight.name,
                    "framework": weight.framework,
                    "weights": size,
                    "levels": weight.levels,
                    "steps": self.steps,
                    "flips": int(tracker.flips[index]),
                    "undone": int(tracker.undone[index]),
                    "by_scale": int(tracker.by_scale[index]) if by_scale else None,
                    "undecided": float((margin < DECIDED).float().mean()),
                    "margin": float(margin.mean()),
                    "never_moved": int((tracker.moved_at[tracker.part(index)] == 0).sum()),
                    "churn": self.history[-1]["churn"][index] / size if self.history else None,
                    "oscillation": float(tracker.oscillations(index).mean()),
                    "stay": median(tracker.stays[index].tolist()),
                    "absence": median(tracker.absences[index].tolist()),
                    "horizon": self.horizons[at],
                }
            )
        kinds = {"by_scale": pl.Int64, "churn": pl.Float64, "stay": pl.Int64, "absence": pl.Int64}
        return pl.DataFrame(rows, schema_overrides=kinds)

    def report(self) -> MonitorReport:
        """Return a report for a terminal or a notebook.

        Returns
        -------
        MonitorReport
            Its text is a table and sentences.
        """
        from sterling.torch.monitor_report import MonitorReport

        diverged = [one.name for one in self.weights if not bool(one.latent.isfinite().all())]
        return MonitorReport(self.frame(), self.within, self.left_out, diverged)

    def tensorboard(self, writer: Any) -> None:
        """Write the statistics of each tensor to TensorBoard now, and then every k steps.

        Parameters
        ----------
        writer : torch.utils.tensorboard.SummaryWriter
            Or any object with `add_scalar(tag, value, step)`.

        Raises
        ------
        InputTypeError
            If the writer has no such method.
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
        """Restart the average since the start; all other statistics continue."""
        self._tracker.forget()

    def close(self) -> None:
        """Remove the hook from the optimiser; the statistics stay."""
        self._undo()

    def __deepcopy__(self, memo: Any) -> OrbitMonitor:
        return self  # the copy of a model that holds its monitor shares the monitor

    def __reduce__(self) -> Any:
        raise InputTypeError(
            "a monitor belongs to its optimizer and cannot be pickled: save its `state_dict()`"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return all statistics as tensors, numbers and strings, which `torch.load` reads with its defaults.

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
            "tally": self._tracker.state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of a monitor of the same model, as if the run had not been interrupted.

        Load the model and the optimiser too: codes that differ from the saved ones count as flips of the next
        step.

        Parameters
        ----------
        state : dict
            A state from `state_dict`.

        Raises
        ------
        InputError
            If the state belongs to another model or other horizons, or is damaged. The monitor then keeps its
            own state.
        """
        if not isinstance(state, Mapping) or state.get("format") != _FORMAT:
            raise InputError(
                "this is not the state of an OrbitMonitor of this version: give the result of `state_dict`"
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
        for ours, saved in zip_longest(self._tensors(), map(list, state["tensors"])):
            if ours != saved:
                raise InputError(
                    f"the saved monitor watched {_described(saved)}, this model has {_described(ours)}: "
                    "resume with the same model"
                )
        given = (list(self.horizons), self.within, self.momentum)
        if given != (list(state["horizons"]), state["within"], state["momentum"]):
            raise InputError(
                "the saved monitor had other horizons, `within` or `momentum`: make this one with them"
            )
        self._tracker.restore(state["tally"])
        self.skipped = int(state["skipped"])
        self.history = [{key: row[key] for key in ("step", "flips", "churn")} for row in state["history"]]
        self._flips_before.copy_(state["flips_before"])
        for scale, saved in zip(self._scales, state["scales"], strict=True):
            if scale is not None and saved is not None:
                scale.restore(saved)

    def __repr__(self) -> str:
        weights = sum(one.latent.numel() for one in self.weights)
        where = f"{counted(weights, 'weight')} in {counted(len(self.weights), 'tensor')}"
        return f"<OrbitMonitor: {where}, {counted(self.steps, 'step')}>"


def _described(tensor: list[Any] | None) -> str:
    if tensor is None:
        return "no further tensor"
    name, shape, levels = tensor
    return f"{name!r} of shape {tuple(shape)} on {levels} levels"
