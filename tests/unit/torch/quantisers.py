"""Quantisers that the instrument has to read, each with its codes computed by hand from its definition.

`ROWS` maps a name to a builder, which returns a small net and a function that returns the present codes.
The codes of affine quantisers are those of the value: q − zero point.
"""

import copy
import warnings

import torch
import torch.nn.functional as F
from torch import nn

from tests.unit.torch.frameworks import needs
from tests.unit.torch.stored import LookedUp, Stored

BATCH = 64

# Levels of number formats, from their definitions; the largest size is one.
SIZES = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]) / 6
FP4 = torch.cat([-SIZES.flip(0)[:-1], SIZES])
BELOW = torch.tensor([-1.0, -0.6962, -0.5251, -0.3949, -0.2844, -0.1848, -0.0911])
ABOVE = torch.tensor([0.0, 0.0796, 0.1609, 0.2461, 0.3379, 0.4407, 0.5626, 0.7230, 1.0])
NF4 = torch.cat([BELOW, ABOVE])


class Ste(torch.autograd.Function):
    """Any function forwards, the identity backwards."""

    @staticmethod
    def forward(ctx, x, function):
        return function(x)

    @staticmethod
    def backward(ctx, *gradients):
        return gradients[0], None


class Layer(nn.Linear):
    """A layer whose weight goes through `quantise`, which subclasses define."""

    def forward(self, x):
        return F.linear(x, self.quantise(self.weight), self.bias)


def net(layer, seed=0):
    torch.manual_seed(seed + 1)
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(48, 4))


def batch(step, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1000 + step)
    x = torch.randn(BATCH, 64, generator=generator)
    return x.to(dtype), x[:, :32].reshape(BATCH, 4, 8).sum(2).argmax(1)


def train(model, optimizer, steps=20, after=lambda: None):
    """Train for some steps and call a function after each."""
    dtype = next(model.parameters()).dtype
    for step in range(steps):
        x, y = batch(step, dtype)
        optimizer.zero_grad()
        F.cross_entropy(model(x).float(), y).backward()
        for layer in model.modules():
            if isinstance(layer, Stored):
                layer.turn()
        optimizer.step()
        after()


class Lsq(Layer):
    """Esser et al. 2020: a learned step for each tensor or channel."""

    def __init__(self, bits, per_channel):
        torch.manual_seed(0)
        super().__init__(64, 48)
        self.low, self.high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        size = self.weight.detach().abs()
        size = size.mean(1, keepdim=True) if per_channel else size.mean()
        self.step = nn.Parameter(2 * size / self.high**0.5)

    def quantise(self, w):
        v = (w / self.step).clamp(self.low, self.high)
        return (v + (v.round() - v).detach()) * self.step


def lsq(bits, per_channel):
    layer = Lsq(bits, per_channel)
    return net(layer), lambda: (layer.weight / layer.step).clamp(layer.low, layer.high).round()


