"""Flips of every framework's weights, against codes computed from the latents by its own formula."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

import sterling.torch as stt  # noqa: E402
from sterling.torch import weights  # noqa: E402
from tests.unit.torch import frameworks as fw  # noqa: E402

nn = torch.nn


def sign(w):
    return torch.where(w >= 0, 1, -1)


def ternary(w):
    return (w / w.abs().mean()).round().clamp(-1, 1)


def in_groups(w):
    """Codes of torchao's symmetric int4 in groups of 32."""
    rows = w.reshape(-1, 32)
    scale = rows.abs().amax(1, keepdim=True) / 7.5
    # The reciprocal matters: the largest of a group is at ±7.5, between two codes.
    return (rows * (1 / scale)).round().clamp(-8, 7).reshape(w.shape)


def weight(model):
    return next(p for name, p in model.named_parameters() if name.endswith(("weight", "original", "kernel")))


CASES = {
    "binarize": (lambda: stt.binarize(fw.latents(nn.Linear(64, 48, bias=False))), sign),
    "torchao": (fw.torchao, in_groups),
    "brevitas int4": (
        lambda: fw.brevitas("int4"),
        lambda w: (w * (7 / w.abs().amax())).round().clamp(-7, 7),
    ),
    "brevitas binary": (lambda: fw.brevitas("binary"), sign),
    "brevitas ternary": (lambda: fw.brevitas("ternary"), lambda w: sign(w) * (w.abs() > 0.05)),
    "bitnet": (fw.bitnet, ternary),
    "by hand, found by listening": (lambda: fw.Quantised(fw.detached), ternary),
    "turned, found by listening": (fw.Product, ternary),
}


@pytest.mark.parametrize("alone", [False, True], ids=["adaptors", "listening"])
@pytest.mark.parametrize("case", CASES)
def test_flips_are_changes_of_the_frameworks_codes(case, alone, monkeypatch):
    if alone:
        monkeypatch.setattr(weights, "ADAPTORS", ())
    make, formula = CASES[case]
    model = make()
    latent = weight(model)
    optimizer = torch.optim.SGD([latent], lr=0.05)
    monitor = stt.OrbitMonitor(model, optimizer, example=fw.X, horizons=(4, math.inf))
    assert len(monitor.weights) == 1
    assert (monitor.weights[0].framework == "discovery") >= alone
    random, flips = torch.Generator().manual_seed(3), 0
    for _ in range(8):
        before = formula(latent.detach())
        latent.grad = torch.randn(latent.shape, generator=random)
        optimizer.step()
        flips += int((formula(latent.detach()) != before).sum())
    assert monitor.frame()["flips"].to_list() == [flips]
    assert flips > 100


def test_the_merged_weight_of_lora_is_watched():
    model = fw.Lora()
    optimizer = torch.optim.SGD([model.a, model.b], lr=0.05)
    monitor = stt.OrbitMonitor(model, optimizer, example=fw.X, horizons=(4,))
    random, flips = torch.Generator().manual_seed(3), 0

    def codes():
        return ternary((model.base.weight + model.b @ model.a).detach())

    for _ in range(8):
        before = codes()
        for factor in (model.a, model.b):
            factor.grad = torch.randn(factor.shape, generator=random)
        optimizer.step()
        flips += int((codes() != before).sum())
    frame = monitor.frame()
    assert frame["flips"].to_list() == [flips]
    assert flips > 100


@pytest.mark.parametrize("case", ["brevitas ternary", "bitnet", "by hand, found by listening"])
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
