"""The study of quantisers that people use: a trial gives all nets, and the rule decides on made-up scores."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

torch = pytest.importorskip("torch", reason="the evidence trains nets")

import sterling as st  # noqa: E402
from benchmarks.qat import advised, people, tasks, trial  # noqa: E402
from sterling.study.kind import Cell, Seeds  # noqa: E402


def test_a_trial_scores_all_nets_once(monkeypatch):
    few = {"text": replace(tasks.TASKS["text"], train=64, valid=4, batch=8)}
    monkeypatch.setattr(trial, "TASKS", few)
    monkeypatch.setattr(people, "SMALLER", few)
    monkeypatch.setattr(tasks, "_letters", lambda: np.arange(20_000) % 96)
    threads = torch.get_num_threads()
    st.register(people.KIND)
    settings = people.KIND.settings | {"quantiser": "bitnet", "levels": 3, "steps": 8}
    row = people.KIND.run(
        Cell("people", st.Problem(n=96, samples=64), settings), Seeds(1, 0), lambda *_: None
    )
    torch.set_num_threads(threads)
    loss = dict(zip(row["reading"], row["loss"], strict=True))
    assert set(loss) == {"float", *people.READINGS}
    assert loss["best"] <= loss["float"]
    assert row["flips"] > 0
    assert len(set(loss.values())) >= len(loss) - 1  # the best checkpoint may be the last iterate


@pytest.mark.parametrize("name, levels", [("lsq2", 4), ("lsq4", 16)])
def test_lsq_has_its_levels_in_each_channel(name, levels):
    layer = people.Lsq(torch.randn(3, 400, generator=torch.Generator().manual_seed(0)), levels)
    values = layer(3 * torch.randn(3, 400, generator=torch.Generator().manual_seed(1)))
    assert [len(one.unique()) for one in values] == [levels] * 3


def made_up(**gains):
    """Return scores of three seeds, with mean gains over the last iterate in nats."""
    rows = []
    for names in advised.ROWS.values():
        for name in names:
            for seed in range(3):
                for reading in people.READINGS:
                    gain = gains.get(f"{name}_{reading}", 0.0) * (1 + 0.01 * seed)
                    rows.append((name, seed, reading, 2.0 - gain, 0.5))
    return pl.DataFrame(rows, schema=["quantiser", "seed", "reading", "loss", "accuracy"], orient="row")


def test_gains_are_paired_and_the_rule_decides():
    rows = made_up(
        **{"lsq2_mean": 0.3, "lsq4_mean": 0.1, "lsq4_wsd": 0.2, "int2_mean": 0.1, "bitnet_mean": -0.1}
    )
    compared = advised.differences(rows)
    one = compared.filter((pl.col("quantiser") == "lsq2") & (pl.col("net") == "mean")).row(0, named=True)
    assert one["than"] == "last"
    assert one["nats"] == pytest.approx(0.303)
    assert one["nats_low"] == pytest.approx(0.303 - 4.3027 * 0.003 / 3**0.5, abs=1e-5)  # Student, 2 degrees
    answers = {name: advised.judged(compared, name) for name in people.QUANTISERS}
    assert answers["lsq2"] == ("yes", [])
    assert answers["lsq4"] == ("perhaps", ["WSD"])
    assert answers["bitnet"] == ("no", ["EMA", "SWA", "WSD", "cosine", "best checkpoint"])
    assert answers["lora"] == ("no", [])
    lines = advised.table(compared).splitlines()[2:]
    assert [line.split(" | ")[-1] for line in lines] == [
        "no |",
        "no |",
        "no (no / yes) |",
        "perhaps |",
        "yes |",
    ]
