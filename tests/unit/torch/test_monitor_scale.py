"""Monitors of large models: few bytes a weight, codes read seldom, samples, some of the layers."""

import copy
import math
from itertools import pairwise

import numpy as np
import pytest
import torch

import sterling.torch as stt
from sterling.errors import InputError
from sterling.torch import counting, monitor
from sterling.torch.counting import CodeTracker
from tests.unit.torch.byhand import Record
from tests.unit.torch.loops import Task
from tests.unit.torch.test_counting import feed, total, walk

LEAN = (16.0, 64.0)


def lean_of(records, horizons=LEAN):
    wide = max(abs(level) for record in records for level in record.levels) > 127
    kind = torch.int16 if wide else torch.int8
    codes = [torch.tensor(record.rows[0], dtype=kind) for record in records]
    return CodeTracker(codes, [len(one.levels) for one in records], range(len(records)), horizons, 100)


def test_the_monitor_of_two_horizons_takes_six_bytes():
    model = stt.binarize(torch.nn.Linear(64, 48), levels=3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    assert stt.OrbitMonitor(model, optimizer, horizons=(16, 64)).bytes_per_weight == 6
    for more in ({"within": 128}, {"horizons": (16, math.inf)}):
        assert stt.OrbitMonitor(model, optimizer, **{"horizons": (16, 64), **more}).bytes_per_weight == 19
    assert stt.OrbitMonitor(model, optimizer).bytes_per_weight == 31


@pytest.mark.parametrize("epoch, scale", [(7, 1), (120, 50)], ids=["int8", "int16"])
def test_without_details_counts_are_those_of_the_list(epoch, scale, monkeypatch):
    monkeypatch.setattr(counting, "LEAN_EPOCH", epoch)
    levels = [tuple(scale * level for level in one) for one in ((-1, 1), (-3, -1, 1, 3), (-8, -3, 0, 2, 7))]
    records = [Record(*walk(one, 250, 11 + i, seed=i, stay=0.99), one) for i, one in enumerate(levels)]
    tally = lean_of(records)
    feed(tally, records)
    assert total(tally, "flips") == [len(record.flips()) for record in records]
    assert total(tally, "undone") == [record.undone(100) for record in records]
    for index, record in enumerate(records):
        never = record.weights - total(tally, "moved")[index]
        assert never == record.never_moved() == int((tally._since(tally.part(index)) == 0).sum())
        for place, horizon in enumerate(LEAN):
            expected = [record.average(k, 250, horizon) for k in range(record.weights)]
            unit = 1 / float(tally.units(index))
            np.testing.assert_allclose(tally.average(index, place), expected, rtol=0, atol=8 * unit)


def test_averages_of_twelve_bits_have_no_drift(monkeypatch):
    """A long average moves by less than half a unit at each update."""
    monkeypatch.setattr(counting, "LEAN_EPOCH", 4)
    ones = torch.ones(400, dtype=torch.int8)
    tally = CodeTracker([ones], [2], [0], (1024.0,), 100)
    share = math.expm1(1001 / 1024) / math.expm1(1600 / 1024)
    for step in range(1600):
        tally.take([0.1], [(torch.arange(400), -ones)] if step == 1000 else ())
    average = (tally.average(0, 0) + 1) / 2
    assert float(average.mean()) == pytest.approx(share, abs=2e-3)
    assert float((average - share).abs().max()) < 0.02


def test_codes_may_leave_the_range_of_the_first_ones():
    layer = torch.nn.Linear(4, 1, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 2.0, -1.0, 1.0]]))

    def monitor(horizons):
        return stt.OrbitMonitor(layer, optimizer, codes=lambda _, p: p.round().short(), horizons=horizons)

    monitors = [monitor(horizons) for horizons in ((4,), (4, math.inf))]
    rows = [layer.weight.detach().flatten().tolist()]
    for change in (100.0, -300.0, 0.0, 700.0):
        layer.weight.grad = torch.tensor([[-change, 0, 0, 0]])
        optimizer.step()
        rows.append(layer.weight.detach().flatten().tolist())
    record = Record(rows, [1.0] * 4, ())
    for one in monitors:
        assert not one.detached
        assert one.frame()["flips"].to_list() == [3]
        expected = [record.average(k, 4, 4.0) for k in range(4)]
        np.testing.assert_allclose(one.average("weight", 4)[0], expected, atol=2)
        again = monitor(one.horizons)  # now more levels are in use than at the start
        again.load_state_dict(one.state_dict())
        assert again.frame().equals(one.frame())


def test_a_model_of_two_horizons_decodes():
    task = Task(3, horizons=(8.0, 64.0))
    for _ in range(60):
        task.step()
    record, watch = task.records()[0], task.monitor
    watch.load_state_dict(copy.deepcopy(watch.state_dict()))
    average = [record.average(k, 60, 8.0) for k in range(record.weights)]
    better = stt.decode(task.model, watch, horizon=8)
    decoded = better.get_parameter("0.weight").detach().sign().flatten()
    for code, mean in zip(decoded.tolist(), average, strict=True):
        if abs(abs(mean) - 0.5) > 0.01:
            assert code == round(mean)
    for how in ("mode", "frozen"):
        assert stt.decode(task.model, watch, how=how).get_parameter("0.weight").isfinite().all()


