"""The audit of activations: the share of cut gradients is that of one-hot Jacobians."""

import itertools

import pytest
import torch
from torch.utils.checkpoint import checkpoint

import sterling.torch as stt
from sterling.errors import InputError
from tests.unit.torch import frameworks as fw
from tests.unit.torch.test_audit import BOTH, Round, X

nn = torch.nn


def jacobian(quantise, x):
    """Return the share of values that do not follow their own input, by one-hot vectors."""
    x = x.detach().flatten().requires_grad_()
    values = quantise(x.view(-1, fw.WIDTH)).flatten()
    own = [torch.autograd.grad(values[k], x, retain_graph=True)[0][k] for k in range(len(x))]
    return float((torch.stack(own) == 0).float().mean())


def per_token(x):
    scale = x.abs().amax(-1, keepdim=True) / 7  # with a gradient
    return Round.apply(x / scale).clamp(-7, 7) * scale


def per_token_affine(x):
    least, largest = x.aminmax(dim=-1, keepdim=True)
    scale = (largest - least) / 15
    shift = Round.apply(least / scale)  # with a gradient, and no activation
    return (Round.apply(x / scale).clamp(shift, shift + 15)) * scale


ACTIVATIONS = {
    "clamp of rounded": (lambda x: Round.apply(x / 0.3).clamp(-4, 3) * 0.3, 8),
    "dorefa": (lambda x: Round.apply((3 * x).clamp(0, 1) * 15) / 15, 14),
    "static int8": (lambda x: Round.apply((x / 0.01).clamp(-128, 127)) * 0.01, 130),
    "hardtanh": (lambda x: Round.apply(nn.functional.hardtanh(x) * 7) / 7, 15),
    "relu6": (lambda x: Round.apply(nn.ReLU6()(4 * x)) / 4, 7),
    "per token": (per_token, 15),
    "affine per token": (per_token_affine, 16),
    "detach idiom": (lambda x: x + ((x / 0.2).round().clamp(-8, 7) * 0.2 - x).detach(), 16),
    "sign": (lambda x: stt.sign(x, "hard_tanh"), 2),
    "no gradient": (lambda x: (x / 0.3).round().clamp(-4, 3) * 0.3, 8),
    "fake quantize": (lambda x: torch.fake_quantize_per_tensor_affine(x, 0.1, 6, 0, 15), 16),
}


class Activation(nn.Module):
    def __init__(self, quantise):
        super().__init__()
        self.quantise, self.layer = quantise, nn.Linear(fw.WIDTH, 48)

    def forward(self, x):
        return self.layer(self.quantise(x))


def with_activations(quantise, *before):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(fw.WIDTH, fw.WIDTH), nn.BatchNorm1d(fw.WIDTH), *before, Activation(quantise)
    )


BATCH = torch.randn(40, fw.WIDTH, generator=torch.Generator().manual_seed(3))
PROBED = [*((name, 4) for name in ACTIVATIONS), ("clamp of rounded", 9), ("affine per token", 20)]


