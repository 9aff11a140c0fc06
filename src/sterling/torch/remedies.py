"""Remedies against oscillation, each after its paper: they change what training does, and are `Rival`s, too.

`Bop` and `parq` take the place of the optimiser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from sterling.base.checks import integer, real
from sterling.base.extras import installed
from sterling.errors import InputError
from sterling.torch.counting import Tally, grid_of
from sterling.torch.decoding import make_plain
from sterling.torch.functions import Step, top_code
from sterling.torch.hooks import groups_of
from sterling.torch.parametrized import Quantiser, quantisers
from sterling.torch.rivals import Rival, check_function
from sterling.torch.weights import find


class Freezing(Rival):
    """Weights that oscillate are frozen at the level nearest to the average of their codes.

    f ← m·o + (1 − m)·f, where o = 1 if the code changed against the direction of its last change; when
    f exceeds the threshold, the code stays round(EMA of the codes) for the rest of training.

    Parameters
    ----------
    threshold : function of the step
        Nagel et al. lower it along a cosine; it should be above 2m.
    momentum : float
        m, of f and of the average of the codes.

    References
    ----------
    Nagel et al. 2022, arXiv 2203.11086, and the authors' code.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        threshold: Callable[[int], float],
        momentum: float = 0.01,
    ):
        check_function(threshold, "threshold", "the step")
        self.threshold, self.momentum = threshold, real(momentum, "momentum", above=0, most=1)
        super().__init__(model, optimizer)
        self.codes = [one.codes().float() for one in self.weights]
        self.means = [one.clone() for one in self.codes]
        self.directions = [torch.zeros_like(one) for one in self.codes]
        self.frequencies = [torch.zeros_like(one) for one in self.codes]
        self.frozen = [torch.zeros_like(one, dtype=torch.bool) for one in self.codes]
        self.held = [torch.zeros_like(one) for one in self.codes]
        self.grids = [
            torch.tensor(grid_of(one.levels), dtype=torch.float32, device=one.latent.device)
            for one in self.weights
        ]

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
            self.held[index][fresh] = Tally.nearest(self.means[index], self.grids[index]).float()[fresh]
            self.frozen[index] |= fresh
            self.means[index].lerp_(now, m)
            self._hold(index)

    def _hold(self, index: int) -> None:
        """Put the latents of frozen weights onto their levels; the scale follows, so this is repeated."""
        weight, frozen = self.weights[index], self.frozen[index]
        if bool(frozen.any()):
            for _ in range(3):
                place = (self.held[index] * weight.scale()).to(weight.latent.dtype)
                weight.latent.data.copy_(torch.where(frozen, place, weight.latent.data))


