"""`OrbitMonitor` watches the quantised weights of a model in training, from a hook on the optimiser's step.

It checks the options, and reports. `watching` counts the steps, and `counting` keeps the statistics.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sterling.base.checks import flag, instance_of, integer, real, shown
from sterling.base.drawn import Drawn
from sterling.base.text import counted
from sterling.errors import InputError, InputTypeError
from sterling.torch.hooks import innermost
from sterling.torch.horizons import HORIZONS, checked, settled
from sterling.torch.packed import SHORT
from sterling.torch.taps import unwrapped
from sterling.torch.watching import Watcher

if TYPE_CHECKING:
    import polars as pl

    from sterling.torch.monitor_report import MonitorReport

_DETAILED = 3  # least number of horizons with which details are kept by default
_LONGEST = 127  # steps that one byte tells apart


class OrbitMonitor(Watcher, Drawn):
    """Counts the flips of a model's quantised weights at each step of its optimiser.

    The training loop calls nothing. A step counts when the optimiser has taken it. The monitor handles
    gradient accumulation, steps that a `GradScaler` skips (with fused optimisers too) and PARQ's projection
    after the step. A fault of the monitor never ends the training: it warns once and detaches, and its
    statistics stay. With the default horizons the monitor keeps 20 bytes for each weight with two levels and
    23 for each weight with more. With two horizons of at most 1,024 steps it keeps 6 bytes, or 8 if codes lie
    beyond ±127; see `details`.

    Parameters
    ----------
    model : Module
        The model in training. It may be compiled, wrapped in DDP, or sharded by `fully_shard`.
    optimizer : Optimizer, optional
        The optimiser that the training loop calls. The monitor leaves out weights that this optimiser does
        not move; see `left_out`. Without one, the loop calls `step`.
    example : Tensor or tuple, optional
        Arguments for the model, to find quantisers of unknown frameworks; see `find`.
    codes : function or dict, optional
        Codes of quantisers that `find` does not know; see `find`.
    horizons : sequence of float
        Horizons h of the time averages, in steps: at step t, step s weighs η_s·exp(−(t − s)/h), where η_s is
        the rate of the weight's parameter group. Infinity: the average since the start, or since `restart`.
    within : int
        k, in steps: a flip is undone if the weight returns within k steps; churn compares codes k steps
        apart.
    momentum : float
        Momentum m of the oscillation metric of Nagel et al.
    every : int
        Read the codes at each step with a number divisible by this. Flips are then differences of codes that
        many steps apart, so the monitor misses flips that are undone in between.
    sample : int, optional
        Read at most this number of weights of each tensor, such as ``2**16``, and 1.5 million together, which
        takes at most 64 MB. Counts are scaled up; `frame` has their 95 % intervals.
    include, exclude : sequence of str
        Layers or tensors to monitor, and not to monitor: names, or patterns such as "blocks.*.head".
    details : bool, optional
        Whether to keep the churn, the oscillation and the most frequent code of each weight. By default the
        monitor leaves them out if it has at most two horizons, none longer than 1,024 steps, and k is below
        128. Averages then have 12 bits.
    late : bool
        Whether quantisation may start later. Until the monitor finds quantised weights, it looks again before
        each step, and runs the `example` each time. It counts from the first step with quantised weights.
    seed : int
        Seed of the sample.

    Attributes
    ----------
    weights : list of QuantisedWeight
        The monitored weights.
    left_out : list of str
        Quantised weights that were not in the optimiser when the monitor was created.
    steps : int
        Steps counted.
    detached : str
        At which step and why the monitor detached; empty while it counts.
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

    If `fully_shard` has sharded the model, each process reads its part, and counts are summed over the
    processes at each step: `frame` shows the sums in each process. Averages, `undecided` and `margin` are
    those of the part in this process, and so is the state. With DDP the counts are those of one process.

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

    _pictures = "sterling.torch.monitor_report", ("flip_ratio",)

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        example: Any = None,
        codes: Any = None,
        horizons: Sequence[float] = HORIZONS,
        within: int = 100,
        momentum: float = 0.01,
        every: int = 1,
        sample: int | None = None,
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] = (),
        details: bool | None = None,
        late: bool = False,
        seed: int = 0,
    ):
        instance_of(model, nn.Module, "model", "a torch.nn.Module")
        self.model = unwrapped(model)
        self.optimizer = None if optimizer is None else innermost(optimizer)
        self.horizons, self.every = checked(horizons), integer(every, "every", 1)
        self.within = integer(within, "within", self.every)
        self.momentum = real(momentum, "momentum", above=0, most=1)
        self.sample = None if sample is None else integer(sample, "sample", 1)
        lean = len(self.horizons) < _DETAILED and self.horizons[-1] <= SHORT and self.within <= _LONGEST
        self.details = not lean if details is None else flag(details, "details")
        if not self.details and self.within > _LONGEST:
            raise InputError(
                f"within is {self.within}; without details it is at most {_LONGEST} (details=True keeps more)"
            )
        self.example, self.codes, self.late = example, codes, flag(late, "late")
        self.include, self.exclude, self.seed = include, exclude, integer(seed, "seed", 0)
        super().__init__()

    def step(self, rate: float = 1.0) -> None:
        """Count a step of a loop without a `torch.optim.Optimizer`; call it when the weights have moved.

        Parameters
        ----------
        rate : float
            Weight η of the step in the averages.

        Raises
        ------
        InputError
            If the monitor has an optimiser, whose steps it counts by itself.
        """
        if self.optimizer is not None:
            raise InputError("the monitor counts the steps of its optimizer: make it with optimizer=None")
        self._count(real(rate, "rate", least=0))

    @property
    def bytes_per_weight(self) -> float:
        """Bytes in memory for each weight."""
        if self._tracker is None:
            return 0.0
        samples = sum(one.chosen.nbytes for one in self._readers if one.chosen is not None)
        return (self._tracker.bytes + samples) / sum(one.shape.numel() for one in self._readers)

    @property
    def sharded(self) -> bool:
        """Whether processes share the weights, so that each one has a state."""
        return bool(self._tracker is not None and self._shards.groups)

    @property
    def partial(self) -> bool:
        """Whether this process reads only a sample or a shard of the weights."""
        return any(one.chosen is not None or one.mesh is not None for one in self._readers)

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

    def _shaped(self, index: int, flat: torch.Tensor) -> torch.Tensor:
        reader = self._readers[index]
        return flat.view(reader.shape) if reader.chosen is None else flat

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
            float32, in the shape of the weight, or of this process's part; of a sample, one-dimensional.

        Raises
        ------
        InputError
            If the monitor has no such tensor or horizon.
        """
        index = self._index(name)
        return self._shaped(index, self._tracker.average(index, self._horizon(horizon)))

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
            before, within k steps; undecided: share of weights with a margin below ½; margin: its mean;
            never_moved: weights without a flip; churn: share of weights with another code than k steps before
            (null in the first k steps, and without details); oscillation: mean of Nagel's metric; horizon;
            read: number of weights that are read; flips_error and others: half of the 95 % interval of these
            counts, 0 without a sample.
        """
        from sterling.torch.monitor_report import table

        return table(self, self._horizon(self.settled_horizon() if horizon is None else horizon))

    def report(self) -> MonitorReport:
        """Return a report for a terminal or a notebook.

        Returns
        -------
        MonitorReport
            Its text is a table and sentences.
        """
        from sterling.torch.monitor_report import MonitorReport

        read = [(one.weight.name, one.here(one.weight.latent)) for one in self._readers]
        diverged = [name for name, latent in read if not bool(latent.isfinite().all())]
        return MonitorReport(self.frame(), self, diverged)

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
        self._writers.append(lambda: self._write(writer))
        self._write(writer)

    def _write(self, writer: Any) -> None:
        for row in self.frame().iter_rows(named=True):
            for name in ("flips", "undone", "undecided", "never_moved", "churn", "oscillation"):
                if row[name] is not None:
                    writer.add_scalar(f"sterling/{name}/{row['tensor']}", row[name], self.steps)

    def restart(self) -> None:
        """Restart the average since the start; all other statistics continue."""
        if self._tracker is not None:
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
        from sterling.torch.monitor_state import saved

        return saved(self)

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
        from sterling.torch.monitor_state import load

        load(self, state)

    def __repr__(self) -> str:
        weights = sum(one.shape.numel() for one in self.weights)
        where = f"{counted(weights, 'weight')} in {counted(len(self.weights), 'tensor')}"
        detached = f", {self.detached}" if self.detached else ""
        return f"<OrbitMonitor: {where}, {counted(self.steps, 'step')}{detached}>"
