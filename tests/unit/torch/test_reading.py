"""Readings that go another way than usual: few rows, fused operations, refusals, levels out of use."""

import pytest
import torch

import sterling as st
import sterling.torch as stt
from sterling.torch.rounding import CodeReader
from tests.unit.torch import frameworks as fw

nn = torch.nn


def gaussian(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def ternary(w, dim=None):
    scale = w.abs().mean() if dim is None else w.abs().mean(dim, keepdim=True)
    return scale * (w / scale).round().clamp(-1, 1)


@pytest.mark.parametrize("shape", [(1, 40000), (2, 40000), (3, 20000), (40000, 2)])
def test_a_part_of_a_large_tensor_is_checked_at_each_reading(shape):
    w = gaussian(*shape)
    reader = CodeReader(lambda: ternary(w, 1), w)
    for _ in range(5):
        w += 0.1
        assert torch.equal(reader.codes(), ternary(w, 1).sign().to(torch.int16))
    assert reader._readings == 5


def test_a_refused_reading_is_refused_again_and_changes_nothing():
    w, hidden = gaussian(16, 64), [False]
    plain = ternary(w)

    def values():
        return plain.clone() if hidden[0] else ternary(w)  # no operation of PyTorch decides in a clone

    reader = CodeReader(values, w)
    codes = reader.codes()
    hidden[0] = True
    for _ in range(2):
        with pytest.raises(st.InputError, match="another way"):
            reader.codes()
    hidden[0] = False
    assert torch.equal(reader.codes(), codes)


class Counting(nn.Linear):
    """Counts the calls of its forward pass in a plain attribute."""

    calls, running, warm = 0, 0.0, False

    def __init__(self):
        super().__init__(fw.WIDTH, 8)
        self.calls, self.running, self.warm = 0, 0.0, False

    def forward(self, x):
        self.calls, self.running, self.warm = self.calls + 1, self.running + 0.5, True
        return nn.functional.linear(x, fw.detached(self.weight), self.bias)


def test_a_quantiser_that_counts_its_calls_counts_those_of_the_user():
    model = nn.Sequential(Counting())
    (weight,) = stt.find(model, example=fw.X)
    model(fw.X)
    for _ in range(3):
        weight.codes()
    assert (model[0].calls, model[0].running, model[0].warm) == (1, 0.5, True)


class FirstScale(nn.Linear):
    """Multiplies its scale by the mean size of the weights at the first call, as Brevitas does."""

    def __init__(self):
        super().__init__(fw.WIDTH, 8)
        self.scale, self.started = nn.Parameter(torch.ones(())), False

    def forward(self, x):
        if not self.started:
            self.scale.detach().mul_(self.weight.detach().abs().mean())
            self.started = True
        return nn.functional.linear(x, self.scale * (self.weight / self.scale).round().clamp(-1, 1))


def test_a_scale_gets_its_first_value_once():
    model = nn.Sequential(FirstScale())
    (weight,) = stt.find(model, example=fw.X)
    for _ in range(2):
        weight.codes()
        model(fw.X)
    assert torch.equal(model[0].scale, model[0].weight.abs().mean())
