"""Dampening against the gradient of its penalty."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the instruments for PyTorch need it")

import sterling.torch as stt  # noqa: E402
from sterling.errors import InputError  # noqa: E402
from sterling.torch.remedies import Dampening  # noqa: E402


def make():
    torch.manual_seed(0)
    model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Linear(4, 2)), levels=3)
    return model, torch.optim.SGD(model.parameters(), lr=0.3)


def test_dampening_adds_the_gradient_of_its_penalty():
    after = []
    for dampened in (False, True):
        model, optimizer = make()
        (weight, _) = stt.find(model)
        remedy = Dampening(model, optimizer, strength=lambda step: 0.05) if dampened else None
        q, u, top = weight.values(), weight.latent, weight.scale()
        (gradient,) = torch.autograd.grad(0.05 * ((q - torch.clamp(u, -top, top)) ** 2).sum(), u)
        model(torch.ones(8, 6)).pow(2).sum().backward()
        optimizer.step()
        after.append(u.detach().clone())
    torch.testing.assert_close(after[1], after[0] - 0.3 * gradient)
    remedy.close()
    optimizer.step()
    assert remedy.steps == 1


def test_a_refused_remedy_leaves_no_hook():
    model, optimizer = make()
    other = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1)
    for held, strength in ((optimizer, 0.1), (other, lambda step: 0.1)):
        with pytest.raises(InputError):
            Dampening(model, held, strength)
        assert not held._optimizer_step_post_hooks
        assert not held._optimizer_step_pre_hooks
