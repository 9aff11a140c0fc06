"""Decoding: codes against those written down by the loop, and a copy whose forward pass sees them."""

import math

import pytest
import torch

import sterling.torch as stt
from sterling.errors import InputError, InputTypeError
from sterling.torch.scoring import evaluate
from tests.unit.torch import frameworks as fw
from tests.unit.torch.byhand import nearest
from tests.unit.torch.loops import Task


@pytest.fixture(scope="module", params=[2, 3])
def ran(request):
    task = Task(request.param, horizons=(8.0, 64.0, math.inf))
    for _ in range(60):
        task.step()
    return task


def with_norm():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 9), torch.nn.BatchNorm1d(9), torch.nn.Linear(9, 2))


def decoded(ran, **how):
    """Return the copy, and the weights of each of its layers with what the loop wrote down."""
    better = stt.decode(ran.model, ran.monitor, **how)
    weights = [layer.weight.detach() for layer in (better[0], better[2])]
    return better, list(zip(weights, ran.records(), strict=True))


def codes_of(weight):
    return torch.sign(weight).flatten().int().tolist()


@pytest.mark.parametrize("horizon", [8.0, math.inf])
def test_mean_takes_the_level_nearest_to_the_average(ran, horizon):
    better, layers = decoded(ran, horizon=horizon)
    changed = []
    for weight, record in layers:
        averages = [record.average(k, record.steps, horizon) for k in range(record.weights)]
        gap = min(abs(abs(a) - e) for a in averages for e in ([0.5] if len(record.levels) == 3 else [0]))
        assert gap > 1e-3  # no average so near to a threshold that 16 bits would decide
        codes = codes_of(weight)
        assert codes == [nearest(a, record.levels) for a in averages]
        levels = torch.tensor([0.0, weight.abs().max()])
        assert torch.equal(weight.abs().unique(), levels[-len(record.levels) + 1 :])
        changed.append(sum(c != last for c, last in zip(codes, record.rows[-1], strict=True)))
    frame = better.changes.frame()
    assert frame.select("changed", "kept_as").rows() == [(count, "constants") for count in changed]
    assert "codes differ" in str(better.changes)


def test_mode_takes_the_commonest_level(ran):
    better, layers = decoded(ran, how="mode")
    assert better.changes.horizon == 64
    for weight, record in layers:
        for k, code in enumerate(codes_of(weight)):
            level, share = max(record.shares(k, record.steps, 64).items(), key=lambda item: item[1])
            assert code == level or share < 0.51


def test_frozen_takes_the_average_of_what_oscillates(ran):
    better, layers = decoded(ran, how="frozen")
    assert better.changes.horizon == 64  # the nearest to one over the momentum
    frozen = 0
    for weight, record in layers:
        for k, code in enumerate(codes_of(weight)):
            if record.oscillation(k, 0.01) > 0.02 * 1.01:
                frozen += 1
                assert code == nearest(record.average(k, record.steps, 64), record.levels)
            elif record.oscillation(k, 0.01) < 0.02 * 0.99:
                assert code == record.rows[-1][k]
    assert frozen > 0


def test_the_original_goes_on_training_as_if_it_had_not_been_decoded():
    task = Task(3, horizons=(8.0, math.inf))
    for _ in range(20):
        task.step()
        stt.decode(task.model, task.monitor, horizon=8)
    task.agrees()


def test_batch_norm_is_recomputed_and_scores_are_given():
    task = Task(3, model=with_norm(), horizons=(8.0, 64.0, math.inf), lr=0.5)
    for _ in range(60):
        task.step()
    batches = [task.batch() for _ in range(6)]
    better = stt.decode(task.model, task.monitor, horizon=8, bn=batches, validate=batches)
    inputs = torch.cat([x for x, _ in batches])
    hidden = better[0](inputs)
    torch.testing.assert_close(better[1].running_mean, hidden.mean(0), rtol=1e-4, atol=1e-5)
    assert better.changes.after == evaluate(better, batches)
    shuffled, state = torch.utils.data.DataLoader(batches, None, shuffle=True), torch.get_rng_state()
    last = stt.decode(task.model, task.monitor, how="last", bn=shuffled)
    assert torch.equal(torch.get_rng_state(), state)
    assert better.changes.before == pytest.approx(evaluate(last, batches))
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
    better = stt.decode(ran.model, ran.monitor)  # without data
    assert better.changes.horizon == 8  # of 8, 64 and infinity, that nearest to 60/16
    assert "nearest to a sixteenth" in str(better.changes)


def test_a_horizon_that_cannot_be_installed_is_left_out():
    layer = torch.nn.Linear(4, 1, bias=False)
    flip = [1.0]
    monitor = stt.OrbitMonitor(
        layer,
        torch.optim.SGD(layer.parameters(), lr=0.0),
        codes=lambda name, p: 0 * p + flip[0],  # shows latents that are not finite
        horizons=(8,),
    )
    for _ in range(9):
        layer.weight.grad = torch.zeros(1, 4)
        monitor.optimizer.step()
    flip[0] = 0.0
    with pytest.raises(InputError, match="codes of 'weight' cannot be set"):
        stt.decode(layer, monitor, horizon=8)
    changes = stt.decode(layer, monitor, validate=lambda model: 1.0).changes
    assert (list(changes.tried), list(changes.left_out)) == ([0.0], [8])


class Off(fw.Quantised):
    def forward(self, x):
        return super().forward(x) if self.training else torch.nn.functional.linear(x, self.weight)


def test_a_quantiser_that_is_off_in_eval_mode_is_refused_and_the_model_stays():
    net = torch.nn.Sequential(fw.Quantised(fw.detached, 6, 6), Off(fw.detached, 6, 6))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    monitor = stt.OrbitMonitor(net, optimizer, example=torch.ones(1, 6), horizons=(8,))
    net(torch.ones(1, 6)).sum().backward()
    optimizer.step()
    before = [one.detach().clone() for one in net.parameters()]
    with pytest.raises(InputError, match="eval mode"):
        stt.decode(net, monitor, horizon=8)
    assert all(map(torch.equal, before, net.parameters()))


@pytest.mark.parametrize(
    ("options", "about"),
    [
        ({"how": "median"}, "how is 'median'"),
        ({"horizon": 9}, "horizon is 9"),
        ({"how": "mode", "horizon": 8}, "mode"),
        ({"validate": iter([])}, "loader"),
        ({"validate": [torch.zeros(3, 6)]}, "inputs, targets"),
        ({"validate": []}, "no batch"),
        ({"validate": [(torch.zeros(3, 6), torch.zeros(2).long())]}, "does not fit"),
        ({"validate": lambda model: "low"}, "the loss that `validate` returned"),
        ({"how": "latents"}, "averages"),
    ],
)
def test_wrong_input(ran, options, about):
    with pytest.raises((InputError, InputTypeError), match=about):
        stt.decode(ran.model, ran.monitor, **options)


def test_a_run_without_steps_and_statistics_of_no_batch():
    task = Task(2, model=with_norm())
    with pytest.raises(InputError, match="no step"):
        stt.decode(task.model, task.monitor)
    task.step()
    for bn in (3, [], iter([torch.zeros(3, 6)]), torch.zeros(3, 5)):
        with pytest.raises(InputError, match="bn"):
            stt.decode(task.model, task.monitor, horizon=8, bn=bn)
