"""Rivals of decoding: other nets that a run gives, and other ways to train. Each follows its paper.

A rival is given the model, with layers of `binarize`, and the optimiser. It works from hooks on the step, and
`result` returns its net. `Bop` and `parq` replace the optimiser instead.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

import sterling.torch as stt
from sterling.torch.counting import CodeTracker, grid_of
from sterling.torch.functions import Step, nearest_code, top_code
from sterling.torch.hooks import groups_of
from sterling.torch.installing import make_plain
from sterling.torch.parametrized import Quantiser, quantisers
from sterling.torch.scoring import recompute_norms


class Rival:
    """The hook on the step, and a copy of the model as the result."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer):
        self.model, self.optimizer, self.steps = model, optimizer, 0
        self.weights = stt.find(model)
        optimizer.register_step_post_hook(self._count)

    @torch.no_grad()
    def _count(self, *_: Any) -> None:
        self.steps += 1
        self.after_step()

    def after_step(self) -> None:
        """Act after the optimiser has moved the latents."""

    @torch.no_grad()
    def result(self, bn: Iterable[Any]) -> nn.Module:
        """Return the net in eval mode, with statistics of batch norm from these batches."""
        net = copy.deepcopy(self.model)
        self.fill(net)
        recompute_norms(net, bn)
        return net.eval()

    def fill(self, net: nn.Module) -> None:
        """Give a copy of the model the weights of the rival: by default those of the last iterate."""


class LatentAverage(Rival):
    """The quantised average of the latents since a start: an exponential one (EMA), or the mean (SWA).

    EMA: a ← a + (u − a)/h after each step. With an infinite horizon h it is the mean, as in Izmailov et al.
    2018, Averaging Weights Leads to Wider Optima, arXiv 1803.05407. With the scale "refit" the quantiser
    takes its scale from the averaged latents, with "old" the scale of the present latents stays.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        horizon: float,
        scale: str = "refit",
        start: int = 0,
    ):
        super().__init__(model, optimizer)
        self.horizon, self.scale, self.start = horizon, scale, start
        self.averages = [one.latent.detach().clone() for one in self.weights]

    def after_step(self) -> None:
        if self.steps > self.start:
            # The first h steps form a mean, so that no trace of the first latents is left.
            share = 1 / min(self.steps - self.start, self.horizon)
            for average, weight in zip(self.averages, self.weights, strict=True):
                average.lerp_(weight.latent.detach(), share)

    def fill(self, net: nn.Module) -> None:
        latents = {one.name: one.latent for one in stt.find(net)}
        for average, weight in zip(self.averages, self.weights, strict=True):
            if self.scale == "refit":
                latents[weight.name].data.copy_(average)
            else:
                scale = weight.scale()
                make_plain(net, weight, scale * nearest_code(average / scale, weight.levels))


class Best(Rival):
    """The checkpoint with the lowest validation loss, of one every few steps."""

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        validate: Callable[[nn.Module], float],
        every: int,
    ):
        super().__init__(model, optimizer)
        self.validate, self.every, self.loss = validate, every, math.inf
        self.kept = copy.deepcopy(model.state_dict())

    def after_step(self) -> None:
        if self.steps % self.every == 0:
            loss = self.validate(self.model)
            if loss < self.loss:
                self.loss, self.kept = loss, copy.deepcopy(self.model.state_dict())

    def fill(self, net: nn.Module) -> None:
        net.load_state_dict(self.kept)


class Freezing(Rival):
    """Weights that oscillate are frozen at the level nearest to the average of their codes.

    f ← m·o + (1 − m)·f, where o = 1 if the code changed against the direction of its last change. Once f
    exceeds the threshold of the step, the code stays round(EMA of the codes) for the rest of training.
    Nagel et al. 2022, arXiv 2203.11086, and the authors' code.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        threshold: Callable[[int], float],
        momentum: float = 0.01,
    ):
        super().__init__(model, optimizer)
        self.threshold, self.momentum = threshold, momentum
        self.codes = [one.codes().float() for one in self.weights]
        self.means = [one.clone() for one in self.codes]
        self.directions = [torch.zeros_like(one) for one in self.codes]
        self.frequencies = [torch.zeros_like(one) for one in self.codes]
        self.frozen = [torch.zeros_like(one, dtype=torch.bool) for one in self.codes]
        self.held = [torch.zeros_like(one) for one in self.codes]
        self.grids = [torch.tensor(grid_of(one.levels), dtype=torch.float32) for one in self.weights]

    def after_step(self) -> None:
        limit, m = self.threshold(self.steps), self.momentum
        for index, weight in enumerate(self.weights):
            now = torch.where(self.frozen[index], self.held[index], weight.codes().float())
            direction = torch.sign(now - self.codes[index])
            oscillated = direction * self.directions[index] == -1
            self.frequencies[index].mul_(1 - m).add_(oscillated, alpha=m)
            self.directions[index] = torch.where(direction != 0, direction, self.directions[index])
            self.codes[index] = now
            fresh = (self.frequencies[index] > limit) & ~self.frozen[index]
            self.held[index][fresh] = CodeTracker.nearest(self.means[index], self.grids[index]).float()[fresh]
            self.frozen[index] |= fresh
            self.means[index].lerp_(now, m)
            if bool(self.frozen[index].any()):
                for _ in range(3):  # the scale follows the latents that are put onto their levels
                    level = self.held[index] * weight.scale()
                    weight.latent.data.copy_(torch.where(self.frozen[index], level, weight.latent.data))


