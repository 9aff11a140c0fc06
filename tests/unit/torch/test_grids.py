"""Levels read off values: made grids are found again, what is no grid is none; unusual readings."""

import pytest
import torch
from torch import nn

import sterling as st
import sterling.torch as stt
from sterling.torch.grids import find_grid, uneven
from sterling.torch.rounding import CodeReader
from tests.unit.torch import frameworks as fw


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(levels, scales, shape=(16, 64), seed=0, dtype=torch.float32):
    """Return codes drawn from the levels, and values of these scales."""
    draw = torch.randint(len(levels), shape, generator=torch.Generator().manual_seed(seed))
    codes = torch.tensor(levels)[draw]
    return codes, (codes * scales).to(dtype)


BINARY, TERNARY, INT2, INT4 = [-1, 1], [-1, 0, 1], [-2, -1, 0, 1], list(range(-8, 8))


@pytest.mark.parametrize("levels", [BINARY, TERNARY, INT2, INT4, [-3, -1, 1, 3], list(range(-128, 128))])
@pytest.mark.parametrize(
    "scales, sharing",
    [
        (torch.tensor(0.037), "tensor"),
        (0.05 + gaussian(16, 1).abs(), "channel"),
        (0.05 + gaussian(1, 64).abs(), "channel of axis 1"),
        ((0.05 + gaussian(16, 4, 1).abs()).expand(16, 4, 16).reshape(16, 64), "group of 16"),
    ],
)
def test_even_levels(levels, scales, sharing):
    if len(levels) > 16 and sharing != "tensor":
        levels = levels[96:160]
    codes, values = made(levels, scales)
    grid = find_grid(values)
    assert (grid.even, grid.sharing) == (True, sharing)
    assert torch.equal(grid.codes, codes)
    assert torch.allclose(grid.scale * grid.codes, values, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 5), (16, 64), (8, 3, 3, 3), (1, 9)])
def test_continuous_weights_are_on_no_grid(shape):
    """False alarms: none in 80 draws."""
    assert all(find_grid(gaussian(*shape, seed=seed)) is None for seed in range(20))
    assert find_grid(gaussian(64, 64).bfloat16().float()) is None


def test_the_scale_is_remembered_where_a_level_is_empty():
    """With codes −4, 0 and 4 alone the divisor is four steps; the last reading knows better."""
    _, values = made(INT4, torch.tensor(0.1))
    reader = CodeReader(lambda: values, values.shape, None)
    codes, values = made([-4, 0, 4], torch.tensor(0.1))
    assert find_grid(values).levels == 3
    assert torch.equal(reader.codes(), codes)
    _, few = made([-4, -2, 1, 4], torch.tensor(0.1), (2, 4))
    assert CodeReader(lambda: few, few.shape, None).unsure()  # a few values may have any divisor


def ternary(w):
    return w.abs().mean() * (w / w.abs().mean()).round().clamp(-1, 1)


def test_a_refused_reading_is_refused_again_and_changes_nothing():
    w, hidden = gaussian(16, 64), [False]
    plain = ternary(w)

    # No operation of PyTorch decides in a clone.
    reader = CodeReader(lambda: plain.clone() if hidden[0] else ternary(w), w.shape, w)
    codes = reader.codes()
    hidden[0] = True
    for _ in range(2):
        with pytest.raises(st.InputError, match="another way"):
            reader.codes()
    hidden[0] = False
    assert torch.equal(reader.codes(), codes)


def masked(w):
    outer = torch.where(w >= 0, 1.0, -1.0) * w.abs().mean()
    return torch.where(w.abs() < 0.1, torch.zeros_like(w), outer)


def powers(w):
    top = w.abs().max()
    outer = w.sign() * top * 2 ** torch.log2(w.abs() / top).round().clamp(-2, 0)
    return torch.where(w.abs() < top / 32, torch.zeros_like(w), outer)


