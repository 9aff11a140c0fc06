"""Handles: one for each quantised weight, read as the model is at the moment."""

import pytest
import torch

import sterling as st
import sterling.torch as stt
from tests.unit.torch import frameworks

nn = torch.nn


@pytest.mark.parametrize(
    "codes, about",
    [
        (3, "function"),
        (lambda name, p: torch.ones(2), "shape"),
        (lambda name, p: torch.full(p.shape, 0.5), "integers"),
        (lambda name, p: torch.full(p.shape, 40000), "32,767"),
    ],
)
def test_codes_that_are_none(codes, about):
    with pytest.raises(st.InputError, match=about):
        stt.find(nn.Linear(3, 2), codes=codes)


def test_codes_by_the_name_of_a_layer_or_tensor():
    class Packed(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("bits", torch.tensor([5, 255], dtype=torch.uint8))
            self.register_buffer("seen", torch.zeros(1, dtype=torch.int64))

        def codes(self):
            return (((self.bits[:, None] >> torch.arange(8)) & 1) * 2 - 1).reshape(4, 4)

    model = nn.Sequential(Packed(), nn.Linear(4, 2))
    rounded = lambda: (model[1].weight * 100).round()  # noqa: E731
    for name in ("0", "0.bits"):
        packed, plain = stt.find(model, codes={"1": rounded, name: model[0].codes})[::-1]
        assert packed.name == "0.bits"
        assert packed.stored
        assert packed.latent is model[0].bits
        assert packed.shape == (4, 4)
        assert packed.codes().dtype == torch.int8
        assert torch.equal(packed.codes(), model[0].codes().to(torch.int8))
        assert plain.latent is model[1].weight
        assert not plain.stored
    with pytest.raises(st.InputError, match="no such layer"):
        stt.find(model, codes={"2": rounded})
    with pytest.raises(st.InputError, match="name the tensor"):
        stt.find(model, codes={"0": lambda: torch.ones(1000)})


def test_a_tied_tensor_or_layer_has_each_of_its_names():
    model, layer = nn.ModuleDict({"a": nn.Linear(4, 3), "b": nn.Linear(4, 3)}), nn.Linear(2, 3)
    model["b"].weight = model["a"].weight
    model["c"] = model["d"] = layer
    signs = lambda w: torch.where(w >= 0, 1, -1)  # noqa: E731
    for name, tensor in (("b.weight", model["a"].weight), ("d.weight", layer.weight), ("d", layer.weight)):
        (weight,) = stt.find(model, codes={name: lambda tensor=tensor: signs(tensor)})
        assert weight.latent is tensor
    (weight,) = stt.find(model, codes=lambda name, p: signs(p) if name == "b.weight" else None)
    assert (weight.name, weight.places) == ("a.weight", ("a.weight", "b.weight"))
    assert (weight.framework, weight.levels) == ("codes", 2)
    assert torch.equal(weight.values(), signs(weight.latent).float())


def test_a_computed_weight_in_a_layer_of_torchao_is_found():
    layer = frameworks.torchao()
    nn.utils.parametrize.register_parametrization(layer, "weight", nn.Tanh())
    (weight,) = stt.find(nn.Sequential(layer))
    assert weight.latent is layer.parametrizations.weight.original
    assert len(weight.codes().unique()) > 8
