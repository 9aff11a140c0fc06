"""Decoded weights in a copy: through its quantiser, on a fixed range, as stored codes, or as constants."""

import copy
import io
import math

import pytest
import torch
from scipy.linalg import hadamard
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import sterling.torch as stt
from sterling.torch.installing import install
from sterling.torch.scoring import evaluate
from tests.unit.torch import frameworks as fw
from tests.unit.torch.stored import Stored
from tests.unit.torch.test_audit import affine

nn = torch.nn


TURN = torch.tensor(hadamard(64) / 8, dtype=torch.float32)


class ByHand(nn.Linear):
    """An affine quantiser by channel, in a layer, in a product, or rotated; the inputs are quantised too."""

    def __init__(self, use):
        super().__init__(64, 48)
        fw.latents(self)
        self.use = use

    def forward(self, x):
        weight, x = affine(self.weight), (8 * x).round() / 8
        if self.use == "product":
            return x @ weight.t() + self.bias
        return nn.functional.linear(x, weight @ TURN if self.use == "rotated" else weight, self.bias)


def trained(layer, steps=40):
    torch.manual_seed(0)
    net = nn.Sequential(layer, nn.ReLU(), nn.Linear(48, 4))
    optimizer, truth = torch.optim.Adam(net.parameters(), lr=5e-3), torch.randn(64, 4)
    monitor = stt.OrbitMonitor(net, optimizer, example=torch.randn(4, 64), horizons=(16, 64))
    for _ in range(steps):
        x = torch.randn(64, 64)
        y = (x @ truth + 3 * torch.randn(64, 4)).argmax(1)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    return net, monitor


def wanted(monitor, horizon=64):
    """Return the weight that the decoded codes give at the present scale."""
    (weight,) = monitor.weights
    low, high, _ = monitor._tracker.grid[0].tolist()
    return weight.dequantise((monitor.average(weight.name, horizon) + 0.5).floor().clamp(low, high))


def output(layer, values, x):
    values = values @ TURN if layer.use == "rotated" else values
    return nn.functional.linear((8 * x).round() / 8, values, layer.bias)


@pytest.mark.parametrize("use", ["layer", "product", "rotated"])
def test_constants_replace_the_weight_and_nothing_else(use):
    torch.manual_seed(0)
    net, x = nn.Sequential(ByHand(use), nn.Linear(48, 4)), torch.randn(5, 64)
    better = copy.deepcopy(net)
    (weight,), (mine,) = stt.find(net, example=x), stt.find(better, example=x)
    values = weight.dequantise(weight.codes().clamp(-3, 3))  # no latents give these: the largest is at an end
    assert install(better, mine, values, x) == "constants"
    assert torch.equal(better[0].weight, values)
    assert torch.equal(better[0](x), output(net[0], values, x))  # with bias, and the inputs on eighths
    assert list(better.state_dict()) == list(net.state_dict())
    file = io.BytesIO()
    torch.save(better, file)
    file.seek(0)
    for other in (copy.deepcopy(better), torch.load(file, weights_only=False)):
        assert torch.equal(other(x), better(x))
        other[0].weight.data.zero_()  # the copy holds its own weight
        assert torch.equal(other[0](x), output(net[0], 0 * values, x))
    (found,) = stt.find(better, example=x)
    assert torch.equal(found.values(), values)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("dtype", ["int2", "int4"])
def test_torchao_converts_the_decoded_codes(dtype, symmetric):
    net, monitor = trained(fw.torchao(dtype, symmetric))
    from torchao.quantization import IntxWeightOnlyConfig, quantize_
    from torchao.quantization.granularity import PerGroup
    from torchao.quantization.qat import QATConfig
    from torchao.quantization.quant_primitives import MappingType

    mapping = MappingType.SYMMETRIC if symmetric else MappingType.ASYMMETRIC
    base = IntxWeightOnlyConfig(getattr(torch, dtype), PerGroup(32), mapping)
    scale = monitor.weights[0].scale()
    for how in ("mean", "mode", "last"):
        better = stt.decode(net, monitor, how=how, horizon=16 if how == "mean" else "auto")
        seen = better[0].weight_fake_quantizer(better[0].weight).detach()
        if how == "mean":
            assert torch.allclose(seen, wanted(monitor, 16), rtol=2e-3)
        if better.changes.tensors[0]["kept_as"] == "latents":
            again = copy.deepcopy(net)
            again.load_state_dict(better.state_dict())
            assert torch.equal(again[0].weight_fake_quantizer(again[0].weight), seen)
        quantize_(better, QATConfig(base, step="convert"))
        assert int(((better[0].weight.dequantize() - seen).abs() > 0.3 * scale).sum()) == 0


def test_codes_named_by_the_user_are_stored():
    layer = Stored("int8")
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    monitor = stt.OrbitMonitor(layer, optimizer, codes={"held": lambda: layer.held}, horizons=(8,))
    for step in range(9):
        layer.held[0, 0] = 1 if step == 8 else -1
        layer.scale.grad = torch.zeros(())
        optimizer.step()
    better = stt.decode(layer, monitor, horizon=8)
    expected = layer.held.clone()
    expected[0, 0] = -1
    assert torch.equal(better.held, expected)
    assert better.changes.tensors[0]["kept_as"] == "codes"


