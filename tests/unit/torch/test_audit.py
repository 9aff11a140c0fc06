"""The audit: each named quantiser has its right answer, under both gradients of clamp at its bounds."""

import copy
import math
from functools import partial

import pytest
import torch

import sterling as st
import sterling.torch as stt
from tests.unit.torch import frameworks as fw
from tests.unit.torch import quantisers
from tests.unit.torch.test_discovery import parq

nn = torch.nn
X = fw.X
BOTH = pytest.mark.parametrize("at_bound", [0, 1])


def row_of(model, example=X):
    return stt.audit(model, example).rows[0]


quick = partial(row_of, example=None)  # for a single function, on Gaussian latents


class Round(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.round()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def home_made(w):
    scale = w.abs().mean(1, keepdim=True)
    return scale * Round.apply(w / scale).clamp(-1, 1)


@BOTH
def test_the_stand_in_for_clamp_is_the_clamp(at_bound):
    x = torch.tensor([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0], requires_grad=True)
    with stt.ClampGradient(at_bound):
        y = x.clamp(-1, 1)
        assert torch.equal(torch.clamp(x.detach(), min=0.2), torch.where(x > 0.2, x, 0.2).detach())
        assert torch.equal(torch.clip(torch.arange(3), 1, 2), torch.tensor([1, 1, 2]))
    assert torch.equal(y, x.detach().clamp(-1, 1))
    y.sum().backward()
    assert x.grad.tolist() == [0, at_bound, 1, 1, at_bound, 0]


@BOTH
def test_torchao_int1_is_a_layer_of_zeros(at_bound):
    with stt.ClampGradient(at_bound):
        report = stt.audit(nn.Sequential(fw.torchao("int1")))
    assert report.rows[0].levels == 1
    assert "a layer of zeros" in report.headline()
    assert "int2" in report.findings[0]


@BOTH
@pytest.mark.parametrize("dtype, levels", [("int2", 4), ("int4", 16)])
def test_torchao(dtype, levels, at_bound):
    """By hand: under the new gradient all weights of both outermost levels, under the old those beyond."""
    model = nn.Sequential(fw.torchao(dtype))
    (weight,) = stt.find(model)
    codes, groups, top = weight.codes(), weight.latent.detach().reshape(-1, 32), levels // 2
    scale = groups.abs().amax(1, keepdim=True) / ((levels - 1) / 2)
    steps = (groups * (1 / scale)).reshape(codes.shape)
    outer = (codes == -top) | (codes == top - 1)
    beyond = (steps.round() > top - 1) | (steps.round() < -top)
    with stt.ClampGradient(at_bound):
        report = stt.audit(model)
    row = report.rows[0]
    assert (row.levels, row.framework, row.at_zero, row.surrogate) == (levels, "torchao", 0, "hard_tanh")
    shares = [float(one.float().mean()) for one in (outer, beyond)]
    assert (row.no_gradient, row.other_clamp) == pytest.approx((shares[at_bound], shares[1 - at_bound]))
    assert set(row.why) == {"cut tail" if at_bound else "clamp at its bound"}
    assert "clamp at its bound" in report.headline()


@BOTH
@pytest.mark.parametrize("shape", [(12, 16), (40, 40), (256, 256)])
def test_home_made_ternary(shape, at_bound):
    """By hand, beyond 3/2 and 1/2 of the mean size of a row, which is held fixed."""
    latent = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with stt.ClampGradient(at_bound):
        row = row_of(home_made, latent)
    size = latent.abs() / latent.abs().mean(1, keepdim=True)
    shares = [float((size > least).float().mean()) for least in (0.5, 1.5)]
    assert (row.no_gradient, row.other_clamp) == pytest.approx((shares[at_bound], shares[1 - at_bound]))
    assert (row.levels, row.surrogate) == (3, "hard_tanh")
    assert row.window == pytest.approx((-0.5 - at_bound, 0.5 + at_bound), abs=0.2)
    assert "through an average" in row.findings[0].sentence


@pytest.mark.parametrize(
    "make, levels, at_zero",
    [
        (lambda: fw.brevitas("binary"), 2, 1),
        (lambda: fw.brevitas("int4"), 15, 0),  # its scale has a gradient too, which is not the latents' own
        (fw.bitnet, 3, 0),
        (lambda: fw.Quantised(fw.detached), 3, 0),
    ],
)
def test_quantisers_that_pass_every_gradient(make, levels, at_zero):
    row = row_of(nn.Sequential(make()))
    assert (row.levels, row.no_gradient, row.at_zero, row.surrogate) == (levels, 0, at_zero, "identity")
    assert row.grade != "defect"


@pytest.mark.parametrize("kind, why, levels", [("clamped", "cut tail", 2), ("ternary", "dead zone", 3)])
def test_brevitas_cuts_gradients_by_size(kind, why, levels):
    model = nn.Sequential(fw.brevitas(kind))
    report = stt.audit(model, X)
    (row,), size = report.rows, model[0].weight.abs()
    cut = size > 0.1 if kind == "clamped" else size <= 0.05
    assert row.no_gradient == pytest.approx(float(cut.float().mean()))
    assert (list(row.why), row.levels) == ([why], levels)
    assert why in report.headline()
    assert row.surrogate != "identity"


def test_sign_with_a_third_level():
    report = stt.audit(lambda w: w + (w.sign() - w).detach())
    assert (report.rows[0].at_zero, report.rows[0].levels, quick(torch.sign).levels) == (0, 2, 2)
    assert "sign(0)" in report.headline()
    assert (quick(stt.sign).at_zero, quick(stt.sign).findings) == (1, [])


def lsq(w, step=0.06, low=-4, high=3):
    """Learned step size quantisation (Esser et al. 2020), with the gradient of clamp of their code."""
    x = (w / step).clamp(low, high)
    return (x + (x.round() - x).detach()) * step


def test_lsq():
    torch.manual_seed(0)
    latent = 0.1 * torch.randn(64, 64)
    row = row_of(lsq, latent)
    beyond = ((latent / 0.06 < -4) | (latent / 0.06 > 3)).float().mean()
    assert row.no_gradient == pytest.approx(float(beyond), abs=1e-3)
    assert (row.levels, list(row.why)) == (8, ["cut tail"])
    assert row.window == pytest.approx((-4, 3), abs=0.1)


def test_the_tail_beyond_a_learned_range_comes_back():
    model, gain = quantisers.Lsq(3, True), nn.Parameter(torch.ones(()))
    gained = fw.Quantised(lambda w: gain * lsq(w))
    for tried, found in ((model, ("note", True)), (model, ("defect", True)), (gained, ("defect", False))):
        model.step.data.mul_(0.5)
        row = row_of(tried)
        assert (row.grade, "the learned range" in row.findings[0].sentence) == found


@pytest.mark.parametrize("name", ["identity", "hard_tanh", "approx_sign", "swish_sign", "sigmoid"])
def test_surrogates_are_recognised(name):
    for scale in ("none", "absmean"):
        row = row_of(stt.binarize(fw.latents(nn.Linear(64, 64)), surrogate=name, scale=scale), None)
        assert row.surrogate == name


def test_a_parq_optimiser():
    model, optimizer = parq()
    report = stt.audit(model, optimizer=optimizer)
    assert [row.tensor for row in report.rows] == ["0.weight"]
    assert report.rows[0].latent == "in the state of the optimiser"
    assert "two paths" in report.headline()


def test_latents_that_the_optimiser_does_not_hold():
    model = stt.binarize(fw.latents(nn.Linear(64, 8)))
    assert (
        "not in the optimizer" in stt.audit(model, None, None, torch.optim.SGD([model.bias], 0.1)).headline()
    )
    assert stt.audit(model, optimizer=torch.optim.SGD(model.parameters(), lr=0.1)).findings == []


def test_codes_alone_say_nothing_of_gradients():
    layer = fw.latents(nn.Linear(64, 8))
    report = stt.audit(layer, codes=lambda name, p: torch.where(p > 0, 1, -1) if "weight" in name else None)
    assert (report.rows[0].no_gradient, report.rows[0].at_zero, report.grade) == (None, -1, "note")


@pytest.mark.parametrize(
    "make",
    [lambda: fw.Quantised(fw.detached), lambda: fw.torchao("int4"), lambda: fw.brevitas("clamped"), fw.Lora],
)
def test_everything_is_left_as_it_was(make):
    model = make().train()
    state = copy.deepcopy(model.state_dict())
    random, flags = torch.get_rng_state(), [p.requires_grad for p in model.parameters()]
    stt.audit(model, X)
    assert all(torch.equal(a, b) for a, b in zip(state.values(), model.state_dict().values(), strict=True))
    assert torch.equal(torch.get_rng_state(), random)
    assert [p.requires_grad for p in model.parameters()] == flags
    assert all(p.grad is None for p in model.parameters())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())


