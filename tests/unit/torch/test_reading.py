"""Readings that go another way than usual: few rows, fused operations, refusals, levels out of use."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")

import sterling as st  # noqa: E402
import sterling.torch as stt  # noqa: E402
from sterling.torch.grids import Grid  # noqa: E402
from sterling.torch.rounding import CodeReader  # noqa: E402
from tests.unit.torch import frameworks as fw  # noqa: E402

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


def test_the_scale_of_a_fused_operation_may_be_a_number():
    w = gaussian(16, 32) * 0.3
    reader = CodeReader(lambda: torch.fake_quantize_per_tensor_affine(w, 0.1, 0, -8, 7), w)
    assert torch.equal(reader.codes(), (w / 0.1).round().clamp(-8, 7).to(torch.int16))
    assert reader.levels() == 16


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


def test_a_level_that_no_weight_uses_has_no_value():
    codes = torch.tensor([[-3, -1, 1, 1], [-3, -1, 1, -1]], dtype=torch.int8)
    values = torch.tensor([0.0, 0.0, 0.3, 2.0])[(codes.long() + 3) // 2] - 0.5
    grid = Grid(codes, torch.ones(()), False, "tensor")
    assert torch.equal(grid.dequantise(codes.flip(1), values), values.flip(1))
    with pytest.raises(st.InputError, match="each level"):
        grid.dequantise(torch.full_like(codes, 3), values)


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
