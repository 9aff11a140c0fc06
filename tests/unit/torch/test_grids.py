"""Levels read off values: made grids of all sorts are found again, and what is no grid is none."""

import pytest
import torch

from sterling.torch.grids import GridReader, find_grid


def gaussian(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def made(levels, scales, shape=(16, 64), seed=0, dtype=torch.float32):
    """Return codes drawn from the levels, and values of these scales."""
    draw = torch.randint(len(levels), shape, generator=torch.Generator().manual_seed(seed))
    codes = torch.tensor(levels)[draw]
    return codes, (codes * scales).to(dtype)


BINARY, TERNARY, INT2, INT4 = [-1, 1], [-1, 0, 1], [-2, -1, 0, 1], list(range(-8, 8))
CHANNELS = 0.05 + gaussian(16, 1).abs()


@pytest.mark.parametrize("levels", [BINARY, TERNARY, INT2, INT4, [-3, -1, 1, 3], list(range(-128, 128))])
@pytest.mark.parametrize(
    "scales, sharing",
    [
        (torch.tensor(0.037), "tensor"),
        (CHANNELS, "channel"),
        ((0.05 + gaussian(16, 4, 1).abs()).expand(16, 4, 16).reshape(16, 64), "group of 16"),
    ],
)
def test_even_levels(levels, scales, sharing):
    if len(levels) > 16 and sharing != "tensor":
        levels = levels[96:160]
    codes, values = made(levels, scales)
    grid = find_grid(values)
    assert grid.even
    assert grid.sharing == sharing
    assert torch.equal(grid.codes, codes)
    assert torch.allclose(grid.scale * grid.codes, values, rtol=1e-5)


def test_channels_of_axis_one():
    codes, values = made(TERNARY, CHANNELS.reshape(1, 16, 1), shape=(8, 16, 5))
    grid = find_grid(values)
    assert grid.sharing == "channel of axis 1"
    assert torch.equal(grid.codes, codes)
    assert torch.allclose(grid.scale * grid.codes, values)


@pytest.mark.parametrize("shape", [(3, 5), (16, 64), (8, 3, 3, 3), (1, 9)])
def test_continuous_weights_are_on_no_grid(shape):
    """False alarms: none in 80 draws."""
    assert all(find_grid(gaussian(*shape, seed=seed)) is None for seed in range(20))


def test_a_cast_to_bfloat16_is_no_grid():
    assert find_grid(gaussian(64, 64).bfloat16().float()) is None


def test_what_is_not_finite_is_on_no_grid():
    assert find_grid(torch.tensor([[1.0, float("nan")], [1.0, -1.0]])) is None


def test_the_scale_is_remembered_where_a_level_is_empty():
    """With codes −4, 0 and 4 alone the divisor is four steps; the last reading knows better."""
    _, first = made(INT4, torch.tensor(0.1))
    reader = GridReader(find_grid(first))
    codes, values = made([-4, 0, 4], torch.tensor(0.1))
    assert find_grid(values).levels == 3
    assert torch.equal(reader.read(values).codes, codes)
