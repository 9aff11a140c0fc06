"""`verify`: no false alarm on faithful artefacts, and each planted fault is found where it is, with its cause."""

from __future__ import annotations

import copy
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import sterling.torch as stt
from sterling.errors import InputError
from tests.unit.torch import frameworks as fw
from tests.unit.torch import writers

SIZE = 256


def net(levels=3, per="tensor", size=SIZE, dtype=torch.float32, **more):
    """Return two quantised square layers, so that a transposed weight has a fitting shape."""
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, size)).to(dtype)
    return stt.binarize(model, levels=levels, per=per, **more)


def tensors_of(model, example=None, rename=None, **more):
    found = {one.name: writers.of(one) for one in stt.find(model, example, **more)}
    return {(rename or {}).get(name, name): one for name, one in found.items()}


class Lsq(nn.Linear):
    """Learned step sizes, one for each channel."""

    def __init__(self, bits=4, size=64):
        super().__init__(size, size, bias=False)
        fw.latents(self)
        self.low, self.high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        self.step = nn.Parameter(2 * self.weight.detach().abs().mean(1, keepdim=True) / self.high**0.5)

    def forward(self, x):
        codes = (self.weight / self.step).clamp(self.low, self.high)
        codes = codes + (codes.round() - codes).detach()
        return F.linear(x, codes * self.step)


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.embed = nn.Embedding(48, 32)
        self.head = nn.Linear(32, 48, bias=False)
        stt.binarize(self, levels=3, skip=["head"])
        self.head.weight = self.embed.parametrizations.weight.original


def groups(dtype="int4", **more):
    return fw.torchao(dtype, **more), None


FAITHFUL = {
    "binary, int8 with scales": (lambda: (net(2), None), ".safetensors", writers.safetensors_codes),
    "ternary, bfloat16 values": (
        lambda: (net(), None),
        ".safetensors",
        partial(writers.safetensors_values, dtype=torch.bfloat16),
    ),
    "bfloat16 model, bfloat16 values": (
        lambda: (net(15, dtype=torch.bfloat16), None),
        ".safetensors",
        partial(writers.safetensors_values, dtype=torch.bfloat16),
    ),
    "16 levels, odd codes": (lambda: (net(16), None), ".safetensors", writers.safetensors_codes),
    "per channel, bfloat16 scales": (
        lambda: (net(7, "channel"), None),
        ".safetensors",
        partial(writers.safetensors_codes, dtype=torch.bfloat16),
    ),
    "LSQ, values": (lambda: (Lsq(), fw.X), ".safetensors", writers.safetensors_values),
    "LSQ, codes": (lambda: (Lsq(2), fw.X), ".safetensors", writers.safetensors_codes),
    "LoRA": (lambda: (fw.Lora(), fw.X), ".safetensors", writers.safetensors_values),
    "ternary, transformers": (lambda: (fw.bitnet(), None), ".safetensors", writers.safetensors_codes),
    "int4 in groups": (groups, ".safetensors", writers.safetensors_codes),
    "int4 in groups, ONNX": (groups, ".onnx", partial(writers.onnx, how=32, kind="INT4")),
    "int2 in groups, ONNX product": (
        partial(groups, "int2"),
        ".onnx",
        partial(writers.onnx, how=32, kind="INT4", layer="MatMul"),
    ),
    "int8 in groups, GGUF": (partial(groups, "int8"), ".gguf", partial(writers.gguf, kind="Q8_0")),
    "LSQ, ONNX by channel": (lambda: (Lsq(), fw.X), ".onnx", writers.onnx),
    "Brevitas, ONNX by tensor": (
        lambda: (fw.brevitas("int4"), None),
        ".onnx",
        partial(writers.onnx, how="tensor"),
    ),
    "ternary, ONNX product in float16": (
        lambda: (net(), None),
        ".onnx",
        partial(writers.onnx, how="tensor", layer="MatMul", dtype=np.float16),
    ),
    "ternary, TQ1_0": (lambda: (net(), None), ".gguf", partial(writers.gguf, kind="TQ1_0")),
    "ternary, TQ2_0": (lambda: (net(), None), ".gguf", writers.gguf),
    "binary by channel, TQ2_0": (lambda: (net(2, "channel"), None), ".gguf", writers.gguf),
    "small scales, TQ1_0": (
        lambda: (scaled(net(), 1e-4), None),
        ".gguf",
        partial(writers.gguf, kind="TQ1_0"),
    ),
    "convolution by channel, ONNX": (lambda: (convolution(), None), ".onnx", writers.onnx),
    "product by hand, ONNX": (
        lambda: (fw.Product(), fw.X),
        ".onnx",
        partial(writers.onnx, how="tensor", layer="MatMul"),
    ),
}


def scaled(model, size):
    with torch.no_grad():
        for one in stt.find(model):
            one.latent.mul_(size)
    return model


def convolution():
    torch.manual_seed(5)
    return stt.binarize(nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1)), levels=7, per="channel")


@pytest.mark.parametrize("case", FAITHFUL)
def test_faithful_artefacts_raise_no_alarm(case, tmp_path):
    make, suffix, write = FAITHFUL[case]
    model, example = make()
    path = tmp_path / f"model{suffix}"
    write(path, tensors_of(model, example))
    found = stt.verify(model, path, example)
    assert found.ok, found.findings
    assert len(found.rows) == len(stt.find(model, example))


FORMATS = {
    "safetensors codes": (".safetensors", writers.safetensors_codes, 3),
    "safetensors values": (".safetensors", writers.safetensors_values, 3),
    "safetensors values of 15 levels": (".safetensors", writers.safetensors_values, 15),
    "ONNX tensor": (".onnx", partial(writers.onnx, how="tensor"), 3),
    "ONNX channel": (".onnx", writers.onnx, 15),
    "ONNX int4 blocks": (".onnx", partial(writers.onnx, how=32, kind="INT4"), 15),
    "ONNX product": (".onnx", partial(writers.onnx, how="tensor", layer="MatMul"), 2),
    "TQ1_0": (".gguf", partial(writers.gguf, kind="TQ1_0"), 3),
    "TQ2_0": (".gguf", writers.gguf, 3),
    "Q8_0": (".gguf", partial(writers.gguf, kind="Q8_0"), 15),
}
CAUSES = {"code": "", "scale": "multiplied by 1.25", "transposed": "transposed", "float": "float latents"}


@pytest.mark.parametrize("fault", CAUSES)
@pytest.mark.parametrize("case", FORMATS)
def test_a_planted_fault_is_found_with_its_cause(case, fault, tmp_path):
    suffix, write, levels = FORMATS[case]
    model = net(levels)
    right = tensors_of(model)
    wrong, counts = writers.planted(right, "2.weight", fault, stt.find(model)[1].latent)
    path = tmp_path / f"model{suffix}"
    write(path, wrong)
    found = stt.verify(model, path)
    first, second = found.rows
    assert not found.ok and not first.cause
    assert CAUSES[fault] in second.cause
    differ = (wrong["2.weight"].values - right["2.weight"].values).abs() > 1e-3 * right["2.weight"].scale
    assert second.first == tuple(differ.nonzero()[0].tolist())
    if counts is not None:
        assert (second.codes, second.scales) == counts
    assert len(found.findings) == 1 and found.findings[0].startswith("2.weight: ")
