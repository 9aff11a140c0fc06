"""What a monitor counts in real training loops, against codes that the loop itself wrote down."""

import copy
import io
import math
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

import sterling.torch as stt
from sterling.errors import InputError, SterlingWarning
from tests.unit.torch import frameworks as fw
from tests.unit.torch.loops import HORIZONS, Task


def test_groups_weigh_with_their_own_rates_and_schedulers_are_followed():
    task = Task(3)
    task.monitor.close()
    first, last = task.model[0], task.model[2]
    groups = [{"params": first.parameters(), "lr": 0.5}, {"params": last.parameters(), "lr": 0.1}]
    task.optimizer = torch.optim.SGD(groups)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(task.optimizer, 0.9)
    task.monitor = stt.OrbitMonitor(task.model, task.optimizer, horizons=HORIZONS, within=5)
    for _ in range(30):
        task.step()
        scheduler.step()
    task.agrees(groups=(0, 1))
    assert task.rates[-1][0] == pytest.approx(0.5 * 0.9**29)


@pytest.mark.parametrize("fused", [False, True], ids=["plain", "fused"])
def test_steps_that_a_grad_scaler_skips_are_none(fused):
    task = Task(3, make=torch.optim.Adam, lr=0.02, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for number in range(30):
        task.optimizer.zero_grad()
        loss = task.loss() * (math.inf if number % 4 == 1 else 1.0)
        scaler.scale(loss).backward()
        before = task.look()
        scaler.step(task.optimizer)
        scaler.update()
        if number % 4 == 1:
            assert task.look() == before
        else:
            task.note()
    assert len(task.rates) == 22
    task.agrees()
    assert task.monitor.skipped == (8 if fused else 0)


@pytest.mark.parametrize("stop", [0, 23])
def test_a_resumed_monitor_is_an_uninterrupted_one(stop):
    whole, first = Task(3, seed=4), Task(3, seed=4)
    for _ in range(40):
        whole.step()
    for _ in range(stop):
        first.step()
    file = io.BytesIO()
    saved = [first.monitor.state_dict(), first.model.state_dict(), first.optimizer.state_dict()]
    torch.save(saved, file)
    file.seek(0)
    monitor, model, optimizer = torch.load(file, weights_only=True)
    second = Task(3, seed=99)
    second.model.load_state_dict(model)
    second.optimizer.load_state_dict(optimizer)
    second.monitor.load_state_dict(monitor)
    second.generator = first.generator
    for _ in range(40 - stop):
        second.step()
    assert second.monitor.frame().equals(whole.monitor.frame())
    assert second.monitor.history == whole.monitor.history
    for name in second.monitor.frame()["tensor"]:
        for horizon in HORIZONS:
            one, other = whole.monitor.average(name, horizon), second.monitor.average(name, horizon)
            assert torch.equal(one, other)


class Shifting(torch.optim.SGD):
    """Moves the weights again after its step and has no hooks, as PARQ's optimiser."""

    @torch.no_grad()
    def step(self, closure=None):
        super().step(closure)
        for p in self.param_groups[0]["params"]:
            p.add_(0.03 * torch.sin(7 * p))


def test_an_optimizer_without_hooks_is_looked_at_when_it_is_done():
    task = Task(2)
    task.monitor.close()
    task.optimizer = Shifting(task.model.parameters(), lr=0.1)
    Shifting.step = Shifting.__dict__["step"].__wrapped__  # as where a class leaves out Optimizer.__init__
    task.monitor = stt.OrbitMonitor(task.model, task.optimizer, horizons=HORIZONS, within=5)
    scheduler = torch.optim.lr_scheduler.StepLR(task.optimizer, 1, gamma=0.9)
    for _ in range(20):
        task.step()
        scheduler.step()
    task.agrees()


class Around(torch.optim.Optimizer):
    """Turns the weights that the optimiser inside has moved."""

    def __init__(self, model, name):
        setattr(self, name, torch.optim.SGD(model.parameters(), lr=0.1))
        self.inner = getattr(self, name)
        super().__init__(self.inner.param_groups, {})

    def step(self, closure=None):
        self.inner.step()
        for p in self.param_groups[0]["params"]:
            p.data.neg_()


@pytest.mark.parametrize("name, called", [("optimizer", "outer"), ("base_optimizer", "inner")])
def test_optimizers_around_another_one(name, called):
    """Lookahead moves weights after the optimiser inside; loops with SAM may call only the latter."""
    task = Task(2)
    outer = Around(task.model, name)
    task.monitor = stt.OrbitMonitor(task.model, outer, horizons=HORIZONS, within=5)
    task.optimizer = outer.inner if called == "inner" else outer
    for _ in range(5):
        task.step()
    task.agrees()


@pytest.mark.filterwarnings("error")
def test_averages_survive_any_rate():
    task = Task(2)
    for rate in (0.1, -0.1, math.nan, math.inf):
        task.optimizer.param_groups[0]["lr"] = rate
        task.monitor._after_step()
    assert task.monitor.average("0.weight", math.inf).isfinite().all()


def test_weights_may_be_frozen_at_first():
    model = stt.binarize(torch.nn.Sequential(torch.nn.Linear(6, 7), torch.nn.Linear(7, 2)))
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    assert ["frozen" in repr(one) for one in stt.find(model)] == [True, False]
    monitor = stt.OrbitMonitor(model, optimizer, example=torch.ones(1, 6))
    assert monitor.left_out == []
    model[0].requires_grad_(True)
    (latent, *_) = [one.latent for one in monitor.weights]
    latent.grad = 2 * latent.detach()
    optimizer.step()
    assert monitor.frame()["flips"].to_list() == [42, 0]


def test_a_copy_of_the_model_refers_to_the_monitor_that_counts():
    task = Task(2)
    task.model.monitor = task.monitor
    twin, optimizer = copy.deepcopy((task.model, task.optimizer))
    assert twin.monitor is task.monitor
    torch.save(twin.monitor, io.BytesIO())  # as its state
    optimizer.step()
    assert task.monitor.steps == 0
    with pytest.raises(InputError, match="another model"):
        stt.decode(twin, twin.monitor, how="last")


def test_the_frame():
    task = Task(3, horizons=(8.0, 16.0))
    for _ in range(60):
        task.step()
    frame, average = task.monitor.frame(horizon=8), task.monitor.average("0.weight", 8)
    assert frame.select("tensor", "weights", "levels", "horizon").rows()[1] == ("2.weight", 14, 3, 8.0)
    undecided = float(((average - average.round()).abs() > 0.25).float().mean())
    assert frame["undecided"][0] == pytest.approx(undecided)


def test_tensorboard_gets_the_numbers_of_the_frame():
    task, rows = Task(2), {}
    writer = SimpleNamespace(add_scalar=lambda tag, value, step: rows.update({(tag, step): value}))
    task.monitor.tensorboard(writer)
    for _ in range(10):
        task.step()
    assert {step for _, step in rows} == {0, 5, 10}
    assert rows["sterling/flips/0.weight", 10] == task.monitor.frame()["flips"][0]


@pytest.mark.parametrize(
    "make, cause",
    [
        (lambda: Task(3), r"0\.weight=\[\[7, 6\], 2\], and this one has \[\[7, 6\], 3\]"),
        (lambda: Task(2, horizons=(8.0,)), "horizons"),
    ],
)
def test_a_state_of_another_monitor(make, cause):
    state = Task(2).monitor.state_dict()
    with pytest.raises(InputError, match=cause):
        make().monitor.load_state_dict(state)


@pytest.mark.parametrize(
    "path, value",
    [
        (("format",), None),
        (("history",), [{"step": 5}]),
        (("kept", "now"), torch.zeros(3)),
        (("kept", "_extra_state", "clock"), {}),
        (("kept", "_extra_state", "clock", "step"), 10**30),
    ],
)
def test_a_damaged_state_is_refused_and_changes_nothing(path, value):
    task, other = Task(3), Task(3, seed=1)
    for _ in range(7):
        task.step()
        other.step()
    state = part = other.monitor.state_dict()
    *inner, last = path
    for key in inner:
        part = part[key]
    part[last] = value
    before = task.monitor.frame()
    with pytest.raises(InputError) as caught:
        task.monitor.load_state_dict(state)
    assert "\n" not in str(caught.value)
    assert task.monitor.frame().equals(before)
    task.step()
    task.agrees()


def test_the_report_says_that_a_run_diverged_or_a_parameter_was_replaced():
    task = Task(2)
    task.step()
    task.monitor.weights[0].latent.data[0, 0] = math.nan
    other, before = Task(2), Task(2).monitor.frame()
    other.monitor.weights[0].latent.data.fill_(math.nan)
    with pytest.warns(SterlingWarning, match="detached at step 1.*diverged"):
        other.optimizer.step()
    assert other.monitor.frame().equals(before)
    assert "no longer finite" in str(task.monitor.report())
    with pytest.raises(InputError, match="diverged"):
        stt.decode(task.model, task.monitor, horizon=8)
    (layer,) = task.monitor.weights[0].modules
    layer.parametrizations.weight.original = torch.nn.Parameter(torch.ones_like(layer.weight))
    assert "no longer in the model" in str(task.monitor.report())
    with pytest.raises(InputError, match="no longer in the model"):
        stt.decode(task.model, task.monitor, horizon=8)


def test_wrong_arguments_and_weights_that_the_optimizer_leaves_alone():
    task = Task(2)
    plain = torch.nn.Linear(3, 2)
    other = torch.optim.SGD(plain.parameters(), lr=0.1)
    for given, about in (
        ((task.model, 3), "optimizer"),
        ((fw.Quantised(lambda w: fw.detached(w + torch.rand_like(w))), None, fw.X), "at random"),
        ((plain, other), "no quantised weight.*`example=`"),
        ((task.model, other), r"moves none.*0\.weight"),
        ((task.model, task.optimizer, None, None, (4, 4)), "horizon"),
    ):
        with pytest.raises(InputError, match=about):
            stt.OrbitMonitor(*given)
    monitor = stt.OrbitMonitor(task.model, torch.optim.SGD(task.model[2].parameters()))
    assert monitor.left_out == ["0.weight"]
    assert "0.weight" in str(monitor.report())
    with pytest.raises(InputError, match="no monitored tensor"):
        task.monitor.average("head", 8)
    with pytest.raises(InputError, match="horizon is 9"):
        task.monitor.average("0.weight", 9)


def test_the_flip_ratio_is_that_of_the_codes():
    task = Task(2)
    for _ in range(12):  # the last window has 2 steps
        task.step()
    ax = task.monitor.plot(Figure().add_subplot())
    drawn = {patch.get_label(): patch.get_data() for patch in ax.patches}
    for weight, record in zip(task.monitor.weights, task.records(), strict=True):
        values, edges, _ = drawn[weight.name]
        assert edges.tolist() == [0, 5, 10, 12]
        flips = [t for t, *_ in record.flips()]
        by_hand = [sum(a < t <= b for t in flips) / record.weights / (b - a) for a, b in pairwise(edges)]
        np.testing.assert_allclose(values, by_hand)
    assert "12 steps" in ax.caption
