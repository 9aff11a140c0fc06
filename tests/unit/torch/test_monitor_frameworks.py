"""Decoded codes and scales of frameworks, against codes computed from the latents by its own formula."""

import math

import pytest
import torch

import sterling.torch as stt
from tests.unit.torch import frameworks as fw

nn = torch.nn


def sign(w):
    return torch.where(w >= 0, 1, -1)


def ternary(w):
    return (w / w.abs().mean()).round().clamp(-1, 1)


def weight(model):
    return next(p for name, p in model.named_parameters() if name.endswith(("weight", "original", "kernel")))


CASES = {
    "brevitas ternary": (lambda: fw.brevitas("ternary"), lambda w: sign(w) * (w.abs() > 0.05)),
    "bitnet": (fw.bitnet, ternary),
    "by hand, found by listening": (lambda: fw.Quantised(fw.detached), ternary),
}


@pytest.mark.parametrize("case", CASES)
def test_decoded_codes_are_what_the_framework_makes_of_the_copy(case):
    make, formula = CASES[case]
    model = make()
    latent = weight(model)
    optimizer = torch.optim.SGD([latent], lr=0.05)
    monitor = stt.OrbitMonitor(model, optimizer, example=fw.X, horizons=(4, math.inf))
    random = torch.Generator().manual_seed(3)
    for _ in range(9):
        latent.grad = torch.randn(latent.shape, generator=random)
        optimizer.step()
    better = stt.decode(model, monitor, horizon=math.inf)
    average = monitor.average(monitor.weights[0].name, math.inf)
    decoded = (average + 0.5).floor()
    away = (average.abs() - 0.5).abs() > 1e-3  # from the thresholds, where rounding would decide
    assert torch.equal(formula(weight(better).detach())[away], decoded[away].to(latent.dtype))
    assert better.changes.share > 0
