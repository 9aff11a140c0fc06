"""No fault of a monitor ends the training: it warns once and detaches, and keeps what it has counted."""

import math
import warnings

import pytest
import torch

import sterling.torch as stt
from sterling.errors import InputError, SterlingWarning
from tests.unit.torch.loops import HORIZONS, Task
from tests.unit.torch.stored import Stored


class Breaking(Task):
    """A task whose monitor reads codes by a function that fails at its fourth call after the start."""

    def __init__(self, make=torch.optim.SGD, **options):
        super().__init__(3, make=make, **options)
        self.monitor.close()
        self.left = math.inf
        names = {name: weight for name, weight in zip(("0", "2"), stt.find(self.model), strict=True)}

        def codes(name, parameter):
            self.left -= 1
            if self.left < 0:
                raise ZeroDivisionError("no codes\nhere")
            return names[name[0]].codes() if name.endswith("original") else None

        self.monitor = stt.OrbitMonitor(self.model, self.optimizer, codes=codes, horizons=HORIZONS, within=5)
        self.left = 2 * 3


def test_a_fault_warns_once_and_detaches_and_the_run_goes_on():
    task = Breaking()
    for _ in range(3):
        task.step()
    before = task.monitor.frame()
    with pytest.warns(SterlingWarning, match=r"at step 4.*training goes on.*no codes here") as caught:
        task.step()
    assert "report this sentence" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(5):
            task.step()
    assert task.monitor.frame().equals(before)
    assert task.monitor.steps == 3
    assert "detached at step 4" in repr(task.monitor)
    assert "ZeroDivisionError: no codes here" in str(task.monitor.report())
    task.rates, task.rows = task.rates[:3], task.rows[:4]
    task.agrees()
    task.monitor.close()


def test_a_warning_that_is_an_error_does_not_end_the_run():
    task = Breaking()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(6):
            task.step()
    assert task.monitor.steps == 3


def test_statistics_follow_to_another_device():
    tracker = Task(3).monitor._tracker
    tracker.to(torch.device("meta"))
    found = [one for part in tracker.modules() for one in vars(part).values() if torch.is_tensor(one)]
    assert not found  # all are buffers
    assert {one.device.type for one in tracker.buffers()} == {"meta"}


@pytest.mark.parametrize("first, make", [("monitor", torch.optim.Adam), ("compilation", torch.optim.SGD)])
def test_a_compiled_step(first, make):
    task = Task(3, make=make, lr=0.05)
    if first == "compilation":
        task.monitor.close()
    step = torch.compile(task.optimizer.step, backend="eager")
    if first == "compilation":
        task.optimizer.zero_grad()
        task.loss().backward()
        step()
        task.rows = [task.look()]
        task.monitor = stt.OrbitMonitor(task.model, task.optimizer, horizons=HORIZONS, within=5)
    for _ in range(12):
        task.optimizer.zero_grad()
        task.loss().backward()
        step()
        task.note()
    task.agrees()
    assert not task.monitor.detached


def test_a_monitor_of_a_loop_without_an_optimizer_counts_when_it_is_called():
    task = Task(3)
    task.monitor.close()
    task.monitor = stt.OrbitMonitor(task.model, horizons=HORIZONS, within=5)
    for _ in range(20):
        task.optimizer.zero_grad()
        task.loss().backward()
        with torch.no_grad():
            for parameter in task.model.parameters():
                parameter -= 0.2 * parameter.grad
        task.monitor.step(0.2)
        task.note()
    task.agrees()
    with pytest.raises(InputError, match="optimizer=None"):
        Task(2).monitor.step()


class Skipping(torch.nn.Module):
    """A layer of three binary weights, of which it leaves one out."""

    def __init__(self, weights):
        super().__init__()
        self.weights, self.left_out = torch.nn.ParameterList(weights), 2

    def forward(self, x):
        for w in (w for index, w in enumerate(self.weights) if index != self.left_out):
            x = x + torch.nn.functional.linear(x, w + (0.3 * w.sign() - w).detach())
        return x


