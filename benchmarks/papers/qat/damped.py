"""Trials of the kind "damped": damping, annealing and averages from one run; and other optimisers.

With the method "damping" a run at a constant rate (Adam) is the trunk. Copies leave it: one anneals over
the last fifth of the steps (warm-up–stable–decay), the others are damped from half of the steps on, or in the
last fifth, at each strength. All see the same batches and take equal steps. Any other method trains the
latents of one run at a constant rate; other parameters stay with Adam, at the rate of the evidence.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import sterling.torch as stt
from benchmarks.papers.qat import rivals
from benchmarks.papers.qat.evidence import RATES
from benchmarks.papers.qat.tasks import TASKS, Batch
from benchmarks.papers.qat.trial import DECAY, Annealed, Run, loss_of, set_rate, train
from sterling.base.checks import choice
from sterling.study import COUNT, REAL, SHARE, Kind, words
from sterling.study.kind import Cell, Look, Seeds
from sterling.torch.counting import HORIZONS, settled
from sterling.torch.scoring import evaluate

METHODS = ("damping", "sgd", "momentum", "adam", "lion", "sign", "bop", "bop_in_pulls")
ARMS = ("never", "annealed", "half", "fifth")  # when damping starts, or the copy that anneals
STARTS = {"half": 0.5, "fifth": 1 - DECAY}
READINGS = ("last", "mean", "ema")
FLIPPED = 12  # weights of each tensor whose pull is measured
PULLED = 4  # times in a run that it is measured, from its first step on


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    torch.set_num_threads(1)
    run = Run(cell, seeds)
    run.quantise()
    rows = Rows(run)
    if cell.settings["method"] == "damping":
        _damped(run, rows, branches_of(cell.settings["strengths"]), look)
    else:
        _optimised(run, rows, cell.settings["method"], look)
    return rows.lists


def _check(cell: Cell) -> None:
    task = TASKS[choice(cell.settings["task"], "task", list(TASKS))]
    choice(cell.settings["net"], "net", task.nets)
    choice(cell.settings["method"], "method", METHODS)


KIND = Kind(
    "damped",
    _run,
    columns={  # lists of one length: a net, and its scores on the test and the validation data
        "arm": words(*ARMS).list(),
        "strength": REAL.list(),
        "reading": words(*READINGS).list(),
        "loss": REAL.list(),
        "accuracy": SHARE.list(),
        "valid_loss": REAL.list(),
        "flips": COUNT.list(),  # over the last fifth of the steps, in all tensors
    },
    settings={
        "task": "digits",
        "net": "mlp",
        "levels": 2,
        "method": "damping",
        "rate": 0.01,
        "steps": 400,
        "strengths": "0.1",  # of damping, such as "0.1 0.3", or for single starts "half:0.1 fifth:0.3"
        "threshold": 0.0,  # of Bop: in units of the gradient, or of the mean pull
    },
    check=_check,
)


def branches_of(strengths: str) -> list[tuple[str, float]]:
    """Return the starts and strengths of a setting."""
    found = []
    for one in strengths.split():
        arm, _, strength = one.rpartition(":")
        found += [(name, float(strength)) for name in ([arm] if arm else STARTS)]
    return found


class Rows:
    """The rows of a trial, as lists."""

    def __init__(self, run: Run):
        self.run, self.lists = run, {name: [] for name in KIND.columns}

    def add(self, arm: str, strength: float, reading: str, net: torch.nn.Module, flips: int) -> None:
        """Score a net, with statistics of batch norm from the training data, and add its row."""
        net = self.run.normed(net)
        test, valid = self.run.score(net), evaluate(net, self.run.valid)
        values = (arm, strength, reading, test["loss"], test["accuracy"], valid["loss"], flips)
        for one, value in zip(self.lists.values(), values, strict=True):
            one.append(value)


class Branch:
    """A model and its optimisers; a monitor watches the last fifth of the steps."""

    def __init__(self, run: Run, model: torch.nn.Module, optimizers: list[torch.optim.Optimizer]):
        self.run, self.model, self.optimizers = run, model, optimizers
        self.horizon = settled(HORIZONS, run.steps)  # of decoding, the default for runs of this length

    def step(self, step: int, batch: Batch) -> None:
        """Take a step."""
        if step == round(STARTS["fifth"] * self.run.steps):
            self.monitor = stt.OrbitMonitor(self.model, self.optimizers[0], horizons=[self.horizon])
        train(self.model, self.optimizers, batch)

    def score(self, rows: Rows, arm: str, strength: float) -> None:
        """Add the rows of the last iterate and of the decoded net."""
        mean = stt.decode(self.model, self.monitor, how="mean", horizon=self.horizon, bn=self.run.bn)
        flips = int(self.monitor.frame()["flips"].sum())
        for reading, net in (("last", self.model), ("mean", mean)):
            rows.add(arm, strength, reading, net, flips)


def _damped(run: Run, rows: Rows, wanted: list[tuple[str, float]], look: Look) -> None:
    steps = run.steps
    trunk = Branch(run, run.model, [torch.optim.Adam(run.model.parameters(), lr=run.settings["rate"])])
    decay = 1 - 1 / trunk.horizon
    average = AveragedModel(run.model, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=False)
    annealed: Annealed | None = None
    branches: dict[tuple[str, float], Branch] = {}
    first = {arm: round(share * steps) for arm, share in STARTS.items()}
    for step, batch in enumerate(run.batches()):
        look()
        for arm, strength in wanted:
            if step == first[arm]:
                branches[arm, strength] = _branch(run, trunk.optimizers[0], strength)
        if step == first["fifth"]:
            annealed = Annealed(run, trunk.optimizers[0], step, steps)
        for one in (trunk, *branches.values()):
            set_rate(one.optimizers[0], run.rate(step))
            one.step(step, batch)
        average.update_parameters(run.model)
        if annealed is not None:
            annealed.step(step, batch)
    trunk.score(rows, "never", 0.0)
    assert annealed is not None
    rows.add("never", 0.0, "ema", average.module, 0)
    rows.add("annealed", 0.0, "last", annealed.model, 0)
    for (arm, strength), one in branches.items():
        one.score(rows, arm, strength)


def _branch(run: Run, optimizer: torch.optim.Optimizer, strength: float) -> Branch:
    model = copy.deepcopy(run.model)
    own = torch.optim.Adam(model.parameters(), lr=run.settings["rate"])
    own.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    stt.Damping(model, own, strength=strength)
    return Branch(run, model, [own])


def _optimised(run: Run, rows: Rows, method: str, look: Look) -> None:
    latents = [one.latent for one in stt.find(run.model)]
    known = {id(one) for one in latents}
    others = [one for one in run.model.parameters() if id(one) not in known]
    rate, threshold = run.settings["rate"], run.settings["threshold"]
    first: torch.optim.Optimizer
    if method in ("sgd", "momentum"):
        first = torch.optim.SGD(latents, lr=rate, momentum=0.9 if method == "momentum" else 0.0)
    elif method in ("lion", "sign"):
        first = rivals.Lion(latents, rate, *((0.9, 0.99) if method == "lion" else (0.0, 0.0)))
    elif method == "adam":
        first = torch.optim.Adam(latents, lr=rate)
    else:
        first = rivals.Bop(latents, adaptivity=0.01, threshold=threshold)
        if method == "bop_in_pulls":
            own = [{**first.param_groups[0], "params": [one]} for one in latents]
            first.param_groups[:] = own
    rest = torch.optim.Adam(others, lr=RATES[run.settings["task"], run.settings["net"]])
    branch = Branch(run, run.model, [first, rest])
    rng = np.random.default_rng(0)  # which weights are tried does not depend on the trial
    for step, batch in enumerate(run.batches()):
        look()
        if method == "bop_in_pulls" and step % -(-run.steps // PULLED) == 0:
            for group, pull in zip(first.param_groups, _pulls(run, latents, batch, rng), strict=True):
                group["threshold"] = threshold * pull
        warm = run.rate(step) / run.settings["rate"]
        set_rate(first, rate * warm)
        set_rate(rest, rest.defaults["lr"] * warm)
        branch.step(step, batch)
    branch.score(rows, "never", 0.0)


def _pulls(
    run: Run, latents: list[torch.nn.Parameter], batch: Batch, rng: np.random.Generator
) -> list[float]:
    """Return the mean pull of each tensor: how much a weight's gradient changes when it alone flips."""

    def gradients() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(loss_of(run.model, *batch), latents)

    found, here = [], gradients()
    for index, latent in enumerate(latents):
        flat, sizes = latent.detach().view(-1), []
        for k in rng.choice(len(flat), size=min(FLIPPED, len(flat)), replace=False):
            flat[k] *= -1
            there = gradients()[index].view(-1)[k]
            flat[k] *= -1
            sizes.append(float(torch.sign(flat[k]) * (here[index].view(-1)[k] - there)))
        mean = float(np.mean(sizes))
        found.append(mean if mean > 0 else float(np.mean(np.abs(sizes))))
    return found
