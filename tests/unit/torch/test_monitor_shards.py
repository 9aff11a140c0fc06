"""Monitors in two processes: weights sharded by `fully_shard`, whose counts sum to those of all, and DDP."""

import datetime
from itertools import pairwise

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import sterling.torch as stt

STEPS = 12


class Ternary(torch.nn.Linear):
    """A layer of unknown kind."""

    def forward(self, x):
        scale = self.weight.abs().mean().detach()
        quantised = scale * (self.weight / scale).round().clamp(-1, 1)
        weight = self.weight + (quantised - self.weight).detach()
        return torch.nn.functional.linear(x, weight, self.bias)


def net(kind):
    torch.manual_seed(0)
    layer = Ternary if kind == "found" else torch.nn.Linear
    model = torch.nn.Sequential(layer(6, 9), torch.nn.ReLU(), layer(9, 5), torch.nn.ReLU(), layer(5, 1))
    return stt.binarize(model, levels=3) if kind == "binarize" else model


def given(name, parameter):
    size = parameter.abs().mean()
    return (parameter / size).round().clamp(-1, 1) if name.endswith("weight") else None


OPTIONS = {
    "binarize": {},
    "found": {"example": torch.ones(1, 6)},
    "codes": {"codes": given},
}


def train(model, data, optimizer, look=None):
    rows = []
    for x in data:
        optimizer.zero_grad()
        (model(x) - x.sum(1, keepdim=True)).square().mean().backward()
        optimizer.step()
        rows.append(look() if look is not None else None)
    return rows


def batches(rank=None):
    random = torch.Generator().manual_seed(1)
    whole = [torch.randn(8, 6, generator=random) for _ in range(STEPS)]
    return whole if rank is None else [x[4 * rank : 4 * rank + 4] for x in whole]


def full(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def ternary(weight):
    weight = full(weight.detach())
    return (weight / weight.abs().mean()).round().clamp(-1, 1).flatten().tolist()


def measured(rank, kind, wrapper):
    """Return what the monitor of one process counts, and the flips counted by hand."""
    model = net(kind)
    if wrapper == "fsdp":
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh("cpu", (2,))
        fully_shard(model[0], mesh=mesh)
        fully_shard(model, mesh=mesh)
    else:
        model = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    monitor = stt.OrbitMonitor(model, optimizer, within=5, **OPTIONS[kind])
    latents = [p for p in model.parameters() if p.ndim > 1]

    def look():
        return [ternary(one) for one in latents]

    rows = [look(), *train(model, batches(rank), optimizer, look)]
    changes = [
        zip(*pair, strict=True)
        for before, after in pairwise(rows)
        for pair in zip(before, after, strict=True)
    ]
    counts = [sum(a != b for a, b in one) for one in changes]
    flips = [sum(counts[index::3]) for index in range(3)]
    # One process alone may ask: nothing waits for the other.
    frame = None if rank else monitor.frame().to_dict(as_series=False)
    report = None if rank else str(monitor.report())
    same = True
    if kind == "binarize":
        again = stt.OrbitMonitor(model, optimizer, within=5)
        again.load_state_dict(monitor.state_dict())
        same = again.frame().equals(monitor.frame())
    return flips, frame, report, monitor.detached, monitor.history, same


def work(rank, folder):
    torch.set_num_threads(1)
    store = dist.FileStore(f"{folder}/meet", 2)
    limit = datetime.timedelta(seconds=60)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=limit)
    try:
        answers = {}
        for case in CASES:
            answers[case] = measured(rank, *case)
            dist.barrier()
        torch.save(answers, f"{folder}/{rank}")
    finally:
        dist.destroy_process_group()


CASES = [("binarize", "fsdp"), ("found", "fsdp"), ("codes", "fsdp"), ("found", "ddp")]


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What both processes found in each case: this one and another, whose start costs seconds."""
    folder = str(tmp_path_factory.mktemp("shards"))
    threads = torch.get_num_threads()
    other = mp.get_context("spawn").Process(target=work, args=(1, folder))
    other.start()
    work(0, folder)
    other.join()
    torch.set_num_threads(threads)
    return [torch.load(f"{folder}/{rank}", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("kind, wrapper", CASES)
def test_counts_are_those_of_the_run_in_one_process(answers, kind, wrapper):
    model = net(kind)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    alone = stt.OrbitMonitor(model, optimizer, within=5, **OPTIONS[kind])
    train(model, batches(), optimizer)
    expected = alone.frame().to_dict(as_series=False)
    (flips, frame, report, detached, history, same), other = (found[kind, wrapper] for found in answers)
    assert detached == other[3] == ""
    assert frame["flips"] == flips == other[0]
    for name in ("tensor", "weights", "read", "flips", "undone", "never_moved"):
        assert frame[name] == expected[name], name
    assert history == alone.history
    assert f"{sum(frame['weights'])} quantised weights" in report
    assert same
    assert other[5]
