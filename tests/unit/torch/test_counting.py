"""Counting against a list of all codes: flips exactly, averages to their stated precision."""

import math

import numpy as np
import pytest
import torch

from sterling.torch import counting
from sterling.torch.counting import CodeTracker
from tests.unit.torch.byhand import Record

HORIZONS = (8.0, 50.0, 3000.0, math.inf)
WITHIN, VOTE = 5, 1


def walk(levels, steps, weights, seed, stay=0.9):
    """Return codes that mostly stay, go to a neighbour or anywhere; and random rates."""
    rng = np.random.default_rng(seed)
    codes = [rng.choice(levels, weights)]
    for _ in range(steps):
        jump = rng.random(weights) > stay * rng.beta(5, 1, weights)
        codes.append(np.where(jump, rng.choice(levels, weights), codes[-1]))
    rates = np.where(rng.random(steps) < 0.1, 0, rng.random(steps) + 0.1)  # some steps weigh nothing
    return [row.tolist() for row in codes], rates.tolist()


def feed(tally, records, start=0, stop=None):
    """Let a tally see the records of several tensors, step by step."""
    for t in range(start + 1, (stop or records[0].steps) + 1):
        changes = []
        for index, record in enumerate(records):
            where, new = tally.changed(index, torch.tensor(record.rows[t], dtype=tally.now.dtype))
            changes.append((where, new))
        groups = tally._group_of.tolist()
        rates = [records[groups.index(group)].rates[t - 1] for group in range(tally.clock.groups)]
        tally.take(rates, changes)


def tally_of(records, groups=None):
    codes = [torch.tensor(record.rows[0], dtype=torch.int8) for record in records]
    levels = [len(record.levels) for record in records]
    return CodeTracker(codes, levels, groups or [0] * len(records), HORIZONS, WITHIN)


def total(tally, name):
    return tally.counts[:, counting.KINDS.index(name)].sum(dim=1).tolist()


LEVELS = ((-1, 1), (-1, 0, 1), (-3, -1, 1, 3), (-8, -3, 0, 2, 7))


@pytest.fixture(scope="module", params=[None, 16], ids=["one epoch", "many epochs"])
def seen(request):
    """Tensors of two, three, four and sixteen levels, each in a parameter group of its own."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param:
            patch.setattr(counting, "EPOCH", request.param)
            patch.setattr(counting, "_PIECE", 7)
        records = [Record(*walk(levels, 100, 13 + i, seed=i), levels) for i, levels in enumerate(LEVELS)]
        tally = tally_of(records, groups=[0, 1, 2, 3])
        feed(tally, records)
        yield tally, records


def test_flips_and_undone_flips_are_those_of_the_list(seen):
    tally, records = seen
    assert total(tally, "flips") == [len(record.flips()) for record in records]
    assert total(tally, "undone") == [record.undone(WITHIN) for record in records]
    for index, record in enumerate(records):
        part = tally.part(index)
        assert tally.now[part].tolist() == record.rows[-1]
        assert record.weights - total(tally, "moved")[index] == record.never_moved()


def test_averages_are_weighted_by_the_step_sizes(seen):
    tally, records = seen
    for index, record in enumerate(records):
        for place, horizon in enumerate(HORIZONS):
            expected = [record.average(k, record.steps, horizon) for k in range(record.weights)]
            tolerance = 1e-5 * float(tally.top[index])
            np.testing.assert_allclose(tally.average(index, place), expected, rtol=0, atol=tolerance)


def test_the_oscillation_metric_is_the_recursion_of_nagel(seen):
    tally, records = seen
    for index, record in enumerate(records):
        expected = [record.oscillation(k, counting.MOMENTUM) for k in range(record.weights)]
        np.testing.assert_allclose(tally.oscillations(index), expected, rtol=4e-3, atol=1e-5)


def test_the_vote_is_that_of_boyer_and_moore_and_finds_every_majority(seen):
    tally, records = seen
    majorities = 0
    for index, record in enumerate(records):
        elected = tally.commonest(index).tolist()
        for k in range(record.weights):
            shares = record.shares(k, record.steps, HORIZONS[VOTE])
            level, share = max(shares.items(), key=lambda item: item[1])
            if share > 0.51:
                majorities += 1
                assert elected[k] == level
    assert majorities > 15


def test_reading_changes_nothing_and_a_restored_tally_goes_on_alike():
    records = [Record(*walk(levels, 80, 21, seed=9), levels) for levels in LEVELS[:3]]
    whole, first = tally_of(records), tally_of(records)
    feed(whole, records)
    feed(first, records, 0, 33)
    first.average(0, 1), first.commonest(1), first.oscillations(2), first.margin(0, 0)
    second = tally_of(records)
    second.load_state_dict(first.state_dict())
    feed(second, records, 33)
    for (name, one), other in zip(whole.named_buffers(), second.buffers(), strict=True):
        assert torch.equal(one, other), name
    assert np.array_equal(whole.clock.shares(), second.clock.shares())


def test_codes_may_be_any_view():
    store = torch.randint(-1, 2, (80,), dtype=torch.int8, generator=torch.Generator().manual_seed(0))
    for view in (lambda: store[3:35].view(4, 8), lambda: store[::2], lambda: store[:32].view(4, 8).t()):
        tally = CodeTracker([view()], [3], [0], HORIZONS, WITHIN)
        before = view().reshape(-1).clone()
        store.neg_()
        where, new = tally.changed(0, view())
        assert torch.equal(where, before.nonzero().flatten())
        assert torch.equal(new, -before[where])
