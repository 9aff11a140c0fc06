"""Each rival against its formula, computed beside the loop in plain steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the instruments for PyTorch need it")

import sterling.torch as stt  # noqa: E402
from sterling.errors import InputError  # noqa: E402
from sterling.torch import remedies, rivals  # noqa: E402

STEPS = 40


class Loop:
    """A small net on random data; latents and codes after each step are written down."""

    def __init__(self, levels=3, seed=0, **options):
        torch.manual_seed(seed)
        self.model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Linear(4, 2)), levels)
        self.optimizer = torch.optim.SGD(self.model.parameters(), **{"lr": 0.3, **options})
        self.generator = torch.Generator().manual_seed(seed)
        self.latents, self.codes = [], []
        self.note()

    @property
    def weight(self):
        return stt.find(self.model)[0]

    def note(self):
        self.latents.append(self.weight.latent.detach().clone())
        self.codes.append(self.weight.codes().float())

    def gradients(self):
        x = torch.randn(8, 6, generator=self.generator)
        self.optimizer.zero_grad()
        torch.nn.functional.cross_entropy(self.model(x), (x[:, 0] > 0).long()).backward()

    def run(self, steps=STEPS):
        for _ in range(steps):
            self.gradients()
            self.optimizer.step()
            self.note()


@pytest.mark.parametrize("horizon", [8.0, math.inf], ids=["EMA", "SWA"])
def test_averages_of_latents(horizon):
    loop = Loop()
    rival = rivals.LatentAverage(loop.model, loop.optimizer, horizon=horizon, start=10)
    loop.run()
    expected = torch.zeros_like(loop.latents[0])
    for count, latent in enumerate(loop.latents[11:], start=1):
        expected += (latent - expected) / min(count, horizon)
    if math.isinf(horizon):
        torch.testing.assert_close(expected, torch.stack(loop.latents[11:]).mean(0))
    net = rival.result()
    torch.testing.assert_close(net[0].parametrizations.weight.original, expected)
    scale = expected.abs().mean()
    torch.testing.assert_close(net[0].weight, scale * (expected / scale).round().clamp(-1, 1))
    rival.scale = "old"
    scale = loop.weight.scale()
    torch.testing.assert_close(rival.result()[0].weight, scale * (expected / scale).round().clamp(-1, 1))


def test_freezing():
    loop = Loop()
    raw, m, limit = [loop.codes[0]], 0.1, 0.15
    hook = loop.optimizer.register_step_post_hook(lambda *_: raw.append(loop.weight.codes().float()))
    rival = remedies.Freezing(loop.model, loop.optimizer, threshold=lambda step: limit, momentum=m)
    loop.run()
    hook.remove()
    held = 0
    for place in np.ndindex(tuple(raw[0].shape)):
        f, mean, before, previous, frozen = 0.0, float(raw[0][place]), 0, float(raw[0][place]), None
        for step in range(1, STEPS + 1):
            code = float(raw[step][place]) if frozen is None else frozen
            direction = (code > previous) - (code < previous)
            f = m * (direction * before == -1) + (1 - m) * f
            before, previous = direction or before, code
            if f > limit and frozen is None:
                frozen = math.floor(mean + 0.5)
            mean += m * (code - mean)
            if frozen is not None:
                assert loop.codes[step][place] == frozen
        held += frozen is not None
        assert bool(rival.frozen[0][place]) == (frozen is not None)
    assert 0 < held < raw[0].numel()


def test_dampening_adds_the_gradient_of_its_penalty():
    plain, dampened = Loop(levels=3), Loop(levels=3)
    remedies.Dampening(dampened.model, dampened.optimizer, strength=lambda step: 0.05)
    weight = dampened.weight
    q, u, top = weight.values(), weight.latent, weight.scale()
    penalty = 0.05 * ((q - torch.clamp(u, -top, top)) ** 2).sum()
    (gradient,) = torch.autograd.grad(penalty, u)
    for loop in (plain, dampened):
        loop.run(1)
    torch.testing.assert_close(dampened.latents[1], plain.latents[1] - 0.3 * gradient)


def test_transition_rate():
    loop = Loop(lr=0.1)

    def target(step):
        return max(0.0, 0.05 * (1 - step / 30))

    rival = remedies.TransitionRate(loop.model, loop.optimizer, target, momentum=0.9)
    rate, running, seen = 0.1, 0.0, []
    for step in range(1, STEPS + 1):
        before = [w.codes() for w in rival.weights]
        loop.run(1)
        flips = [int((w.codes() != old).sum()) for w, old in zip(rival.weights, before, strict=True)]
        running = 0.9 * running + 0.1 * sum(flips) / 32
        rate = max(0.0, rate + 0.1 * (target(step) - running))
        seen.append(loop.optimizer.param_groups[0]["lr"])
        assert seen[-1] == pytest.approx(rate, rel=1e-9)
    assert len(set(seen)) > 10


@pytest.mark.parametrize("levels", [2, 3, 4])
def test_q_ema_rounds_to_the_neighbour_nearer_to_the_average(levels):
    loop = Loop(levels=levels)
    rival = remedies.QEMA(loop.model, loop.optimizer, decay=0.9)
    average = loop.latents[0].clone()
    grid = {2: [-1, 1], 3: [-1, 0, 1], 4: [-3, -1, 1, 3]}[levels]
    guided = 0
    for _ in range(STEPS):
        loop.run(1)
        average = 0.9 * average + 0.1 * loop.latents[-1]
        scale = float(loop.weight.scale())
        for place in np.ndindex(tuple(average.shape)):
            x, a = float(loop.latents[-1][place]) / scale, float(average[place]) / scale
            below, above = [g for g in grid if g <= x], [g for g in grid if g > x]
            near = [*below[-1:], *above[:1]]
            if not below or not above:
                near = [grid[0] if not below else grid[-1]]
            expected = min(sorted(near, reverse=True), key=lambda g: abs(g - a))
            if abs(abs(a - sum(near) / len(near))) > 1e-4:
                assert float(loop.codes[-1][place]) == expected
            guided += expected != min(grid, key=lambda g: abs(g - x))
    assert guided > 0
    values = loop.weight.values()
    assert torch.equal(rival.result()[0].weight, values)
    assert loop.weight.latent.grad.abs().sum() > 0
    rival.close()
    torch.testing.assert_close(loop.model[0].weight, loop.weight.scale() * stt.find(loop.model)[0].codes())


def test_best_keeps_the_checkpoint_of_the_lowest_loss():
    loop = Loop()
    losses = iter([3.0, 1.0, 2.0, 1.5])
    rival = rivals.Best(loop.model, loop.optimizer, lambda model: next(losses), every=10)
    loop.run()
    assert (rival.loss, rival.at) == (1.0, 20)
    net = rival.result()
    assert torch.equal(net[0].parametrizations.weight.original, loop.latents[20])
    assert torch.equal(loop.weight.latent, loop.latents[-1])


def test_a_rival_that_only_changes_training_gives_the_last_iterate():
    loop = Loop()
    rival = rivals.Rival(loop.model, loop.optimizer)
    loop.run(5)
    x = torch.randn(3, 6)
    assert torch.equal(rival.result()(x), loop.model(x))


def test_bop():
    loop = Loop(levels=2)
    weights = [w.latent for w in stt.find(loop.model)]
    loop.optimizer = remedies.Bop(weights, adaptivity=0.2, threshold=0.02)
    monitor = stt.OrbitMonitor(loop.model, loop.optimizer, horizons=(8,))
    weight, mean = weights[0].detach().clone(), torch.zeros_like(weights[0])
    assert set(weight.flatten().tolist()) == {-1.0, 1.0}
    flips = 0
    for _ in range(STEPS):
        loop.gradients()
        gradient = weights[0].grad.clone()
        loop.optimizer.step()
        for place in np.ndindex(tuple(weight.shape)):
            mean[place] = 0.8 * mean[place] + 0.2 * gradient[place]
            if abs(mean[place]) > 0.02 and mean[place] * weight[place] > 0:
                weight[place] = -weight[place]
                flips += 1
        assert torch.equal(weights[0].detach(), weight)
    assert monitor.frame()["flips"][0] == flips > 0


def test_parq_ends_on_the_levels():
    pytest.importorskip("torchao", reason="PARQ is in torchao")
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 4), torch.nn.Linear(4, 2))
    latents = [layer.weight for layer in model]
    others = [layer.bias for layer in model]
    optimizer = remedies.parq(latents, lambda groups: torch.optim.SGD(groups, lr=0.2), others, steps=20)
    monitor = stt.OrbitMonitor(model, optimizer, horizons=(8,))
    before = monitor.weights[0].codes()
    flips = 0
    for step in range(30):
        x = torch.randn(8, 6)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), (x[:, 0] > 0).long()).backward()
        optimizer.step()
        now = monitor.weights[0].codes()
        flips, before = flips + int((now != before).sum()), now
        if step == 3:
            assert model[0].weight.unique().numel() > 3  # not yet
    values = model[0].weight.detach()
    u = optimizer.state[model[0].weight]["latent"]
    scale = u.abs().mean() * float(values.abs().max() / u.abs().mean())
    assert set((values / scale).round(decimals=5).flatten().tolist()) <= {-1.0, 0.0, 1.0}
    torch.testing.assert_close(values, scale * (u / scale).round().clamp(-1, 1))
    assert monitor.frame()["flips"][0] == flips > 0
    better = stt.decode(model, monitor, horizon=8)
    assert better[0].weight.unique().numel() <= 3
    with pytest.raises(InputError, match="levels is 5"):
        remedies.parq(latents, torch.optim.SGD, levels=5)


def test_a_rival_of_another_model():
    loop, other = Loop(), torch.nn.Linear(2, 2)
    with pytest.raises(InputError, match="this very model"):
        rivals.Rival(loop.model, torch.optim.SGD(other.parameters(), lr=0.1))


def test_hooks_are_taken_off():
    loop = Loop()
    rival = rivals.LatentAverage(loop.model, loop.optimizer)
    loop.run(3)
    rival.close()
    loop.run(3)
    assert rival.steps == 3


def test_a_refused_rival_leaves_no_hook():
    loop = Loop()
    for make in (
        lambda: rivals.LatentAverage(loop.model, loop.optimizer, scale="new"),
        lambda: remedies.Freezing(loop.model, loop.optimizer, lambda step: 0.02, momentum=2),
        lambda: rivals.Best(loop.model, loop.optimizer, float, every=0),
        lambda: rivals.Best(loop.model, loop.optimizer, None),
        lambda: remedies.Freezing(loop.model, loop.optimizer, 0.02),
        lambda: remedies.Dampening(loop.model, loop.optimizer, 0.1),
        lambda: remedies.TransitionRate(loop.model, loop.optimizer, 0.1),
    ):
        with pytest.raises(InputError):
            make()
    assert not loop.optimizer._optimizer_step_post_hooks
    assert not loop.optimizer._optimizer_step_pre_hooks
