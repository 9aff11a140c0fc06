"""Should I decode? Trials of the kind "people", with the quantisers that people use, and their plan.

A trial is one seed. It takes a net that was trained in float (BitNet starts from random latents), puts
quantisers before its weights and trains it twice on the same batches: at a constant rate, and along a cosine.
A copy of the first run leaves it and anneals (WSD). All nets of a trial have taken equal steps.

Rule of judgement, fixed before the data of these seeds:

Gain     The difference of two nets of a seed, in nats of test loss and in points of test accuracy, with
         Student's 95 % interval over the seeds.
Rivals   From the constant rate: the EMA of all parameters (horizon of decoding), SWA (their mean over the
         second half), the annealed copy, the best of 8 checkpoints by validation. And the cosine.
         All take the rate of the cosine's lowest validation loss in the pilots (other seeds).
Answer   Decoding (mean of the codes, default horizon) beats the last iterate if the interval in nats or in
         points is above zero, and none is below. It loses to a rival if one of both is below zero. It is
         advised ("yes") if it beats the last iterate and loses to no rival. If it beats the last iterate but
         loses to a rival, the answer is "perhaps"; else "no". A row of two quantisers has the lower answer.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrize import register_parametrization as register
from torch.optim.swa_utils import AveragedModel

import sterling as st
import sterling.torch as stt
from benchmarks.papers.qat.evidence import PILOT_SEED
from benchmarks.papers.qat.tasks import TASKS, order_of
from benchmarks.papers.qat.trial import DECAY, Annealed, Run, cosine, set_rate, train
from sterling.study import COUNT, REAL, SHARE, Kind, Store, Study, run, words
from sterling.study.kind import Cell, Look, Seeds
from sterling.torch.counting import HORIZONS, settled

SEED, SEEDS = 20261219, 3
CHECKPOINTS, VALID = 8, 100  # how many, and rows that choose the best checkpoint
READINGS = ("last", "mean", "ema", "swa", "wsd", "cosine", "best")
SKIPPED = ("letters", "places", "head")  # of the transformer; the conv net is quantised as a whole
SMALLER = {"mnist": TASKS["mnist"], "text": replace(TASKS["text"], batch=16)}
NETS = {"mnist": "conv", "text": "transformer"}
BASE = {"mnist": (500, 0.001), "text": (400, 0.003)}  # steps and rate of the nets in float
#: Task, levels, steps, and the rate that the pilots chose (part `people-pilots`).
QUANTISERS = {
    "lsq2": ("mnist", 4, 300, 0.0003),
    "lsq4": ("mnist", 16, 300, 0.0003),
    "int2": ("text", 4, 200, 0.003),
    "int4": ("text", 16, 200, 0.003),
    "bitnet": ("text", 3, 300, 0.01),
    "lora": ("text", 16, 200, 0.01),
    "merged": ("text", 16, 200, 0.01),
}
#: In the pilots; the other quantiser of a pair takes the rate of this one. That of LSQ is at the edge.
TRIED_RATES = {
    "lsq2": (0.0003, 0.001, 0.003),
    "int4": (0.001, 0.003, 0.01),
    "bitnet": (0.003, 0.01, 0.03),
    "merged": (0.003, 0.01, 0.03),
}


# -- quantisers ----------------------------------------------------------------------------------------------


def rounded(x: torch.Tensor) -> torch.Tensor:
    """Round, with a straight-through gradient."""
    return x + (x.round() - x).detach()


class Lsq(nn.Module):
    """A learned step for each channel. Esser et al. 2020, arXiv 1902.08153."""

    def __init__(self, weight: torch.Tensor, levels: int):
        super().__init__()
        self.low, self.high = -levels // 2, levels // 2 - 1
        size = weight.detach().abs().mean(tuple(range(1, weight.ndim)), keepdim=True)
        self.step = nn.Parameter(2 * size / math.sqrt(self.high))

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        return rounded((latent / self.step).clamp(self.low, self.high)) * self.step


class LowRank(nn.Module):
    """Trained factors of low rank, added to the latents of a layer."""

    def __init__(self, weight: torch.Tensor, rank: int = 4):
        super().__init__()
        outputs, inputs = weight.shape
        self.a = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
        self.b = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, latent: torch.Tensor | float) -> torch.Tensor:
        return latent + self.b @ self.a


class Absmean(nn.Module):
    """Ternary weights of BitNet b1.58. Ma et al. 2024, arXiv 2402.17764."""

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        scale = latent.detach().abs().mean().clamp_min(1e-5)
        return rounded((latent / scale).clamp(-1, 1)) * scale


def int8_inputs(_: nn.Module, args: tuple[torch.Tensor]) -> torch.Tensor:
    """Quantise the inputs of a layer to int8, with a scale for each token."""
    scale = args[0].detach().abs().amax(-1, keepdim=True).clamp_min(1e-5) / 127
    return rounded(args[0] / scale) * scale


def beside(layer: nn.Module, args: tuple[torch.Tensor], outputs: torch.Tensor) -> torch.Tensor:
    """Add the product with the factors of a frozen layer. Hu et al. 2021, arXiv 2106.09685."""
    return outputs + F.linear(args[0], layer.factors(0.0))


def quantise(model: nn.Module, name: str, levels: int) -> None:
    """Put quantisers before the weights of a model; of LoRA only the factors are trained."""
    if name in ("lora", "merged"):
        model.requires_grad_(False)
    if name not in ("lsq2", "lsq4", "bitnet"):
        from torchao.quantization import quantize_
        from torchao.quantization.qat import IntxFakeQuantizeConfig, IntxFakeQuantizer, QATConfig

        groups = IntxFakeQuantizeConfig(torch.int2 if name == "int2" else torch.int4, group_size=32)
    if name in ("int2", "int4", "lora"):
        config = QATConfig(weight_config=groups, step="prepare")
        quantize_(model, config, lambda layer, path: isinstance(layer, nn.Linear) and path not in SKIPPED)
    for path, layer in list(model.named_modules()):
        if path in SKIPPED or not isinstance(layer, nn.Linear | nn.Conv2d):
            continue
        if name == "lora":
            layer.factors = LowRank(layer.weight)
            layer.register_forward_hook(beside)
        elif name == "merged":
            register(layer, "weight", LowRank(layer.weight))
            register(layer, "weight", IntxFakeQuantizer(groups))
        elif name == "bitnet":
            register(layer, "weight", Absmean())
            layer.register_forward_pre_hook(int8_inputs)
        elif name in ("lsq2", "lsq4"):
            register(layer, "weight", Lsq(layer.weight, levels))


# -- trials --------------------------------------------------------------------------------------------------


@cache
def base(task: str, seed: int, steps: int) -> nn.Module:
    """Return a net that was trained in float, on the training data of a trial, along a cosine."""
    own, rate = SMALLER[task], cosine(BASE[task][1], 0.0, steps)
    split, latents, _ = np.random.SeedSequence(seed).spawn(3)
    model = own.net(NETS[task], int(latents.generate_state(1)[0]))
    data, optimizer = own.data(split, 0.0), torch.optim.Adam(model.parameters())
    for step, rows in enumerate(order_of(own, np.random.SeedSequence([seed, 1]), steps)):
        set_rate(optimizer, rate(step))
        train(model, optimizer, data.batch(rows))
    return model


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    torch.set_num_threads(1)
    own, name = Run(cell, seeds), cell.settings["quantiser"]
    own.task = SMALLER[cell.settings["task"]]
    if name != "bitnet":
        own.model = copy.deepcopy(base(cell.settings["task"], seeds.data, cell.settings["base"]))
    own.valid = [tuple(one[:VALID] for one in own.data.valid)]  # type: ignore[misc]
    nets = {"float": copy.deepcopy(own.model)}
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)  # of the factors of LoRA
        quantise(own.model, name, own.levels)
    codes = _trained(own, nets, look)
    for one, net in nets.items():
        own.found.add(one, own.steps, own.score(own.normed(net)))
    return {**own.found.rows, **codes, "valid_loss": own.validate(nets["cosine"])}


def _averaged(model: nn.Module, optimizer: torch.optim.Optimizer, horizon: float) -> AveragedModel:
    """Return an average of all parameters after each step; that of the first steps is a plain mean."""

    @torch.no_grad()
    def move(averages: Any, parameters: Any, count: Any) -> None:
        for average, parameter in zip(averages, parameters, strict=True):
            average.lerp_(parameter, 1 / min(float(count) + 1, horizon))

    average = AveragedModel(model, multi_avg_fn=move)
    optimizer.register_step_post_hook(lambda *_: average.update_parameters(model))
    return average


def _trained(own: Run, nets: dict[str, nn.Module], look: Look) -> dict[str, Any]:
    """Add the nets of both runs, and return the statistics of the codes at the constant rate."""
    steps, fork, horizon = own.steps, round((1 - DECAY) * own.steps), settled(HORIZONS, own.steps)
    models = own.model, copy.deepcopy(own.model)
    optimizer, of_cosine = (torch.optim.Adam(one.parameters(), lr=own.settings["rate"]) for one in models)
    monitor = stt.OrbitMonitor(own.model, optimizer, example=own.bn[0][:2])
    ema = _averaged(own.model, optimizer, horizon)
    least = math.inf
    for step, batch in enumerate(own.batches()):
        look()
        if step == steps // 2:
            swa = _averaged(own.model, optimizer, math.inf)
        if step == fork:
            annealed, before = Annealed(own, optimizer, step, steps), monitor.frame()
        if step >= fork:
            annealed.step(step, batch)
        for model, one, decay in zip(models, (optimizer, of_cosine), ("constant", "cosine"), strict=True):
            set_rate(one, own.rate(step, decay))
            train(model, one, batch)
        if (step + 1) % max(1, steps // CHECKPOINTS) == 0 and (loss := own.validate(own.model)) < least:
            least, nets["best"] = loss, copy.deepcopy(own.model)
    nets |= {"last": own.model, "cosine": models[1], "wsd": annealed.model}
    nets |= {"ema": ema.module, "swa": swa.module}
    nets["mean"] = stt.decode(own.model, monitor, bn=own.bn)
    frame = monitor.frame()
    flips, undone = (frame[one].sum() - before[one].sum() for one in ("flips", "undone"))
    weights = frame["weights"].sum()
    undecided = (frame["undecided"] * frame["weights"]).sum() / weights
    return {"weights": weights, "flips": flips, "undone": undone, "open": undecided}


KIND = Kind(
    "people",
    _run,
    columns={
        "reading": words("float", *READINGS).list(),  # four lists of one length: the net, the step,
        "step": COUNT.list(),  # and its scores on the test data
        "loss": REAL.list(),
        "accuracy": SHARE.list(),
        "valid_loss": REAL,  # of the cosine
        "weights": COUNT,  # quantised ones
        "flips": COUNT,  # over the last fifth of the steps at the constant rate
        "undone": COUNT,  # of these, within a few steps
        "open": SHARE,  # undecided at the end
    },
    settings={"task": "text", "net": "transformer", "quantiser": "int4", "levels": 16}
    | {"rate": 0.003, "steps": 200, "base": 400},  # base: steps in float
)


# -- plan ----------------------------------------------------------------------------------------------------


def study(name: str, trials: int, pilot: bool) -> Study:
    """Return the study of a quantiser, or its pilot."""
    task, levels, steps, rate = QUANTISERS[name]
    own = {"quantiser": name, "levels": levels, "task": task, "net": NETS[task], "steps": steps}
    rates = list(TRIED_RATES[name]) if pilot else rate
    return Study(
        n=TASKS[task].inputs,
        samples=[TASKS[task].train],
        kind="people",
        trials=trials,
        seed=PILOT_SEED if pilot else SEED,
        name=name,
        settings={**own, "base": BASE[task][0], "rate": rates},
    )


def collect(part: str, out: Path) -> None:
    """Run a part, seed by seed, in one process with one thread; finished trials are kept."""
    st.register(KIND)
    pilot = part == "people-pilots"
    for seeds in (1,) if pilot else range(1, SEEDS + 1):
        for name in TRIED_RATES if pilot else QUANTISERS:
            ended = run(study(name, seeds, pilot), out / part / name, threads=1)
            print(f"{part}: {name}, seed {seeds}: {ended}", flush=True)
    if pilot:
        last = rows(part, out).filter(pl.col("reading") == "cosine")
        with pl.Config(tbl_rows=-1):
            print(last.select("quantiser", "rate", "valid_loss", "loss").sort("quantiser", "valid_loss"))


def rows(part: str, out: Path) -> pl.DataFrame:
    """Return a row for each net that was scored."""
    st.register(KIND)
    stores = [Store(folder).trials() for folder in sorted((out / part).iterdir())]
    trials = pl.concat(stores, how="diagonal_relaxed").rename({"trial": "seed"})
    own = ("quantiser", "task", "rate", "steps", "seconds")
    return trials.select(*own, "seed", *KIND.columns).explode("reading", "step", "loss", "accuracy")