@pytest.mark.parametrize(
    "arguments, about",
    [
        ((fw.Quantised(home_made), torch.ones(1, 2)), "cannot be run"),
        ((3,), "Module"),
        ((torch.tanh,), "levels"),
        ((lambda w: w[0],), "shape"),
        ((lambda w: exec("raise SystemExit(3)"),), "SystemExit"),
        ((stt.sign, torch.full((3, 3), math.nan)), "example is tensor"),
    ],
)
def test_refusals(arguments, about):
    with pytest.raises(st.InputError, match=about) as caught:
        stt.audit(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("layer, per", [(nn.Conv2d(3, 8, 3), "channel"), (nn.Linear(2, 4), "tensor")])
def test_a_ternary_quantiser_is_no_sign(layer, per):
    row = row_of(stt.binarize(copy.deepcopy(layer), levels=3, per=per), None)
    assert (row.grade, row.at_zero) == (None, 0)


def test_latents_that_are_not_finite_and_a_parameter_without_a_quantiser():
    model = stt.binarize(nn.Linear(64, 8))
    plain = copy.deepcopy(model)
    model.parametrizations.weight.original.data[0, 0] = math.nan
    report = stt.audit(model)
    assert "not finite" in report.headline()
    assert report.frame()["no_gradient"].to_list() == [None]
    model = stt.unbinarize(plain, keep="quantised")
    assert "nothing quantises it" in row_of(model).findings[0].sentence


@pytest.mark.parametrize(
    "quantise",
    [
        lambda w: torch.sign(w) * w.abs().mean(),
        lambda w: torch.sign(w) * w.std(),
        lambda w: torch.sign(w) * w.abs().amax(1, keepdim=True),
        lambda w: (w / w.abs().mean()).round().clamp(-1, 1) * w.abs().mean(),
        torch.sign,
    ],
)
def test_a_gradient_through_the_scale_alone_is_none(quantise):
    report, few = stt.audit(quantise), stt.audit(quantise, torch.randn(12, 16))
    assert "no gradient reaches its latents, unless through the scale" in report.headline()
    assert report.frame()["why"].to_list() == few.frame()["why"].to_list() == ["no gradient at all"]


def test_mixed_inputs_are_no_lack_of_gradient():
    model = quantisers.OTHERS["orthogonal"]()[0]
    assert "no gradient at all" not in row_of(model, quantisers.batch(0)[0]).why
    turn = torch.linalg.qr(quantisers.batch(0)[0])[0]
    part = quick(lambda w: Round.apply((20 * torch.cat([w[:40], w[40:] @ turn])).clamp(-2.5, 2.5)) / 20)
    assert part.no_gradient == pytest.approx(0.211, abs=0.03)  # beyond 1.25 standard deviations


@pytest.mark.parametrize("dtype", ["int4", "int8"])
def test_tails_by_design_and_frozen_bases_are_notes(dtype):
    with stt.ClampGradient(1):
        row = row_of(nn.Sequential(fw.torchao(dtype)))
    found = [(one.grade, "by design" in one.sentence) for one in row.findings]
    assert found == [("note", True), ("defect", False)]
    frozen = nn.Sequential(fw.torchao("int2")).requires_grad_(False)
    report = stt.audit(frozen)
    assert report.grade == "note"
    assert all("frozen" in one for one in report.findings)
    assert stt.audit(nn.Sequential(fw.torchao("int1")).requires_grad_(False)).grade == "defect"


def test_lora_of_peft_on_a_fake_quantised_base():
    fw.needs("torchao")
    peft = pytest.importorskip("peft", reason="peft is not installed")
    for dtype, example in (("int2", None), ("int4", X)):
        model = nn.Sequential(fw.torchao(dtype), nn.ReLU(), nn.Linear(48, 2))
        adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["0"], r=4))
        report = stt.audit(adapted, example)
        assert report.grade == "note", report.findings
        assert any("frozen" in one for one in report.findings)