class Depthwise(nn.Module):
    """LSQ with 4 bits for each channel of nine weights."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Conv2d(1, 64, 3), nn.Linear(64 * 16, 4)
        self.weight = nn.Parameter(torch.randn(64, 1, 3, 3) / 3)
        self.step = nn.Parameter(2 * self.weight.detach().abs().mean((1, 2, 3), keepdim=True) / 7**0.5)

    def forward(self, x):
        v = (self.weight / self.step).clamp(-8, 7)
        weight = (v + (v.round() - v).detach()) * self.step
        x = F.relu(self.first(x.reshape(-1, 1, 8, 8)))
        return self.last(F.relu(F.conv2d(x, weight, groups=64)).flatten(1))


def depthwise():
    model = Depthwise()
    return model, lambda: (model.weight / model.step).clamp(-8, 7).round()


class ByFormula(Layer):
    """Values = scale · table of the code + shift; a function of the latents gives (codes, scale[, shift])."""

    def __init__(self, formula, level=lambda codes: codes):
        torch.manual_seed(0)
        super().__init__(64, 48)
        self.formula, self.level = formula, level

    def values(self, w):
        codes, scale, *shift = self.formula(w)
        return (scale * self.level(codes) + sum(shift)).reshape(w.shape).to(w.dtype)

    def quantise(self, w):
        return Ste.apply(w, self.values)


def formula(function, **more):
    layer = ByFormula(function, **more)
    return net(layer), lambda: function(layer.weight)[0].reshape(48, 64)


def absmean(per_channel):
    def codes(w):
        scale = w.abs().mean(1, keepdim=True) if per_channel else w.abs().mean()
        return (w / scale.clamp_min(1e-9)).round().clamp(-1, 1), scale

    return formula(codes)


def standardised(w):
    mean, spread = w.mean(1, keepdim=True), w.std(1, keepdim=True)
    z = (w - mean) / spread
    return torch.where(z >= 0, 1, -1), z.abs().mean(1, keepdim=True)


def centred(w):
    return torch.where(w - w.mean() >= 0, 1, -1), w.abs().mean()


class Ttq(Layer):
    """Zhu et al. 2017: learned levels +p and −n."""

    def __init__(self, start):
        torch.manual_seed(0)
        super().__init__(64, 48)
        w = self.weight.detach()
        start = start or (w[w > 0.05 * w.max()].mean(), -w[w < -0.05 * w.abs().max()].mean())
        self.p, self.n = (nn.Parameter(torch.as_tensor(one)) for one in start)

    def masks(self, w):
        edge = 0.05 * w.abs().max()
        return (w > edge).to(w.dtype), (w < -edge).to(w.dtype)

    def quantise(self, w):
        up, down = (one.detach() for one in self.masks(w))
        return self.p * up - self.n * down + (w - w.detach())


def ttq(start):
    layer = Ttq(start)

    def codes():
        up, down = layer.masks(layer.weight)
        return up - down

    return net(layer), codes


def affine(w):
    low, high = w.amin(1, keepdim=True), w.amax(1, keepdim=True)
    scale = (high - low) / 15
    zero = (-low / scale).round()
    return (w / scale + zero).round().clamp(0, 15) - zero, scale


def from_minimum(w):
    """Codes in groups of 32 that count from the least value, which is no multiple of the scale."""
    groups = w.reshape(-1, 32)
    low = groups.amin(1, keepdim=True)
    scale = (groups.amax(1, keepdim=True) - low) / 15
    return ((groups - low) / scale).round(), scale, low


class Sum(Layer):
    """Levels that are sums of learned steps, which start at 1 and 1."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(64, 48)
        self.up, self.down = nn.Parameter(torch.ones(())), nn.Parameter(torch.ones(()))

    def quantise(self, w):
        inner = torch.where(w < -0.03, -self.down, torch.zeros(()))
        return torch.where(w > 0.03, self.up, inner) + (w - w.detach())


def chosen():
    layer = Sum()
    return net(layer), lambda: (layer.weight > 0.03).int() - (layer.weight < -0.03).int()


def in_place(w):
    """Codes of channels along the inputs, whose memory the values take over."""
    scale = w.abs().amax(0, keepdim=True) / 7
    return w.div(scale).round_().clamp_(-8, 7), scale


class InPlace(ByFormula):
    def values(self, w):
        codes, scale = in_place(w)
        return codes.mul_(scale)


def inputs():
    layer = InPlace(in_place)
    return net(layer), lambda: in_place(layer.weight.detach())[0]


def looked_up():
    layer = LookedUp()
    return net(layer), lambda: layer.known


def table(levels):
    """Return a quantiser in blocks of 32 that takes the nearest level."""

    def codes(w):
        blocks = w.reshape(-1, 32)
        scale = blocks.abs().amax(1, keepdim=True)
        return ((blocks / scale)[..., None] - levels.to(w.dtype)).abs().argmin(2), scale

    return formula(codes, level=lambda index: levels[index])


def powers(top=None):
    """Return a quantiser on 0, ±1/8, ±1/4, ±1/2 and ±1; the code has the sign and the rank of the size."""

    def codes(w):
        scale = w.abs().max() if top is None else top
        rank = (torch.log2((w / scale).abs().clamp_min(2**-3.5)).round() + 4).clamp(0, 4)
        return w.sign() * torch.where((w / scale).abs() < 2**-4, 0, rank), scale

    return formula(codes, level=lambda code: code.sign() * 2.0 ** (code.abs() - 4))


def torchao(dtype, symmetric=True, group=None):
    needs("torchao")
    from torchao.quantization.qat import FakeQuantizedLinear, IntxFakeQuantizeConfig

    options = {"granularity": "per_channel"} if group is None else {"group_size": group}
    config = IntxFakeQuantizeConfig(getattr(torch, dtype), is_symmetric=symmetric, **options)
    torch.manual_seed(0)
    layer = FakeQuantizedLinear(64, 48, True, None, config)
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    low = 0 if dtype.startswith("u") else -(2 ** (bits - 1))
    high = low + 2**bits - 1

    def codes():
        w = layer.weight.detach().reshape(-1, group or 64)
        if symmetric:
            # The reciprocal matters: the largest of a group is half-way between two codes.
            scale = (w.abs().amax(1, keepdim=True) / ((high - low) / 2)).float()
            return (w * (1 / scale)).round().clamp(low, high).reshape(48, 64)
        # torchao computes zero points as floats and casts them to integers, which makes them zero.
        scale = (w.amax(1, keepdim=True) - w.amin(1, keepdim=True)) / (high - low)
        return (w * (1 / scale)).round().clamp(low, high).reshape(48, 64)

    return net(layer), codes


