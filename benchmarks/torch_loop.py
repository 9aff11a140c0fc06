"""The rival: the full-batch loop in PyTorch, float32, as fast as we can write it.

A step takes two matrix–vector products and the fewest element-wise operators, without autograd or allocation.
Several layouts of the inputs are tried, and the fastest is taken.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch

# Layouts of the inputs, (samples, n) or (n, samples), and numbers of blocks of samples. A block goes through
# the whole step while it is in the processor's cache.
LAYOUTS = (("rows", 1), ("rows", 8), ("columns", 1), ("columns", 4), ("columns", 16))

_ROUNDS = 5  # rounds of the contest between layouts
_SAMPLE = 10  # steps for a rough estimate of the time of a step

# The derivative of relu in one operator: pass `values` on if `before` > 0.
_gate = torch.ops.aten.threshold_backward.grad_input


@dataclass
class _Block:
    forward: Any  # (m·samples, n) view of the inputs
    backward: Any  # (n, m·samples) view of the same memory
    before: Any  # pre-activations, (m, samples)
    values: Any  # m = 1: v·(v − y); m > 1: v
    passed: Any  # values of active units, else 0, (m, samples)
    labels: Any
    residuals: Any
    coefficients: Any  # weights of the input rows in the gradient; m = 1: the same as passed
    part: Any  # the gradient of this block, (n,)


class TorchLoop:
    """u ← u − η_t G(w), w ← sign(u) for one instance, with the relu surrogate.

    Parameters
    ----------
    inputs : float array (N, m, n)
    labels : float array (N,)
    readout : float array (m,)
    latent : float array (n,)
        u_0.
    layout : str
        "rows" or "columns".
    blocks : int
        Blocks of samples.
    """

    @torch.inference_mode()
    def __init__(self, inputs, labels, readout, latent, layout: str, blocks: int):
        self.layout, self.blocks = layout, blocks
        self.samples, self.m, n = inputs.shape
        self.latent = torch.tensor(latent, dtype=torch.float32)
        self.ones, self.unit_ones = torch.ones(n), torch.ones(self.m)
        self.signs = torch.copysign(self.ones, self.latent)
        self.gradient = torch.empty(n)
        self.parts = torch.empty(blocks, n)
        readout = torch.tensor(readout, dtype=torch.float32)
        edges = np.linspace(0, self.samples, blocks + 1).astype(int)
        self.work = [
            self._block(inputs[start:stop], labels[start:stop], readout, part)
            for (start, stop), part in zip(
                pairwise(edges), [self.gradient] if blocks == 1 else self.parts, strict=True
            )
        ]

    def _block(self, inputs, labels, readout, part) -> _Block:
        samples, m, n = inputs.shape
        # Unit by unit, so that operations on all samples run along memory.
        rows = torch.tensor(inputs.transpose(1, 0, 2).reshape(-1, n), dtype=torch.float32)
        forward = rows if self.layout == "rows" else rows.t().contiguous().t()
        y = torch.tensor(labels, dtype=torch.float32)
        coefficients = torch.empty(m, samples)
        # With one unit the coefficient v·H·(v·H − y) is H times a constant.
        values = (readout * (readout - y))[None] if m == 1 else readout[:, None].expand(m, samples)
        return _Block(
            forward=forward,
            backward=forward.t(),
            before=torch.empty(m, samples),
            values=values.contiguous(),
            passed=coefficients if m == 1 else torch.empty(m, samples),
            labels=y,
            residuals=torch.empty(samples),
            coefficients=coefficients,
            part=part,
        )

    @torch.inference_mode()
    def run(self, rates: Sequence[float], watch: list | None = None) -> None:
        """Take one step for each rate; ``watch`` collects the signs before each step."""
        work = [(b, b.before.view(-1), b.passed.t(), b.coefficients.view(-1)) for b in self.work]
        for rate in rates:
            if watch is not None:
                watch.append(self.signs.numpy().astype(np.int8))
            for b, flat_before, passed_by_sample, flat_coefficients in work:
                torch.mv(b.forward, self.signs, out=flat_before)
                _gate(b.values, b.before, 0, grad_input=b.passed)
                if self.m > 1:
                    torch.addmv(b.labels, passed_by_sample, self.unit_ones, beta=-1, out=b.residuals)
                    torch.mul(b.passed, b.residuals, out=b.coefficients)
                torch.mv(b.backward, flat_coefficients, out=b.part)
            if self.blocks > 1:
                torch.sum(self.parts, 0, out=self.gradient)
            self.latent.sub_(self.gradient, alpha=rate / self.samples)
            torch.copysign(self.ones, self.latent, out=self.signs)

    def time(self, rates: Sequence[float]) -> float:
        """Return the mean seconds of a step over the given rates."""
        begun = time.perf_counter()
        self.run(rates)
        return (time.perf_counter() - begun) / len(rates)

    def __str__(self) -> str:
        return f"{self.layout} in {self.blocks} blocks" if self.blocks > 1 else self.layout


def fastest_loop(
    inputs, labels, readout, latent, rates: Sequence[float], seconds: float
) -> tuple[TorchLoop, dict[str, float]]:
    """Return the loop with the fastest layout, warmed up, and the seconds of a step with each layout.

    The layouts take turns of ``seconds`` each, so that a busy moment of the machine affects all of them.
    """
    loops = [TorchLoop(inputs, labels, readout, latent, *layout) for layout in LAYOUTS]
    turns = [rates[: turn_length(loop, rates, seconds)] for loop in loops]
    best = {str(loop): float("inf") for loop in loops}
    for _ in range(_ROUNDS):
        for loop, turn in zip(loops, turns, strict=True):
            best[str(loop)] = min(best[str(loop)], loop.time(turn))
    return min(loops, key=lambda loop: best[str(loop)]), best


def turn_length(loop: TorchLoop, rates: Sequence[float], seconds: float) -> int:
    """Return the number of steps in about ``seconds``: at least 10, at most one for each rate."""
    loop.run(rates[:_SAMPLE])
    step = min(loop.time(rates[:_SAMPLE]) for _ in range(3))
    return max(_SAMPLE, min(len(rates), int(seconds / step)))
