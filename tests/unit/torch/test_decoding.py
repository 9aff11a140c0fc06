"""Decoding: codes against those written down by the loop, and a copy whose forward pass sees them."""

import copy
import math

import pytest
import torch

import sterling.torch as stt
from sterling.errors import InputError, InputTypeError
from sterling.torch.scoring import evaluate
from tests.unit.torch.byhand import nearest
from tests.unit.torch.loops import Task


@pytest.fixture(scope="module", params=[2, 3])
def ran(request):
    task = Task(request.param, horizons=(8.0, 64.0, math.inf))
    for _ in range(60):
        task.step()
    return task


def codes_of(layer):
    values = layer.weight.detach()
    return torch.sign(values).flatten().int().tolist(), values.abs().max()


@pytest.mark.parametrize("horizon", [8.0, math.inf])
def test_mean_takes_the_level_nearest_to_the_average(ran, horizon):
    better = stt.decode(ran.model, ran.monitor, horizon=horizon)
    for layer, record in zip((better[0], better[2]), ran.records(), strict=True):
        averages = [record.average(k, record.steps, horizon) for k in range(record.weights)]
        codes, size = codes_of(layer)
        gap = min(abs(abs(a) - e) for a in averages for e in ([0.5] if len(record.levels) == 3 else [0]))
        assert gap > 1e-3  # no average so near to a threshold that 16 bits would decide
        assert codes == [nearest(a, record.levels) for a in averages]
        assert torch.equal(layer.weight.abs().unique(), torch.tensor([0.0, size])[-len(record.levels) + 1 :])
    changed = [
        sum(c != last for c, last in zip(codes_of(layer)[0], record.rows[-1], strict=True))
        for layer, record in zip((better[0], better[2]), ran.records(), strict=True)
    ]
    assert better.changes.frame()["changed"].to_list() == changed
    assert better.changes.frame()["kept_as"].to_list() == ["constants"] * 2
    assert "codes differ" in str(better.changes)


def test_mode_takes_the_commonest_level(ran):
    better = stt.decode(ran.model, ran.monitor, how="mode")
    assert better.changes.horizon == 64
    for layer, record in zip((better[0], better[2]), ran.records(), strict=True):
        codes, _ = codes_of(layer)
        for k in range(record.weights):
            shares = record.shares(k, record.steps, 64)
            level, share = max(shares.items(), key=lambda item: item[1])
            if share > 0.51:
                assert codes[k] == level


def test_frozen_takes_the_average_of_what_oscillates(ran):
    better = stt.decode(ran.model, ran.monitor, how="frozen")
    assert better.changes.horizon == 64  # the nearest to one over the momentum
    frozen = 0
    for layer, record in zip((better[0], better[2]), ran.records(), strict=True):
        codes, _ = codes_of(layer)
        for k in range(record.weights):
            if record.oscillation(k, 0.01) > 0.02 * 1.01:
                frozen += 1
                assert codes[k] == nearest(record.average(k, record.steps, 64), record.levels)
            elif record.oscillation(k, 0.01) < 0.02 * 0.99:
                assert codes[k] == record.rows[-1][k]
    assert frozen > 0


def test_the_original_stays_as_it_is_and_goes_on_training():
    task = Task(3, horizons=(8.0, math.inf))
    for _ in range(10):
        task.step()
    state = copy.deepcopy(task.model.state_dict())
    stt.decode(task.model, task.monitor, horizon=8)
    assert all(torch.equal(one, task.model.state_dict()[name]) for name, one in state.items())
    for _ in range(10):
        task.step()
    task.agrees()


def test_batch_norm_is_recomputed_and_scores_are_given():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.BatchNorm1d(9), torch.nn.Linear(9, 2))
    task = Task(3, model=model, horizons=(8.0, 64.0, math.inf), lr=0.5)
    for _ in range(60):
        task.step()
    batches = [task.batch() for _ in range(6)]
    better = stt.decode(task.model, task.monitor, horizon=8, bn=batches, validate=batches)
    inputs = torch.cat([x for x, _ in batches])
    hidden = better[0](inputs)
    torch.testing.assert_close(better[1].running_mean, hidden.mean(0), rtol=1e-4, atol=1e-5)
    assert better.changes.after == evaluate(better, batches)
    last = stt.decode(task.model, task.monitor, how="last", bn=batches)
    assert better.changes.before == evaluate(last, batches)
    assert set(better.changes.after) == {"loss", "accuracy"}
    assert not better.training


