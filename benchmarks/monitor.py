"""What a monitor costs: `python -m benchmarks.monitor`.

It trains a ResNet-18 for 32 × 32 images, and linear layers on 4,096 tokens a step, with binary or ternary
weights, and times the hook of each monitor within each step. The share is the mean time of the hook over the
median of a step; the update of all weights, which is due each 120 or 1,024 steps, is spread over these steps.
It also reads the codes of one layer by discovery and by the adaptor of `binarize`, in turn.
Times are of the processor, summed over threads, so other work on the machine changes them little.
"""

from __future__ import annotations

import statistics
import sys
import time
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

import sterling.torch as stt
from benchmarks.report import Options, Row, main

BATCH, TOKENS, WIDTH, DEPTH = 64, 4096, 1024, 16
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


#: Ways to watch a large model, and the most bytes a weight that each may take. One must cost at most 2 %.
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


def measure(title: str, run: Run, ways: dict[str, float], most: float, options: Options) -> list[Row]:
    """Return the share of the cheapest monitor, and the bytes a weight of each; ``ways`` has their bars."""
    torch.set_num_threads(options.threads)
    run.step()
    step = statistics.median(run.step() for _ in range(2 if options.quick else 20))
    spent = {name: watch.a_step() for name, watch in run.watches.items()}
    cheapest = min(spent, key=lambda name: spent[name])
    rows = [
        Row(
            title=f"share of a step: {title}, {cheapest}",
            measured=spent[cheapest] / step,
            unit="of a step",
            bar=most,
            more_is_better=False,
            runs={"step": [step], **{name: [one] for name, one in spent.items()}},
            note=f"a step {1e3 * step:,.0f} ms; "
            + ", ".join(f"{name} {1e3 * one:.1f} ms ({one / step:.2%})" for name, one in spent.items()),
        )
    ]
    for name, watch in run.watches.items():
        frame = watch.monitor.frame()
        weights = int(frame["weights"].sum())
        flips = int(frame["flips"].sum()) * watch.monitor.every / watch.monitor.steps / weights
        rows.append(
            Row(
                title=f"bytes a weight: {title}, {name}",
                measured=watch.monitor.bytes_per_weight,
                unit="bytes",
                bar=ways[name] + 0.01,
                more_is_better=False,
                note=f"{weights:,} weights, {flips:.3%} flip in a step, "
                f"{1e9 * spent[name] / weights:.2f} ns a weight",
            )
        )
    return rows


def images(levels: int, options: Options) -> list[Row]:
    """Watch a ResNet-18."""
    torch.manual_seed(_SEED)
    net = stt.binarize(resnet18(), levels=levels, skip=["0", "13"])
    run = Run(net, torch.randn(BATCH, 3, 32, 32), 0.01, {"default": {}})
    return measure(f"ResNet-18, {levels} levels, {BATCH} images", run, {"default": 24}, 0.05, options)


def tokens(levels: int, options: Options) -> list[Row]:
    """Watch linear layers in each of the ways."""
    torch.manual_seed(_SEED)
    net = stt.binarize(tower(WIDTH, DEPTH), levels=levels, skip=[str(2 * DEPTH)])
    run = Run(net, torch.randn(TOKENS, WIDTH), 0.01, {name: settings for name, (settings, _) in WAYS.items()})
    bars = {name: most for name, (_, most) in WAYS.items()}
    return measure(f"linear layers, {levels} levels, {TOKENS:,} tokens", run, bars, 0.02, options)


class Foreign(nn.Linear):
    """A layer with the quantiser of `binarize`, which only discovery finds."""

    def __init__(self, like: Any):
        super().__init__(WIDTH, WIDTH, bias=False)
        self.quantise = like.parametrizations["weight"][0]
        self.load_state_dict({"weight": like.parametrizations["weight"].original}, strict=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return F.linear(input, self.quantise(self.weight))


def reading(levels: int, options: Options) -> list[Row]:
    """Read the codes of a layer by discovery and by the adaptor."""
    torch.set_num_threads(options.threads)
    torch.manual_seed(_SEED)
    known = stt.binarize(nn.Sequential(nn.Linear(WIDTH, WIDTH, bias=False)), levels=levels)
    (adaptor,), (found,) = stt.find(known), stt.find(Foreign(known[0]), example=torch.ones(1, WIDTH))
    spent: dict[str, list[float]] = {"discovery": [], "adaptor": []}
    for _ in range(64 if options.quick else 320):  # one reading of 32 is checked against the values
        for name, weight in (("discovery", found), ("adaptor", adaptor)):
            begun = time.process_time()
            weight.codes()
            spent[name].append(time.process_time() - begun)
    middle, mean = (
        {name: kind(one) for name, one in spent.items()} for kind in (statistics.median, statistics.fmean)
    )
    return [
        Row(
            title=f"reading by discovery over the adaptor: {WIDTH:,} × {WIDTH:,}, {levels} levels",
            measured=middle["discovery"] / middle["adaptor"],
            unit="×",
            bar=1.5,
            more_is_better=False,
            runs={name: [one] for name, one in middle.items()},
            note=f"{1e3 * middle['discovery']:.2f} ms over {1e3 * middle['adaptor']:.2f} ms; "
            f"means, with the checks of discovery, {mean['discovery'] / mean['adaptor']:.2f}",
        )
    ]


CASES = {f"{case.__name__}-{levels}": partial(case, levels) for case in (images, tokens) for levels in (2, 3)}
CASES |= {f"reading-{levels}": partial(reading, levels) for levels in (2, 3, 4, 16, 255)}

if __name__ == "__main__":
    sys.exit(main("monitor", CASES, __doc__))
