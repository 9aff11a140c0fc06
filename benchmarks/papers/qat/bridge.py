"""From theory to nets: does the occupancy law order layers by their share of undecided weights?

In the teacher model (docs/science, 7 and 8) weight k is wrong for the share p = max(0, push)/S of the time.
The push is the outward force on its latent while all weights are right; S is the pull back after its flip.
Here the decoded weights stand for the right ones, and the gradient over at most 3,000 training rows for the
push. S is the change of a weight's gradient when it alone flips, the median over some weights of the layer. A
rate that differs between weights, as Adam's, multiplies both and cancels. The prediction is the share of a
layer's weights with p between ¼ and ¾, which the monitor calls undecided. Nothing is fitted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

import sterling.torch as stt

if TYPE_CHECKING:
    from benchmarks.papers.qat.trial import Run
    from sterling.study.kind import Look

FLIPPED = 24  # weights of each layer whose own pull is measured
MOST = 6  # batches of 500 training rows that the push is measured on


def predicted(run: Run, monitor: stt.OrbitMonitor, look: Look) -> list[float]:
    """Return the share of undecided weights that the law predicts for each tensor of a two-level net."""
    net = stt.decode(run.model, monitor, bn=run.bn).train()
    weights = [_weight(net, one.places[0]) for one in monitor.weights]
    batches = run.data.in_batches("train")[:MOST]
    rows = sum(len(inputs) for inputs, _ in batches)
    push = [torch.zeros_like(one) for one in weights]
    for inputs, targets in batches:
        look()
        for total, part in zip(push, _gradients(net, weights, inputs, targets), strict=True):
            total += part * (len(inputs) / rows)
    few = [one[: run.task.pulls] for one in run.data.train]
    here = _gradients(net, weights, *few)
    rng = np.random.default_rng(0)  # which weights are tried does not depend on the trial
    shares = []
    for index, weight in enumerate(weights):
        flat = weight.detach().view(-1)
        pulls = []
        for k in rng.choice(len(flat), size=min(FLIPPED, len(flat)), replace=False):
            look()
            flat[k] *= -1
            there = _gradients(net, [weight], *few)[0].view(-1)[k]
            flat[k] *= -1
            pulls.append(float(torch.sign(flat[k]) * (here[index].view(-1)[k] - there)))
        pull = float(np.median(pulls))
        outward = (torch.sign(flat) * push[index].view(-1)).clamp_min(0)  # latents go against the gradient
        share = outward / pull if pull > 0 else torch.ones_like(outward)
        shares.append(float(((share > 0.25) & (share < 0.75)).float().mean()))
    return shares


def _gradients(
    net: nn.Module, weights: list[nn.Parameter], inputs: torch.Tensor, targets: torch.Tensor
) -> Sequence[torch.Tensor]:
    from benchmarks.papers.qat.trial import loss_of

    return torch.autograd.grad(loss_of(net, inputs, targets), weights)


def _weight(net: nn.Module, place: str) -> nn.Parameter:
    path, _, name = place.rpartition(".")
    return getattr(net.get_submodule(path), name)
