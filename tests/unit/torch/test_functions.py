"""Step functions and their surrogate gradients: against the formulas, in every type, compiled too."""

from itertools import product

import numpy as np
import pytest
import torch

import sterling as st
import sterling.torch as stt

NAMES = tuple(name for name in st.SURROGATES if name in st.SURROGATES.built_in)
#: Windows end at 0 and ±1; the other points are exact in all types.
POINTS = [-3.0, -1.0, -0.75, -0.25, 0.0, 0.25, 0.75, 1.0, 1.5, 3.0]
TYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
FUNCTIONS = {
    "heaviside": (stt.heaviside, 1),
    "sign": (stt.sign, 1),
    "three": (lambda x, mu: stt.round_to(x, 3, mu), 1),
    "four": (lambda x, mu: stt.round_to(x, 4, mu), 3),
    "fifteen": (lambda x, mu: stt.round_to(x, 15, mu), 7),
}


def gradient(function, points, surrogate, dtype=torch.float64, upstream=1.0):
    x = torch.tensor(points, dtype=dtype, requires_grad=True)
    y = function(x, surrogate)
    y.backward(torch.full_like(y, upstream))
    assert y.dtype == x.grad.dtype == dtype
    return x.grad


@pytest.mark.parametrize("levels", [2, 3, 16, 255])
def test_codes_are_the_nearest_levels(levels):
    """The slow way: look at all levels and take the nearest; random points have no ties."""
    top, spacing = (levels - 1) // 2 if levels % 2 else levels - 1, 1 if levels % 2 else 2
    allowed = torch.arange(-top, top + 1, spacing, dtype=torch.float64)
    assert len(allowed) == levels
    x = torch.tensor(np.random.default_rng(0).normal(size=500) * top)
    nearest = allowed[(x[:, None] - allowed).abs().argmin(dim=1)]
    assert torch.equal(stt.round_to(x, levels), nearest)
    assert not torch.signbit(stt.round_to(-torch.zeros(1), 3)).any()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_the_formulas(name):
    """At the ends of windows as well, in every type; half types may round what is not 0 or 1."""
    expected = -2.0 * st.get_surrogate(name).derivative(POINTS)
    exact = st.get_surrogate(name).piecewise_constant
    for (which, (function, top)), dtype in product(FUNCTIONS.items(), TYPES):
        found = gradient(function, [top * x for x in POINTS], name, dtype, upstream=-2.0).double().numpy()
        near = pytest.approx(expected, rel=0 if exact else 4 * torch.finfo(dtype).eps)
        assert found == near, (which, dtype)


def test_a_surrogate_of_the_users(registries):
    st.register(st.Surrogate("bell", slope=lambda x, xp: xp.exp(-x * x)))
    assert gradient(stt.sign, [0.0, 1.0], "bell").tolist() == pytest.approx([1, np.exp(-1)])


def test_compiled_is_the_same():
    """In one graph, with the compiler's decompositions but without its code generator, which takes 20 s."""
    names = ("hard_tanh", "swish_sign")  # a window and a smooth one

    def both(x):
        return torch.stack(
            [stt.sign(x[k], one) * stt.round_to(2 * x[k], 4, one) for k, one in enumerate(names)]
        )

    torch.compiler.reset()
    compiled = torch.compile(both, backend="aot_eager_decomp_partition", fullgraph=True)
    for function in (both, compiled):
        x = torch.tensor([POINTS] * 2, requires_grad=True)
        y = function(x)
        y.sum().backward()
        if function is both:
            plain = y.detach(), x.grad
    assert torch.equal(y.detach(), plain[0])
    assert torch.allclose(x.grad, plain[1], rtol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast(dtype):
    """Latents stay what they are; only the product is in the lower type."""
    weight = torch.tensor([[-0.5, 0.25], [2.0, -1.0]], requires_grad=True)
    with torch.autocast("cpu", dtype=dtype):
        y = torch.nn.functional.linear(torch.ones(1, 2), stt.sign(weight, "hard_tanh"))
    assert y.dtype == dtype
    y.sum().backward()
    assert weight.grad.dtype == torch.float32
    assert weight.grad.tolist() == [[1, 1], [0, 1]]


@pytest.mark.parametrize(
    "call, about",
    [
        (lambda: stt.sign([1.0]), "tensor"),
        (lambda: stt.sign(torch.tensor([1])), "int64"),
        (lambda: stt.round_to(torch.ones(1), 130), "128"),
    ],
)
def test_refusals(call, about):
    with pytest.raises(st.InputError, match=about):
        call()
