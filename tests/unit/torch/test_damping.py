"""Damping against a plain loop with the formula written out, to the last bit."""

import io
import itertools
import warnings

import pytest
import torch

import sterling.torch as stt
from sterling.errors import InputError, InputTypeError, SterlingWarning
from tests.unit.torch import frameworks
from tests.unit.torch.test_discovery import parq

STEPS, START, RATE = 60, 12, 0.01


def optimiser(name, model):
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.5)
    return torch.optim.AdamW(model.parameters(), lr=RATE)


def batches(first=0, last=STEPS):
    generator = torch.Generator().manual_seed(1)
    for step in range(last):
        x, y = torch.randn(8, 8, generator=generator), torch.randn(8, 4, generator=generator)
        if step >= first:
            yield x, y


def train(model, optimizer, data, after=lambda step: None):
    """Return the codes after each step."""
    weights, codes = stt.find(model), []
    for step, (x, y) in enumerate(data):
        optimizer.zero_grad()
        (model(x) - y).pow(2).sum().backward()
        optimizer.step()
        after(step)
        codes.append([one.codes().tolist() for one in weights])
    return codes


def binarized(levels):
    layers = [torch.nn.Linear(8, 16, bias=False), torch.nn.Linear(16, 4, bias=False)]
    net = torch.nn.Sequential(
        *(one for layer in map(frameworks.latents, layers) for one in (layer, torch.nn.Tanh()))
    )
    return stt.binarize(net, levels=levels)


def by_formula(model, optimizer, levels, strength):
    """The formula, written out: no sterling."""
    latents = list(model.parameters())

    @torch.no_grad()
    def after(step):
        if step < START:
            return
        rate = optimizer.param_groups[0]["lr"]
        for u in latents:
            scale = u.abs().mean()
            code = torch.where(u >= 0, 1.0, -1.0) if levels == 2 else (u / scale).round().clamp(-1, 1)
            half = scale if levels == 2 else scale / 2  # half the distance of two levels
            u.copy_(u + rate * strength / half * (scale * code - u))
            u.copy_(u * (scale / u.abs().mean()))  # the scale stays

    return after


@pytest.mark.parametrize(("name", "levels"), list(itertools.product(("sgd", "adamw"), (2, 3))))
def test_codes_and_latents_are_those_of_the_formula(name, levels):
    strength = 0.3 if name == "adamw" else 0.05
    hand, ours = binarized(levels), binarized(levels)
    held = optimiser(name, hand)
    expected = train(hand, held, batches(), by_formula(hand, held, levels, strength))
    undamped = binarized(levels)
    plain = train(undamped, optimiser(name, undamped), batches())
    assert plain[:START] == expected[:START]
    assert plain != expected

    held = optimiser(name, ours)
    damping = stt.Damping(ours, held, strength=strength, start=0.2, steps=STEPS)
    codes = train(ours, held, batches(last=30))
    saved = io.BytesIO()
    torch.save([ours.state_dict(), held.state_dict(), damping.state_dict()], saved)
    saved.seek(0)
    resumed = binarized(levels)
    held = optimiser(name, resumed)
    damping = stt.Damping(resumed, held, strength=1.0)  # the state has the strength and the start
    for one, state in zip((resumed, held, damping), torch.load(saved), strict=True):
        one.load_state_dict(state)
    codes += train(resumed, held, batches(first=30))

    assert codes == expected
    assert damping.taken == STEPS
    for a, b in zip(hand.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("levels", [2, 5])
def test_a_push_below_the_strength_never_turns_a_weight_and_one_above_does(levels):
    for push, turns in ((0.9, False), (1.1, True)):
        model = stt.binarize(torch.nn.Linear(64, 1, bias=False), levels=levels, scale="none")
        (weight,) = stt.find(model)
        with torch.no_grad():  # in the inner half of their levels
            inner = torch.zeros(1, 64) if levels % 2 else torch.ones(1, 64)
            weight.latent.copy_(inner)
        held = torch.optim.SGD(model.parameters(), lr=0.2)
        stt.Damping(model, held, strength=0.5)
        for _ in range(200):
            weight.latent.grad = torch.full((1, 64), 0.5 * push)
            held.step()
            if bool((weight.codes() != inner).any()):
                break
        assert bool((weight.codes() != inner).all()) == turns


@pytest.mark.parametrize("make", [frameworks.torchao, frameworks.brevitas])
def test_layers_of_frameworks_come_nearer_to_their_levels(make):
    model = torch.nn.Sequential(make())
    (weight,) = stt.find(model)
    inner = weight.codes().abs() < weight.codes().abs().max()
    held = torch.optim.SGD(model.parameters(), lr=0.1)
    stt.Damping(model, held, strength=0.01)
    before = (weight.latent - weight.values()).abs()[inner].mean()
    for _ in range(20):
        held.step()
    assert (weight.latent - weight.values()).abs()[inner].mean() < 0.9 * before


def test_refusals_leave_no_hook_and_close_ends_it():
    model = binarized(2)
    held = torch.optim.SGD(model.parameters(), lr=0.1)
    other = torch.optim.SGD(torch.nn.Linear(2, 2).parameters(), lr=0.1)
    for optimizer, options in (
        (other, {}),
        (held, {"strength": -1}),
        (held, {"start": 0.5}),  # a share of what?
    ):
        with pytest.raises((InputError, InputTypeError)):
            stt.Damping(model, optimizer, **{"strength": 0.1, **options})
        assert not optimizer._optimizer_step_post_hooks
    damping = stt.Damping(model, held, strength=0.1, start=3)
    before = damping.state_dict()
    for wrong in ([], {**before, "taken": -1}, {**before, "more": 1}):
        with pytest.raises((InputError, InputTypeError)):
            damping.load_state_dict(wrong)
        assert damping.state_dict() == before
    held.step()
    damping.close()
    held.step()
    assert damping.taken == 1


def test_a_fault_warns_once_and_training_goes_on():
    model = binarized(2)
    held = torch.optim.SGD(model.parameters(), lr=0.1)
    damping = stt.Damping(model, held, strength=0.1)
    held.step()
    damping.weights[1]._values = lambda: 1 / 0
    with pytest.warns(SterlingWarning, match="Damping ended at step 2, and training goes on"):
        held.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        held.step()
    assert damping.taken == 2
    assert "ZeroDivisionError" in damping.detached


def test_latents_that_lie_elsewhere_are_refused():
    with pytest.raises(InputError, match="latents"):
        stt.Damping(*parq(), strength=0.1)