def fbgemm():
    torch.manual_seed(0)
    qconfig = torch.ao.quantization.get_default_qat_qconfig("fbgemm")
    layer = torch.ao.nn.qat.Linear(64, 48, qconfig=qconfig)
    model = net(layer)
    model(batch(0)[0])  # the observers take their shapes from the first batch

    def codes():
        """Return the codes of the next pass, which first moves the observed range towards the weights."""
        fake = layer.weight_fake_quant
        seen = fake.activation_post_process
        w, rate = layer.weight.detach(), seen.averaging_constant
        low = seen.min_val + rate * (w.amin(1) - seen.min_val)
        high = seen.max_val + rate * (w.amax(1) - seen.max_val)
        scale = torch.maximum(-low / 128, high / 127)[:, None]
        return (w * (1 / scale)).round().clamp(-128, 127)

    return model, codes


def brevitas(which, bits=None, **more):
    needs("brevitas")
    import brevitas.nn as qnn
    from brevitas import quant

    torch.manual_seed(0)
    if bits:
        more["weight_bit_width"] = bits
    layer = qnn.QuantLinear(64, 48, True, weight_quant=getattr(quant, which), **more)
    proxy = layer.weight_quant

    def codes():
        with torch.no_grad():
            w, read = layer.weight.detach(), layer.quant_weight()
        if which == "SignedBinaryWeightPerTensorConst":
            return torch.where(w >= 0, 1, -1)
        if which == "SignedTernaryWeightPerTensorConst":
            return (w / 0.1).round().clamp(-1, 1)
        scale, zero = read.scale, read.zero_point
        if which == "Int4WeightPerTensorFloatDecoupled":
            with torch.no_grad():
                scale = proxy.tensor_quant(w)[-2]  # scale, zero, bits, pre-scale, pre-zero
        width = int(read.bit_width)
        narrow, signed = proxy.is_narrow_range, proxy.is_signed
        low = -(2 ** (width - 1)) + narrow if signed else 0
        high = 2 ** (width - 1) - 1 if signed else 2**width - 1
        return (w / scale + zero).round().clamp(low, high) - zero

    return net(layer), codes


def modelopt(name):
    needs("modelopt")
    import modelopt.torch.quantization as mtq

    torch.manual_seed(0)
    model = net(nn.Linear(64, 48))
    config = copy.deepcopy(getattr(mtq, name))
    config["quant_cfg"].append({"quantizer_name": "2.*", "enable": False})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = mtq.quantize(model, config, lambda one: one(batch(0)[0]))
    layer = model[0]

    def codes():
        first = layer.weight_quantizer
        first = first[0] if name.startswith("W4A8") else first
        amax = first.amax.reshape(48, 1)
        high = 127 if name.startswith("INT8") else 7
        return (layer.weight.detach() * (high / amax)).round().clamp(-high - 1, high)

    return model, codes