def affine(w):
    least, largest = w.detach().aminmax(dim=1, keepdim=True)
    scale = (largest - least) / 15
    shift = (-least / scale).round()
    return w + ((((w / scale).round() + shift).clamp(0, 15) - shift) * scale - w).detach()


@pytest.mark.parametrize(
    "quantise, levels",
    [
        (affine, 16),
        (lambda w: (w / (s := w.abs().amax(1, keepdim=True) / 7)).round() * s, 15),
        (partial(lsq, step=0.03, low=-8, high=7), 16),
        (lambda w: w.sign() * 2.0 ** (w.abs() + 1e-9).log2().round().clamp(-6, -3) * (w.abs() > 0.01), 9),
    ],
)
def test_levels_are_those_of_a_channel(quantise, levels):
    assert row_of(fw.Quantised(quantise)).levels == quick(quantise).levels == levels


def test_stored_codes_have_no_gradient_to_check():
    model, codes = quantisers.STORED["packed trits"]()
    report = stt.audit(model, quantisers.batch(0)[0], codes={"0.held": lambda: codes().to(torch.int8)})
    assert (report.grade, report.rows[0].weights) == ("note", 48 * 64)


def test_batch_norm_on_one_row():
    model = nn.Sequential(nn.Linear(fw.WIDTH, 48), nn.BatchNorm1d(48), fw.Quantised(fw.detached, 48, 8))
    with pytest.raises(st.InputError, match="two or more rows"):
        stt.audit(model, X[:1])
    with pytest.raises(st.InputError, match="spatial element"):  # more rows are no help
        stt.audit(nn.Sequential(nn.Unflatten(1, (fw.WIDTH, 1)), nn.InstanceNorm1d(fw.WIDTH), model), X)
    assert row_of(model.eval(), X[:1]).levels == 3


class Running(nn.Module):
    """Ternary, with a scale that follows the latents."""

    def __init__(self, in_place):
        super().__init__()
        self.in_place = in_place
        self.register_buffer("scale", torch.tensor(0.1))
        self.register_buffer("mask", torch.ones(()))  # the graph keeps it

    def forward(self, w):
        w = w * self.mask
        new = 0.9 * self.scale + 0.1 * w.detach().abs().mean()
        self.scale = self.scale.copy_(new) if self.in_place else new
        return new * Round.apply((w / new).clamp(-1, 1))


@pytest.mark.parametrize("in_place, inside", [(False, True), (True, False), (True, True)])
def test_a_running_scale_stays(in_place, inside):
    quantiser = Running(in_place)
    held = quantiser.scale
    row_of(fw.Quantised(quantiser) if inside else quantiser, X if inside else None)
    assert quantiser.scale is held
    assert float(held) == pytest.approx(0.1)
