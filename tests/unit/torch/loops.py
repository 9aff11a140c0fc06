"""A training loop that writes all codes down, for the tests of this room."""

import math

import numpy as np
import torch

import sterling.torch as stt
from tests.unit.torch.byhand import Record

HORIZONS = (8.0, 3000.0, math.inf)


class Task:
    """A small binary or ternary net on random data, whose loop writes all codes down."""

    def __init__(self, levels=3, seed=0, make=torch.optim.SGD, model=None, horizons=HORIZONS, **options):
        torch.manual_seed(seed)
        self.model = model or torch.nn.Sequential(
            torch.nn.Linear(6, 7), torch.nn.ReLU(), torch.nn.Linear(7, 2)
        )
        stt.binarize(self.model, levels=levels)
        options = {"lr": 0.2, **options}
        self.optimizer = make(self.model.parameters(), **options)
        self.monitor = stt.OrbitMonitor(self.model, self.optimizer, horizons=horizons, within=5)
        self.levels = (-1, 1) if levels == 2 else (-1, 0, 1)
        self.generator = torch.Generator().manual_seed(seed)
        self.rows, self.rates = [self.look()], []

    def look(self):
        return [w.codes().flatten().tolist() for w in stt.find(self.model)]

    def batch(self):
        x = torch.randn(8, 6, generator=self.generator)
        return x, (x[:, :2].sum(1) > 0).long()

    def loss(self, call=None):
        x, y = self.batch()
        return torch.nn.functional.cross_entropy((call or self.model)(x), y)

    def note(self):
        self.rows.append(self.look())
        self.rates.append([group["lr"] for group in self.optimizer.param_groups])

    def step(self, call=None):
        self.optimizer.zero_grad()
        self.loss(call).backward()
        self.optimizer.step()
        self.note()

    def records(self, groups=(0, 0)):
        return [
            Record([row[i] for row in self.rows], [rates[groups[i]] for rates in self.rates], self.levels)
            for i in range(2)
        ]

    def agrees(self, groups=(0, 0)):
        """Assert that the monitor counted what the loop wrote down."""
        frame, records = self.monitor.frame(), self.records(groups)
        assert frame["steps"].to_list() == [len(self.rates)] * 2
        assert frame["flips"].to_list() == [len(record.flips()) for record in records]
        assert frame["undone"].to_list() == [record.undone(5) for record in records]
        assert frame["never_moved"].to_list() == [record.never_moved() for record in records]
        assert frame["flips"].sum() > 0
        for name, record in zip(frame["tensor"], records, strict=True):
            expected = [record.average(k, record.steps, math.inf) for k in range(record.weights)]
            measured = self.monitor.average(name, math.inf).flatten()
            np.testing.assert_allclose(measured, expected, rtol=0, atol=1e-5)