class Dampening(Rival):
    """The gradient of λ Σ (q(u) − clip(u))², with q(u) held fixed, is added to that of the latents u.

    Nagel et al. 2022, arXiv 2203.11086, and the authors' code. They raise λ along a cosine.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, strength: Callable[[int], float]):
        super().__init__(model, optimizer)
        self.strength = strength
        optimizer.register_step_pre_hook(self._pull)

    @torch.no_grad()
    def _pull(self, *_: Any) -> None:
        for weight in self.weights:
            if weight.latent.grad is not None:
                latent, top = weight.latent.detach(), top_code(weight.levels) * weight.scale()
                pull = 2 * (latent - weight.values()) * (latent.abs() <= top)
                weight.latent.grad.add_(pull, alpha=self.strength(self.steps))


class TransitionRate(Rival):
    """The step size follows a target rate of flips instead of a schedule.

    With k the share of the weights whose code changed at a step: K ← m·K + (1 − m)·k, and
    η ← max(0, η + η₀·(R − K)), where R is the target rate of this step. Lee, Jeon, Kim, Ham, Scheduling
    Weight Transitions for Quantization-Aware Training, arXiv 2404.19248.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        target: Callable[[int], float],
        momentum: float = 0.99,
    ):
        super().__init__(model, optimizer)
        self.target, self.momentum, self.running = target, momentum, 0.0
        indices = {index for one in self.weights for index in groups_of(one, optimizer)}
        self.groups = [optimizer.param_groups[index] for index in sorted(indices)]
        self.first = [float(group["lr"]) for group in self.groups]
        self.codes = [one.codes() for one in self.weights]

    def after_step(self) -> None:
        changed = 0
        for index, weight in enumerate(self.weights):
            now = weight.codes()
            changed += int((now != self.codes[index]).sum())
            self.codes[index] = now
        share = changed / sum(one.latent.numel() for one in self.weights)
        self.running = self.momentum * self.running + (1 - self.momentum) * share
        for group, first in zip(self.groups, self.first, strict=True):
            group["lr"] = max(0.0, group["lr"] + first * (self.target(self.steps) - self.running))


