"""`OrbitMonitor` counts the flips of quantised weights in training, from a hook on the optimiser's step.

`parts` reads the codes, and `counting` keeps the statistics.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sterling.base.checks import flag, instance_of, integer, real, shown
from sterling.base.drawn import Drawn
from sterling.base.text import counted
from sterling.errors import InputError, SterlingError
from sterling.torch.counting import GROUPS, HORIZONS, CodeTracker, checked_horizons, settled
from sterling.torch.handle import QuantisedWeight
from sterling.torch.hooks import after_each_step, guarded, innermost, skipped, warned
from sterling.torch.parts import MOST_SAMPLED, Reader, Shards, chosen, found_in
from sterling.torch.rounding import CodesLost
from sterling.torch.taps import in_one_sentence, unwrapped
from sterling.torch.weights import NothingFound

if TYPE_CHECKING:
    import polars as pl

    from sterling.torch.monitor_report import MonitorReport

_FORMAT = 5  # of saved states
_MANY = 1 / 8  # share of codes that change in a step if the run may have diverged


class OrbitMonitor(Drawn):
    """Counts the flips of a model's quantised weights at each step of its optimiser.

    The training loop calls nothing. A fault of the monitor never ends the training: it warns once and
    detaches, and its statistics stay; codes of a tensor that can no longer be read end only that count. For
    each weight the monitor keeps 28 bytes, and 31 in models with more than two levels. With at most
    two horizons, none longer than 1,024 steps, and k below 128 it keeps 6 bytes, or 8 if codes lie beyond
    ±127: averages of 12 bits, and no metric of oscillation or commonest code.

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
        Horizons h of the averages, in steps: at step t the code before step s weighs η_s·exp(−(t − s)/h),
        where η_s is the rate of its parameter group. Infinity: the average since the start.
    within : int
        k, in steps: a flip is undone if the weight returns within k steps.
    every : int
        Read the codes at each step divisible by this; flips that are undone in between are missed.
    sample : int, optional
        Read at most this number of weights of each tensor, such as ``2**16``, and 1.5 million together, which
        takes at most 64 MB. Counts are scaled up; `frame` has their 95 % intervals.
    include, exclude : sequence of str
        Layers or tensors to monitor, and not to monitor: names, or patterns such as "blocks.*.head".
    late : bool
        Whether quantisation may start later. Until then the monitor looks again before each step, with the
        `example`; it counts from the first step with quantised weights, and only those.
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
        A row every k steps: step, and the flips of each tensor in these steps.

    Raises
    ------
    InputError
        If the model has no quantised weight, if the optimiser moves none, or if an argument is
        out of range.

    Notes
    -----
    The oscillation metric is that of Nagel et al. 2022, arXiv 2203.11086, with the momentum 0.01. With
    `fully_shard`, counts are summed over the processes at each step; averages, `undecided`, `margin` and the
    state are those of the part in this process. With DDP the counts are those of one process.

    Examples
    --------
    >>> import torch
    >>> import sterling.torch as stt
    >>> model = stt.binarize(torch.nn.Linear(8, 1))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> monitor = stt.OrbitMonitor(model, optimizer)
    >>> for x in torch.randn(20, 16, 8):
    ...     optimizer.zero_grad()
    ...     (model(x) - x[:, :1]).square().mean().backward()
    ...     optimizer.step()
    >>> monitor
    <OrbitMonitor: 8 weights in 1 tensor, 20 steps>
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
        every: int = 1,
        sample: int | None = None,
        include: Sequence[str] = ("*",),
        exclude: Sequence[str] = (),
        late: bool = False,
        seed: int = 0,
    ):
        instance_of(model, nn.Module, "model", "a torch.nn.Module")
        self.model = unwrapped(model)
        self.optimizer = None if optimizer is None else innermost(optimizer)
        self.horizons, self.every = checked_horizons(horizons), integer(every, "every", 1)
        self.within = integer(within, "within", self.every)
        self.sample = None if sample is None else integer(sample, "sample", 1)
        self.example, self.codes, self.late = example, codes, flag(late, "late")
        self.include, self.exclude, self.seed = include, exclude, integer(seed, "seed", 0)
        self.weights: list[QuantisedWeight] = []
        self.left_out: list[str] = []
        self.skipped, self.detached = 0, ""
        self.history: list[dict[str, Any]] = []
        self._at = 1  # the step that is being counted
        self._tracker: Any = None  # a CodeTracker, once quantised weights are found
        self._readers: list[Reader] = []
        self._writers: list[Any] = []  # of TensorBoard
        self._state: Any = None  # to continue from, once they are found
        self._begin()
        self._undo: Callable[[], None] = lambda: None
        self._count = guarded(self._after_step, self._detach)
        if self.optimizer is not None:
            begin = guarded(self._begin, self._detach) if self.late else None
            self._undo = after_each_step(self.optimizer, self._count, begin)

    @torch.no_grad()
    def _begin(self) -> None:
        """Find the quantised weights, unless they are known, or may still come."""
        if self._tracker is not None:
            return
        try:
            found = found_in(self.model, self.example, codes=self.codes, optimizer=self.optimizer)
        except NothingFound:
            if self.late:
                return
            raise
        groups, left_out = chosen(self.model, found, self.optimizer, self.include, self.exclude)
        readers = list(groups)
        if self.sample is not None:
            most = min(self.sample, max(1, MOST_SAMPLED // len(readers)))
            for index, reader in enumerate(readers):
                reader.sample(most, self.seed + index)
        first, levels = [one.codes() for one in readers], [one.weight.levels for one in readers]
        tracker = CodeTracker(first, levels, list(groups.values()), self.horizons, self.within)
        self._shards = Shards(readers)
        self._ratios = torch.tensor([one.shape.numel() / max(one.size, 1) for one in readers]).double()
        self._readers, self.left_out, self._tracker = readers, left_out, tracker
        self.weights = [one.weight for one in readers]
        self._totals = self._sum()
        self._flips_before = self._flips()
        if self._state is not None:
            self.load_state_dict(self._state)

    @torch.no_grad()
    def _after_step(self, *rate: float) -> None:
        if self.optimizer is not None and skipped(self.optimizer):
            self.skipped += 1
            return
        if self._tracker is None:
            if self.optimizer is None:
                self._begin()
            return
        self._at = self.steps + 1
        self._tracker.to(self.weights[0].latent.device)
        # The tracker's first group is of weights that no optimiser holds. Some groups may be gone.
        given = [] if self.optimizer is None else self.optimizer.param_groups
        rates = [*(rate or (1.0,)), *(float(group.get("lr", 1.0)) for group in given)]
        rates = (rates + [0.0] * self._tracker.clock.groups)[: self._tracker.clock.groups]
        looks, failed = self._at % self.every == 0, True
        try:
            self._tracker.take(rates, map(self._changed, range(len(self._readers))) if looks else ())
            failed = False
        finally:
            if looks:  # each process takes part, so that none waits for another one
                self._totals = self._sum(failed)
        last = self.history[-1]["step"] if self.history else 0
        if looks and self.steps // self.within > last // self.within:
            flips = self._flips()
            change = [now - before for now, before in zip(flips, self._flips_before, strict=True)]
            self.history.append({"step": self.steps, "flips": change})
            self._flips_before = flips
            for writer in self._writers:
                self._write(writer)

    def _changed(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which codes of a tensor changed, and the new ones; none once they cannot be read."""
        reader, none = self._readers[index], self._tracker.now[:0]
        if not reader.lost:
            try:
                found = self._tracker.changed(index, reader.codes())
                if len(found[0]) > _MANY * reader.size and not reader.finite():
                    raise InputError(
                        f"the latents of {reader.weight.name!r} are not finite: the run has diverged"
                    )
                return found
            except CodesLost as problem:
                reader.lost = self._at
                if all(one.lost for one in self._readers):
                    raise
                name = reader.weight.name
                warned(f"the OrbitMonitor counts {name!r} no more from step {self._at} on: {problem}")
        return none.long(), none

    def _sum(self, failed: bool = False) -> torch.Tensor:
        """Return the counts of each tensor by kind and part, and the number of codes that were read."""
        tracker = self._tracker
        counts = tracker.counts.flatten(1) * self._ratios.to(tracker.now.device)[:, None]
        read = torch.tensor(tracker.sizes, device=tracker.now.device)[:, None]
        return self._shards.sum(torch.cat([counts, read], dim=1), failed)

    def _flips(self) -> list[int]:
        return self._totals[:, :GROUPS].sum(dim=1).round().long().tolist()

    def _detach(self, cause: str) -> str:
        self.detached = f"detached at step {self._at}: {cause}"
        return f"the OrbitMonitor detached at step {self._at}"

    @property
    def steps(self) -> int:
        """Steps counted."""
        return 0 if self._tracker is None else self._tracker.clock.step

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
        """Whether processes share the weights; each one then has a state."""
        return bool(self._tracker is not None and self._shards.groups)

    @property
    def partial(self) -> bool:
        """Whether this process reads only a sample or a shard of the weights."""
        return any(one.chosen is not None or one.mesh is not None for one in self._readers)

    @property
    def replaced(self) -> list[str]:
        """Names of weights whose latents are no longer in the model; counts are of the old ones."""
        held = {id(one) for one in (*self.model.parameters(), *self.model.buffers())}
        whole = [one.weight for one in self._readers if one.mesh is None]
        return [one.name for one in whole if id(one.latent) not in held]

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
            float32, in the shape of the weight, or of this process's part; of a sample, one-dimensional.

        Raises
        ------
        InputError
            If the monitor has no such tensor or horizon.
        """
        for index, reader in enumerate(self._readers):
            if name in reader.weight.places:
                average = self._tracker.average(index, self._horizon(horizon))
                return average.view(reader.shape) if reader.chosen is None else average
        raise InputError(f"no monitored tensor is called {shown(name)}: see `frame()` for their names")

    def frame(self, horizon: float | None = None) -> pl.DataFrame:
        """Return a table with a row for each tensor.

        Parameters
        ----------
        horizon : float, optional
            That of `undecided` and `margin`; by default the one nearest to a sixteenth of the steps so far.

        Returns
        -------
        polars.DataFrame
            tensor, framework, weights, levels; steps counted; flips; undone: flips back to the code
            before, within k steps; undecided: share of weights with a margin below ½; margin: its mean;
            never_moved: weights without a flip; horizon; read: number of weights that are read; flips_error
            and others: half of the 95 % interval of these counts, 0 without a sample.
        """
        from sterling.torch.monitor_report import table

        return table(self, self._horizon(settled(self.horizons, self.steps) if horizon is None else horizon))

    def report(self) -> MonitorReport:
        """Return a report for a terminal or a notebook.

        Returns
        -------
        MonitorReport
            Its text is a table and sentences.
        """
        from sterling.torch.monitor_report import MonitorReport

        return MonitorReport(self)

    def tensorboard(self, writer: Any) -> None:
        """Write the statistics of each tensor to TensorBoard now, and then every k steps.

        Parameters
        ----------
        writer : torch.utils.tensorboard.SummaryWriter
            Or any object with `add_scalar(tag, value, step)`.
        """
        self._writers.append(writer)
        self._write(writer)

    def _write(self, writer: Any) -> None:
        for row in self.frame().iter_rows(named=True):
            for name in ("flips", "undone", "undecided", "never_moved"):
                if row[name] is not None:
                    writer.add_scalar(f"sterling/{name}/{row['tensor']}", row[name], self.steps)

    def close(self) -> None:
        """Remove the hook from the optimiser; the statistics stay."""
        self._undo()

    def __deepcopy__(self, memo: Any) -> OrbitMonitor:
        return self  # the copy of a model that holds its monitor shares the monitor

    def __reduce__(self) -> Any:
        return dict, (self.state_dict(),)  # in a saved model, its monitor is a state

    def state_dict(self) -> dict[str, Any]:
        """Return all statistics as tensors, numbers and strings, which `torch.load` reads with its defaults.

        Returns
        -------
        dict
            A copy. Before the first quantised weight was found it has no statistics.
        """
        state: dict[str, Any] = {"format": _FORMAT, "options": self._options()}
        if self._tracker is not None:
            state |= {"kept": dict(self._tracker.state_dict()), "skipped": self.skipped}
            state |= {"totals": self._totals, "history": self.history}
            state["lost"] = [one.lost for one in self._readers]
        return copy.deepcopy(state)

    def _options(self) -> dict[str, Any]:
        """Return what a monitor must share with the one whose state it takes."""
        options = {name: getattr(self, name) for name in ("within", "every", "sample", "seed")}
        options["horizons"] = list(self.horizons)
        return options | {f"tensor {one.name}": [list(one.shape), one.levels] for one in self.weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from the state of a monitor of the same model; load the model and the optimiser too.

        Parameters
        ----------
        state : dict
            A state from `state_dict`.

        Raises
        ------
        InputError
            If the state belongs to another model or other options, or is damaged; nothing changes then.
        """
        if not isinstance(state, Mapping) or state.get("format") != _FORMAT:
            raise InputError(
                "this is not the state of an OrbitMonitor of this version: give the result of `state_dict`"
            )
        if self._tracker is None:  # continue once the quantised weights are found
            self._state = state if "kept" in state else None
            return
        before = self.state_dict()
        try:
            with in_one_sentence("this state of an OrbitMonitor is damaged", "save it again"):
                self._load(state)
        except SterlingError:
            self._load(before)
            raise

    def _load(self, state: Mapping[str, Any]) -> None:
        saved = state["options"]
        for one in self.weights:
            if one.reader is not None or one.framework == "codes":  # the levels in use, which change
                one.levels = saved.get(f"tensor {one.name}", [0, one.levels])[1]
        ours = self._options()
        for name in ours | saved:
            if ours.get(name) != saved.get(name):
                raise InputError(
                    f"the saved monitor had {name}={shown(saved.get(name))}, and this one has "
                    f"{shown(ours.get(name))}: resume with the same model and options"
                )
        if state["kept"]["now"].dtype == torch.int16:
            self._tracker.widen()
        self._tracker.load_state_dict(state["kept"])
        for reader, lost in zip(self._readers, state.get("lost", ()), strict=False):
            reader.lost = int(lost)
        self.skipped, self._totals = int(state["skipped"]), state["totals"].to(self._totals)
        self.history = copy.deepcopy(state["history"])
        self._flips_before = [sum(row["flips"][i] for row in self.history) for i in range(len(self.weights))]

    def __repr__(self) -> str:
        weights = sum(one.shape.numel() for one in self.weights)
        where = f"{counted(weights, 'weight')} in {counted(len(self.weights), 'tensor')}"
        detached = f", {self.detached}" if self.detached else ""
        return f"<OrbitMonitor: {where}, {counted(self.steps, 'step')}{detached}>"
