"""The dense engine against what people write in PyTorch: autograd with a straight-through function."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling.dynamics.options import initial_latent
from tests.oracle import naive
from tests.support import PIECEWISE, SMOOTH, label, make_schedule

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Threads cost more than they bring at this size."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def straight_through(surrogate):
    """Return H as an autograd function whose backward pass is the surrogate's derivative."""

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, n):
            ctx.save_for_backward(x)
            ctx.n = n
            return (x > 0).double()

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            slope = naive.slope(surrogate, x.numpy() * np.sqrt(ctx.n), ctx.n)
            return grad * torch.from_numpy(np.asarray(slope, np.float64)), None

    return Step.apply


class Sign(torch.autograd.Function):
    """Projection onto the signs; its gradient goes straight through to the latents."""

    @staticmethod
    def forward(ctx, u):
        return torch.where(u >= 0, 1.0, -1.0).double()

    @staticmethod
    def backward(ctx, grad):
        return grad


def torch_loop(instance, latent, rates, surrogate):
    """Full-batch training as a user would write it; yields the signs of w_1, w_2, …"""
    z, y, v = (torch.tensor(a) for a in (instance.inputs, instance.labels, instance.readout))
    u = torch.from_numpy(latent.copy()).requires_grad_()
    step = straight_through(surrogate)
    for rate in rates:
        # Signs times data on a dyadic grid are exact, so that a pre-activation of zero is one here too.
        x = z @ Sign.apply(u) / np.sqrt(instance.n)
        loss = ((step(x, instance.n) @ v - y) ** 2).mean() / 2
        (gradient,) = torch.autograd.grad(loss, u)
        # G is the gradient with respect to the weights w = signs/√n, not to the signs.
        u = (u - rate * gradient * np.sqrt(instance.n)).detach().requires_grad_()
        yield np.where(u.detach().numpy() >= 0, 1, -1)


SHAPES = (
    # n, m, N, noise, readout
    (3, 1, 25, 0.5, "ones"),
    (25, 2, 80, 0.5, "gaussian"),
    (70, 3, 60, 0.3, "signs"),
)


@pytest.mark.parametrize("schedule", (("power", 0.5, 0.5), ("constant", 0.2)), ids=label)
@pytest.mark.parametrize("surrogate", PIECEWISE + SMOOTH)
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "n{}-m{}-N{}-{}-{}".format(*shape))
def test_dense_engine_is_the_torch_loop(shape, surrogate, schedule):
    """A factor √n, N or ‖v‖² in the wrong place, or a wrong surrogate, changes the flips at once."""
    n, m, samples, noise, readout = shape
    instance = st.Problem(n, samples, m, noise, readout).draw(3)
    steps = 50
    orbit = st.train(instance, steps, make_schedule(schedule), surrogate, init=7, engine="dense")
    rates = naive.rates_of(schedule, steps) / float(instance.readout @ instance.readout)
    signs, flips = orbit.start_signs, []
    for t, new in enumerate(torch_loop(instance, initial_latent(n, 7), rates, surrogate), 1):
        flips += [(t, int(k), int(new[k])) for k in np.flatnonzero(new != signs)]
        signs = new
    assert [tuple(flip) for flip in orbit.flips.tolist()] == flips
    assert flips