class Dampening(Rival):
    """A pull of each latent to its level: the gradient of λ Σ (q(u) − clip(u))², q(u) held fixed, is added.

    Parameters
    ----------
    strength : function of the step
        λ; Nagel et al. raise it along a cosine.

    References
    ----------
    Nagel et al. 2022, arXiv 2203.11086, and the authors' code.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, strength: Callable[[int], float]):
        check_function(strength, "strength", "the step")
        self.strength = strength
        super().__init__(model, optimizer)

    def before_step(self) -> None:
        for weight in self.weights:
            if weight.latent.grad is not None:
                latent, top = weight.latent.detach(), top_code(weight.levels) * weight.scale()
                pull = 2 * (latent - weight.values()) * (latent.abs() <= top)
                weight.latent.grad.add_(pull, alpha=self.strength(self.steps))


class TransitionRate(Rival):
    """The step size follows a target rate of flips instead of a schedule.

    With k the share of the weights whose code changed at a step: K ← m·K + (1 − m)·k, and
    η ← max(0, η + η₀·(R − K)), where R is the target rate at this step. η replaces the rate of the parameter
    groups that hold quantised weights; so no scheduler may set these.

    Parameters
    ----------
    target : function of the step
        R, the share of weights that are to flip at a step; as a rule it falls to 0 along a cosine.
    momentum : float
        m.

    References
    ----------
    Lee, Jeon, Kim, Ham, Scheduling Weight Transitions for Quantization-Aware Training, arXiv 2404.19248.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        target: Callable[[int], float],
        momentum: float = 0.99,
    ):
        check_function(target, "target", "the step")
        self.target, self.momentum = target, real(momentum, "momentum", least=0, below=1)
        super().__init__(model, optimizer)
        numbers = {number for one in self.weights for number in groups_of(one, self.optimizer)}
        self.groups = [self.optimizer.param_groups[number] for number in sorted(numbers)]
        self.first = [float(group["lr"]) for group in self.groups]
        self.running = 0.0
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
    Gradients are those of the quantiser as it was.

    Parameters
    ----------
    model, optimizer
        As for `Rival`. Its quantisers are replaced until `close`.
    decay : float
        β.

    References
    ----------
    Chen et al. 2025, Oscillation-Reduced MXFP4 Training for Vision Transformers (TetraJet), arXiv 2502.20853,
    and the authors' code.
    """

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, decay: float = 0.998):
        self.decay = real(decay, "decay", least=0, below=1)
        super().__init__(model, optimizer)
        known = {id(one.latent) for one in self.weights}
        self.averages: dict[int, torch.Tensor] = {}
        self._replaced: list[tuple[Any, Quantiser]] = []
        for layer, latent, quantiser in quantisers(self.model):
            if id(latent) in known:
                average = self.averages.setdefault(id(latent), latent.detach().clone())
                chain = layer.parametrizations["weight"]
                chain[len(chain) - 1] = Guided(quantiser, average)
                self._replaced.append((chain, quantiser))
        self.weights = [one for one in find(self.model) if id(one.latent) in known]

    def after_step(self) -> None:
        for weight in self.weights:
            self.averages[id(weight.latent)].lerp_(weight.latent.detach(), 1 - self.decay)

    def fill(self, net: nn.Module) -> None:
        for weight in self.weights:
            make_plain(net, weight, weight.values())

    def close(self) -> None:
        super().close()
        for chain, quantiser in self._replaced:
            chain[len(chain) - 1] = quantiser


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
        upper = self.average / step >= low + spacing / 2  # type: ignore[operator]
        return torch.where(x <= -top, -top, torch.where(x >= top, top, low + spacing * upper))


class Bop(torch.optim.Optimizer):
    """Binary weights without latents: a weight flips when the average of its gradients asks for it firmly.

    m ← (1 − γ)·m + γ·g; w ← −w where |m| > τ and sign(m) = sign(w).

    Parameters
    ----------
    params : iterable of Parameter
        Latents of two-level layers of `binarize`; they become ±1. Other parameters need another optimiser.
    adaptivity : float
        γ.
    threshold : float
        τ.

    References
    ----------
    Helwegen et al. 2019, Latent Weights Do Not Exist, arXiv 1906.02107, algorithm 1.
    """

    def __init__(
        self, params: Iterable[torch.nn.Parameter], adaptivity: float = 1e-4, threshold: float = 1e-8
    ):
        adaptivity = real(adaptivity, "adaptivity", above=0, most=1)
        threshold = real(threshold, "threshold", least=0)
        # A step of Bop has no size: averages of codes weigh all alike.
        super().__init__(params, {"lr": 1.0, "adaptivity": adaptivity, "threshold": threshold})
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.copy_(torch.where(p >= 0, 1.0, -1.0))

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                mean = self.state[p].setdefault("mean", torch.zeros_like(p))
                mean.lerp_(p.grad, group["adaptivity"])
                flip = (mean.abs() > group["threshold"]) & (torch.sign(mean) == torch.sign(p))
                p.copy_(torch.where(flip, -p, p))
        return loss


def parq(
    latents: Iterable[torch.nn.Parameter],
    base: Callable[[list[dict[str, Any]]], torch.optim.Optimizer],
    others: Iterable[torch.nn.Parameter] = (),
    levels: int = 3,
    steps: int = 1000,
    steepness: float = 10.0,
) -> torch.optim.Optimizer:
    """Return torchao's PARQ: a proximal step pulls latents to the levels, ever harder, until they are there.

    Parameters
    ----------
    latents : iterable of Parameter
        Of layers without quantisers; the optimiser quantises them itself.
    base : function of parameter groups
        Makes the optimiser that moves them, such as ``lambda groups: torch.optim.Adam(groups, lr=1e-3)``.
    others : iterable of Parameter
        Left as they are.
    levels : int
        2, 3, or a larger power of two.
    steps : int
        Over which the inverse slope of the proximal map falls from 1 to 0.
    steepness : float
        Of that fall.

    Returns
    -------
    Optimizer
        `torchao.prototype.parq.QuantOptimizer`.

    Raises
    ------
    InputError
        If torchao is not installed, or has no quantiser of so many levels.

    References
    ----------
    Jin et al. 2025, PARQ: Piecewise-Affine Regularized Quantization, arXiv 2503.15748.
    """
    if installed("torchao") is None:
        raise InputError("PARQ is in torchao, which is not installed: pip install torchao")
    from torchao.prototype.parq import (  # pyright: ignore[reportMissingImports]
        LSBQuantizer,
        ProxPARQ,
        QuantOptimizer,
        TernaryUnifQuantizer,
        UnifQuantizer,
    )

    levels = integer(levels, "levels", 2, 256)
    if levels != 3 and levels & (levels - 1):
        raise InputError(f"levels is {levels}; PARQ takes 3 or a power of two")
    quantizer = {2: LSBQuantizer, 3: TernaryUnifQuantizer}.get(levels, UnifQuantizer)()
    bits = 0 if levels == 3 else levels.bit_length() - 1  # torchao calls ternary 0 bits
    groups: list[dict[str, Any]] = [{"params": list(latents), "quant_bits": bits}]
    if rest := list(others):
        groups.append({"params": rest})
    prox = ProxPARQ(anneal_start=0, anneal_end=integer(steps, "steps", 1), steepness=steepness)
    return QuantOptimizer(base(groups), quantizer, prox, quant_period=1)
