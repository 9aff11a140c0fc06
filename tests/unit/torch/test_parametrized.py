"""`binarize`: what the forward pass sees, checkpoints, ties, and the way back."""

import copy
import math

import pytest
import torch

import sterling as st
import sterling.torch as stt
from sterling.torch.parametrized import steps_in_absmean

nn = torch.nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2))


X = torch.linspace(-1, 1, 32).reshape(2, 1, 4, 4)


@pytest.mark.parametrize("levels", [2, 3])
def test_weights_are_those_of_xnor_net_and_bitnet(levels):
    layer = nn.Linear(40, 30)
    w = layer.weight.detach().clone()
    scale = w.abs().mean()
    stt.binarize(layer, levels=levels)
    codes = w.sign() if levels == 2 else (w / scale).round().clamp(-1, 1)
    assert torch.allclose(layer.weight, scale * codes, rtol=1e-6)


@pytest.mark.parametrize("levels", [2, 3, 16])
@pytest.mark.parametrize("scale, per", [("absmean", "tensor"), ("absmax", "channel"), ("none", "tensor")])
def test_no_more_levels_than_asked_for(levels, scale, per):
    torch.manual_seed(1)
    layer = nn.Linear(300, 4)
    stt.binarize(layer, levels=levels, scale=scale, per=per)
    (weight,) = stt.find(layer)
    assert weight.levels == levels
    assert weight.codes().dtype == torch.int8
    assert weight.codes().unique().numel() <= levels
    assert torch.equal(weight.values(), layer.weight)
    assert torch.equal(weight.values(), weight.scale() * weight.codes())
    assert weight.scale().numel() == (4 if per == "channel" and scale != "none" else 1)
    if scale == "absmax":
        assert torch.allclose(weight.values().abs().max(), weight.latent.abs().max())


def test_channels_are_those_of_the_output():
    (weight,) = stt.find(stt.binarize(nn.ConvTranspose1d(2, 3, 5), per="channel"))
    assert weight.scale().shape == (1, 3, 1)


def test_the_step_for_many_levels_is_the_best_for_gaussian_latents():
    """Max 1960, table II: spacings in standard deviations; two levels are ±0.7979."""
    for levels, spacing in ((4, 0.9957), (5, 0.8430), (8, 0.5860), (16, 0.3352)):
        unit = spacing / (1 if levels % 2 else 2)
        assert steps_in_absmean(levels) * math.sqrt(2 / math.pi) == pytest.approx(unit, rel=1e-3)


def test_the_gradient_of_the_identity_is_that_of_the_weight():
    layer, x = nn.Linear(6, 3), torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    stt.binarize(layer, levels=3, per="channel")
    layer(x).pow(2).sum().backward()
    seen = layer.weight.detach().requires_grad_()
    nn.functional.linear(x, seen, layer.bias.detach()).pow(2).sum().backward()
    assert torch.allclose(layer.parametrizations.weight.original.grad, seen.grad, rtol=1e-5)


def test_skip_and_parameters_stay_the_same_objects():
    model = nn.ModuleDict({"blocks": net(), "head": nn.Linear(2, 2)})
    assert set(model.parameters()) == set(stt.binarize(model, skip=["head", "blocks.[24]"]).parameters())
    assert [one.name for one in stt.find(model)] == ["blocks.0.weight"]


def test_checkpoints_load_with_and_without_quantisers():
    plain, other = net().state_dict(), net()
    for parameter in other.parameters():
        nn.init.normal_(parameter)
    stt.binarize(other)
    assert str(other.load_state_dict(plain)) == "<All keys matched successfully>"
    assert torch.equal(other[0].parametrizations.weight.original, plain["0.weight"])
    third = stt.binarize(net())
    third.load_state_dict(other.state_dict())
    assert torch.equal(third(X), other(X))
    with pytest.raises(RuntimeError, match="size mismatch"):
        other.load_state_dict({**plain, "4.weight": torch.ones(3, 3)})


def test_a_copy_is_a_model_of_its_own():
    model = stt.binarize(net())
    twin = copy.deepcopy(model)
    twin.load_state_dict({name: p + 1 for name, p in net().state_dict().items()})
    assert not torch.equal(twin[2].weight, model[2].weight)
    assert torch.equal(model[2].parametrizations.weight.original, net()[2].weight)
    stt.unbinarize(twin)
    assert len(stt.find(model)) == 3
    stt.unbinarize(model)


def test_undone_by_one_call():
    model = net()
    before, modules = model(X), [type(one) for one in model.modules()]
    stt.unbinarize(stt.binarize(model, levels=3))
    assert torch.equal(model(X), before)
    assert [type(one) for one in model.modules()] == modules
    assert set(model.state_dict()) == set(net().state_dict())
    model.load_state_dict(net().state_dict())
    quantised = stt.binarize(model, levels=3)(X)
    assert torch.equal(stt.unbinarize(model, keep="quantised")(X), quantised)


def tied():
    torch.manual_seed(2)
    model = nn.Sequential(nn.Embedding(7, 4), nn.Linear(4, 7, bias=False))
    model[1].weight = model[0].weight
    return model


def test_tied_weights_are_one():
    model = stt.binarize(tied(), levels=3)
    (weight,) = stt.find(model)
    assert weight.places == ("0.weight", "1.weight")
    assert weight.modules == (model[0], model[1])
    assert weight.latent is model[1].parametrizations.weight.original
    seen = model(torch.arange(7))
    stt.unbinarize(model, keep="quantised")
    assert model[0].weight is model[1].weight
    assert torch.equal(model(torch.arange(7)), seen)


def pruned():
    from torch.nn.utils import prune

    return prune.l1_unstructured(nn.Linear(5, 3), "weight", 0.5)


@pytest.mark.parametrize(
    "call, about",
    [
        (lambda: stt.binarize(net(), skip=["haed"]), "haed"),
        (lambda: stt.binarize(nn.ReLU()), "no Linear"),
        (lambda: stt.binarize(stt.binarize(net())), "already"),
        (lambda: stt.binarize(nn.Embedding(5, 3, padding_idx=0)), "padding"),
        (lambda: stt.binarize(pruned()), "pruned"),
        (lambda: stt.find(stt.binarize(nn.Linear(3, 2, device="meta"))), "meta"),
        (lambda: stt.unbinarize(net()), "nothing to undo"),
    ],
)
def test_refusals(call, about):
    with pytest.raises(st.InputError, match=about):
        call()
