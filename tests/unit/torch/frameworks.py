"""Models quantised by different frameworks, and by hand, for the tests of this room."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

WIDTH = 64


def latents(layer, seed=0):
    """Fill a layer's weight with Gaussian latents of standard deviation 0.1."""
    with torch.no_grad():
        layer.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(seed))
    return layer


def needs(package):
    return pytest.importorskip(package, reason=f"{package} is not installed (extra `qat`)")


def torchao(dtype="int4", symmetric=True, group=32):
    needs("torchao")
    from torchao.quantization.qat import FakeQuantizedLinear, IntxFakeQuantizeConfig

    config = IntxFakeQuantizeConfig(getattr(torch, dtype), group_size=group, is_symmetric=symmetric)
    return latents(FakeQuantizedLinear(WIDTH, 48, False, None, config))


def brevitas(which="ternary"):
    needs("brevitas")
    import brevitas.nn as qnn
    from brevitas.core.quant import BinaryQuant, ClampedBinaryQuant, TernaryQuant
    from brevitas.core.scaling import ConstScaling
    from brevitas.inject.enum import QuantType
    from brevitas.quant import Int8WeightPerTensorFloat as Quant

    if which == "int4":
        return latents(qnn.QuantLinear(WIDTH, 48, bias=False, weight_quant=Quant, weight_bit_width=4))
    scale = ConstScaling(0.1)
    quantiser = {
        "binary": lambda: BinaryQuant(scale),
        "clamped": lambda: ClampedBinaryQuant(scale),
        "ternary": lambda: TernaryQuant(scale, 0.5),
    }[which]()
    kind = QuantType.TERNARY if which == "ternary" else QuantType.BINARY
    quant = Quant.let(tensor_quant=quantiser, quant_type=kind, signed=True, narrow_range=True)
    return latents(qnn.QuantLinear(WIDTH, 48, bias=False, weight_quant=quant))


def bitnet():
    needs("transformers")
    from transformers.integrations.bitnet import AutoBitLinear

    return latents(AutoBitLinear(WIDTH, 48, bias=False, online_quant=True))


class Quantised(nn.Linear):
    """A layer written by hand, with any function from latents to weights."""

    def __init__(self, quantise, width=WIDTH, outputs=48):
        super().__init__(width, outputs, bias=False)
        self.quantise = quantise
        latents(self)

    def forward(self, x):
        return F.linear(x, self.quantise(self.weight), self.bias)


def detached(w):
    scale = w.abs().mean()
    return w + (scale * (w / scale).round().clamp(-1, 1) - w).detach()


class Product(nn.Module):
    """A layer that multiplies, with the weight turned."""

    def __init__(self, turned=lambda w: detached(w).t(), outputs=WIDTH):
        super().__init__()
        self.kernel, self.turned = nn.Parameter(latents(nn.Linear(WIDTH, outputs)).weight.detach()), turned

    def forward(self, x):
        return x @ self.turned(self.kernel)


class Lora(nn.Module):
    """A frozen base with trained factors, merged and then quantised."""

    def __init__(self):
        super().__init__()
        self.base = latents(nn.Linear(WIDTH, 48, bias=False))
        self.base.requires_grad_(False)
        generator = torch.Generator().manual_seed(5)
        self.a = nn.Parameter(torch.randn(4, WIDTH, generator=generator))
        self.b = nn.Parameter(0.01 * torch.randn(48, 4, generator=generator))

    def forward(self, x):
        return F.linear(x, detached(self.base.weight + self.b @ self.a))


X = torch.linspace(-1, 1, 4 * WIDTH).reshape(4, WIDTH)