class Labelled(nn.Sequential):
    """A model of transformers' form: named arguments, and an output with loss and logits."""

    def forward(self, inputs, labels=None):
        logits = super().forward(inputs)
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return type("Output", (), {"loss": loss, "logits": logits})()


def test_batches_are_dicts_tuples_or_tensors():
    torch.manual_seed(0)
    model = Labelled(nn.Linear(6, 7), nn.BatchNorm1d(7), nn.Linear(7, 2))
    stt.binarize(model, levels=3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    monitor = stt.OrbitMonitor(model, optimizer, horizons=(8,))
    named = [{"inputs": (x := torch.randn(9, 6)), "labels": (x[:, 0] > 0).long()} for _ in range(6)]
    for batch in named * 5:
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    pairs = [(one["inputs"], one["labels"]) for one in named]
    first = stt.decode(model, monitor, horizon=8, bn=named, validate=named)
    second = stt.decode(model, monitor, horizon=8, bn=[x for x, _ in pairs], validate=pairs)
    assert first.changes.after == pytest.approx(second.changes.after)
    assert set(first.changes.after) == {"loss", "accuracy"}
    assert torch.equal(first[1].running_mean, second[1].running_mean)
    plain = [{"input": x, "labels": y} for x, y in pairs]  # a model that does not take labels
    assert evaluate(nn.Sequential(*first).eval(), plain) == pytest.approx(first.changes.after)


def test_averages_of_all_parameters():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 7), nn.LayerNorm(7), nn.Linear(7, 2))
    stt.binarize(net, levels=3, skip=["2"])
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    monitor = stt.OrbitMonitor(net, optimizer, horizons=(8,))
    averages = {
        4: AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.75)),
        math.inf: AveragedModel(net),
    }
    rows = []
    for _ in range(20):
        x = torch.randn(9, 6)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), (x[:, 0] > 0).long()).backward()
        optimizer.step()
        rows.append([one.detach().clone() for one in net.parameters()])
        for average in averages.values():
            average.update_parameters(net)
    for horizon in (4, math.inf):
        better = stt.decode(net, monitor, how="latents", horizon=horizon, averages=averages)
        means = rows[0]
        for step, row in enumerate(rows[1:], 2):
            share = 1 / min(step, horizon) if horizon > 4 else 0.25
            means = [a + (b - a) * share for a, b in zip(means, row, strict=True)]
        expected = dict(zip((name for name, _ in net.named_parameters()), means, strict=True))
        latents = expected["0.parametrizations.weight.original"]
        scale = latents.abs().mean()
        assert torch.allclose(better[0].weight, scale * (latents / scale).round().clamp(-1, 1), atol=1e-6)
        assert torch.allclose(better[1].weight, expected["1.weight"], atol=1e-6)
        assert torch.allclose(better[2].bias, expected["2.bias"], atol=1e-6)
        assert better.changes.horizon == horizon
    chosen = stt.decode(net, monitor, how="latents", averages=averages, validate=lambda one: 1.0)
    assert list(chosen.changes.tried) == [0.0, 4.0, math.inf]


def test_a_model_of_transformers_is_saved_and_loaded_with_the_decoded_codes(tmp_path):
    fw.needs("torchao")
    fw.needs("transformers")
    from torchao.quantization import Int8DynamicActivationIntxWeightConfig, quantize_
    from torchao.quantization.granularity import PerGroup
    from torchao.quantization.qat import QATConfig
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=20, **sizes))
    base = Int8DynamicActivationIntxWeightConfig(weight_dtype=torch.int4, weight_granularity=PerGroup(32))
    quantize_(model.model, QATConfig(base, step="prepare"))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    monitor = stt.OrbitMonitor(model, optimizer, horizons=(16,))
    batches = [{"input_ids": (ids := torch.randint(20, (4, 12))), "labels": ids} for _ in range(5)]
    for batch in batches * 8:
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    better = stt.decode(model, monitor, horizon=16, validate=batches)
    assert better.changes.after["loss"] == pytest.approx(
        sum(float(better(**one).loss.detach()) for one in batches) / 5, rel=1e-5
    )
    codes = {one.name: one.codes() for one in stt.find(better)}
    better.save_pretrained(tmp_path)
    again = LlamaForCausalLM.from_pretrained(tmp_path)
    quantize_(again.model, QATConfig(base, step="prepare"))
    kept = {row["tensor"] for row in better.changes.tensors if row["kept_as"] == "latents"}
    assert len(kept) > len(codes) // 2
    for one in stt.find(again):
        if one.name in kept:
            assert torch.equal(one.codes(), codes[one.name])
    quantize_(better.model, QATConfig(base, step="convert"))
    for name, expected in codes.items():
        assert torch.equal(better.get_parameter(name).qdata, expected)
