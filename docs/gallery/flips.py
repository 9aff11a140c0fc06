"""The flip ratio of a small PyTorch net with binary weights, at a constant and at a falling rate."""

import sys

import torch
from matplotlib.figure import Figure
from torch.nn.functional import cross_entropy

import sterling as st
import sterling.torch as stt

torch.manual_seed(0)
inputs = torch.randn(1000, 24)
labels = (inputs[:, :12].sum(1) > 0).long()
labels = torch.where(torch.rand(1000) < 0.2, 1 - labels, labels)  # a fifth of the labels is wrong

figure = Figure(figsize=(8, 3.2), layout="constrained")
for ax, falls in zip(figure.subplots(1, 2, sharey=True), (False, True), strict=True):
    net = torch.nn.Sequential(torch.nn.Linear(24, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
    net = stt.binarize(net)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    monitor = stt.OrbitMonitor(net, optimizer, within=50)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / 400 if falls else 1)
        rows = torch.randint(1000, (64,))
        optimizer.zero_grad()
        cross_entropy(net(inputs[rows]), labels[rows]).backward()
        optimizer.step()
    monitor.plot(ax)
    ax.set_title("falling rate" if falls else "constant rate", loc="left", fontsize=11)
st.plot.save_figure(figure, sys.argv[1])
