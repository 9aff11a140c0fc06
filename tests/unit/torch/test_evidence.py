"""The evidence: a trial gives the same row twice, and the tables say what the scores say."""

import math

import numpy as np
import polars as pl
import pytest
import torch

import sterling as st
from benchmarks.qat import figures, summary
from benchmarks.qat.trial import KIND, Annealed, Run
from sterling.study.kind import Cell, Seeds


@pytest.fixture(autouse=True, scope="module")
def known():
    threads = torch.get_num_threads()
    st.register(KIND)
    yield
    torch.set_num_threads(threads)


def cell(**settings):
    settings = {"task": "digits", "net": "mlp", "rate": 0.01, "steps": 40, **settings}
    return Cell("torch", st.Problem(n=64, samples=1000, noise=0.2), settings)


def row_of(seed, **settings):
    return dict(KIND.run(cell(**settings), Seeds(seed, 0), lambda *_: None))


def at_the_end(row):
    return [
        loss
        for name, step, loss in zip(row["reading"], row["step"], row["loss"], strict=True)
        if (name, step) == ("last", 40)
    ]


@pytest.fixture(scope="module")
def first(known):
    return row_of(3)


def test_a_trial_gives_the_same_row_twice_and_its_seed_decides(first):
    assert first == row_of(3)
    assert Run(cell(), Seeds(3, 0)).data.train[0].tolist() != Run(cell(), Seeds(2, 0)).data.train[0].tolist()
    read = set(zip(first["reading"], first["step"], strict=True))
    assert {("last", 10), ("annealed", 20), ("mean", 40), ("best_checkpoint", 40)} <= read
    assert len(first["predicted"]) == len(first["tensor"]) == 3


@pytest.mark.parametrize("remedy", ["freezing", "dampening", "transition_rate", "qema", "parq", "bop"])
def test_remedies_train(first, remedy):
    if remedy == "parq":
        pytest.importorskip("torchao", reason="PARQ is in torchao")
    strength = {"qema": 0.9, "bop": 1e-6, "parq": 10.0}.get(remedy, 1e-3)
    found = row_of(3, remedy=remedy, strength=strength)
    assert found["reading"] == ["last"]
    assert found["accuracy"][0] > 0.2  # chance is a tenth
    assert found["loss"] != at_the_end(first)  # it does something


def test_the_rates_of_a_run_and_of_an_annealed_copy():
    run = Run(cell(decay="cosine"), Seeds(1, 0))
    assert run.rate(0) == 0.01  # a warm-up of one step
    assert run.rate(20, "cosine") == pytest.approx(0.005)
    assert run.rate(39) == 0.01
    run.quantise()
    optimizer = torch.optim.Adam(run.model.parameters(), lr=0.01)
    annealed = Annealed(run, optimizer, 30, 40)
    rates = []
    for step, batch in zip(range(30, 40), run.batches(), strict=False):
        annealed.step(step, batch)
        rates.append(annealed.optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, 0.01 * np.linspace(1, 0.1, 10))


def test_wrong_labels_are_in_training_and_validation_only():
    run = Run(cell(), Seeds(1, 0))
    clean = Run(Cell("torch", st.Problem(n=64, samples=1000), dict(cell().settings)), Seeds(1, 0))
    for part, share in (("train", 0.18), ("valid", 0.18), ("test", 0)):  # a tenth is right by chance
        wrong = (getattr(run.data, part)[1] != getattr(clean.data, part)[1]).double().mean()
        assert float(wrong) == pytest.approx(share, abs=0.05)


def scores():
    """Scores of made-up runs: decoding closes three quarters of the gap, in each seed."""
    rows = []
    for seed, shift in enumerate((0.0, 0.1, 0.2, 0.3)):
        for reading, loss in (("last", 2.0), ("mean", 1.85), ("annealed", 1.8)):
            rows.append(("text", "transformer", 3, 0.0, "constant", seed, reading, 100, loss + shift, 0.5))
        rows.append(("text", "transformer", 3, 0.0, "cosine", seed, "last", 100, 1.9 + shift, 0.55))
    names = (*summary.CELL, "arm", "seed", "reading", "step", "loss", "accuracy")
    return pl.DataFrame(rows, schema=names, orient="row")


def test_shares_and_gains_are_paired():
    share = summary.shares(scores()).row(0, named=True)
    assert share["share"] == pytest.approx(0.75)
    assert share["share_low"] == pytest.approx(0.75)  # seeds shift all nets alike, so the pairs agree
    gains = summary.gains(scores())
    cosine = gains.filter(pl.col("arm") == "cosine").row(0, named=True)
    assert cosine["nats"] == pytest.approx(0.1)
    assert cosine["nats_low"] == pytest.approx(0.1)
    assert cosine["points"] == pytest.approx(5)
    assert figures.rivals(scores()).axes


def test_a_correlation_is_bounded_by_resampling_whole_clusters():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(20), 10)
    x = rng.standard_normal(200)
    y = x + rng.standard_normal(200)
    value, low, high = summary.clustered_correlation(x, y, cluster)
    assert value == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert low < value < high
    assert summary.clustered_correlation(x, y, cluster) == (value, low, high)
    z = math.atanh(value)
    assert math.atanh(high) - z == pytest.approx(1.96 / math.sqrt(197), rel=0.5)
    assert np.isnan(summary.clustered_correlation(x, y, np.zeros(200))[1:]).all()
    assert np.isnan(summary.clustered_correlation(x, np.ones(200), cluster)).all()


def test_the_advice_is_read_from_the_scores():
    gains = {("text", 0.0, "constant"): 0.15, ("mnist", 0.4, "constant"): 0.02, ("mnist", 0.0, "constant"): 0}
    gains |= {("text", 0.0, "cosine"): -0.1, ("mnist", 0.0, "cosine"): -0.1}
    rows = [
        (task, "mlp", levels, noise, arm, seed, reading, 100, 2 - own, 0.5 + own)
        for (task, noise, arm), gain in gains.items()
        for levels in (2, 3)
        for seed in range(3)
        for reading, own in (("last", 0.0), ("mean", gain or 0.01 * (levels == 3)), ("annealed", 0.2))
        if (arm, reading) != ("cosine", "annealed")
    ]
    names = (*summary.CELL, "arm", "seed", "reading", "step", "loss", "accuracy")
    table = summary.advice(pl.DataFrame(rows, schema=names, orient="row")).splitlines()[2:]
    assert [row.split("|")[-2].strip() for row in table] == ["no", "no", "perhaps", "yes", "yes"]
    assert "+0.15 (0.15 to 0.15)" in table[-1]