@pytest.mark.parametrize("name, rows", PROBED)
def test_the_share_of_cut_activations_is_that_of_a_one_hot_jacobian(name, rows):
    quantise, levels = ACTIVATIONS[name]
    model = with_activations(quantise)
    x, found, expected = BATCH[:rows], [], []
    for at_bound in (0, 1):
        with stt.ClampGradient(at_bound):
            found.extend(stt.audit(model, x).rows)
            expected.append(jacobian(quantise, model[:2](x)))
    for row, shares in zip(found, (expected, expected[::-1]), strict=True):
        assert (row.tensor, row.kind, row.levels) == ("2.layer", "activation", levels)
        assert row.weights == x.numel()
        assert (row.no_gradient, row.other_clamp) == pytest.approx(shares, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_quantiser_may_change_the_shape(dtype):
    torch.manual_seed(0)
    tokens = BATCH.reshape(2, 20, fw.WIDTH).to(dtype)
    inner = Activation(lambda x: per_token(x.view(-1, fw.WIDTH)).view(x.shape))
    (row,) = stt.audit(nn.Sequential(nn.Linear(fw.WIDTH, fw.WIDTH), inner).to(dtype), tokens).rows
    assert (row.weights, row.levels) == (40 * fw.WIDTH, 15)
    with stt.ClampGradient(1):
        assert stt.audit(nn.Sequential(inner.to(dtype)), tokens).rows[0].no_gradient == 0


def test_the_clamp_of_rounded_activations_is_a_defect():
    before = ("dorefa", "static int8", "hardtanh", "relu6")
    for name in ("clamp of rounded", "per token", *before):
        for rows, at_bound in itertools.product((4, 40), (0, 1)):
            with stt.ClampGradient(at_bound):
                (row,) = stt.audit(with_activations(ACTIVATIONS[name][0]), BATCH[:rows]).rows
            assert any("rounded" in one.sentence for one in row.findings) != (name in before)


@BOTH
@pytest.mark.parametrize("before", [[nn.ReLU()], [], [nn.Dropout(0.5)]])
def test_zeros_of_a_rectifier_are_no_defect(at_bound, before):
    least, most = (-99, 99) if before and isinstance(before[0], nn.Dropout) else (0, 15)
    with stt.ClampGradient(at_bound):
        model = with_activations(lambda x: Round.apply((x / 0.3).clamp(least, most)) * 0.3, *before)
        report = stt.audit(model, BATCH)
    assert report.grade is None, report.findings
    model = with_activations(lambda x: stt.heaviside(99 * x, "hard_tanh"))
    assert stt.audit(model, BATCH).grade == "defect"  # the window lies on both sides of zero


def test_activations_without_a_quantiser_are_left_out():
    model = nn.Sequential(nn.Linear(fw.WIDTH, 48), nn.Dropout(0.5), fw.Quantised(fw.detached, 48, 8))
    report = stt.audit(model, (X > 0).float())
    assert report.frame().select("tensor", "kind").rows() == [("2.weight", "weight")]


def test_an_input_needs_no_gradient():
    report = stt.audit(nn.Sequential(Activation(ACTIVATIONS["no gradient"][0])), X)
    assert (report.grade, "no trained parameter" in report.findings[0]) == ("note", True)
    report.rows[0].no_gradient, report.rows[0].tensor = 0.997, "<b>"
    assert "99.7\N{NO-BREAK SPACE}%" in str(report)
    assert "<b>" not in report._repr_html_()


def test_checkpoints_are_refused_in_one_sentence():
    model = with_activations(lambda x: checkpoint(per_token, x, use_reentrant=False))
    with pytest.raises(InputError, match="checkpoints"):
        stt.audit(model, BATCH)


@pytest.mark.parametrize("which", ["brevitas", "torchao"])
def test_activations_of_frameworks(which):
    torch.manual_seed(0)
    fw.needs(which)
    if which == "brevitas":
        import brevitas.nn as qnn

        act, pool = qnn.QuantReLU(bit_width=4, return_quant_tensor=True), nn.MaxPool2d(2)
        model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), act, pool, nn.Conv2d(8, 8, 3))
        example, expected = torch.randn(4, 3, 12, 12), ("3", 16)
    else:
        from torchao.quantization.qat import FakeQuantizedLinear, IntxFakeQuantizeConfig

        config = IntxFakeQuantizeConfig(torch.int8, "per_token", is_symmetric=False)
        layer = FakeQuantizedLinear(fw.WIDTH, 48, False, config, None)
        model, example, expected = nn.Sequential(nn.Linear(fw.WIDTH, fw.WIDTH), layer), BATCH, None
    (row,) = stt.audit(model, example).rows
    assert row.kind == "activation"
    assert expected is None or (row.tensor, row.levels) == expected