class Merged(Layer):
    """A frozen base with trained factors, merged and then rounded to 4 bits for each channel."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(64, 48)
        self.weight.requires_grad_(False)
        self.a, self.b = nn.Parameter(torch.randn(4, 64) / 8), nn.Parameter(torch.zeros(48, 4))

    def codes(self, w):
        scale = w.abs().amax(1, keepdim=True) / 7
        return (w / scale).round().clamp(-7, 7), scale

    def values(self, w):
        codes, scale = self.codes(w)
        return codes * scale

    def quantise(self, w):
        return Ste.apply(w + self.b @ self.a, self.values)


def merged():
    layer = Merged()
    return net(layer), lambda: layer.codes(layer.weight + layer.b @ layer.a)[0]


def adapted():
    """Return a frozen, fake-quantised base with adaptors beside it (peft and torchao)."""
    needs("peft")
    import peft

    model, codes = torchao("int4", group=32)
    config = peft.LoraConfig(r=4, target_modules=["0"], lora_alpha=8)
    return peft.get_peft_model(model, config), codes


def half(builder):
    """Return a builder of the same net in bfloat16."""

    def build():
        model, codes = builder()
        return model.bfloat16(), codes

    return build


def stored(kind):
    layer = Stored(kind)
    return net(layer), lambda: layer.known


ROWS = {
    "LSQ, 2 bits per channel": lambda: lsq(2, True),
    "LSQ, 3 bits per tensor": lambda: lsq(3, False),
    "LSQ, 4 bits per channel": lambda: lsq(4, True),
    "LSQ, 8 bits per tensor": lambda: lsq(8, False),
    "absmean ternary per tensor": lambda: absmean(False),
    "absmean ternary per channel": lambda: absmean(True),
    "weight-standardised binary": lambda: formula(standardised),
    "centred binary": lambda: formula(centred),
    "TTQ from .3 and .2": lambda: ttq((0.3, 0.2)),
    "TTQ from .3 and .3": lambda: ttq((0.3, 0.3)),
    "TTQ from class means": lambda: ttq(None),
    "affine, 4 bits per channel": lambda: formula(affine),
    "NF4": lambda: table(NF4),
    "FP4": lambda: table(FP4),
    "powers of two": powers,
    "torchao int2": lambda: torchao("int2", group=32),
    "torchao int3": lambda: torchao("int3", group=32),
    "torchao int4": lambda: torchao("int4", group=32),
    "torchao int4 affine": lambda: torchao("int4", False, group=32),
    "torchao uint4": lambda: torchao("uint4", False, group=32),
    "torchao int8 per channel": lambda: torchao("int8"),
    "fbgemm": fbgemm,
    "Brevitas int8": lambda: brevitas("Int8WeightPerTensorFloat"),
    "Brevitas int4": lambda: brevitas("Int8WeightPerTensorFloat", 4),
    "Brevitas int4 per channel": lambda: brevitas("Int8WeightPerChannelFloat", 4),
    "Brevitas int3 per channel": lambda: brevitas("Int8WeightPerChannelFloat", 3),
    "Brevitas int2 per channel": lambda: brevitas("Int8WeightPerChannelFloat", 2),
    "Brevitas binary": lambda: brevitas("SignedBinaryWeightPerTensorConst"),
    "Brevitas ternary": lambda: brevitas("SignedTernaryWeightPerTensorConst"),
    "Brevitas int4 decoupled": lambda: brevitas("Int4WeightPerTensorFloatDecoupled"),
    "Brevitas uint4 shifted": lambda: brevitas("ShiftedUint8WeightPerChannelFloat", 4),
    "ModelOpt INT8": lambda: modelopt("INT8_DEFAULT_CFG"),
    "ModelOpt INT4": lambda: modelopt("INT4_BLOCKWISE_WEIGHT_ONLY_CFG"),
    "ModelOpt W4A8": lambda: modelopt("W4A8_AWQ_BETA_CFG"),
    "LoRA, merged": merged,
    "LoRA on a frozen base": adapted,
    "LSQ depthwise": depthwise,
}
STORED = {
    "int8 codes": lambda: stored("int8"),
    "packed trits": lambda: stored("trits"),
    "sign bits": lambda: stored("bits"),
}
HALF = (
    "LSQ, 2 bits per channel",
    "LSQ, 8 bits per tensor",
    "torchao int4",
    "absmean ternary per tensor",
    "weight-standardised binary",
    "TTQ from .3 and .2",
    "affine, 4 bits per channel",
    "NF4",
    "powers of two",
    "Brevitas int4",
    "LSQ depthwise",
)


class Rounded(nn.Module):
    def forward(self, w):
        return w + (0.05 * (w / 0.05).round().clamp(-2, 1) - w).detach()


def normed(norm):
    """Return an LSQ-like quantiser of a weight that a parametrisation of PyTorch makes from its latents."""
    torch.manual_seed(0)
    layer = nn.Linear(64, 48, bias=False)
    getattr(nn.utils.parametrizations, norm)(layer)
    nn.utils.parametrize.register_parametrization(layer, "weight", Rounded())
    # Spectral norm takes a step in each pass, so a copy is read.
    return net(layer), lambda: (copy.deepcopy(layer).weight.detach() / 0.05).round()


def changed(net, change):
    change(net[0][0].weight)
    return net


OTHERS = {
    "zeros at the start": lambda: changed(absmean(False), nn.init.zeros_),
    "levels not in use": lambda: changed(powers(0.25), lambda w: w.data.clamp_(-0.04, 0.04)),
    "orthogonal": lambda: normed("orthogonal"),
    "spectral norm": lambda: normed("spectral_norm"),
    "LSQ, frozen latents": lambda: changed(lsq(4, True), lambda w: w.requires_grad_(False)),
    "affine from the minimum": lambda: formula(from_minimum),
    "learned levels from 1 and 1": chosen,
    "per input, in place": inputs,
    "packed trits from a table": looked_up,
}
ROWS |= STORED | {f"{name}, bfloat16": half(ROWS[name]) for name in HALF}
