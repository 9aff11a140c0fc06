"""What a monitor costs: `python -m benchmarks.monitor`.

It trains a ResNet-18 for 32 × 32 images with binary or ternary weights, and times the monitor's hook within
each step. The overhead is the median share of the hook. With --strict the exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

import sterling.torch as stt
from benchmarks import machine

MOST_SHARE, MOST_BYTES = 0.05, 24
_SEED = 11


class Block(nn.Module):
    """Two convolutions with a shortcut."""

    def __init__(self, inside: int, out: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(inside, out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(out), nn.BatchNorm2d(out)])
        self.way = nn.Sequential()
        if stride != 1 or inside != out:
            self.way = nn.Sequential(nn.Conv2d(inside, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norms[1](self.second(F.relu(self.norms[0](self.first(x)))))
        return F.relu(y + self.way(x))


def resnet18(classes: int = 10) -> nn.Sequential:
    """Return the net of He et al. with 11.2 million weights, in its form for images of 32 × 32."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inside = 64
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(inside, out, stride), Block(out, out, 1)]
        inside = out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))


class Run:
    """Training on random images, with a timed monitor."""

    def __init__(self, levels: int, batch: int, lr: float):
        torch.manual_seed(_SEED)
        self.model = stt.binarize(resnet18(), levels=levels, skip=["0", "13"])
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=lr, momentum=0.9)
        self.x, self.y = torch.randn(batch, 3, 32, 32), torch.randint(10, (batch,))
        self.monitor = stt.OrbitMonitor(self.model, self.optimizer)
        self.looks = 0.0
        inner = self.monitor._after_step

        def timed() -> None:
            begun = time.perf_counter()
            inner()
            self.looks = time.perf_counter() - begun

        self.monitor.close()
        self.optimizer.register_step_post_hook(lambda *_: timed())

    def step(self) -> tuple[float, float]:
        """Take a step; return its seconds without the monitor, and those of the monitor."""
        begun = time.perf_counter()
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(self.x), self.y).backward()
        self.optimizer.step()
        total = time.perf_counter() - begun
        return total - self.looks, self.looks


def measure(levels: int, batch: int, steps: int, lr: float) -> dict[str, float]:
    """Return the median seconds of a step and of the monitor, after a warm-up."""
    run = Run(levels, batch, lr)
    for _ in range(3):
        run.step()
    pairs = [run.step() for _ in range(steps)]
    frame = run.monitor.frame()
    weights = int(frame["weights"].sum())
    return {
        "step": statistics.median(one for one, _ in pairs),
        "monitor": statistics.median(one for _, one in pairs),
        "share": statistics.median(look / step for step, look in pairs),
        "bytes": run.monitor.bytes_per_weight,
        "weights": weights,
        "flips": int(frame["flips"].sum()) / run.monitor.steps / weights,
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitor", description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--levels", type=int, nargs="*", default=[2, 3])
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(machine.summary(machine.facts(asked.threads)), highlight=False)
    grid = Table(box=box.SIMPLE_HEAD)
    for name in ("levels", "weights", "flips a step", "step", "monitor", "share", "bytes a weight"):
        grid.add_column(name, justify="right")
    missed = False
    for levels in asked.levels:
        row = measure(levels, asked.batch, asked.steps, asked.lr)
        missed |= row["share"] > MOST_SHARE or row["bytes"] > MOST_BYTES
        grid.add_row(
            str(levels),
            f"{row['weights']:,.0f}",
            f"{row['flips']:.3%}",
            f"{row['step'] * 1e3:.0f} ms",
            f"{row['monitor'] * 1e3:.1f} ms",
            f"{row['share']:.2%}",
            f"{row['bytes']:.1f}",
        )
    console.print(grid)
    return int(missed and asked.strict)


if __name__ == "__main__":
    sys.exit(main())
