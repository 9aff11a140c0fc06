"""What a monitor costs: `python -m benchmarks.monitor`.

It trains a ResNet-18 for 32 × 32 images, and linear layers on 4,096 tokens a step, with binary or ternary
weights, and times the hook of each monitor within each step. The share is the mean time of the hook over the
median of a step; the update of all weights, which is due each 120 or 1,024 steps, is spread over these steps.
Times are of the processor, summed over threads, so other work on the machine changes them little. With
--strict the exit code is 1 if a bar is missed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import Any

import torch
from rich import box
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.nn import functional as F

import sterling.torch as stt
from benchmarks import machine

MOST_SHARE, MOST_BYTES = 0.05, 24
TOKENS, LEAST_SHARE = 4096, 0.02  # at least one way to watch a large model must cost at most that
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


def tower(width: int, depth: int) -> nn.Sequential:
    """Return linear layers as of a language model, which do arithmetic on each token with each weight."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Linear(width, width, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, 10, bias=False))


#: Ways to watch a large model, and the most bytes a weight that each may take.
WAYS: dict[str, tuple[dict[str, Any], float]] = {
    "five horizons": ({}, 24),
    "two horizons": ({"horizons": (64, 1024)}, 6),
    "each 10th step": ({"horizons": (64, 1024), "every": 10}, 6),
    "a sample": ({"sample": 2**16}, 24),
    "a sample, each 10th step": ({"sample": 2**16, "every": 10}, 24),
}


class Watch:
    """A monitor whose hook is timed."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer, **options: Any):
        self.monitor = stt.OrbitMonitor(model, optimizer, **options)
        self.monitor.close()
        optimizer.register_step_post_hook(lambda *_: self.look())
        self.seconds: list[float] = []

    def look(self) -> None:
        begun = time.process_time()
        self.monitor._after_step()
        self.seconds.append(time.process_time() - begun)

    def a_step(self) -> float:
        """Return the mean seconds of a step, with its part of the update of all weights."""
        tracker, every = self.monitor._tracker, self.monitor.every
        timed = self.seconds[-(len(self.seconds) - 1) // every * every or None :]
        begun = time.process_time()
        tracker.settle()
        return statistics.fmean(timed) + (time.process_time() - begun) / tracker.clock.length


class Run:
    """Training on random data, with timed monitors."""

    def __init__(self, model: nn.Module, x: torch.Tensor, lr: float, ways: dict[str, dict[str, Any]]):
        self.model, self.x, self.y = model, x, torch.randint(10, (len(x),))
        self.optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        self.watches = {name: Watch(model, self.optimizer, **options) for name, options in ways.items()}

    def step(self) -> float:
        """Take a step; return its seconds without the monitors."""
        begun = time.process_time()
        self.optimizer.zero_grad()
        F.cross_entropy(self.model(self.x), self.y).backward()
        self.optimizer.step()
        return time.process_time() - begun - sum(one.seconds[-1] for one in self.watches.values())


def measure(run: Run, steps: int) -> list[dict[str, Any]]:
    """Return a row for each monitor: seconds of a step and of the monitor, and bytes, after a warm-up."""
    run.step()
    step = statistics.median(run.step() for _ in range(steps))
    rows = []
    for name, watch in run.watches.items():
        frame, seconds = watch.monitor.frame(), watch.a_step()
        weights = int(frame["weights"].sum())
        rows.append(
            {
                "name": name,
                "step": step,
                "monitor": seconds,
                "share": seconds / step,
                "bytes": watch.monitor.bytes_per_weight,
                "weights": weights,
                "flips": int(frame["flips"].sum()) * watch.monitor.every / watch.monitor.steps / weights,
            }
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.monitor", description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--width", type=int, default=1024, help="of the linear layers")
    parser.add_argument("--depth", type=int, default=16)
    parser.add_argument("--levels", type=int, nargs="*", default=[2, 3])
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a bar is missed")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(machine.summary(machine.facts(asked.threads)), highlight=False)
    missed = False
    for levels in asked.levels:
        torch.manual_seed(_SEED)
        net = stt.binarize(resnet18(), levels=levels, skip=["0", "13"])
        run = Run(net, torch.randn(asked.batch, 3, 32, 32), asked.lr, {"default": {}})
        rows = measure(run, asked.steps)
        missed |= rows[0]["share"] > MOST_SHARE or rows[0]["bytes"] > MOST_BYTES
        show(console, f"ResNet-18, {levels} levels, {asked.batch} images", rows)
    for levels in asked.levels:
        torch.manual_seed(_SEED)
        net = stt.binarize(tower(asked.width, asked.depth), levels=levels, skip=[str(2 * asked.depth)])
        ways = {name: options for name, (options, _) in WAYS.items()}
        run = Run(net, torch.randn(TOKENS, asked.width), asked.lr, ways)
        rows = measure(run, max(asked.steps, 20) // 10 * 10)
        missed |= min(row["share"] for row in rows) > LEAST_SHARE
        missed |= any(row["bytes"] > WAYS[row["name"]][1] + 0.01 for row in rows)
        show(console, f"linear layers, {levels} levels, {TOKENS:,} tokens", rows)
    return int(missed and asked.strict)


def show(console: Console, title: str, rows: list[dict[str, Any]]) -> None:
    """Print a table with a row for each monitor."""
    grid = Table(box=box.SIMPLE_HEAD, title=title)
    for name in ("monitor", "weights", "flips a step", "step", "a monitor", "share", "ns a weight", "bytes"):
        grid.add_column(name, justify="left" if name == "monitor" else "right")
    for row in rows:
        grid.add_row(
            row["name"],
            f"{row['weights']:,.0f}",
            f"{row['flips']:.3%}",
            f"{row['step'] * 1e3:,.0f} ms",
            f"{row['monitor'] * 1e3:.1f} ms",
            f"{row['share']:.2%}",
            f"{row['monitor'] / row['weights'] * 1e9:.2f}",
            f"{row['bytes']:.2f}",
        )
    console.print(grid)


if __name__ == "__main__":
    sys.exit(main())
