"""The picture of a monitor: the flip ratio of each tensor, counted by hand from the codes."""

import numpy as np
import torch
from matplotlib.figure import Figure

import sterling.torch as stt


def test_the_flip_ratio_is_that_of_the_codes():
    torch.manual_seed(0)
    net = stt.binarize(torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Linear(5, 1)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    monitor = stt.OrbitMonitor(net, optimizer, within=10)
    codes = lambda: [layer.weight.detach() > 0 for layer in net]  # noqa: E731
    flips, before = [], codes()
    for _ in range(25):  # the last window has 5 steps
        optimizer.zero_grad()
        (net(torch.randn(8, 6)) ** 2).mean().backward()
        optimizer.step()
        flips.append([int((a != b).sum()) / a.numel() for a, b in zip(before, codes(), strict=True)])
        before = codes()
    ax = monitor.plot(Figure().add_subplot())
    drawn = {patch.get_label(): patch.get_data() for patch in ax.patches}
    for index, weight in enumerate(monitor.weights):
        values, edges, _ = drawn[weight.name]
        assert edges.tolist() == [0, 10, 20, 25]
        by_hand = [np.mean([row[index] for row in flips[a:b]]) for a, b in ((0, 10), (10, 20), (20, 25))]
        np.testing.assert_allclose(values, by_hand)
    assert "25 steps" in ax.caption


def test_a_monitor_that_counted_nothing_draws_empty_axes():
    net = stt.binarize(torch.nn.Sequential(torch.nn.Linear(2, 1)))
    monitor = stt.OrbitMonitor(net, torch.optim.SGD(net.parameters(), lr=0.1))
    assert monitor.plot(Figure().add_subplot()).get_xlabel() == "step"