def test_a_tensor_that_can_no_longer_be_read_is_counted_no_more_and_others_are():
    random, flips = torch.Generator().manual_seed(0), [0, 0, 0]
    layer = Skipping(torch.randn(3, 6, 6, generator=random).unbind())
    net = torch.nn.Sequential(layer, stt.binarize(torch.nn.Linear(6, 6)))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    monitor = stt.OrbitMonitor(net, optimizer, example=torch.ones(1, 6))
    assert [one.name for one in monitor.weights] == ["0.weights.0", "0.weights.1", "1.weight"]

    def train(steps, counted):
        for _ in range(steps):
            before = [one.latent.sign() for one in monitor.weights]
            for w in net.parameters():
                w.grad = torch.randn(w.shape, generator=random)
            optimizer.step()
            for index in counted:
                flips[index] += int((monitor.weights[index].latent.sign() != before[index]).sum())

    train(5, (0, 1, 2))
    layer.left_out = 0  # the first weight that is heard is now another one
    with pytest.warns(SterlingWarning, match="no more from step 6 on") as caught:
        train(7, [2])
    assert len(caught) == 2
    assert monitor.frame()["flips"].to_list() == flips
    assert monitor.frame()["steps"].to_list() == [5, 5, 12]
    assert "no longer be read: 0.weights.0 from step 6 on" in str(monitor.report())
    with pytest.raises(InputError, match="can no longer be read"):
        stt.decode(net, monitor, horizon=16)
    layer.left_out = 2
    other = stt.OrbitMonitor(net, optimizer, example=torch.ones(1, 6))
    other.load_state_dict(monitor.state_dict())
    optimizer.step()
    assert other.frame()["steps"].to_list() == [5, 5, 13]


class Switched(torch.nn.Module):
    """A layer whose weight is quantised once this is asked for."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.weight, self.on = torch.nn.Parameter(torch.randn(8, 6)), False

    def codes(self):
        return self.weight.sign()

    def forward(self, x):
        w = self.weight
        w = w + (0.5 * self.codes() - w).detach() if self.on else w
        return torch.nn.functional.linear(x, w)


@pytest.mark.parametrize("how", ["found", "given"])
def test_quantisation_that_starts_late_is_counted_from_its_first_step(how):
    layer = Switched()
    optimizer = torch.optim.SGD(layer.parameters(), lr=3.0)

    def codes(name, parameter):
        return layer.codes() if layer.on else None

    finding = {"example": torch.ones(1, 6)} if how == "found" else {"codes": codes}
    with pytest.raises(InputError, match="no quantised weight"):
        stt.OrbitMonitor(layer, optimizer, **finding)
    monitor = stt.OrbitMonitor(layer, optimizer, late=True, **finding)
    random, flips = torch.Generator().manual_seed(0), 0
    for step in range(30):
        layer.on = step >= 10
        before = layer.codes()
        optimizer.zero_grad()
        x = torch.randn(16, 6, generator=random)
        (layer(x) - torch.randn(16, 8, generator=random)).square().mean().backward()
        optimizer.step()
        if step < 10:
            assert monitor.steps == 0
            assert len(monitor.frame()) == 0
            assert "No quantised weight" in str(monitor.report())
            monitor.load_state_dict(monitor.state_dict())
            with pytest.raises(InputError, match="no quantised weight yet"):
                stt.decode(layer, monitor, how="last")
        else:
            flips += int((layer.codes() != before).sum())
    assert not monitor.detached
    assert monitor.steps == 20
    assert monitor.frame()["flips"].to_list() == [flips]
    assert flips > 10
    twin = Switched()
    resumed = stt.OrbitMonitor(twin, torch.optim.SGD(twin.parameters(), lr=0.3), late=True, **finding)
    resumed.load_state_dict(monitor.state_dict())
    if how == "found":
        assert resumed.steps == 0
        twin.on = True
        resumed.optimizer.step()
        assert resumed.steps == 21


def test_codes_that_no_optimizer_moves_are_counted():
    net = torch.nn.Sequential(Stored("int8"), torch.nn.Linear(48, 2))
    net[0].scale.data.fill_(3e-4)  # small values are no rotation
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    finding = ({"example": torch.ones(1, 64)}, {"codes": {"0": lambda: net[0].held}})
    monitors = [stt.OrbitMonitor(net, optimizer, **one) for one in finding]
    free = stt.OrbitMonitor(net, **finding[0])
    random, flips = torch.Generator().manual_seed(1), 0
    for _ in range(20):
        before = net[0].held.clone()
        where = torch.rand(48, 64, generator=random) < 0.1
        net[0].held[where] = torch.randint(-1, 2, (int(where.sum()),), generator=random).to(torch.int8)
        optimizer.step()
        free.step()
        flips += int((net[0].held != before).sum())
    assert flips > 10
    assert [one.frame()["flips"].to_list() for one in (*monitors, free)] == [[flips]] * 3
    assert monitors[0].left_out == []