def test_codes_read_at_each_kth_step():
    task, every = Task(3), 3
    task.monitor.close()
    task.monitor = stt.OrbitMonitor(
        task.model, task.optimizer, horizons=(8, 3000, math.inf), within=5, every=every
    )
    for _ in range(32):
        task.step()
    frame = task.monitor.frame()
    assert frame["steps"].to_list() == [32, 32]
    for index, record in enumerate(task.records()):
        rows = record.rows[::every]
        changes = sum(a != b for one, two in pairwise(rows) for a, b in zip(one, two, strict=True))
        assert frame["flips"][index] == changes > 0
        # Between two looks the monitor takes the codes of the first one.
        held = Record([record.rows[t // every * every] for t in range(33)], record.rates, record.levels)
        assert frame["undone"][index] == held.undone(5)
        expected = [held.average(k, 32, math.inf) for k in range(held.weights)]
        measured = task.monitor.average(frame["tensor"][index], math.inf).flatten()
        np.testing.assert_allclose(measured, expected, atol=1e-5)
    assert [row["step"] for row in task.monitor.history] == [
        next(t for t in range(5 * k, 40) if t % every == 0) for k in range(1, 7) if 5 * k <= 30
    ]
    assert f"{every} steps change" in str(task.monitor.report())
    with pytest.raises(InputError, match="within"):
        stt.OrbitMonitor(task.model, task.optimizer, within=2, every=3)


def test_counts_of_a_sample_have_intervals_that_hold():
    """Each seed takes a sample of a run whose codes are known; 95 of 100 intervals should hold the truth."""
    torch.manual_seed(0)
    model = stt.binarize(torch.nn.Linear(80, 60, bias=False), levels=3)
    latent = next(model.parameters())
    random = torch.Generator().manual_seed(1)
    monitors = [
        stt.OrbitMonitor(model, sample=600, seed=seed, horizons=(8, 64), within=10) for seed in range(40)
    ]
    whole = stt.OrbitMonitor(model, horizons=(8, 64), within=10)
    pace = torch.rand(latent.shape, generator=random) ** 6
    for _ in range(20):
        with torch.no_grad():
            latent += 0.05 * pace * torch.randn(latent.shape, generator=random)
        for one in (whole, *monitors):
            one.step()
    truth = whole.frame().row(0, named=True)
    assert truth["flips_error"] == 0
    for name in ("flips", "undone", "never_moved"):
        rows = [one.frame().row(0, named=True) for one in monitors]
        assert truth[name] > 20
        hits = sum(abs(row[name] - truth[name]) <= row[f"{name}_error"] for row in rows)
        assert hits >= 33, name  # 40 at 95 %: fewer than 33 in one of 1,000
        mean = np.mean([row[name] for row in rows])
        spread = np.std([row[name] for row in rows])
        assert abs(mean - truth[name]) < 4 * spread / math.sqrt(40)
        assert np.mean([row[f"{name}_error"] for row in rows]) < 3.5 * spread + 2 * 8
    assert rows[0]["read"] == 600
    assert "sample of 600" in str(monitors[0].report())
    assert monitors[0].average(truth["tensor"], 8).shape == (600,)
    with pytest.raises(InputError, match="part of"):
        stt.decode(model, monitors[0], horizon=8)


def test_a_sample_is_the_same_for_a_seed_and_all_of_a_small_tensor_and_bounded(monkeypatch):
    task = Task(3)
    one, two = (stt.OrbitMonitor(task.model, task.optimizer, sample=20) for _ in range(2))
    monkeypatch.setattr(monitor, "MOST_SAMPLED", 30)
    assert stt.OrbitMonitor(task.model, task.optimizer, sample=20).frame()["read"].to_list() == [15, 14]
    for _ in range(10):
        task.step()
    assert one.frame().equals(two.frame())
    assert one.frame()["read"].to_list() == [20, 14]
    assert one.frame()["flips"][1] == task.monitor.frame()["flips"][1]


def test_layers_are_named_as_in_binarize():
    net = torch.nn.ModuleDict(
        {name: torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(2)]) for name in ("body", "head")}
    )
    stt.binarize(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def names(**given):
        return [one.name for one in stt.OrbitMonitor(net, optimizer, **given).weights]

    assert names(exclude=["head"]) == ["body.0.weight", "body.1.weight"]
    assert names(include=["*.1"]) == ["body.1.weight", "head.1.weight"]
    assert names(include=["body.0.weight"]) == ["body.0.weight"]
    assert names(include=["body"], exclude=["body.0"]) == ["body.1.weight"]
    with pytest.raises(InputError, match="exclude names 'heads'"):
        names(exclude=["heads"])
    with pytest.raises(InputError, match="leave no"):
        names(exclude=["*"])
