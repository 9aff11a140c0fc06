"""Quantised weights of each framework are found, by its adaptor and by listening alone, and read the same."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from scipy.linalg import hadamard

import sterling as st
import sterling.torch as stt
from sterling.errors import SterlingWarning
from sterling.torch.taps import listen
from tests.unit.torch import frameworks as fw

nn = torch.nn
X = fw.X


def seen(model):
    """Return the weight of a layer without a bias as its answer to unit vectors."""
    with torch.compiler.set_stance("force_eager"), torch.no_grad():
        return model(torch.eye(fw.WIDTH)).as_subclass(torch.Tensor).t()


CASES = {
    "binarize": (lambda: stt.binarize(fw.latents(nn.Linear(64, 48, bias=False))), 2, "binarize"),
    "torchao asymmetric": (lambda: fw.torchao("int4", symmetric=False), 16, "torchao"),
    "brevitas clamped": (lambda: fw.brevitas("clamped"), 2, "brevitas"),
    "brevitas ternary": (lambda: fw.brevitas("ternary"), 3, "brevitas"),
    "bitnet": (fw.bitnet, 3, "transformers"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_framework(case):
    make, levels, framework = CASES[case]
    model = nn.Sequential(make())
    truth = seen(model)
    (weight,) = stt.find(model)
    assert (weight.name, weight.framework, weight.levels) == ("0.weight", framework, levels)
    assert torch.equal(weight.values(), truth)
    assert torch.allclose(weight.scale() * weight.codes(), truth, rtol=1e-5)


def test_layers_of_frameworks_need_no_example():
    fw.needs("brevitas")
    import brevitas.nn as qnn

    layers = [
        qnn.QuantConv1d(3, 4, 5, dilation=2, padding=1),
        qnn.QuantConvTranspose2d(3, 4, 3),
        qnn.QuantEmbedding(9, 8),  # too few weights to be on all levels
    ]
    found = stt.find(nn.Sequential(*layers))
    assert [(one.name, one.levels) for one in found] == [(f"{k}.weight", 255) for k in range(3)]


def test_a_weight_without_any_gradient_is_found_and_a_mask_of_its_shape_is_not_taken_for_it():
    class Cut(nn.Linear):
        def forward(self, x):
            return F.linear(x, self.weight.detach().sign(), self.bias)

    class Masked(nn.Linear):
        def __init__(self, *sizes):
            super().__init__(*sizes)
            self.register_buffer("mask", (torch.rand(self.weight.shape) > 0.5).float())

        def forward(self, x):
            return F.linear(x, self.mask) + F.linear(x, self.weight, self.bias)

    (weight,) = stt.find(nn.Sequential(Cut(64, 48), nn.Linear(48, 2)), example=X)
    assert (weight.name, weight.levels) == ("0.weight", 2)
    (weight,) = stt.find(nn.Sequential(Masked(64, 48)), example=X)
    assert weight.name == "0.mask"
    assert "no gradient reaches its latents" in str(stt.audit(nn.Sequential(Cut(64, 48)), example=X))


@pytest.mark.parametrize("outputs", [fw.WIDTH, 48])
@pytest.mark.parametrize(
    "turned", [lambda w: fw.detached(w).t(), lambda w: fw.detached(w.t()), lambda w: w.detach().t().sign()]
)
def test_a_product_with_a_turned_weight(turned, outputs):
    model = fw.Product(turned, outputs)
    (weight,) = stt.find(model, example=X)
    assert weight.name == "kernel"
    assert torch.equal(weight.values(), turned(model.kernel).detach().t())


def test_codes_of_eight_bits_have_as_many_levels_as_they_span():
    model = fw.Quantised(lambda w: (w / (s := w.abs().amax() / 127)).round() * s)
    assert 128 < stt.find(model, fw.X)[0].levels < 256


def test_layers_of_all_sorts():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.conv = nn.Embedding(9, 8), nn.Conv1d(8, 8, 3)
            self.attend, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 9)
            self.head.weight = self.embed.weight

        def forward(self, tokens):
            x = F.embedding(tokens, fw.detached(self.embed.weight))
            x = F.conv1d(x.transpose(1, 2), fw.detached(self.conv.weight), padding=1).transpose(1, 2)
            return F.linear(self.attend(x, x, x)[0], fw.detached(self.embed.weight))

    torch.manual_seed(0)
    model = Net()
    stt.binarize(model, skip=["embed", "conv", "head"], levels=2)
    found = stt.find(model, example=torch.arange(5)[None])
    assert [one.name for one in found] == ["embed.weight", "conv.weight", "attend.out_proj.weight"]
    assert found[0].places == ("embed.weight", "head.weight")


@pytest.mark.parametrize(
    "use",
    [
        lambda x, w: torch.tensordot(x, w, dims=([1], [1])),
        lambda x, w: torch.rnn_tanh_cell(x, torch.zeros(4, 48), w, torch.zeros(48, 48)),
        lambda x, w: torch.gru(x[None], torch.zeros(1, 4, 16), [w, w[:, :16]], False, 1, 0.0, *3 * [False]),
        lambda x, w: torch.stack([F.linear(x, expert) for expert in w.chunk(3)]),
        lambda x, w: torch.linalg.multi_dot((x, w.t(), torch.ones(48, 2))),
    ],
)
@pytest.mark.parametrize("given", [False, True])
def test_other_uses_of_a_weight(use, given):
    layer = fw.Quantised(fw.detached)
    layer.inner = nn.Identity()
    layer.inner.forward = use
    layer.forward = lambda x: (layer.inner if given else use)(x, fw.detached(layer.weight))
    (weight,) = stt.find(layer, example=X)
    layer.weight.data.neg_()
    assert torch.equal(weight.values(), fw.detached(layer.weight).detach())


def test_lora_on_a_frozen_base_is_told():
    model = fw.Lora()
    (weight,) = stt.find(model, example=X)
    assert weight.latent is model.base.weight
    assert set(weight.trained) == {model.a, model.b}
    assert "LoRA" in repr(weight)
    model.b.data.mul_(20)
    assert torch.equal(weight.values(), seen(model))  # the merged weight is what is read


def test_compiled_and_wrapped_models():
    model = nn.Sequential(fw.Quantised(fw.detached))
    for wrapped in (torch.compile(model, backend="aot_eager"), nn.DataParallel(model)):
        (weight,) = stt.find(wrapped, example=X)
        assert weight.name == "0.weight"


def test_arguments_by_position_and_name():
    class Two(fw.Quantised):
        def forward(self, x, *, gain):
            return gain * super().forward(x)

    assert len(stt.find(Two(fw.detached), example={"x": X, "gain": 2.0})) == 1
    assert len(stt.find(nn.Bilinear(3, 3, 16), example=(X[:, :3], X[:, :3]), codes=signs)) == 1


def signs(name, parameter):
    return torch.where(parameter >= 0, 1, -1) if "weight" in name else None


def test_the_model_is_left_as_it_was():
    """Batch norm, dropout and gradients as well, also where the forward pass clips latents in place."""
    layers = [fw.Quantised(fw.detached), nn.BatchNorm1d(48), nn.Dropout(0.5), nn.Linear(48, 2)]
    model = nn.Sequential(*layers).train()
    clips = fw.Quantised(lambda w: fw.detached(w.data.clamp_(-0.05, 0.05) + 0 * w))
    for one, x in ((model, X), (clips, X)):
        state, random = copy.deepcopy(one.state_dict()), torch.get_rng_state()
        listen(one, x)
        assert all(torch.equal(a, b) for a, b in zip(state.values(), one.state_dict().values(), strict=True))
        assert torch.equal(torch.get_rng_state(), random)
        assert all(p.grad is None and p.requires_grad for p in one.parameters())
        assert not any(module._forward_pre_hooks or module._forward_hooks for module in one.modules())


def test_layers_that_the_example_does_not_reach_are_named():
    net = nn.ModuleList([fw.Quantised(fw.detached), fw.Quantised(fw.detached)])
    net.forward = lambda x: net[0](x)
    with pytest.warns(SterlingWarning, match="does not reach 1"):
        assert [one.name for one in stt.find(net, example=X)] == ["0.weight"]


def test_what_is_not_quantised_is_not_found():
    def turned(persistent):
        layer, matrix = nn.Linear(64, 64, bias=False), torch.tensor(hadamard(64) / 8, dtype=torch.float32)
        del layer.weight
        layer.register_buffer("weight", matrix[: None if persistent else 32], persistent)
        return layer

    plain = nn.utils.parametrizations.weight_norm(nn.Linear(32, 16))
    model = nn.Sequential(turned(True), turned(False), plain, nn.Linear(16, 2), nn.Linear(2, 8))
    nn.init.zeros_(model[4].weight)  # as the second factor of LoRA
    with pytest.raises(st.InputError, match="no quantised weight"):
        stt.find(model, example=X)


def parq(bits=2, per_channel=False, quantiser=None, **more):
    fw.needs("torchao")
    from torchao.prototype.parq.optim import ProxHardQuant, QuantOptimizer
    from torchao.prototype.parq.quant import UnifQuantizer

    torch.manual_seed(0)
    model = nn.Sequential(fw.latents(nn.Linear(64, 48)), nn.ReLU(), nn.Linear(48, 2))
    groups = [
        {"params": [model[0].weight], "quant_bits": bits},
        {"params": [model[0].bias, *model[2].parameters()]},
    ]
    base = torch.optim.SGD(groups, lr=0.1, momentum=0.9)
    quantiser = quantiser or UnifQuantizer()
    optimizer = QuantOptimizer(base, quantiser, ProxHardQuant(), quant_per_channel=per_channel, **more)
    return model, optimizer


@pytest.mark.parametrize("per_channel", [False, True])
def test_parq(per_channel):
    model, optimizer = parq(per_channel=per_channel, quant_period=2)
    (weight,) = stt.find(model, optimizer=optimizer)
    assert (weight.name, weight.levels, weight.framework) == ("0.weight", 4, "parq")
    assert weight.latent is model[0].weight
    for _ in range(5):
        optimizer.zero_grad()
        model(X).pow(2).mean().backward()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimizer.step()
        truth = model[0].weight.detach()
        assert torch.equal(weight.values(), truth)
        assert weight.codes().unique().tolist() == [-3, -1, 1, 3]
        assert torch.allclose(weight.scale() * weight.codes(), truth, rtol=1e-5)
    (alone,) = stt.find(model, example=X)
    assert alone.framework == "discovery"
    assert torch.equal(alone.codes(), weight.codes())


def test_parq_of_another_model():
    with pytest.raises(st.InputError, match="optimizer of this model"):
        stt.find(parq()[0], optimizer=parq()[1])
