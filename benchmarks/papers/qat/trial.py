"""Trials of the kind "torch": one training run of a net with quantised weights, and the scores of its nets.

A run at a constant rate is scored several times. Each time a copy of the run anneals on the same batches: its
rate falls to zero over the last fifth of the steps so far. So its last iterate is that of a
warm-up–stable–decay run of this length. The seed of the data decides everything, so that runs with other
settings have the same split, wrong labels, latents and batches.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

import sterling.torch as stt
from benchmarks.papers.qat import bridge, rivals
from benchmarks.papers.qat.tasks import SKIPPED, TASKS, Batch, Data, order_of
from sterling.base.checks import choice
from sterling.errors import InputError
from sterling.study import COUNT, REAL, SHARE, Column, Kind, words
from sterling.study.kind import Cell, Look, Seeds
from sterling.torch.counting import HORIZONS, settled
from sterling.torch.scoring import evaluate, recompute_norms

#: Parts of a run at a constant rate after which it is scored.
MARKS = (1 / 4, 1 / 2, 3 / 4, 1)
DECAY = 0.2  # part of the steps so far in which a copy anneals
WARM_UP = 0.02  # part of the steps in which the rate rises from zero
DECAYS = ("constant", "cosine")
#: Methods that replace or accompany the optimiser.
REMEDIES = ("none", "freezing", "dampening", "transition_rate", "qema", "parq", "bop")
READINGS = (
    *("last", "mean", "mode", "frozen", "validated", "annealed"),
    *("ema_old", "ema_refit", "swa", "best_checkpoint"),
    *(f"mean_{h:g}" for h in HORIZONS),
)
BEST_EVERY = 16  # checkpoints in a run


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    torch.set_num_threads(1)
    run = Run(cell, seeds)
    if cell.settings["remedy"] != "none":
        return run.remedied(look)
    return run.watched(look)


def _check(cell: Cell) -> None:
    task = TASKS[choice(cell.settings["task"], "task", list(TASKS))]
    choice(cell.settings["net"], "net", task.nets)
    choice(cell.settings["decay"], "decay", DECAYS)
    remedy = choice(cell.settings["remedy"], "remedy", REMEDIES)
    if remedy == "transition_rate" and cell.settings["decay"] != "constant":
        raise InputError("transition_rate sets the rates: its decay must be constant")


KIND = Kind(
    "torch",
    _run,
    columns={
        "reading": words(*READINGS).list(),  # four lists of one length: the net, the step,
        "step": COUNT.list(),  # and its scores on the test data
        "loss": REAL.list(),
        "accuracy": SHARE.list(),
        "valid_loss": REAL,  # of the last iterate
        "tensor": Column("List(String)"),  # five lists of one length, at the end of the run
        "flips": COUNT.list(),
        "weights": COUNT.list(),
        "open": SHARE.list(),  # share of undecided weights, as the monitor counts it
        "predicted": SHARE.list(),  # by the law of the bridge, or empty
    },
    settings={
        "task": "digits",
        "net": "mlp",
        "levels": 2,
        "decay": "constant",
        "rate": 0.01,
        "steps": 1600,
        "remedy": "none",
        "strength": 0.0,  # of the remedy
    },
    check=_check,
)


@dataclass
class Found:
    """The rows of a trial, as lists."""

    rows: dict[str, list] = field(
        default_factory=lambda: {n: [] for n in ("reading", "step", "loss", "accuracy")}
    )

    def add(self, reading: str, step: int, score: dict[str, float]) -> None:
        """Add a row."""
        for name, value in zip(self.rows, (reading, step, score["loss"], score["accuracy"]), strict=True):
            self.rows[name].append(value)


class Run:
    """A model, its optimiser and its data."""

    def __init__(self, cell: Cell, seeds: Seeds):
        self.settings = cell.settings
        self.task = TASKS[cell.settings["task"]]
        self.steps, self.levels = cell.settings["steps"], cell.settings["levels"]
        split, latents, self._batches = np.random.SeedSequence(seeds.data).spawn(3)
        self.data: Data = self.task.data(split, cell.problem.noise)
        self.bn = [self.data.train[0][:500], self.data.train[0][500:1000]]
        self.test, self.valid = self.data.in_batches("test"), self.data.in_batches("valid")
        self.model = self.task.net(cell.settings["net"], int(latents.generate_state(1)[0]))
        self.found = Found()

    def batches(self) -> Iterator[Batch]:
        """Yield the batches of the run, from its first step."""
        for rows in order_of(self.task, self._batches, self.steps):
            yield self.data.batch(rows)

    def score(self, net: nn.Module) -> dict[str, float]:
        """Return loss and accuracy on the test data."""
        return evaluate(net, self.test)

    def validate(self, net: nn.Module) -> float:
        """Return the loss on the validation data, which has as many wrong labels as the training data."""
        return evaluate(self.normed(net), self.valid)["loss"]

    def normed(self, net: nn.Module) -> nn.Module:
        """Return a copy with statistics of batch norm from the training data."""
        net = copy.deepcopy(net)
        recompute_norms(net, self.bn)
        return net.eval()

    def rate(self, step: int, decay: str = "constant") -> float:
        """Return the rate of a step: warm-up, then constant or a cosine."""
        warm = min(1.0, (step + 1) / max(1, round(WARM_UP * self.steps)))
        fall = 0.5 * (1 + math.cos(math.pi * step / self.steps)) if decay == "cosine" else 1.0
        return self.settings["rate"] * warm * fall

    def quantise(self) -> None:
        """Put quantisers before the weights."""
        skipped = SKIPPED[self.settings["net"]]
        stt.binarize(self.model, levels=self.levels, surrogate="identity", skip=skipped)

    def watched(self, look: Look) -> dict[str, Any]:
        """Run at a constant rate or along a cosine, and score all nets of the run."""
        self.quantise()
        constant = self.settings["decay"] == "constant"
        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.settings["rate"])
        monitor = stt.OrbitMonitor(self.model, optimizer)
        horizon = settled(HORIZONS, self.steps)
        beside = {
            "ema_old": rivals.LatentAverage(self.model, optimizer, horizon, scale="old"),
            "ema_refit": rivals.LatentAverage(self.model, optimizer, horizon),
            "swa": rivals.LatentAverage(self.model, optimizer, math.inf, start=self.steps // 2),
            "best_checkpoint": rivals.Best(
                self.model, optimizer, self.validate, max(1, self.steps // BEST_EVERY)
            ),
        }
        marks = [round(part * self.steps) for part in (MARKS if constant else (1,))]
        forks = {round((1 - DECAY) * mark): mark for mark in marks} if constant else {}
        annealed: dict[int, Annealed] = {}
        for step, batch in enumerate(self.batches()):
            if step % 20 == 0:
                look()
            if step in forks:
                annealed[forks[step]] = Annealed(self, optimizer, step, forks[step])
            for one in annealed.values():
                one.step(step, batch)
            set_rate(optimizer, self.rate(step, self.settings["decay"]))
            train(self.model, optimizer, batch)
            if step + 1 in marks:
                self._read(step + 1, monitor)
                if constant:
                    net = self.normed(annealed.pop(step + 1).model)
                    self.found.add("annealed", step + 1, self.score(net))
        for name, rival in beside.items():
            self.found.add(name, self.steps, self.score(rival.result(self.bn)))
        frame = monitor.frame()
        predicted: list[float] = []
        if constant and self.levels == 2:
            predicted = bridge.predicted(self, monitor, look)
        return {
            **self.found.rows,
            "valid_loss": self.validate(self.model),
            **{name: frame[name].to_list() for name in ("tensor", "flips", "weights")},
            "open": frame["undecided"].to_list(),
            "predicted": predicted,
        }

    def _read(self, step: int, monitor: stt.OrbitMonitor) -> None:
        """Score the decoded nets after a step."""
        readings: dict[str, Callable[[], nn.Module]] = {
            name: lambda how=name: stt.decode(self.model, monitor, how=how, bn=self.bn)
            for name in ("last", "mean", "mode", "frozen")
        }
        readings["validated"] = lambda: stt.decode(self.model, monitor, bn=self.bn, validate=self.valid)
        for horizon in HORIZONS:
            if horizon <= step or math.isinf(horizon):
                readings[f"mean_{horizon:g}"] = lambda h=horizon: stt.decode(
                    self.model, monitor, horizon=h, bn=self.bn
                )
        for name, net in readings.items():
            self.found.add(name, step, self.score(net()))

    def remedied(self, look: Look) -> dict[str, Any]:
        """Run with one of the remedies, and score its net.

        Transition-rate scheduling sets the rate and Bop has none, so neither warms up.
        """
        optimizers, rival = self._remedy()
        for step, batch in enumerate(self.batches()):
            if step % 20 == 0:
                look()
            if self.settings["remedy"] != "transition_rate":
                for one in optimizers:
                    if not isinstance(one, rivals.Bop):
                        set_rate(one, self.rate(step, self.settings["decay"]))
            train(self.model, optimizers, batch)
        net = self.normed(self.model) if rival is None else rival.result(self.bn)
        self.found.add("last", self.steps, self.score(net))
        loss = evaluate(net, self.valid)["loss"]
        empty = ("tensor", "flips", "weights", "open", "predicted")
        return {**self.found.rows, "valid_loss": loss, **{name: [] for name in empty}}

    def _remedy(self) -> tuple[list[Any], rivals.Rival | None]:
        """Return the optimisers and the rival on them."""
        remedy, strength = self.settings["remedy"], self.settings["strength"]
        rate = self.settings["rate"]
        if remedy == "parq":
            named = dict(self.model.named_parameters())
            stt.binarize(copied := copy.deepcopy(self.model), skip=SKIPPED[self.settings["net"]])
            chosen = {one.name for one in stt.find(copied)}
            return [
                rivals.parq(
                    [named[name] for name in named if name in chosen],
                    [named[name] for name in named if name not in chosen],
                    rate,
                    self.levels,
                    self.steps,
                    strength,
                )
            ], None
        self.quantise()
        if remedy == "bop":
            latents = [one.latent for one in stt.find(self.model)]
            others = [p for p in self.model.parameters() if all(p is not one for one in latents)]
            bop = rivals.Bop(latents, adaptivity=1e-3, threshold=strength)
            return [bop, torch.optim.Adam(others, lr=rate)], None
        optimizer = torch.optim.Adam(self.model.parameters(), lr=rate)
        if remedy == "freezing":  # the threshold falls along a cosine, as in the paper
            limit = cosine(0.04, strength, self.steps)
            return [optimizer], rivals.Freezing(self.model, optimizer, limit)
        if remedy == "dampening":
            return [optimizer], rivals.Dampening(self.model, optimizer, cosine(0.0, strength, self.steps))
        if remedy == "qema":
            return [optimizer], rivals.QEMA(self.model, optimizer, strength)
        target = cosine(strength, 0.0, self.steps)
        return [optimizer], rivals.TransitionRate(self.model, optimizer, target)


class Annealed:
    """A copy of a run whose rate falls linearly to zero."""

    def __init__(self, run: Run, optimizer: torch.optim.Optimizer, first: int, last: int):
        self.run, self.first, self.last = run, first, last
        self.model = copy.deepcopy(run.model)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=run.settings["rate"])
        self.optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))

    def step(self, step: int, batch: Batch) -> None:
        """Take a step with the batch of the run."""
        left = (self.last - step) / (self.last - self.first)
        set_rate(self.optimizer, self.run.rate(step) * left)
        train(self.model, self.optimizer, batch)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give all parameter groups a rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


def train(model: nn.Module, optimizers: Any, batch: Batch) -> None:
    """Take one step."""
    inputs, targets = batch
    optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
    for one in optimizers:
        one.zero_grad()
    loss_of(model, inputs, targets).backward()
    for one in optimizers:
        one.step()


def loss_of(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy."""
    outputs = model(inputs)
    return F.cross_entropy(outputs.reshape(-1, outputs.shape[-1]), targets.reshape(-1))


def cosine(first: float, last: float, steps: int) -> Callable[[int], float]:
    """Return a function of the step that goes from one value to another along half a cosine."""
    return lambda step: last + (first - last) * 0.5 * (1 + math.cos(math.pi * min(step / steps, 1)))