def test_a_level_that_no_weight_had_before_is_seen_at_once():
    w = gaussian(16, 64)
    w += 0.5 * w.sign()
    even, uneven = (CodeReader(lambda quantiser=one: quantiser(w), w.shape, w) for one in (masked, powers))
    before, wide = even.codes(), uneven.widened()
    w[::2, 0] = 0.01
    assert torch.equal(even.codes(), before * (w.abs() > 0.1))
    with pytest.raises(st.InputError, match="none had before"):
        uneven.codes()
    w[2, 0] = 0
    assert bool((wide.codes()[::2, 0] == 0).all())


def test_weights_that_are_not_finite_and_no_weights():
    w = gaussian(16, 64)
    readers = [CodeReader(one, w.shape, w) for one in (lambda: ternary(w), lambda: 0.1 * (w / 0.1).round())]
    w[0] = torch.nan
    for one in (readers[0].read, readers[1].codes):
        with pytest.raises(st.InputError, match="diverged"):
            one()
    assert CodeReader(lambda: ternary(w[:0]), w[:0].shape, w[:0]).grid is None


class Counting(nn.Linear):
    """Counts its calls in a plain attribute; the first call may set the scale, as that of Brevitas does."""

    def __init__(self, sets):
        super().__init__(fw.WIDTH, 8)
        self.scale, self.sets, self.calls, self.warm = nn.Parameter(torch.full((), 0.1)), sets, 0, False

    def forward(self, x):
        if self.sets and not self.warm:
            self.scale.detach().copy_(self.weight.detach().abs().mean())
        self.calls, self.warm = self.calls + 1, True
        return nn.functional.linear(x, self.scale * (self.weight / self.scale).round().clamp(-1, 1))


@pytest.mark.parametrize("sets", [False, True])
def test_a_quantiser_that_counts_its_calls_counts_those_of_the_user_and_sets_its_scale_once(sets):
    model = nn.Sequential(Counting(sets))
    (weight,) = stt.find(model, example=fw.X)
    weight.codes()
    model(fw.X)
    for _ in range(3):
        weight.codes()
    assert sets or (model[0].calls, model[0].warm) == (1, True)
    assert model[0].scale.item() == pytest.approx(weight.latent.abs().mean().item() if sets else 0.1)


def test_levels_that_are_not_even():
    codes = torch.tensor([[-2, -1, 0, 1, 2], [-1, 1, 0, 0, 1]])
    level, scale = torch.tensor([-6.0, -4.0, 0.0, 4.0, 6.0]), torch.tensor([[1.0], [4.0]])
    values, asked = level[codes + 2] * scale, codes[[0, 0]]
    found = uneven(values, codes, "channel", None).dequantise(asked, values)
    assert torch.allclose(found, level[asked + 2] * scale)


@pytest.mark.parametrize("shape", [(16, 16), (2, 4)])
def test_numbers_of_eight_bits_have_codes_in_their_order(shape):
    w = gaussian(*shape)
    number = lambda: (200 * w / w.abs().max()).to(torch.float8_e4m3fn).float()  # noqa: E731
    # The product with the scale is of a half type.
    reader = CodeReader(lambda: (number().bfloat16() / 64).float(), w.shape, w)
    codes, before = reader.codes(), number()
    w += 0.05 * gaussian(*shape, seed=1)
    assert torch.equal((reader.codes() - codes.int()).sign(), (number() - before).sign().int())
    if shape[0] == 16:
        every = torch.arange(256).to(torch.uint8).view(torch.float8_e4m3fn).float().unique()
        below = every[torch.searchsorted(every, number()) - 1]  # many of these levels are not in use
        assert torch.allclose(reader.dequantise(reader.codes() - 1), below / 64)


def test_a_learned_step_of_a_row_of_zeros_is_known():
    w, step = gaussian(4, 16), torch.linspace(0.2, 0.3, 4)[:, None]
    reader = CodeReader(lambda: (w / step).round().clamp(-8, 7) * step, w.shape, w)
    largest = lambda: w.abs().amax(1, keepdim=True).clamp_min(1e-6) / 7  # noqa: E731
    other = CodeReader(lambda: (w / largest()).round() * largest(), w.shape, w)
    codes = reader.codes()
    step[1] = 100.0
    assert torch.allclose(reader.dequantise(codes), codes * step)
    w[1] = 0
    with pytest.raises(st.InputError, match="level is not known"):
        other.dequantise(codes)