class QEMA(Rival):
    """Latents are rounded to that of their two neighbouring levels which is nearer to their average.

    The average is u̅ ← β·u̅ + (1 − β)·u after each step; the forward pass sees the rounding, in training too.
    Gradients are those of the quantiser as it was. Chen et al. 2025, Oscillation-Reduced MXFP4 Training for
    Vision Transformers (TetraJet), arXiv 2502.20853, and the authors' code.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, decay: float):
        super().__init__(model, optimizer)
        self.decay = decay
        self.averages: dict[int, torch.Tensor] = {}
        for layer, latent, quantiser in quantisers(model):
            average = self.averages.setdefault(id(latent), latent.detach().clone())
            chain = layer.parametrizations["weight"]
            chain[len(chain) - 1] = Guided(quantiser, average)
        self.weights = stt.find(model)

    def after_step(self) -> None:
        for weight in self.weights:
            self.averages[id(weight.latent)].lerp_(weight.latent.detach(), 1 - self.decay)

    def fill(self, net: nn.Module) -> None:
        for weight in self.weights:
            make_plain(net, weight, weight.values())


class Guided(Quantiser):
    """A quantiser that rounds with the help of an average of the latents, see `QEMA`."""

    def __init__(self, plain: Quantiser, average: torch.Tensor):
        super().__init__(plain.levels, plain.scale, plain.axis, plain.surrogate)
        self.register_buffer("average", average, persistent=False)

    def forward(self, latent: torch.Tensor) -> torch.Tensor:
        step = self.step(latent)
        x = latent / step
        plain = Step.apply(x, self.levels, self.surrogate)
        return step * (plain + (self._guided(x, step) - plain).detach())

    @torch.no_grad()
    def codes(self, latent: torch.Tensor) -> torch.Tensor:
        step = self.step(latent)
        return self._guided(latent / step, step).to(torch.int8)

    def _guided(self, x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        spacing, top = (1 if self.levels % 2 else 2), top_code(self.levels)
        low = (-top + spacing * torch.floor((x + top) / spacing)).clamp(-top, top - spacing)
        upper = self.average / step >= low + spacing / 2
        return torch.where(x <= -top, -top, torch.where(x >= top, top, low + spacing * upper))


class Bop(torch.optim.Optimizer):
    """Binary weights without latents: a weight flips when the average of its gradients asks for it firmly.

    m ← (1 − γ)·m + γ·g; w ← −w where |m| > τ and sign(m) = sign(w). Latents of `binarize` become ±1.
    Helwegen et al. 2019, Latent Weights Do Not Exist, arXiv 1906.02107, algorithm 1.
    """

    def __init__(self, latents: list[nn.Parameter], adaptivity: float, threshold: float):
        super().__init__(latents, {"lr": 1.0, "adaptivity": adaptivity, "threshold": threshold})
        with torch.no_grad():
            for latent in latents:
                latent.copy_(torch.where(latent >= 0, 1.0, -1.0))

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, group["adaptivity"])
                flip = (mean.abs() > group["threshold"]) & (torch.sign(mean) == torch.sign(p))
                p.copy_(torch.where(flip, -p, p))


class Lion(torch.optim.Optimizer):
    """Steps of one size, in the direction of a mean of the gradient; with (0, 0) that of its sign.

    u ← u − η·sign(β₁·m + (1 − β₁)·g); m ← β₂·m + (1 − β₂)·g. Chen et al. 2023, arXiv 2302.06675.
    """

    def __init__(self, latents: list[nn.Parameter], lr: float, faster: float, slower: float):
        super().__init__(latents, {"lr": lr, "faster": faster, "slower": slower})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Take one step."""
        for group in self.param_groups:
            for p in group["params"]:
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                p.sub_(torch.sign(mean.lerp(p.grad, 1 - group["faster"])), alpha=group["lr"])
                mean.lerp_(p.grad, 1 - group["slower"])


def parq(
    latents: Iterable[nn.Parameter],
    others: Iterable[nn.Parameter],
    rate: float,
    levels: int,
    steps: int,
    steepness: float,
) -> torch.optim.Optimizer:
    """Return torchao's PARQ on Adam: a proximal step pulls latents to the levels, ever harder.

    ``steps`` is how long the inverse slope of the proximal map takes to fall from 1 to 0, ``steepness`` that
    of the fall. The latents are those of layers without quantisers. Jin et al. 2025, PARQ: Piecewise-Affine
    Regularized Quantization, arXiv 2503.15748.
    """
    from torchao.prototype.parq import (
        LSBQuantizer,
        ProxPARQ,
        QuantOptimizer,
        TernaryUnifQuantizer,
        UnifQuantizer,
    )

    quantizer = {2: LSBQuantizer, 3: TernaryUnifQuantizer}.get(levels, UnifQuantizer)()
    bits = 0 if levels == 3 else levels.bit_length() - 1  # torchao calls ternary 0 bits
    groups = [{"params": list(latents), "quant_bits": bits}, {"params": list(others)}]
    prox = ProxPARQ(anneal_start=0, anneal_end=steps, steepness=steepness)
    return QuantOptimizer(torch.optim.Adam(groups, lr=rate), quantizer, prox, quant_period=1)