def test_validation_chooses_the_horizon_of_the_lowest_loss(ran):
    batches = [ran.batch() for _ in range(6)]
    better = stt.decode(ran.model, ran.monitor, validate=batches)
    losses = {0.0: evaluate(ran.model, batches)["loss"]}
    for horizon in (8.0, math.inf):
        losses[horizon] = evaluate(stt.decode(ran.model, ran.monitor, horizon=horizon), batches)["loss"]
    assert better.changes.tried == pytest.approx(losses)
    assert better.changes.horizon == min(losses, key=losses.__getitem__)
    assert better.changes.chosen_by == "validation"
    by_hand = stt.decode(
        ran.model, ran.monitor, validate=lambda model: -float(model[0].weight.detach().std())
    )
    assert by_hand.changes.after["loss"] == min(by_hand.changes.tried.values())


def test_without_a_loader_the_steps_so_far_choose(ran):
    better = stt.decode(ran.model, ran.monitor)
    assert better.changes.horizon == 8  # of 8, 64 and infinity, that nearest to 60/16
    assert better.changes.chosen_by == "the steps so far"


def test_a_horizon_that_cannot_be_installed_is_left_out():
    layer = torch.nn.Linear(4, 1, bias=False)
    flip = [1.0]
    monitor = stt.OrbitMonitor(
        layer,
        torch.optim.SGD(layer.parameters(), lr=0.0),
        codes=lambda name, p: torch.full_like(p, flip[0]),
        horizons=(8,),
    )
    for _ in range(9):
        layer.weight.grad = torch.zeros(1, 4)
        monitor.optimizer.step()
    flip[0] = -1.0
    with pytest.raises(InputError, match="codes of 'weight' cannot be set"):
        stt.decode(layer, monitor, horizon=8)
    better = stt.decode(layer, monitor, validate=lambda model: 1.0)
    assert list(better.changes.tried) == [0.0]
    assert "codes of 'weight' cannot be set" in better.changes.left_out[8]


def test_wrong_input(ran):
    other = Task(2)
    with pytest.raises(InputError, match="another model"):
        stt.decode(other.model, ran.monitor)
    with pytest.raises(InputError, match="no step"):
        stt.decode(other.model, other.monitor)
    with pytest.raises(InputError, match="how is 'median'"):
        stt.decode(ran.model, ran.monitor, how="median")
    with pytest.raises(InputError, match="horizon is 9"):
        stt.decode(ran.model, ran.monitor, horizon=9)
    with pytest.raises(InputError, match="mode"):
        stt.decode(ran.model, ran.monitor, how="mode", horizon=8)
    with pytest.raises(InputTypeError, match="loader"):
        stt.decode(ran.model, ran.monitor, validate=iter([]))
    with pytest.raises(InputError, match="inputs, targets"):
        stt.decode(ran.model, ran.monitor, validate=[torch.zeros(3, 6)])
    with pytest.raises(InputError, match="no batch"):
        stt.decode(ran.model, ran.monitor, validate=[])
    x, y = torch.zeros(3, 6), torch.zeros(3).long()
    for targets in (y[:2], y + 9, 3):
        with pytest.raises(InputError, match="does not fit"):
            stt.decode(ran.model, ran.monitor, validate=[(x, targets)])
    for loss in ("low", None, torch.ones(2), math.nan):
        with pytest.raises(InputError, match="the loss that `validate` returned"):
            stt.decode(ran.model, ran.monitor, validate=lambda model, loss=loss: loss)


def test_statistics_of_no_batch_would_be_those_of_fresh_layers():
    task = Task(
        2, model=torch.nn.Sequential(torch.nn.Linear(6, 7), torch.nn.BatchNorm1d(7), torch.nn.Linear(7, 2))
    )
    task.step()
    for bn in (3, [], iter([torch.zeros(3, 6)])):
        with pytest.raises(InputError, match="bn"):
            stt.decode(task.model, task.monitor, horizon=8, bn=bn)
    with pytest.raises(InputError, match="cannot be computed from `bn`"):
        stt.decode(task.model, task.monitor, horizon=8, bn=torch.zeros(3, 5))
